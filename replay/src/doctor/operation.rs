//! Alarms, dead letters, failed starts and account events.

use anyhow::Result;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::StateValue;
use jiff::Timestamp;
use shared::function_id::FunctionId;
use shared::metric::Metric;
use shared::telemetry::NAMESPACE;
use shared::time::minus_seconds;

use super::deployment::Deployment;
use super::report::Outcome;
use crate::cloudwatch::{MetricData, MetricQuery, describe_alarms};
use crate::output::{counted, number};
use crate::queue::list::report::QueueReport;
use crate::stack::Stack;

const DAY_SECONDS: i64 = 24 * 60 * 60;
/// Age of the oldest counted start.
const STARTS_SECONDS: i64 = DAY_SECONDS;
/// Age of the oldest counted event of an account. A stack can have no such event for days.
const ACCOUNT_EVENTS_SECONDS: i64 = 7 * DAY_SECONDS;
/// Logical ID of the rule for account events.
const RULE: &str = "AccountEventsRule";

/// Failed starts by function.
pub type Starts = Vec<(String, u64)>;

/// Reads the failed starts of each function in the last 24 hours.
pub async fn read_starts(cloudwatch: &Client, stack: &Stack, now: Timestamp) -> Result<Starts> {
    let functions: Vec<&str> =
        FunctionId::ALL.into_iter().filter_map(|function| stack.function(function)).collect();
    let query = |name: &str| {
        MetricQuery::sum(NAMESPACE, Metric::StartFailures.name(), [("function", name.to_owned())])
    };
    let queries: Vec<MetricQuery> = functions.iter().map(|name| query(name)).collect();
    let since = minus_seconds(now, STARTS_SECONDS);
    let data = MetricData::read(cloudwatch, &queries, (since, now), 300).await?;
    let starts =
        functions.into_iter().map(|name| (stack.short_name(name).to_owned(), data.sum(&query(name))));
    Ok(starts.collect())
}

/// `function-starts`.
pub fn function_starts(starts: &[(String, u64)]) -> Outcome {
    let failed = starts.iter().filter(|(_, count)| *count > 0);
    let problems: Vec<String> = failed
        .map(|(name, count)| {
            format!("{name}: {}", counted(usize::try_from(*count).unwrap_or(usize::MAX), "failed start"))
        })
        .collect();
    Outcome::of_problems(&problems, "no failed start in 24 hours")
}

/// An alarm, reduced to what the check needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmState {
    pub name: String,
    pub rings: bool,
    /// False if somebody switched its notifications off.
    pub has_actions: bool,
}

/// Reads the alarms with these names, as far as they exist.
pub async fn read_alarms(cloudwatch: &Client, names: &[&str]) -> Result<Vec<AlarmState>> {
    let alarms = describe_alarms(cloudwatch, names, None).await?;
    let alarms = alarms.into_iter().map(|alarm| AlarmState {
        rings: alarm.state_value() == Some(&StateValue::Alarm),
        has_actions: alarm.actions_enabled() != Some(false),
        name: alarm.alarm_name.unwrap_or_default(),
    });
    Ok(alarms.collect())
}

/// `alarms`. `names` are the alarms of the stack.
pub fn alarms(stack: &Stack, names: &[&str], alarms: &[AlarmState]) -> Outcome {
    if names.is_empty() {
        return Outcome::skipped("the stack has none: its parameter Monitoring is false");
    }
    let problems: Vec<String> = names
        .iter()
        .filter_map(|name| {
            let problem = match alarms.iter().find(|alarm| alarm.name == *name) {
                None => "does not exist",
                Some(alarm) if alarm.rings => "rings",
                Some(alarm) if !alarm.has_actions => "notifies nobody: its actions are disabled",
                Some(_) => return None,
            };
            Some(format!("{} {problem}", stack.short_name(name)))
        })
        .collect();
    Outcome::of_problems(&problems, format!("none of {} rings", number(names.len())))
}

/// `dead-letters`.
pub fn dead_letters(stack: &Stack, queues: &[QueueReport]) -> Outcome {
    if let Some(error) = queues.iter().find_map(|queue| queue.error.as_ref()) {
        return Outcome::unknown(error);
    }
    let filled = queues.iter().filter(|queue| queue.messages() > 0);
    let problems: Vec<String> = filled
        .map(|queue| format!("{} in {}", counted(queue.messages(), "message"), stack.short_name(&queue.name)))
        .collect();
    let outcome = Outcome::of_problems(&problems, format!("none in {}", counted(queues.len(), "queue")));
    match queues.iter().find(|queue| queue.messages() > 0) {
        Some(queue) => outcome.with_fix(format!(
            "replay inspect {} --stack {}",
            stack.short_name(&queue.name),
            stack.name
        )),
        None => outcome,
    }
}

