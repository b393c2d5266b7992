//! The settings of a user pool that exists already: attaching and detaching the triggers of a stack, without
//! a change of another setting.

pub mod api;
pub mod attach;
pub mod backup;
pub mod change;
pub mod detach;
pub mod display;
pub mod execution;
pub mod functions;
pub mod managing_stack;
pub mod pool_of_stack;
pub mod report;
pub mod settings;
pub mod settings_table;
pub mod triggers;
