//! Lambda function of the worker group-membership.

use std::process::ExitCode;

use shared::function_id::FunctionId;
use workers::group_membership::{Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    workers::run(FunctionId::GroupMembership, Deps::new, handle).await
}