/// Counts of the rule for account events in seven days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCounts {
    pub matched: u64,
    pub failed_deliveries: u64,
}

/// Reads the counts of the rule. `None` if the stack has no such rule.
///
/// Source of the metrics: Amazon EventBridge User Guide, *Monitoring Amazon EventBridge*.
pub async fn read_rule(cloudwatch: &Client, stack: &Stack, now: Timestamp) -> Result<Option<RuleCounts>> {
    let Some(rule) = stack.resources.get(RULE).map(|rule| rule.physical_id.as_str()) else { return Ok(None) };
    let [matched, failed] = ["MatchedEvents", "FailedInvocations"]
        .map(|metric| MetricQuery::sum("AWS/Events", metric, [("RuleName", rule.to_owned())]));
    let since = minus_seconds(now, ACCOUNT_EVENTS_SECONDS);
    let data = MetricData::read(cloudwatch, &[matched.clone(), failed.clone()], (since, now), 3_600).await?;
    Ok(Some(RuleCounts { matched: data.sum(&matched), failed_deliveries: data.sum(&failed) }))
}

/// `account-events`.
pub fn account_events(deployment: &Deployment, counts: Option<RuleCounts>) -> Outcome {
    if !deployment.is_true("AccountEvents") {
        return Outcome::skipped("AccountEvents is false");
    }
    match counts {
        None => Outcome::failed("AccountEvents is true, but the stack has no rule"),
        Some(RuleCounts { failed_deliveries: 1.., matched }) => Outcome::failed(format!(
            "EventBridge could not deliver events to the queue (of {} that matched in 7 days)",
            group(matched)
        )),
        Some(RuleCounts { matched: 0, .. }) => Outcome::skipped(
            "no event matched the rule in 7 days. Change a user in the console of Cognito, wait 15 minutes, and run \
             the command again",
        ),
        Some(RuleCounts { matched, .. }) => {
            Outcome::ok(format!("{} matched in 7 days", counted(to_usize(matched), "event")))
        }
    }
}

fn group(count: u64) -> String {
    number(to_usize(count))
}

fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::report::State;

    #[test]
    fn rule_of_account_events_must_match_and_deliver() {
        let deployment = |value| Deployment::of(&[("AccountEvents", value)], &[]);
        let counts = |matched, failed_deliveries| Some(RuleCounts { matched, failed_deliveries });
        for (value, counts, expected) in [
            ("false", None, Outcome::skipped("AccountEvents is false")),
            ("true", counts(1, 0), Outcome::ok("1 event matched in 7 days")),
            (
                "true",
                counts(1_200, 3),
                Outcome::failed(
                    "EventBridge could not deliver events to the queue (of 1,200 that matched in 7 days)",
                ),
            ),
            ("true", None, Outcome::failed("AccountEvents is true, but the stack has no rule")),
        ] {
            assert_eq!(account_events(&deployment(value), counts), expected, "{value} {counts:?}");
        }
        let quiet = account_events(&deployment("true"), counts(0, 0));
        assert_eq!(quiet.state, State::Skipped);
        assert!(quiet.text.contains("wait 15 minutes"), "{quiet:?}");
    }

    #[test]
    fn failed_starts_name_the_function() {
        let starts = |count| [("pre-sign-up".to_owned(), count), ("user-stats".to_owned(), 0)];
        assert!(function_starts(&starts(0)).is_ok());
        assert_eq!(function_starts(&starts(2)), Outcome::failed("pre-sign-up: 2 failed starts"));
    }

    #[test]
    fn alarms_that_ring_notify_nobody_or_are_gone_are_named() {
        let stack = Stack { name: "shop".to_owned(), ..Stack::default() };
        let outcome = |rings, has_actions| {
            let alarm = AlarmState { name: "shop-throttles".to_owned(), rings, has_actions };
            alarms(&stack, &["shop-throttles"], &[alarm])
        };
        assert_eq!(outcome(false, true), Outcome::ok("none of 1 rings"));
        assert_eq!(outcome(true, false), Outcome::failed("throttles rings"));
        let disabled = "throttles notifies nobody: its actions are disabled";
        assert_eq!(outcome(false, false), Outcome::failed(disabled));
        let missing = alarms(&stack, &["shop-throttles"], &[]);
        assert_eq!(missing, Outcome::failed("throttles does not exist"));
        assert!(alarms(&stack, &[], &[]).text.contains("Monitoring is false"));
    }
}
