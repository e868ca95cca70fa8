//! The stand-in for Dataverse, asked through real HTTP.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "test code")]

mod batch;
mod bulk;
mod client;
mod faults;
mod metadata;
mod paging;
mod records;
mod tokens;
mod values;
