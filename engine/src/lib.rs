//! Runs graphs of activities: check, fold, driver, populations, expressions.
//!
//! It knows no HTTP, no store, no DataFusion and no CRM: those stand behind the traits in [`outside`].

pub mod event;
pub mod expr;
pub mod failure;
pub mod outside;
pub mod script;
pub mod types;
pub mod workflow;
