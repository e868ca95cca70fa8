//! Runs graphs of activities: check, fold, driver, populations, expressions.
//!
//! It knows no HTTP, no store, no DataFusion and no CRM: those stand behind the traits in [`outside`].

pub mod accept;
pub mod activity;
pub mod alerting;
pub mod allow;
pub mod check;
pub mod context;
pub mod describe;
pub mod desk;
pub mod document;
pub mod driver;
pub mod engine;
pub mod enter;
pub mod environment;
pub mod event;
pub mod expr;
pub mod failure;
pub mod flow;
pub mod graph;
pub mod identity;
pub mod indexes;
pub mod journal;
pub mod numbers;
pub mod outside;
pub mod pinned;
pub mod plan;
pub mod population;
pub mod printable;
pub mod private;
pub mod problem;
pub mod progress;
pub mod reject;
pub mod retention;
pub mod run;
pub mod schema;
pub mod scope;
pub mod script;
mod start;
mod temp;
pub mod types;
mod unfinished;
pub mod variables;
pub mod version;
pub mod words;
pub mod workflow;
pub mod written;
