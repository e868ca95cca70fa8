//! The Salesforce connector over its wire, against the stand-in.
#![expect(clippy::unwrap_used, reason = "test code")]

mod answers;
mod changes;
mod reading;
mod refusals;
mod world;
mod writing;
