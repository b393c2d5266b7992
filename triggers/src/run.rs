//! The Lambda loop around a trigger.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::FutureExt;
use lambda_runtime::{Context, Diagnostic, LambdaEvent, service_fn};
use shared::config::ConfigError;
use shared::function_context::FunctionContext;

use crate::{TriggerError, TriggerEvent};

/// Opening connections is given up after this time.
const WARM_UP: Duration = Duration::from_millis(200);

/// What a person signing in reads when a trigger panics.
const PANIC: TriggerError =
    TriggerError { error_type: "panic", message: "Something went wrong, please try again" };

/// Runs the trigger `name` until Lambda stops it: builds its dependencies, opens its connections, and handles
/// events. A configuration mistake ends the start with the variable's name.
pub async fn run<D>(
    name: &'static str,
    build: impl FnOnce(&FunctionContext) -> Result<D, ConfigError>,
    warm_up: impl AsyncFnOnce(&D),
    handle: impl AsyncFn(&D, TriggerEvent) -> Result<TriggerEvent, TriggerError>,
) -> ExitCode {
    let deps = match FunctionContext::start(name, shared::aws::for_trigger, build) {
        Ok(deps) => deps,
        Err(code) => return code,
    };
    // Where AWS hangs, the first event must not pay for it: a call takes its own time-outs, and this comes on top.
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

/// The answer to Lambda, in which nothing unsafe can stand, whatever happens in `handling`.
async fn answer(
    handling: impl Future<Output = Result<TriggerEvent, TriggerError>>,
) -> Result<TriggerEvent, Diagnostic> {
    let result = AssertUnwindSafe(handling).catch_unwind().await.unwrap_or(Err(PANIC));
    result.map_err(|error| Diagnostic {
        error_type: error.error_type.to_owned(),
        error_message: error.message.to_owned(),
    })
}

/// W3C trace context from X-Ray's header, `Root=1-<8>-<24>;Parent=<16>;Sampled=1`.
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
    fn the_trace_context_follows_from_x_ray_s_header() {
        let mut context = Context::default();
        let mut given = |header: &str| {
            context.xray_trace_id = Some(header.to_owned());
            traceparent(&context)
        };
        assert_eq!(
            given("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1").as_deref(),
            Some("00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01")
        );
        assert_eq!(given("Root=1-5759e988-bd862e3fe1be46a994272793"), None);
        assert_eq!(given("anything"), None);
    }
}
