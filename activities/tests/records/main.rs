//! The activities that work on records, in a real engine with a real database.

#![expect(clippy::unwrap_used, reason = "test code")]

mod crm_delete;
mod crm_double;
mod crm_export;
mod crm_export_values;
mod crm_import;
mod crm_import_deleted;
mod database_query;
mod database_update;
mod dedupe;
mod double;
mod enrich;
mod file_extract;
mod harness;
mod kit;
mod names;
mod samples;
mod script;
mod versions;
mod wait;
