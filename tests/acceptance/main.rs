//! The acceptance scenarios of the CRM connector, on Dynamics: exact contents before, what is done, exact contents after.
//!
//! The CRM's clock is the sandbox's and stands still unless a test moves it; ours runs seven minutes ahead of it.

#![expect(clippy::unwrap_used, reason = "test code")]

mod deleted;
mod filters;
mod ids;
mod import;
mod retry;
mod world;
