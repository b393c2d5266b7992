//! What follows from the figures of a stack: which checks need a look, and what to do. Pure.

use jiff::Timestamp;

use crate::output::{counted, duration, number};
use crate::queue::list::report::QueueReport;
use crate::queue::list::{LATE_SECONDS, errors_in_log};
use crate::stack::Stack;
use crate::status::first_steps::first_steps;
use crate::status::report::{
    AlarmFigures, Check, CheckName, CheckState, Figures, FunctionFigures, MetricFigures,
};
use crate::status::user_pool;

/// The alarm invalidation-budget rings above this part of the month's items.
const BUDGET_PERCENT: f64 = 80.0;

/// The period of the counts in words: `the last hour`, `the last 6h`.
pub fn period(since: Timestamp, now: Timestamp) -> String {
    match u64::try_from(now.duration_since(since).as_secs()).unwrap_or_default() {
        3_600 => "the last hour".to_owned(),
        seconds => format!("the last {}", duration(seconds)),
    }
}

/// The checks, those that need a look first. `period` is the period of the counts in words.
pub fn checks(figures: &Figures, period: &str, stack: &Stack) -> Vec<Check> {
    let mut others = vec![user_pool::check(figures, stack)];
    others.extend(dead_letters(figures, stack));
    others.extend(of_metrics(figures, period, stack));
    others.extend(suspensions(figures));
    let mut checks = alarms(figures, &others, stack);
    checks.extend(others);
    // Stable: the checks of a state keep their order.
    checks.sort_by_key(|check| check.state);
    checks
}

fn check(check: CheckName, state: CheckState, text: impl Into<String>) -> Check {
    Check { check, state, text: text.into(), next_steps: Vec::new() }
}

fn ok_if(is_ok: bool) -> CheckState {
    if is_ok { CheckState::Ok } else { CheckState::Look }
}

/// A check for each alarm that rings. Alarms about what another check says share one.
fn alarms(figures: &Figures, others: &[Check], stack: &Stack) -> Vec<Check> {
    let one = |state, text: String| vec![check(CheckName::Alarms, state, text)];
    match (&figures.alarms_error, figures.alarms) {
        (Some(error), _) => return one(CheckState::Unknown, error.clone()),
        (None, 0) => {
            return one(
                CheckState::Unknown,
                "the stack has none: its parameter Monitoring is false".to_owned(),
            );
        }
        (None, count) if figures.ringing.is_empty() => {
            return one(CheckState::Ok, format!("none of {} rings", number(count)));
        }
        _ => {}
    }
    let needs_look = |name| others.iter().any(|check| check.check == name && check.state == CheckState::Look);
    let (covered, alone): (Vec<&AlarmFigures>, Vec<&AlarmFigures>) =
        figures.ringing.iter().partition(|alarm| subject(&alarm.name).is_some_and(needs_look));
    let functions = figures.metrics.as_ref().map_or(&[][..], |metrics| &metrics.functions);
    let since = |alarm: &AlarmFigures| {
        let seconds = alarm.seconds.and_then(|seconds| u64::try_from(seconds).ok());
        seconds.map(|seconds| format!(" for {}", duration(seconds))).unwrap_or_default()
    };
    let mut checks: Vec<Check> = alone
        .iter()
        .map(|alarm| Check {
            next_steps: first_steps(&alarm.name, stack, functions),
            ..check(CheckName::Alarms, CheckState::Look, format!("{} rings{}", alarm.name, since(alarm)))
        })
        .collect();
    if !covered.is_empty() {
        let names: Vec<String> =
            covered.iter().map(|alarm| format!("{}{}", alarm.name, since(alarm))).collect();
        let text = format!("ringing, see below: {}", names.join(", "));
        checks.push(check(CheckName::Alarms, CheckState::Look, text));
    }
    checks
}

