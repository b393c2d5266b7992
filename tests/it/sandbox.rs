//! The binary `sandbox`, as it is typed.

mod check_config;
mod command_line;
mod costs;
mod serve;
