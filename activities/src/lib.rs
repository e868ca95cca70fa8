//! The palette: one file an activity. A new one is its file, its `mod` line and its entry in [`PALETTE`].

pub mod automatic_index;
mod chunks;
pub mod conversion;
mod convert;
pub mod crm_delete;
pub mod crm_export;
pub mod crm_import;
pub mod crm_import_deleted;
pub mod database_query;
pub mod database_update;
pub mod dedupe;
pub mod end;
pub mod enrich;
pub mod file_extract;
pub mod filter;
mod kit;
pub mod limit;
mod near;
mod older;
mod own_writes;
mod pinned;
pub mod rejects;
mod remote_ids;
mod rows;
pub mod scheduler;
pub mod script;
mod sent;
pub mod sets;
pub mod start;
pub mod test;
pub mod wait;

use engine::activity::Spec;

/// Every type of activity there is, in the order of the palette.
pub static PALETTE: &[&Spec] = &[
    &start::SPEC,
    &end::SPEC,
    &scheduler::SPEC,
    &wait::SPEC,
    &test::SPEC,
    &script::SPEC,
    &crm_import::SPEC,
    &crm_import_deleted::SPEC,
    &crm_export::SPEC,
    &crm_delete::SPEC,
    &filter::SPEC,
    &limit::SPEC,
    &dedupe::SPEC,
    &enrich::SPEC,
    &database_query::SPEC,
    &database_update::SPEC,
    &file_extract::SPEC,
];
