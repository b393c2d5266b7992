//! The Lambda loop that runs a worker.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use futures_util::FutureExt;
use jiff::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use shared::config::ConfigError;
use shared::function_context::FunctionContext;
use shared::function_id::FunctionId;

use crate::batch::BatchError;

/// Runs a worker until Lambda stops it. A missing or invalid variable stops startup with an error
/// that names the variable.
pub async fn run<D>(
    id: FunctionId,
    build: impl FnOnce(&FunctionContext) -> Result<D, ConfigError>,
    handle: impl AsyncFn(&D, SqsEvent, Timestamp) -> Result<SqsBatchResponse, BatchError>,
) -> ExitCode {
    let deps = match FunctionContext::start(id, shared::aws::for_worker, build) {
        Ok(deps) => deps,
        Err(code) => return code,
    };
    let (deps, handle) = (&deps, &handle);
    let service = service_fn(async |event: LambdaEvent<SqsEvent>| {
        let (event, context) = event.into_parts();
        let deadline =
            i64::try_from(context.deadline).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let handling = AssertUnwindSafe(handle(deps, event, deadline.unwrap_or(Timestamp::MAX)));
        // After either error, SQS redelivers the whole batch. The errors quote nothing of a
        // message.
        match handling.catch_unwind().await {
            Ok(response) => response.map_err(|error| {
                tracing::error!(error_type = "batch", "{error}");
                diagnostic("batch", &error.to_string())
            }),
            Err(_) => Err(diagnostic("panic", "the worker panicked")),
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
