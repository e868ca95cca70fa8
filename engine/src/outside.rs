//! The traits of the outside: all that the engine and the activities know of CRMs, databases, stores, time and those who
//! are told.

pub mod alerts;
pub mod clock;
pub mod crm;
pub mod database;
pub mod desk;
pub mod memory;
pub mod store;