/// The check that says more about what an alarm rings for.
fn subject(alarm: &str) -> Option<CheckName> {
    match alarm {
        "trigger-differences" => Some(CheckName::UserPool),
        "unsent-events" => Some(CheckName::UnsentEvents),
        "invalidation-budget" | "budget-exhausted" => Some(CheckName::Budget),
        name if name.ends_with("-dead-letters") => Some(CheckName::DeadLetters),
        _ => None,
    }
}

fn dead_letters(figures: &Figures, stack: &Stack) -> Vec<Check> {
    // Without its attributes, a queue of the template is known by its name.
    let is_dead_letter_queue =
        |queue: &&QueueReport| queue.is_dead_letter_queue || queue.name.ends_with("-dead-letters");
    let queues: Vec<&QueueReport> = figures.queues.iter().filter(is_dead_letter_queue).collect();
    let mut checks: Vec<Check> = queues
        .iter()
        .filter(|queue| queue.messages() > 0 || queue.error.is_some())
        .map(|queue| {
            let name = stack.short_name(&queue.name);
            if let Some(error) = &queue.error {
                return check(CheckName::DeadLetters, CheckState::Unknown, format!("{name}: {error}"));
            }
            let mut text = format!("{} in {name}", number(queue.messages()));
            if let Some(seconds) = queue.oldest_message_seconds {
                text += &format!(", oldest {}", duration(seconds));
            }
            if let Some(seconds) = queue.expires_in_at_most_seconds {
                text += &format!(", expires in {}", duration(seconds));
            }
            if let Some(task) = &queue.move_task {
                text += &format!(". A move task runs: {}", task.progress);
            }
            let next_steps = queue.next_step.iter().filter_map(|step| step.command.clone()).collect();
            Check { next_steps, ..check(CheckName::DeadLetters, CheckState::Look, text) }
        })
        .collect();
    if checks.is_empty() {
        let text = format!("none in {}", counted(queues.len(), "queue"));
        checks.push(check(CheckName::DeadLetters, CheckState::Ok, text));
    }
    checks
}

fn of_metrics(figures: &Figures, period: &str, stack: &Stack) -> Vec<Check> {
    let Some(metrics) = &figures.metrics else {
        let names = [CheckName::UnsentEvents, CheckName::Functions, CheckName::Denials, CheckName::Budget];
        let mut checks =
            names.map(|name| check(name, CheckState::Unknown, "the metrics cannot be read")).to_vec();
        // The error once is enough.
        if let (Some(first), Some(error)) = (checks.first_mut(), &figures.metrics_error) {
            first.text.clone_from(error);
        }
        checks.insert(1, statistics(figures, stack));
        return checks;
    };
    vec![
        unsent_events(metrics, period, stack),
        statistics(figures, stack),
        functions(&metrics.functions, period, stack),
        denials(metrics, period, stack),
        budget(metrics, figures.monthly_item_budget),
    ]
}

fn unsent_events(metrics: &MetricFigures, period: &str, stack: &Stack) -> Check {
    let count = metrics.unsent_events;
    if count == 0 {
        return check(CheckName::UnsentEvents, CheckState::Ok, format!("none in {period}"));
    }
    Check {
        next_steps: vec![format!("replay recover --stack {}", stack.name)],
        ..check(CheckName::UnsentEvents, CheckState::Look, format!("{} in {period}", number_of(count)))
    }
}

