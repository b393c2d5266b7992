//! Lambda function of the worker cache-invalidation.

use std::process::ExitCode;

use shared::function_id::FunctionId;
use workers::cache_invalidation::{Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    workers::run(FunctionId::CacheInvalidation, Deps::new, handle).await
}
