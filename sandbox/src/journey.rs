//! Journeys: what happens to users, step by step, as a JSON file that the player plays through the
//! real functions.

pub mod command;
pub mod format;
pub mod player;
pub mod report;
