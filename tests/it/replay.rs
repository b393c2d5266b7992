//! The command line, as it is typed. One binary: every other one would link the SDK again.

mod account;

mod files;
mod import;
mod operations;
mod rebuild;
mod redrive;

mod shop;
mod support;
