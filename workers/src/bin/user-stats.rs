//! Lambda function of the worker user-stats.

use std::process::ExitCode;

use shared::function_id::FunctionId;
use workers::user_stats::{Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    workers::run(FunctionId::UserStats, Deps::new, handle).await
}
