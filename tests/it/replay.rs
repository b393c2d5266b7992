//! The command line `replay`.

mod account;
mod backfill;
mod exit_codes;
mod files;
mod help;
mod import;
mod inspect;
mod json;
mod loopback_account;
mod loopback_stack;
mod move_task;
mod operations;
mod origin;
mod pictures;
mod profiles;
mod queues;
mod rebuild;
mod recover;
mod redrive;
mod stack;
mod status;
mod support;
mod suspended_email;
mod terminal;
mod user;
mod user_pool;
