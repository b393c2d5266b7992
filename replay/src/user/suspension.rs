//! Suspending and reinstating users: see `shared/src/suspension_change.rs`.

pub mod command;
pub mod email;
pub mod report;
pub mod step;
