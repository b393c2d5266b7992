//! The binary `sandbox`, as it is typed.

mod command_line;
mod costs;
