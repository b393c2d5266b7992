//! The Lambda loop that runs a trigger.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use lambda_runtime::{Context, Diagnostic, LambdaEvent, service_fn};
use shared::config::ConfigError;
use shared::function_context::FunctionContext;
use shared::function_id::FunctionId;
use shared::time::Clock;
use shared::trace::{part_of, traceparent};

use crate::{TriggerError, TriggerEvent};

/// Maximum time that startup waits for the connections.
const WARM_UP: Duration = Duration::from_millis(200);

/// Answer if a trigger panics.
const PANIC: TriggerError =
    TriggerError { error_type: "panic", message: "Something went wrong, please try again" };

/// The longest time from the start of an invocation until the handler gets the event: a cold start.
const COLD_START: SignedDuration = SignedDuration::from_secs(3);

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
        let invoked_at = invoked_at(&context, Clock::system().now());
        let traceparent = context.xray_trace_id.as_deref().and_then(traceparent);
        let event = event.with_traceparent(traceparent).with_invoked_at(invoked_at);
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

/// The start of the invocation, which is the time of Lambda's own metrics about it.
///
/// The trace ID contains the second in which Lambda received the request. CloudWatch counts by the
/// minute, so the second is precise enough. `now` counts if there is no trace ID, or if its time is
/// too far away to be the start of this invocation.
fn invoked_at(context: &Context, now: Timestamp) -> Timestamp {
    let traced = context.xray_trace_id.as_deref().and_then(|header| {
        let root = part_of(header, "Root")?.strip_prefix("1-")?;
        let second = i64::from_str_radix(root.get(..8)?, 16).ok()?;
        Timestamp::from_second(second).ok()
    });
    let is_plausible =
        |time: &Timestamp| (SignedDuration::ZERO..=COLD_START).contains(&now.duration_since(*time));
    traced.filter(is_plausible).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invocation_starts_in_the_second_of_its_trace_id_or_now() {
        let now: Timestamp = "2026-03-02T09:05:00.120Z".parse().unwrap();
        let mut context = Context::default();
        assert_eq!(invoked_at(&context, now), now);
        let mut started = |time: &str| {
            let second = time.parse::<Timestamp>().unwrap().as_second();
            context.xray_trace_id = Some(format!("Root=1-{second:08x}-bd862e3fe1be46a994272793;Sampled=0"));
            invoked_at(&context, now).to_string()
        };
        assert_eq!(started("2026-03-02T09:05:00Z"), "2026-03-02T09:05:00Z");
        // A cold start that began before the full minute counts in that minute.
        assert_eq!(started("2026-03-02T09:04:59Z"), "2026-03-02T09:04:59Z");
        for elsewhere in ["2026-03-02T09:04:57Z", "2026-03-02T09:05:01Z", "1970-01-01T00:00:00Z"] {
            assert_eq!(started(elsewhere), now.to_string(), "{elsewhere}");
        }
        for damaged in ["Root=1-", "Root=1-zzzzzzzz-1", "Root=1-5759e98é", "Root"] {
            context.xray_trace_id = Some(damaged.to_owned());
            assert_eq!(invoked_at(&context, now), now, "{damaged}");
        }
    }
}
