//! The log, and metrics in CloudWatch's embedded metric format.
//!
//! Never log email addresses, names, codes, tokens, client metadata or whole events. The only
//! exception is [`log_unsent_event`].

use std::error::Error;
use std::io::Write;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::Environment;
use crate::events::Event;
use crate::metric::Metric;
use crate::time::Clock;

/// The CloudWatch namespace of all metrics.
pub const NAMESPACE: &str = "CognitoUserEvents";

/// Writes metrics: one JSON line for each set of counts.
#[derive(Clone)]
pub struct Metrics {
    function: String,
    stack: Option<String>,
    clock: Clock,
    write: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Metrics {
    /// Metrics of the Lambda function named `function`, written to standard output. CloudWatch Logs
    /// extracts them from there.
    pub fn to_stdout(function: impl Into<String>, clock: Clock) -> Self {
        Self::new(function, clock, |line| {
            // A metric that cannot be written must not fail the operation that it counts.
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        })
    }

    /// Metrics of the function `function`, passed to `write` line by line.
    pub fn new(
        function: impl Into<String>,
        clock: Clock,
        write: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        Self { function: function.into(), stack: None, clock, write: Arc::new(write) }
    }

    /// Also adds up the metrics of the whole stack that the alarms need.
    #[must_use]
    pub fn in_stack(self, stack: Option<&str>) -> Self {
        Self { stack: stack.map(str::to_owned), ..self }
    }

    /// The same metrics with the timestamp `time` instead of the clock's.
    #[must_use]
    pub fn at(&self, time: Timestamp) -> Self {
        Self { clock: Clock::from_fn(move || time), ..self.clone() }
    }

    /// Records counts. Zeros are left out, and nothing is written if all are zero.
    pub fn count(&self, counts: &[(Metric, u64)]) {
        self.count_by(None, counts);
    }

    /// Records counts with one more dimension, such as `("reason", "suspended")`. Its value must be
    /// from a closed list, because CloudWatch charges for every value as a separate metric.
    pub fn count_by(&self, dimension: Option<(&str, &str)>, counts: &[(Metric, u64)]) {
        let counts: Vec<(Metric, u64)> = counts.iter().copied().filter(|(_, count)| *count > 0).collect();
        if !counts.is_empty() {
            (self.write)(&self.line(dimension, &counts));
        }
    }

    /// Records a measurement, such as an age, a size or a price. CloudWatch computes minimum,
    /// maximum, average and percentiles.
    pub fn measure(&self, metric: Metric, unit: Unit, value: f64) {
        let name = metric.name();
        let line = json!({
            "function": self.function,
            name: value,
            "_aws": self.metadata(vec![directive(&[&["function"]], &[json!({"Name": name, "Unit": unit.name()})])]),
        });
        (self.write)(&line.to_string());
    }

    fn metadata(&self, directives: Vec<Value>) -> Value {
        json!({"Timestamp": self.clock.now().as_millisecond(), "CloudWatchMetrics": directives})
    }

    fn line(&self, dimension: Option<(&str, &str)>, counts: &[(Metric, u64)]) -> String {
        let mut of_function = vec!["function"];
        let mut line = Map::from_iter([("function".to_owned(), Value::from(self.function.as_str()))]);
        if let Some((name, value)) = dimension {
            of_function.push(name);
            line.insert(name.to_owned(), value.into());
        }
        let mut directives = Vec::new();
        for counts in
            counts.chunk_by(|(left, _), (right, _)| stack_dimensions(*left) == stack_dimensions(*right))
        {
            let mut dimensions = vec![of_function.as_slice()];
            if let (Some(stack), Some(of_stack)) = (&self.stack, stack_dimensions(counts[0].0)) {
                line.insert("stack".to_owned(), stack.as_str().into());
                dimensions.push(of_stack);
            }
            let metrics: Vec<Value> =
                counts.iter().map(|(metric, _)| json!({"Name": metric.name(), "Unit": "Count"})).collect();
            directives.push(directive(&dimensions, &metrics));
        }
        line.extend(counts.iter().map(|(metric, value)| (metric.name().to_owned(), Value::from(*value))));
        line.insert("_aws".to_owned(), self.metadata(directives));
        Value::Object(line).to_string()
    }
}

/// The dimension set that adds up `metric` over all functions of a stack, for an alarm in
/// `template.yaml`. CloudWatch charges $0.30 a month for each combination of dimension values, so
/// the other metrics have only the dimensions of their function.
const fn stack_dimensions(metric: Metric) -> Option<&'static [&'static str]> {
    match metric {
        Metric::SignUpsDenied | Metric::StartFailures | Metric::StoreFailures | Metric::UnsentEvents => {
            Some(&["stack"])
        }
        Metric::SignInsDenied => Some(&["stack", "reason"]),
        _ => None,
    }
}

