//! The command line `replay`.

mod account;
mod backfill;
mod files;
mod help;
mod import;
mod inspect;
mod json;
mod loopback_account;
mod move_task;
mod operations;
mod origin;
mod profiles;
mod rebuild;
mod recover;
mod redrive;
mod stack;
mod support;
mod suspended_email;
mod user;
mod user_pool;
