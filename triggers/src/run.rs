//! The Lambda loop that runs a trigger.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::FutureExt;
use lambda_runtime::{Context, Diagnostic, LambdaEvent, service_fn};
use shared::config::ConfigError;
use shared::function_context::FunctionContext;
use shared::function_id::FunctionId;

use crate::{TriggerError, TriggerEvent};

/// Maximum time that startup waits for the connections.
const WARM_UP: Duration = Duration::from_millis(200);

/// Answer if a trigger panics.
const PANIC: TriggerError =
    TriggerError { error_type: "panic", message: "Something went wrong, please try again" };

/// Runs a trigger until Lambda stops it: builds its dependencies, opens its connections and handles
/// events. A missing or invalid variable stops startup with an error that names the variable.
pub async fn run<D>(
    id: FunctionId,
    build: impl FnOnce(&FunctionContext) -> Result<D, ConfigError>,
    warm_up: impl AsyncFnOnce(&D),
    handle: impl AsyncFn(&D, TriggerEvent) -> Result<TriggerEvent, TriggerError>,
) -> ExitCode {
    let deps = match FunctionContext::start(id, shared::aws::for_trigger, build) {
        Ok(deps) => deps,
        Err(code) => return code,
    };
    // If AWS hangs, each call of the first event waits for its own timeout. The time for warming up
    // comes on top, so it is short.
    let _ = tokio::time::timeout(WARM_UP, warm_up(&deps)).await;
    let (deps, handle) = (&deps, &handle);
    let service = service_fn(async |event: LambdaEvent<TriggerEvent>| {
        let (event, context) = event.into_parts();
        let event = event.with_traceparent(traceparent(&context));
        answer(handle(deps, event)).await
    });
    match lambda_runtime::run(service).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error_type = "runtime", cause = %error, "the Lambda runtime ended");
            ExitCode::FAILURE
        }
    }
}

/// Turns the result into an answer for Lambda. A panic becomes [`PANIC`], so that its message,
/// which could quote personal data, does not reach the user.
async fn answer(
    handling: impl Future<Output = Result<TriggerEvent, TriggerError>>,
) -> Result<TriggerEvent, Diagnostic> {
    let result = AssertUnwindSafe(handling).catch_unwind().await.unwrap_or(Err(PANIC));
    result.map_err(|error| Diagnostic {
        error_type: error.error_type.to_owned(),
        error_message: error.message.to_owned(),
    })
}

/// Builds a W3C trace context from the X-Ray header `Root=1-<8>-<24>;Parent=<16>;Sampled=1`.
fn traceparent(context: &Context) -> Option<String> {
    let header = context.xray_trace_id.as_deref()?;
    let part =
        |name: &str| header.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    let root = part("Root")?.strip_prefix("1-")?.replace('-', "");
    let parent = part("Parent")?;
    let is_hex =
        |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let sampled = if part("Sampled") == Some("1") { "01" } else { "00" };
    (is_hex(&root, 32) && is_hex(parent, 16)).then(|| format!("00-{root}-{parent}-{sampled}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_context_is_built_from_the_x_ray_header() {
        let mut context = Context::default();
        let mut traceparent_of = |header: &str| {
            context.xray_trace_id = Some(header.to_owned());
            traceparent(&context)
        };
        assert_eq!(
            traceparent_of("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1")
                .as_deref(),
            Some("00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01")
        );
        assert_eq!(traceparent_of("Root=1-5759e988-bd862e3fe1be46a994272793"), None);
        assert_eq!(traceparent_of("anything"), None);
    }
}
