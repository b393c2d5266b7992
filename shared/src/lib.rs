//! The code that the Lambda functions, `replay` and `sandbox` share. It does not depend on
//! `lambda_runtime`.

pub mod aws;
pub mod backoff;
pub mod cache_tags;
pub mod config;
pub mod deadline;
pub mod email_domain;
pub mod erasure;
pub mod events;
pub mod freshness;
pub mod function_context;
pub mod function_id;
pub mod grant;
pub mod group_rules;
pub mod invoke_permission;
pub mod lambda_config;
pub mod metric;
pub mod queues;
pub mod statistics;
pub mod store;
pub mod suspended_email;
pub mod suspension;
pub mod suspension_change;
pub mod telemetry;
pub mod text;
pub mod time;
pub mod trace;
pub mod user_attributes;
