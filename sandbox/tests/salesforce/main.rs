//! The stand-in for Salesforce, asked through real HTTP.

#![expect(clippy::unwrap_used, reason = "test code")]

mod bulk;
mod client;
mod faults;
mod login;
mod query;
mod replication;
mod types;
mod write;
