//! Lambda function of the worker account-activity.

use std::process::ExitCode;

use shared::function_id::FunctionId;
use workers::account_activity::{Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    workers::run(FunctionId::AccountActivity, Deps::new, handle).await
}
