//! The metrics of a stack.

use anyhow::Result;
use aws_sdk_cloudwatch::Client;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use shared::function_id::FunctionId;
use shared::metric::Metric;
use shared::telemetry::NAMESPACE;

use crate::cloudwatch::{MetricData, MetricQuery, whole};
use crate::stack::Stack;
use crate::status::report::{FunctionFigures, MetricFigures};

/// The reasons of SignInsDenied.
const SIGN_IN_REASONS: [&str; 3] = ["suspended", "unreadable_suspension", "store_error"];

/// Reads the metrics in two calls: the counts since `since`, and the budget of the month.
pub async fn read(
    cloudwatch: &Client,
    stack: &Stack,
    since: Timestamp,
    now: Timestamp,
) -> Result<MetricFigures> {
    let names = Names { stack };
    let (counts, budget) = (names.counts(), [names.budget_used()]);
    let counts = MetricData::read(cloudwatch, &counts, (since, now), period_seconds(since, now));
    let month = MetricData::read(cloudwatch, &budget, (start_of_month(now), now), 3_600);
    let (counts, month) = futures_util::try_join!(counts, month)?;
    Ok(names.figures(&counts, &month))
}

/// The finest period that CloudWatch has for values of this age. CloudWatch: values per minute are kept for
/// 15 days, per five minutes for 63 days, per hour for 455 days.
fn period_seconds(since: Timestamp, now: Timestamp) -> i32 {
    const DAY: i64 = 86_400;
    match now.duration_since(since).as_secs() {
        age if age <= DAY => 60,
        age if age <= 15 * DAY => 300,
        _ => 3_600,
    }
}

/// The metrics by name.
struct Names<'a> {
    stack: &'a Stack,
}

impl Names<'_> {
    fn in_stack(&self, metric: Metric) -> MetricQuery {
        MetricQuery::sum(NAMESPACE, metric.name(), [("stack", self.stack.name.clone())])
    }

    fn sign_ins_denied(&self, reason: &str) -> MetricQuery {
        let dimensions = [("stack", self.stack.name.clone()), ("reason", reason.to_owned())];
        MetricQuery::sum(NAMESPACE, Metric::SignInsDenied.name(), dimensions)
    }

    fn denied_by(&self, function: &str, reason: &str) -> MetricQuery {
        let dimensions = [("function", function.to_owned()), ("reason", reason.to_owned())];
        MetricQuery::sum(NAMESPACE, Metric::SignInsDenied.name(), dimensions)
    }

    fn of_function(&self, metric: Metric, function: &str) -> MetricQuery {
        MetricQuery::sum(NAMESPACE, metric.name(), [("function", function.to_owned())])
    }

    fn of_lambda(&self, metric: &'static str, function: &str) -> MetricQuery {
        MetricQuery::sum("AWS/Lambda", metric, [("FunctionName", function.to_owned())])
    }

    fn name_of(&self, function: FunctionId) -> String {
        let by_convention = || format!("{}-{}", self.stack.name, function.name());
        self.stack.function(function).map_or_else(by_convention, str::to_owned)
    }

    fn event_age(&self) -> MetricQuery {
        let function = self.name_of(FunctionId::UserStats);
        MetricQuery::maximum(NAMESPACE, Metric::EventAge.name(), [("function", function)])
    }

    fn budget_used(&self) -> MetricQuery {
        let function = self.name_of(FunctionId::CacheInvalidation);
        MetricQuery::maximum(NAMESPACE, Metric::InvalidationBudgetUsed.name(), [("function", function)])
    }

    /// The functions of the stack that this project has.
    fn functions(&self) -> impl Iterator<Item = (FunctionId, &str)> {
        FunctionId::ALL.into_iter().filter_map(|function| Some((function, self.stack.function(function)?)))
    }

    /// The metrics whose sum is the number of denials of a function.
    fn denials(&self, function: FunctionId, name: &str) -> Vec<MetricQuery> {
        match function {
            FunctionId::PreSignUp => vec![self.in_stack(Metric::SignUpsDenied)],
            FunctionId::PreAuthentication | FunctionId::PreTokenGeneration => {
                SIGN_IN_REASONS.map(|reason| self.denied_by(name, reason)).into()
            }
            _ => Vec::new(),
        }
    }

    fn counts(&self) -> Vec<MetricQuery> {
        let mut metrics =
            vec![self.in_stack(Metric::UnsentEvents), self.in_stack(Metric::SignUpsDenied), self.event_age()];
        metrics.extend(SIGN_IN_REASONS.map(|reason| self.sign_ins_denied(reason)));
        for (function, name) in self.functions() {
            metrics.extend([self.of_lambda("Errors", name), self.of_lambda("Throttles", name)]);
            metrics.push(self.of_function(Metric::StartFailures, name));
            metrics.push(self.of_function(Metric::StoreFailures, name));
            metrics.extend(self.denials(function, name));
        }
        metrics.sort();
        metrics.dedup();
        metrics
    }

    fn figures(&self, counts: &MetricData, month: &MetricData) -> MetricFigures {
        let [suspended, unreadable, store_error] =
            SIGN_IN_REASONS.map(|reason| counts.sum(&self.sign_ins_denied(reason)));
        let functions = self.functions().map(|(function, name)| FunctionFigures {
            name: self.stack.short_name(name).to_owned(),
            log_group: self.stack.log_group(function).unwrap_or_default(),
            errors: counts.sum(&self.of_lambda("Errors", name)),
            denials: self.denials(function, name).iter().map(|metric| counts.sum(metric)).sum(),
            throttles: counts.sum(&self.of_lambda("Throttles", name)),
            start_failures: counts.sum(&self.of_function(Metric::StartFailures, name)),
            store_failures: counts.sum(&self.of_function(Metric::StoreFailures, name)),
        });
        MetricFigures {
            unsent_events: counts.sum(&self.in_stack(Metric::UnsentEvents)),
            event_age_seconds: counts.maximum(&self.event_age()).map(whole),
            sign_ups_denied: counts.sum(&self.in_stack(Metric::SignUpsDenied)),
            suspended_denied: suspended,
            unreadable_suspension_denied: unreadable,
            store_error_denied: store_error,
            budget_used_percent: month.latest(&self.budget_used()),
            functions: functions.collect(),
        }
    }
}

/// The begin of the month in UTC, to which the budget belongs.
fn start_of_month(now: Timestamp) -> Timestamp {
    let first = now.to_zoned(TimeZone::UTC).date().first_of_month();
    first.to_zoned(TimeZone::UTC).map_or(now, |start| start.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn month_begins_in_utc() {
        for (now, start) in [
            ("2026-03-02T10:00:00Z", "2026-03-01T00:00:00Z"),
            ("2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z"),
            ("2026-02-28T23:59:59.999Z", "2026-02-01T00:00:00Z"),
        ] {
            assert_eq!(start_of_month(now.parse().unwrap()).to_string(), start, "{now}");
        }
    }
}
