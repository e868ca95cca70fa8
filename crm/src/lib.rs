//! Speaks to CRMs: one file or folder a system.
//!
//! ```text
//!   secret ─▶ oauth ─┐
//!                    ├─▶ http ─▶ the CRM          shared by all systems
//!   Limits ──────────┘
//!   records, values, names                        from texts to Arrow
//!   dynamics/  account, metadata, odata, read     one system
//!   salesforce/                                   another
//! ```
//!
//! Every request of an account goes through its one [`http::Http`], which holds the limits and the retries.

pub mod certificate;
pub mod dynamics;
pub mod http;
mod names;
pub mod oauth;
mod records;
pub mod salesforce;
pub mod secret;
mod single_flight;
mod values;
