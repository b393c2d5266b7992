//! One user's first day in a real account: checks that change nothing, and checks that create a user,
//! who is removed again.
//!
//! [`catalog`] says what each check proves, costs and how to fix it. The modules of the checks have pure rules
//! over what they read.

pub mod catalog;
pub mod clients;
pub mod command;
pub mod deployment;
pub mod first_day;
pub mod functions;
pub mod http;
pub mod operation;
pub mod page;
pub mod pool;
pub mod read_only;
pub mod report;
pub mod srp;
