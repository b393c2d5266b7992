//! Lambda function of the trigger pre-authentication.

use std::process::ExitCode;

use shared::function_id::FunctionId;
use triggers::pre_authentication::{Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    triggers::run(FunctionId::PreAuthentication, Deps::new, Deps::warm_up, handle).await
}
