//! The Lambda loop that runs the read API.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::FutureExt;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use shared::config::ConfigError;
use shared::function_context::FunctionContext;
use shared::function_id::FunctionId;
use shared::trace::traceparent;

use crate::problem::Problem;
use crate::{Request, Response};

/// Maximum time that startup waits for the connection to DynamoDB.
const WARM_UP: Duration = Duration::from_millis(200);

/// Runs the function until Lambda stops it: builds its dependencies, opens its connection and answers
/// requests. A missing or invalid variable stops startup with an error that names the variable.
pub async fn run<D>(
    id: FunctionId,
    build: impl FnOnce(&FunctionContext) -> Result<D, ConfigError>,
    warm_up: impl AsyncFnOnce(&D),
    handle: impl AsyncFn(&D, Request) -> Response,
) -> ExitCode {
    let deps = match FunctionContext::start(id, shared::aws::for_http_api, build) {
        Ok(deps) => deps,
        Err(code) => return code,
    };
    let _ = tokio::time::timeout(WARM_UP, warm_up(&deps)).await;
    let (deps, handle) = (&deps, &handle);
    let service = service_fn(async |event: LambdaEvent<Request>| {
        let (request, context) = event.into_parts();
        let traceparent = context.xray_trace_id.as_deref().and_then(traceparent);
        Ok::<_, Diagnostic>(answer(handle(deps, Request { traceparent, ..request })).await)
    });
    match lambda_runtime::run(service).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error_type = "runtime", cause = %error, "the Lambda runtime ended");
            ExitCode::FAILURE
        }
    }
}

/// The response, or [`Problem::Internal`] after a panic. The panic hook has logged the panic.
async fn answer(handling: impl Future<Output = Response>) -> Response {
    AssertUnwindSafe(handling).catch_unwind().await.unwrap_or_else(|_| Problem::Internal.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn panic_becomes_a_problem_without_its_message() {
        let response = answer(async { panic!("a secret in a panic message") }).await;
        assert_eq!(response.status_code, 500);
        assert_eq!(response.headers["Cache-Control"], "no-store");
        assert!(!response.body.contains("secret"), "{}", response.body);
    }
}
