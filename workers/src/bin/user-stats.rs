//! The Lambda function of the worker user-stats.

use std::process::ExitCode;

use workers::user_stats::{Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    workers::run("user-stats", Deps::new, handle).await
}
