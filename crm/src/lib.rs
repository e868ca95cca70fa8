//! Speaks to CRMs: one file or folder a system.
