//! The palette: one file an activity.
