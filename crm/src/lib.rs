//! Speaks to CRMs: one file or folder a system.
//!
//! ```text
//!   secret ─▶ oauth ─┐
//!                    ├─▶ http ─▶ the CRM          shared by all systems
//!   Limits ──────────┘
//!   ahead                                         pages that are fetched before they are taken
//!   records, values, numbers, names               from texts to Arrow
//!   tally                                         what became of each record of a batch
//!   pushdown                                      which part of a filter the CRM is asked
//!   dynamics/  account, metadata, odata, read     one system
//!   salesforce/                                   another
//! ```
//!
//! Every request of an account goes through its one [`http::Http`], which holds the limits and the retries.

mod address;
mod ahead;
pub mod dynamics;
pub mod http;
mod names;
mod numbers;
mod oauth;
mod pushdown;
mod records;
pub mod salesforce;
pub mod secret;
mod single_flight;
pub mod steps;
mod tally;
mod values;
