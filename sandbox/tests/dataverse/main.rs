//! The stand-in for Dataverse, asked through real HTTP.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "test code")]

mod batch;
mod bulk;
mod client;
mod faults;
mod limits;
mod metadata;
mod paging;
mod records;
mod related;
mod tls;
mod tokens;
mod tracking;
mod types;
mod values;
