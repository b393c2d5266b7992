//! The cost model: what a day or a month of users costs under each invalidation policy.

pub mod assumptions;
pub mod command;
pub mod day;
pub mod day_tables;
pub mod month;
pub mod plot;
pub mod policy;
pub mod prices;
pub mod tables;
