//! Lambda function of the trigger custom-message.

use std::process::ExitCode;

use shared::function_id::FunctionId;
use triggers::custom_message::{Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    triggers::run(FunctionId::CustomMessage, Deps::new, Deps::warm_up, handle).await
}
