//! The cost model: what a day or a month of users costs under each policy, and how stale pages are.

pub mod account_events;
pub mod assumptions;
mod browser;
pub mod command;
pub mod day;
pub mod day_tables;
mod invalidations;
pub mod month;
mod number;
pub mod outcome;
pub mod pays_tables;
mod picture;
pub mod plot;
pub mod policy;
pub mod prices;
mod results;
pub mod run;
pub mod settings_table;
pub mod spread;
pub mod tables;