fn statistics(figures: &Figures, stack: &Stack) -> Check {
    let url = stack.user_events_url();
    let Some(queue) = figures.queues.iter().find(|queue| Some(queue.url.as_str()) == url) else {
        return check(CheckName::Statistics, CheckState::Unknown, "the stack has no queue user-events");
    };
    if let Some(error) = &queue.error {
        return check(CheckName::Statistics, CheckState::Unknown, error.clone());
    }
    let mut text = match (queue.messages(), queue.oldest_message_seconds) {
        (0, _) => "no event waits".to_owned(),
        (1, Some(age)) => format!("1 event waits, for {}", duration(age)),
        (count, Some(age)) => format!("{}, the oldest for {}", waiting(count), duration(age)),
        (count, None) => waiting(count),
    };
    if let (true, None, Some(error)) =
        (queue.messages() > 0, queue.oldest_message_seconds, &figures.ages_error)
    {
        return check(
            CheckName::Statistics,
            CheckState::Unknown,
            format!("{text}. The age of the oldest is unknown: {error}"),
        );
    }
    if let Some(age) = figures.metrics.as_ref().and_then(|metrics| metrics.event_age_seconds) {
        text += &format!(". Events were applied after at most {}", duration(age));
    }
    let is_late = queue.oldest_message_seconds.is_some_and(|age| age >= LATE_SECONDS);
    let next_steps = queue.next_step.iter().filter_map(|step| step.command.clone()).collect();
    Check { next_steps, ..check(CheckName::Statistics, ok_if(!is_late), text) }
}

fn waiting(count: usize) -> String {
    if count == 1 { "1 event waits".to_owned() } else { format!("{} events wait", number(count)) }
}

fn functions(functions: &[FunctionFigures], period: &str, stack: &Stack) -> Check {
    let mut problems = Vec::new();
    let mut next_steps = Vec::new();
    for function in functions {
        let counts = [
            (function.failures(), "error"),
            (function.throttles, "throttle"),
            (function.start_failures, "failed start"),
            (function.store_failures, "failed DynamoDB call"),
        ];
        let counts: Vec<String> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, noun)| counted(to_usize(count), noun))
            .collect();
        if !counts.is_empty() {
            problems.push(format!("{} {}", function.name, counts.join(" and ")));
            // A throttled function has nothing in its log.
            if function.failures() + function.start_failures + function.store_failures > 0 {
                next_steps.push(errors_in_log(&function.log_group));
            }
        }
    }
    if functions.iter().any(|function| function.throttles > 0) {
        next_steps.extend(first_steps("throttles", stack, functions));
    }
    if problems.is_empty() {
        let text = format!("no errors and no throttles in {period}, denials aside");
        return check(CheckName::Functions, CheckState::Ok, text);
    }
    let text = format!("{} in {period}", problems.join(", "));
    Check { next_steps, ..check(CheckName::Functions, CheckState::Look, text) }
}

fn denials(metrics: &MetricFigures, period: &str, stack: &Stack) -> Check {
    let reasons = [
        (metrics.suspended_denied, "suspended"),
        (metrics.unreadable_suspension_denied, "unreadable_suspension"),
        (metrics.store_error_denied, "store_error"),
    ];
    let sign_ins: u64 = reasons.iter().map(|(count, _)| count).sum();
    let mut text = format!(
        "{} and {} in {period}",
        counted(to_usize(metrics.sign_ups_denied), "sign-up"),
        counted(to_usize(sign_ins), "sign-in"),
    );
    let reasons: Vec<String> = reasons
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, reason)| format!("{} {reason}", number_of(count)))
        .collect();
    if !reasons.is_empty() {
        text += &format!(" ({})", reasons.join(", "));
    }
    let failed = metrics.unreadable_suspension_denied + metrics.store_error_denied;
    let next_steps = match failed {
        0 => Vec::new(),
        _ => first_steps("unreadable-suspensions", stack, &[]),
    };
    Check { next_steps, ..check(CheckName::Denials, ok_if(failed == 0), text) }
}

/// `limit` is the number of items in a month, 0 for no limit. `None` if it is unknown.
fn budget(metrics: &MetricFigures, limit: Option<u64>) -> Check {
    let Some(percent) = metrics.budget_used_percent else {
        return check(CheckName::Budget, CheckState::Ok, "no invalidation this month");
    };
    let limit = limit.filter(|limit| *limit > 0).map(|limit| format!("{} ", number_of(limit)));
    let items = format!("this month's {}invalidation items", limit.unwrap_or_default());
    let text = match percent < 100.0 {
        true => format!("{percent:.0} % of {items} are used"),
        false => format!("{items} are spent (UTC)"),
    };
    let is_ok = percent <= BUDGET_PERCENT;
    let next_steps = match is_ok {
        true => Vec::new(),
        false => vec![
            "Without items, ordinary changes show when the pages expire, after at most MaxCacheLifetimeSeconds. \
             Suspensions, erasures and lost permissions are still invalidated. To continue at once, raise \
             MonthlyItemBudget and deploy: see \"Invalidation budget\" in docs/operations.md."
                .to_owned(),
        ],
    };
    Check { next_steps, ..check(CheckName::Budget, ok_if(is_ok), text) }
}

