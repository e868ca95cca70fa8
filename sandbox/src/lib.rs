//! Stand-ins that speak the CRMs' wire, with faults on demand.
//!
//! A [`Sandbox`] is an HTTP server on this machine that answers as a CRM does: tests and people point a client at it instead
//! of at somebody's customers. It knows nothing of Campanile's own crates, so that a misreading of a protocol cannot agree
//! with itself.
//!
//! What is there:
//!
//! - **Dataverse** (`dataverse/`): token endpoint, `WhoAmI`, service document, `EntityDefinitions`, CSDL, queries with paging and
//!   related records, aggregates, change tracking, `FetchXML`, single reads and writes, `$batch`, bulk messages, limits of users.
//! - **Salesforce** (`salesforce/`): logins, describe, SOQL, single records, collections, composite, `getUpdated` and
//!   `getDeleted`, Bulk API 2.0.
//! - **Records** (`data/`): any number of generated people and companies that are never stored, and an overlay of what was
//!   written since, with late commits, transactions, a recycle bin and a log of changes: the same store for every system.
//! - **Clock** (`clock.rs`), **faults** (`faults.rs`), **logs** of requests and changes (`log.rs`), and the controls of all
//!   of them as methods and over HTTP (`admin/`).
//!
//! Another system is another folder next to `dataverse/`: its tables (`data::Held`: what their fields are and what they
//! hold), what the admin API asks of it (`admin::System`: how ids and records are written), and its protocol.

mod admin;
mod clock;
mod data;
mod dataverse;
mod faults;
mod guid;
mod jwt;
mod log;
mod random;
mod reply;
mod salesforce;
mod sandbox;
mod server;
mod spelling;
mod state;
mod time;
mod tls;

pub use admin::{Admin, Attribute, AttributeOption, ClockSetting, RecordCounts, Refused, Tracking};
pub use data::{By, KeyStatus};
pub use dataverse::Limits;
pub use faults::{Edit, Fault, FaultReport, RetryAfter, Route};
pub use guid::Guid;
pub use log::{Change, ChangeKind, FieldChange, Request};
pub use salesforce::{
    DuplicateRule, JobFailure, SalesforceAdmin, SalesforceField, SalesforceOptions, SalesforceSettings, ValidationRule,
};
pub use sandbox::{Error, Options, Sandbox, Tls};
pub use tls::TlsError;

/// A certificate, in PEM, for clients that log in by signature; a sandbox knows it once it is told
/// ([`Admin::add_certificate`], [`SalesforceAdmin::set_public_key`]).
pub const CERTIFICATE: &str = include_str!("../tests/keys/application.crt.pem");
/// The private key of [`CERTIFICATE`], in PEM. Everybody can read it, so no real system may trust it.
pub const PRIVATE_KEY: &str = include_str!("../tests/keys/application.key.pem");
