//! Journeys: what happens to users, step by step, as a JSON file that the player plays through the
//! real functions.

pub mod account;
pub mod command;
pub mod describe;
pub mod format;
pub mod outcome;
pub mod player;
pub mod report;
pub mod view;
