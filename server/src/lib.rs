//! The API that every other process uses.
