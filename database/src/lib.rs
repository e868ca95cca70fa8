//! The marketing database.
