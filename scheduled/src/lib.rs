//! The functions that run on a schedule. EventBridge invokes them, and no caller waits for the answer.
//!
//! Lambda, the sandbox and the tests all call the same `handle` of a module.

mod run;
pub mod user_pool_watch;

pub use run::{Failure, run};
