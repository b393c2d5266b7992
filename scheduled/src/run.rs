//! The Lambda loop that runs a function on a schedule.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use futures_util::FutureExt;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::IgnoredAny;
use shared::config::ConfigError;
use shared::function_context::FunctionContext;
use shared::function_id::FunctionId;

/// Why an invocation failed. Lambda invokes the function again, twice at most, and then EventBridge
/// at the next time of the schedule.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The stable code: log field `error_type`.
    pub code: &'static str,
    pub message: &'static str,
}

/// Runs a function until Lambda stops it. A missing or invalid variable stops startup with an error
/// that names the variable. The event is ignored: it has only the time of the schedule.
pub async fn run<D, A: Serialize>(
    id: FunctionId,
    build: impl FnOnce(&FunctionContext) -> Result<D, ConfigError>,
    handle: impl AsyncFn(&D) -> Result<A, Failure>,
) -> ExitCode {
    let deps = match FunctionContext::start(id, shared::aws::for_schedule, build) {
        Ok(deps) => deps,
        Err(code) => return code,
    };
    let (deps, handle) = (&deps, &handle);
    let service = service_fn(async |_: LambdaEvent<IgnoredAny>| {
        match AssertUnwindSafe(handle(deps)).catch_unwind().await {
            Ok(answer) => answer.map_err(|failure| diagnostic(failure.code, failure.message)),
            // The panic hook has logged the panic.
            Err(_) => Err(diagnostic("panic", "the function panicked")),
        }
    });
    match lambda_runtime::run(service).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error_type = "runtime", cause = %error, "the Lambda runtime ended");
            ExitCode::FAILURE
        }
    }
}

fn diagnostic(error_type: &str, message: &str) -> Diagnostic {
    Diagnostic { error_type: error_type.to_owned(), error_message: message.to_owned() }
}