fn directive(dimensions: &[&[&str]], metrics: &[Value]) -> Value {
    json!({"Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": metrics})
}

/// The unit of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Count,
    Percent,
    /// `None` in CloudWatch, which has no unit for money.
    Dollars,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Seconds => "Seconds",
            Self::Count => "Count",
            Self::Percent => "Percent",
            Self::Dollars => "None",
        }
    }
}

/// The log message of an unsent event. `replay recover` searches for it.
pub const UNSENT_EVENT: &str = "unsent event";

/// Logs the complete event that could not be sent, so that `replay recover` can send it later. This
/// is the only log line that may contain an email address. The log groups of the triggers are
/// encrypted.
pub fn log_unsent_event(event: &Event, cause: &(dyn Error + 'static)) {
    tracing::error!(
        error_type = "unsent_event",
        event_type = event.data.event_type(),
        event = event.to_json(),
        cause = chain(cause),
        "{UNSENT_EVENT}"
    );
}

/// Target of the line in which `lambda_runtime` logs every error that a handler returns, at level
/// ERROR. A denial is such an error, but not a failure. The functions log failures and panics
/// themselves.
const HANDLER_ERRORS: &str = "lambda_runtime::layers::panic";

/// Writes the log, panics included, to standard output. AWS_LAMBDA_LOG_LEVEL sets the level
/// (default INFO), and AWS_LAMBDA_LOG_FORMAT the format.
///
/// The level TRACE is not compiled in, because the SDK would log whole bodies.
pub fn log_to_stdout(environment: &Environment) {
    let level = level(environment.optional("AWS_LAMBDA_LOG_LEVEL"));
    // Lambda adds the time.
    let log = tracing_subscriber::fmt().with_max_level(level).with_target(false).without_time();
    let is_json = environment
        .optional("AWS_LAMBDA_LOG_FORMAT")
        .is_some_and(|format| format.eq_ignore_ascii_case("JSON"));
    let log_wanted = filter_fn(|line| line.target() != HANDLER_ERRORS);
    if is_json {
        log.json().finish().with(log_wanted).init();
    } else {
        log.with_ansi(false).finish().with(log_wanted).init();
    }
    log_panics();
}

/// Lambda's levels include FATAL, which `tracing` does not have.
fn level(name: Option<&str>) -> LevelFilter {
    match name {
        Some("FATAL") => LevelFilter::ERROR,
        name => name.and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::INFO),
    }
}

/// Logs where a panic happened. Its message is not logged, because it may quote what a user sent.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(error_type = "panic", location, "the function panicked");
    }));
}

