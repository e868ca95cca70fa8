//! The engine by itself: the fold on random graphs, the driver with crashes everywhere, the check of broken files.

#![expect(clippy::unwrap_used, reason = "test code")]

mod alerts;
mod check;
mod crash;
mod fold;
mod hold;
mod operators;
mod palette;
