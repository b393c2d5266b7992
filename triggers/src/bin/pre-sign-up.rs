//! Lambda function of the trigger pre-sign-up.

use std::process::ExitCode;

use shared::function_id::FunctionId;
use triggers::pre_sign_up::{Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    triggers::run(FunctionId::PreSignUp, Deps::new, Deps::warm_up, handle).await
}
