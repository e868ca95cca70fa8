//! Runs graphs of activities: check, fold, driver, populations, expressions.
//!
//! It knows no HTTP, no store, no DataFusion and no CRM: those stand behind the traits in [`outside`].

pub mod document;
pub mod event;
pub mod expr;
pub mod failure;
pub mod graph;
pub mod outside;
pub mod problem;
pub mod run;
pub mod script;
pub mod types;
pub mod workflow;
