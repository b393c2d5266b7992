//! Lambda function of the trigger pre-token-generation.

use std::process::ExitCode;

use shared::function_id::FunctionId;
use triggers::pre_token_generation::{Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    triggers::run(FunctionId::PreTokenGeneration, Deps::new, Deps::warm_up, handle).await
}
