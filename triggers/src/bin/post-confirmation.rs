//! Lambda function of the trigger post-confirmation.

use std::process::ExitCode;

use shared::function_id::FunctionId;
use triggers::post_confirmation::{Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    triggers::run(FunctionId::PostConfirmation, Deps::new, Deps::warm_up, handle).await
}
