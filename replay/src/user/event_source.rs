//! The CloudEvents source of the events that `replay` publishes.

pub const EVENT_SOURCE: &str = "/replay";
