//! End to end, through the binary: what it prints, how it ends, and what it leaves behind.

#![expect(clippy::unwrap_used, reason = "test code")]

mod alerts;
mod bad_input;
mod beside;
mod command_line;
mod compare;
mod crm_commands;
mod doubts;
mod explain;
mod field_types;
mod identity;
mod index;
mod kill;
mod mail_server;
mod manual;
mod messages;
#[path = "../receiver/mod.rs"]
mod receiver;
mod rejects;
mod restart;
mod resume;
mod secrets;
mod show;
mod tests;
mod upgrade;
mod world;
