//! The Salesforce connector over its wire, against the stand-in.
#![expect(clippy::unwrap_used, reason = "test code")]

mod changes;
mod reading;
mod world;
mod writing;
