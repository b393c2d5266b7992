//! Commands for queues and dead-letter queues.

pub mod body_field;
pub mod cloudtrail;
pub mod description;
pub mod envelope;
pub mod filter;
pub mod inspect;
pub mod list;
pub mod message;
pub mod message_file;
pub mod move_task;
pub mod reader;
pub mod recover;
pub mod redact;
pub mod redrive;
pub mod save;
pub mod send;
pub mod sending;
pub mod template_queue;
