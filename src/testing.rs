//! Tests of workflows: `x.test.json` beside `x.json`.
//!
//! ```text
//!   read (file, names) ─▶ world (CRMs, database, clock, store) ─▶ steps ⇄ process (an engine) ─▶ compare ─▶ outcome
//! ```
//!
//! Each test has a world of its own: a stand-in for each CRM account, an SQLite file, a data folder and a store in
//! memory. A process is a runtime of its own with an engine in it, so that ending it leaves what a kill would.

mod alerts;
mod compare;
mod crm;
mod deed;
mod desk;
mod file;
mod names;
mod outcome;
mod process;
mod read;
mod rows;
mod steps;
mod world;

use schemars::generate::SchemaSettings;
use serde_json::Value;

pub(crate) use outcome::{Difference, Outcome};
pub(crate) use read::{Loaded, is_test, load, test_of};
pub(crate) use steps::perform;

/// The JSON Schema of test files, for editors.
pub(crate) fn schema() -> Value {
    let mut schema =
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<file::TestFile>().to_value();
    schema["title"] = "Campanile workflow test".into();
    schema
}
