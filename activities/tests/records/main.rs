//! The activities that work on records, in a real engine with a real database.

#![expect(clippy::unwrap_used, reason = "test code")]

mod database_query;
mod database_update;
mod dedupe;
mod enrich;
mod file_extract;
mod harness;
