//! End to end, through the binary: what it prints, how it ends, and what it leaves behind.

#![expect(clippy::unwrap_used, reason = "test code")]

mod bad_input;
mod beside;
mod command_line;
mod kill;
mod secrets;
mod tests;
mod world;