fn suspensions(figures: &Figures) -> Option<Check> {
    if let Some(error) = &figures.suspensions_error {
        return Some(check(CheckName::Suspensions, CheckState::Unknown, error.clone()));
    }
    let count = figures.suspensions?;
    let text = if count == 1 { "1 is".to_owned() } else { format!("{} are", number_of(count)) };
    Some(check(CheckName::Suspensions, CheckState::Ok, format!("{text} in force")))
}

fn number_of(count: u64) -> String {
    number(to_usize(count))
}

fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack() -> Stack {
        Stack { name: "shop".to_owned(), ..Stack::default() }
    }

    fn named(checks: &[Check], name: CheckName) -> Vec<(CheckState, &str)> {
        checks
            .iter()
            .filter(|check| check.check == name)
            .map(|check| (check.state, check.text.as_str()))
            .collect()
    }

    #[test]
    fn alarms_are_quiet_ring_or_are_unknown() {
        let alarm = |name: &str, seconds| AlarmFigures { name: name.to_owned(), since: None, seconds };
        for (figures, expected) in [
            (
                Figures::default(),
                vec![(CheckState::Unknown, "the stack has none: its parameter Monitoring is false")],
            ),
            (Figures { alarms: 24, ..Figures::default() }, vec![(CheckState::Ok, "none of 24 rings")]),
            (
                Figures {
                    alarms: 24,
                    ringing: vec![alarm("throttles", Some(1_530)), alarm("triggers-slow", None)],
                    ..Figures::default()
                },
                vec![
                    (CheckState::Look, "throttles rings for 25m"),
                    (CheckState::Look, "triggers-slow rings"),
                ],
            ),
            (
                Figures { alarms: 24, alarms_error: Some("AccessDenied".into()), ..Figures::default() },
                vec![(CheckState::Unknown, "AccessDenied")],
            ),
        ] {
            assert_eq!(named(&checks(&figures, "the last hour", &stack()), CheckName::Alarms), expected);
        }
    }

    #[test]
    fn denials_need_a_look_if_they_are_failures() {
        for (suspended, unreadable, store_error, expected) in [
            (0, 0, 0, (CheckState::Ok, "12 sign-ups and 0 sign-ins in the last hour")),
            (3, 0, 0, (CheckState::Ok, "12 sign-ups and 3 sign-ins in the last hour (3 suspended)")),
            (
                3,
                1,
                0,
                (
                    CheckState::Look,
                    "12 sign-ups and 4 sign-ins in the last hour (3 suspended, 1 unreadable_suspension)",
                ),
            ),
            (0, 0, 1, (CheckState::Look, "12 sign-ups and 1 sign-in in the last hour (1 store_error)")),
        ] {
            let metrics = MetricFigures {
                sign_ups_denied: 12,
                suspended_denied: suspended,
                unreadable_suspension_denied: unreadable,
                store_error_denied: store_error,
                ..MetricFigures::default()
            };
            let check = denials(&metrics, "the last hour", &stack());
            assert_eq!((check.state, check.text.as_str()), expected);
        }
    }

    #[test]
    fn denials_are_no_failures_of_functions() {
        let function = |errors, denials, throttles| FunctionFigures {
            name: "pre-sign-up".to_owned(),
            errors,
            denials,
            throttles,
            ..FunctionFigures::default()
        };
        for (figures, expected) in [
            (function(0, 0, 0), CheckState::Ok),
            (function(12, 12, 0), CheckState::Ok),
            // CloudWatch counted one of the denials an hour earlier.
            (function(13, 12, 0), CheckState::Ok),
            (function(14, 12, 0), CheckState::Look),
            (function(1, 0, 0), CheckState::Look),
            (function(0, 0, 1), CheckState::Look),
        ] {
            assert_eq!(
                functions(std::slice::from_ref(&figures), "the last hour", &stack()).state,
                expected,
                "{figures:?}"
            );
        }
    }

    #[test]
    fn budget_needs_a_look_above_the_threshold_of_its_alarm() {
        for (percent, state) in [
            (None, CheckState::Ok),
            (Some(80.0), CheckState::Ok),
            (Some(80.5), CheckState::Look),
            (Some(100.0), CheckState::Look),
        ] {
            let metrics = MetricFigures { budget_used_percent: percent, ..MetricFigures::default() };
            assert_eq!(budget(&metrics, None).state, state, "{percent:?}");
        }
    }

    #[test]
    fn alarms_about_what_another_check_says_share_a_line_without_steps() {
        let alarm = |name: &str| AlarmFigures { name: name.to_owned(), since: None, seconds: Some(600) };
        let metrics =
            MetricFigures { unsent_events: 4, budget_used_percent: Some(100.0), ..MetricFigures::default() };
        let ringing = ["budget-exhausted", "unsent-events", "throttles", "user-events-dead-letters"];
        let ringing = ringing.map(alarm).into();
        let figures = Figures { alarms: 24, ringing, metrics: Some(metrics), ..Figures::default() };
        let checks = checks(&figures, "the last hour", &stack());
        let of_alarms: Vec<(&str, usize)> = checks
            .iter()
            .filter(|check| check.check == CheckName::Alarms)
            .map(|check| (check.text.as_str(), check.next_steps.len()))
            .collect();
        assert_eq!(
            of_alarms,
            [
                ("throttles rings for 10m", 2),
                // No queue has dead letters any more, so no other check says it.
                ("user-events-dead-letters rings for 10m", 1),
                ("ringing, see below: budget-exhausted for 10m, unsent-events for 10m", 0),
            ]
        );
    }

    #[test]
    fn budget_names_the_limit_if_there_is_one() {
        for (percent, limit, expected) in [
            (42.4, Some(10_000), "42 % of this month's 10,000 invalidation items are used"),
            (100.0, Some(10_000), "this month's 10,000 invalidation items are spent (UTC)"),
            (42.0, Some(0), "42 % of this month's invalidation items are used"),
            (42.0, None, "42 % of this month's invalidation items are used"),
        ] {
            let metrics = MetricFigures { budget_used_percent: Some(percent), ..MetricFigures::default() };
            assert_eq!(budget(&metrics, limit).text, expected);
        }
    }

    #[test]
    fn period_is_an_hour_or_a_duration() {
        let now: Timestamp = "2026-03-02T10:00:00Z".parse().unwrap();
        for (since, expected) in [
            ("2026-03-02T09:00:00Z", "the last hour"),
            ("2026-03-02T04:00:00Z", "the last 6h"),
            ("2026-02-28T06:00:00Z", "the last 2d 4h"),
        ] {
            assert_eq!(period(since.parse().unwrap(), now), expected);
        }
    }

    #[test]
    fn metrics_that_cannot_be_read_leave_the_other_checks() {
        let figures =
            Figures { alarms: 24, metrics_error: Some("AccessDenied".into()), ..Figures::default() };
        let checks = checks(&figures, "the last hour", &stack());
        assert_eq!(named(&checks, CheckName::Alarms), [(CheckState::Ok, "none of 24 rings")]);
        assert_eq!(named(&checks, CheckName::UnsentEvents), [(CheckState::Unknown, "AccessDenied")]);
        assert_eq!(named(&checks, CheckName::Budget), [(CheckState::Unknown, "the metrics cannot be read")]);
        assert!(checks.is_sorted_by_key(|check| check.state));
    }
}
