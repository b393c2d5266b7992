//! Lambda function of the read API.

use std::process::ExitCode;

use api::{Deps, handle};
use shared::function_id::FunctionId;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    api::run(FunctionId::ReadApi, Deps::new, Deps::warm_up, handle).await
}
