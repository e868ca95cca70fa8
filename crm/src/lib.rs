//! Speaks to CRMs: one file or folder a system.
//!
//! ```text
//!   secret ─▶ oauth ─┐
//!                    ├─▶ http ─▶ the CRM          shared by all systems
//!   Limits ──────────┘
//!   dynamics/  account, metadata, odata, read     one system
//! ```
//!
//! Every request of an account goes through its one [`http::Http`], which holds the limits and the retries.

pub mod dynamics;
pub mod http;
pub mod oauth;
pub mod secret;