/// Joins an error and its sources to one line, for the log.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let cause = source.to_string();
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_has_the_embedded_metric_format() {
        let clock = Clock::from_fn(|| "2026-03-02T10:15:00Z".parse().unwrap());
        let metrics = Metrics::new("user-stats", clock, |_| ());
        let line = metrics.line(Some(("reason", "not_json")), &[(Metric::MessagesDeadLettered, 2)]);
        let expected = json!({
            "_aws": {
                "Timestamp": 1_772_446_500_000_i64,
                "CloudWatchMetrics": [{
                    "Namespace": "CognitoUserEvents",
                    "Dimensions": [["function", "reason"]],
                    "Metrics": [{"Name": "MessagesDeadLettered", "Unit": "Count"}],
                }],
            },
            "function": "user-stats",
            "reason": "not_json",
            "MessagesDeadLettered": 2,
        });
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
    }

    #[test]
    fn metrics_of_alarms_have_a_dimension_for_the_stack() {
        let clock = Clock::from_fn(|| "2026-03-02T10:15:00Z".parse().unwrap());
        let metrics = Metrics::new("shop-pre-sign-up", clock, |_| ());
        let dimensions = |metrics: &Metrics, reason: Option<&str>, counts: &[(Metric, u64)]| {
            let line = metrics.line(reason.map(|reason| ("reason", reason)), counts);
            let line: Value = serde_json::from_str(&line).unwrap();
            let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap().iter();
            (directives.map(|each| each["Dimensions"].clone()).collect::<Vec<_>>(), line["stack"].clone())
        };
        let unsent = [(Metric::UnsentEvents, 1)];
        assert_eq!(dimensions(&metrics, None, &unsent), (vec![json!([["function"]])], Value::Null));
        let metrics = metrics.in_stack(Some("shop"));
        let stack = json!("shop");
        let expected = (vec![json!([["function"], ["stack"]])], stack.clone());
        assert_eq!(dimensions(&metrics, None, &unsent), expected);
        let expected = (vec![json!([["function", "reason"], ["stack", "reason"]])], stack.clone());
        assert_eq!(dimensions(&metrics, Some("suspended"), &[(Metric::SignInsDenied, 1)]), expected);
        let mixed = [(Metric::EventsApplied, 1), (Metric::UnsentEvents, 1)];
        let expected = (vec![json!([["function"]]), json!([["function"], ["stack"]])], stack);
        assert_eq!(dimensions(&metrics, None, &mixed), expected);
        assert_eq!(
            dimensions(&metrics, None, &[(Metric::EventsApplied, 1)]),
            (vec![json!([["function"]])], Value::Null)
        );
    }

    #[test]
    fn measurement_has_its_unit() {
        let written = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let lines = written.clone();
        let clock = Clock::from_fn(|| "2026-03-02T10:15:00Z".parse().unwrap());
        let metrics =
            Metrics::new("user-stats", clock, move |line| lines.lock().unwrap().push(line.to_owned()));
        metrics.measure(Metric::EventAge, Unit::Seconds, 1.5);
        let line: Value = serde_json::from_str(&written.lock().unwrap()[0]).unwrap();
        assert_eq!(line["EventAge"], 1.5);
        assert_eq!(
            line["_aws"]["CloudWatchMetrics"][0]["Metrics"],
            json!([{"Name": "EventAge", "Unit": "Seconds"}])
        );
    }

    #[test]
    fn level_follows_lambda_s_variable() {
        for (name, expected) in [
            (None, LevelFilter::INFO),
            (Some("DEBUG"), LevelFilter::DEBUG),
            (Some("WARN"), LevelFilter::WARN),
            (Some("FATAL"), LevelFilter::ERROR),
            (Some("loud"), LevelFilter::INFO),
        ] {
            assert_eq!(level(name), expected, "{name:?}");
        }
        assert_eq!(tracing::level_filters::STATIC_MAX_LEVEL, LevelFilter::DEBUG, "TRACE is not compiled in");
    }

    #[test]
    fn chain_joins_an_error_and_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read the profile")]
        struct Outer(#[source] std::io::Error);

        let error = Outer(std::io::Error::other("connection closed"));
        assert_eq!(chain(&error), "cannot read the profile: connection closed");
    }
}
