//! The API that every other process uses.
//!
//! ```text
//!   config ─▶ project ─▶ opening ─▶ Engine ─▶ service ─▶ api ─▶ owner (socket)
//!                                                                  ▲
//!   a command ─▶ door ─▶ client ────────────── in this process ────┴─ or in another
//! ```
//!
//! A command never cares which process has the data folder open: [`door::Door`] finds the way, and what is asked and answered is
//! the same on both.

mod accounts;
pub mod alerts;
pub mod api;
pub mod client;
pub mod config;
mod database;
pub mod door;
pub mod explain;
pub mod folder;
pub mod online;
pub mod opening;
mod owner;
pub mod preview;
pub mod project;
pub mod refusal;
pub mod rejects;
pub mod secrets;
pub mod service;
pub mod view;
