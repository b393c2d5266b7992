//! Lambda function of the worker resource-permission.

use std::process::ExitCode;

use shared::function_id::FunctionId;
use workers::resource_permission::{Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    workers::run(FunctionId::ResourcePermission, Deps::new, handle).await
}
