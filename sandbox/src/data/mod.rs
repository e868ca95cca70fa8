//! The records, whatever CRM's wire they are read through: tables, the generated people and companies, and the overlay of
//! everything that was changed since.

pub(crate) mod change;
mod companies;
mod draw;
pub(crate) mod generate;
mod index;
mod people;
pub(crate) mod records;
pub(crate) mod schema;
pub(crate) mod store;
pub(crate) mod table;
#[cfg(test)]
mod tests;
pub(crate) mod value;
mod walk;
mod words;
pub(crate) mod write;

pub(crate) use generate::{Fact, Kind as PopulationKind, Population};
pub(crate) use index::{folded, write_id, write_value};
pub(crate) use records::{DateIndex, Describe, Record, Records, Row};
pub use schema::KeyStatus;
pub(crate) use schema::{Choice, DateBehavior, Field, FieldKind, Key, LookupRole, Required, Rule, Table as TableShape};
pub use store::By;
pub(crate) use store::{Draft, Held, Store};
pub(crate) use table::Table;
pub(crate) use value::{Decimal, Link, Value};
pub(crate) use walk::{Place, Walk};
pub(crate) use write::Patch;
