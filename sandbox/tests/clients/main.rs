//! Other people's clients, unmodified, against the stand-in: see tests/clients/README.md.

#![expect(clippy::unwrap_used, reason = "test code")]

mod csdl;
mod dynamics_web_api;
mod msal;
mod run;
mod salesforce;
