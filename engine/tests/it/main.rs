//! The engine by itself: the fold on random graphs, the driver with crashes everywhere, the check of broken files.

mod check;
mod crash;
mod fold;
mod palette;
