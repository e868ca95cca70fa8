//! Keeps the tree honest: what points where, what is named where, how long things are, and that pages say what is.
//!
//! Pages that are made of the code are compared with it. `make docs` writes them anew.

#![expect(clippy::unwrap_used, reason = "test code")]

mod crates;
mod examples;
mod files;
mod lines;
mod links;
mod pages;
mod problems;
mod settings;
