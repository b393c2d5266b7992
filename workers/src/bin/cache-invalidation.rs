//! The Lambda function of the worker cache-invalidation.

use std::process::ExitCode;

use workers::cache_invalidation::{Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    workers::run("cache-invalidation", Deps::new, handle).await
}
