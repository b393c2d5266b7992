//! Lambda function user-pool-watch.

use std::process::ExitCode;

use scheduled::user_pool_watch::{Deps, handle};
use shared::function_id::FunctionId;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    scheduled::run(FunctionId::UserPoolWatch, Deps::new, handle).await
}
