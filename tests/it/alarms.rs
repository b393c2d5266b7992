//! The alarms of `template.yaml`, evaluated as CloudWatch does on simulated invocations: which of
//! them strangers can ring, and which faults ring them.

mod math;

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::Value;
use xtask::template::Template;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// The streams of denials begin within five minutes and last an hour.
const SIMULATED_MINUTES: i64 = 70;
/// The latest time after an invocation at which its own metrics, which are log lines, are in
/// CloudWatch.
const LOG_DELAY: i64 = 45_000;
/// The latest time between the start of an invocation and the timestamp of its denial. The comment on
/// the alarms in `template.yaml` has the same number.
const STAMP_DELAY: i64 = 300;

#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Denied(&'static str),
    Failed,
    /// Lambda refused the invocation, so it did not start. API Gateway answers with 503.
    Throttled,
    /// API Gateway answered with 429, and invoked no function.
    TooManyRequests,
    /// The read API answered with a success or with 4xx.
    Answered,
    /// The process ended before its first event.
    NotStarted,
}

/// One invocation. All times are milliseconds.
struct Invocation {
    function: &'static str,
    at: i64,
    outcome: Outcome,
    duration: f64,
    /// The timestamp of the function's own metrics.
    stamp: i64,
    /// When CloudWatch has these metrics.
    stamp_visible: i64,
}

/// An alarm of the template.
struct Alarm {
    name: String,
    properties: Value,
}

fn alarms() -> Vec<Alarm> {
    let template = Template::read();
    let alarms = template.of_type("AWS::CloudWatch::Alarm");
    let alarms = alarms.map(|(name, alarm)| {
        let properties = alarm["Properties"].clone();
        assert_eq!(properties["ComparisonOperator"], "GreaterThanThreshold", "{name}");
        // Without data, an alarm does not start to ring.
        let missing_data = properties["TreatMissingData"].as_str().unwrap_or_default();
        assert!(["notBreaching", "ignore"].contains(&missing_data), "{name}");
        Alarm { name: name.to_owned(), properties }
    });
    alarms.collect()
}

fn alarm(name: &str) -> Alarm {
    alarms().into_iter().find(|alarm| alarm.name == name).unwrap_or_else(|| panic!("no alarm {name}"))
}

impl Alarm {
    /// A property, or the default of the parameter that it refers to.
    fn number(&self, property: &str) -> i64 {
        let value = &self.properties[property];
        let template = Template::read();
        let default = value["Ref"].as_str().map(|parameter| &template.parameters()[parameter]["Default"]);
        let value = default.unwrap_or(value).as_i64();
        value.unwrap_or_else(|| panic!("{property} of {}", self.name))
    }

    /// The metrics by id, and the expression. An alarm on one metric has no expression of its own.
    fn metrics(&self) -> (Vec<(&str, &Value)>, &str, i64) {
        let Some(queries) = self.properties["Metrics"].as_array() else {
            return (vec![("m", &self.properties)], "FILL(m, 0)", self.number("Period"));
        };
        let id = |query: &'_ Value| query["Id"].as_str().unwrap().to_owned();
        let mut metrics = Vec::new();
        let (mut expression, mut period) = (None, None);
        for query in queries {
            // With every optional part of the stack.
            let query = query.pointer("/Fn::If/1").unwrap_or(query);
            match query["Expression"].as_str() {
                Some(text) => assert_eq!(expression.replace(text), None, "{}", self.name),
                None => {
                    assert_eq!(query["ReturnData"], false, "{}: {}", self.name, id(query));
                    let stat = &query["MetricStat"];
                    let own = stat["Period"].as_i64();
                    assert!(period.is_none() || period == own, "{}: one period", self.name);
                    period = own;
                    metrics.push((query["Id"].as_str().unwrap(), stat));
                }
            }
        }
        assert!(metrics.len() <= 10, "{}: CloudWatch allows 10 metrics in an alarm", self.name);
        (metrics, expression.expect("an expression"), period.expect("a period"))
    }

    /// The minutes after the start at which the alarm rings first. CloudWatch evaluates it each
    /// minute, on the periods that end then.
    fn rings_after(&self, invocations: &[Invocation]) -> Option<i64> {
        let (metrics, expression, seconds) = self.metrics();
        let metrics: Vec<(&str, Series)> = metrics
            .into_iter()
            .map(|(id, metric)| (id, Series::of(metric, &self.properties, invocations)))
            .collect();
        let (period, evaluated) = (seconds * 1_000, self.number("EvaluationPeriods"));
        let needed = self.properties["DatapointsToAlarm"].as_i64().unwrap_or(evaluated);
        let threshold = self.properties["Threshold"].as_f64();
        let threshold = threshold.unwrap_or_else(|| self.number("Threshold") as f64);
        (1..=SIMULATED_MINUTES).find(|minute| {
            let now = minute * MINUTE;
            let breaching = (0..evaluated).filter(|index| {
                let (from, to) = (now - (index + 1) * period, now - index * period);
                let values =
                    metrics.iter().map(|(id, series)| ((*id).to_owned(), series.value(from, to, now)));
                math::evaluate(expression, &values.collect()).is_some_and(|value| value > threshold)
            });
            i64::try_from(breaching.count()).unwrap() >= needed
        })
    }
}

/// The data points of a metric.
struct Series {
    /// Time, the time from which CloudWatch has the data point, and the duration. Sorted by time.
    points: Vec<(i64, i64, f64)>,
    is_percentile: bool,
}

impl Series {
    fn of(metric: &Value, alarm: &Value, invocations: &[Invocation]) -> Self {
        // An alarm on one metric has the fields of the metric itself.
        let (fields, statistic) = match &metric["Metric"] {
            Value::Null => (metric, &alarm["Statistic"]),
            fields => (fields, &metric["Stat"]),
        };
        let dimensions: BTreeMap<&str, &str> = fields["Dimensions"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|dimension| {
                let value = &dimension["Value"];
                let value = value.as_str().or(value["Ref"].as_str()).unwrap_or_default();
                (dimension["Name"].as_str().unwrap(), value)
            })
            .collect();
        let name = fields["MetricName"].as_str().unwrap();
        let is_own = fields["Namespace"] == shared::telemetry::NAMESPACE;
        let is_counted = |invocation: &&Invocation| {
            let outcome = invocation.outcome;
            let is_request = invocation.function == "ReadApiFunction";
            dimensions.get("FunctionName").is_none_or(|function| *function == invocation.function)
                && match name {
                    "Invocations" | "Duration" => {
                        ![Outcome::Throttled, Outcome::TooManyRequests].contains(&outcome)
                    }
                    "Errors" => {
                        ![Outcome::Throttled, Outcome::TooManyRequests, Outcome::Answered].contains(&outcome)
                    }
                    "Throttles" => outcome == Outcome::Throttled,
                    "Count" | "Latency" => is_request,
                    "5xx" => is_request && [Outcome::Failed, Outcome::Throttled].contains(&outcome),
                    "RequestsThrottled" => outcome == Outcome::TooManyRequests,
                    "StartFailures" => outcome == Outcome::NotStarted,
                    "SignUpsDenied" | "SignInsDenied" => {
                        let is_sign_up = invocation.function == "PreSignUpFunction";
                        let reason = dimensions.get("reason");
                        is_sign_up == (name == "SignUpsDenied")
                            && matches!(outcome, Outcome::Denied(code) if reason.is_none_or(|reason| *reason == code))
                    }
                    // Nothing in these simulations moves the other metrics.
                    _ => false,
                }
        };
        let point = |invocation: &Invocation| match is_own {
            true => (invocation.stamp, invocation.stamp_visible, invocation.duration),
            false => (invocation.at, invocation.at, invocation.duration),
        };
        let mut points: Vec<_> = invocations.iter().filter(is_counted).map(point).collect();
        points.sort_by_key(|(time, ..)| *time);
        Self { points, is_percentile: statistic == "p99" }
    }

    /// The value in a period, as far as CloudWatch has it `now`. `None` without data.
    fn value(&self, from: i64, to: i64, now: i64) -> Option<f64> {
        let index = |limit| self.points.partition_point(|(time, ..)| *time < limit);
        let points = &self.points[index(from)..index(to)];
        if self.is_percentile {
            let mut durations: Vec<f64> = points.iter().map(|(.., duration)| *duration).collect();
            durations.sort_by(f64::total_cmp);
            return durations.get((durations.len() * 99).div_ceil(100).saturating_sub(1)).copied();
        }
        // Later than this, CloudWatch has all points of the period.
        let count = match now < to + LOG_DELAY {
            true => points.iter().filter(|(_, visible, _)| *visible <= now).count(),
            false => points.len(),
        };
        (count > 0).then_some(count as f64)
    }
}

/// How a denial gets its timestamp.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stamp {
    /// The second in the trace ID.
    Trace,
    /// The time at which the handler gets the event, if there is no trace ID.
    Handler,
}

/// Denials at a constant rate for an hour, from an arbitrary second on. Some starts are cold.
fn denials(
    functions: &[&'static str],
    reason: &'static str,
    per_second: i64,
    stamp: Stamp,
    seed: u64,
) -> Vec<Invocation> {
    let mut random = Rng::with_seed(seed);
    let offset = random.i64(0..5 * MINUTE);
    let denials = (0..per_second * HOUR / 1_000).map(|index| {
        let at = offset + index * 1_000 / per_second + random.i64(0..1_000 / per_second);
        let is_cold = random.u8(0..100) == 0;
        let delay = if is_cold { random.i64(100..STAMP_DELAY) } else { random.i64(1..40) };
        Invocation {
            function: functions[random.usize(0..functions.len())],
            at,
            outcome: Outcome::Denied(reason),
            duration: delay as f64 + 20.0,
            stamp: if stamp == Stamp::Trace { at / 1_000 * 1_000 } else { at + delay },
            stamp_visible: at + random.i64(1_000..LOG_DELAY),
        }
    });
    denials.collect()
}

fn invocation(function: &'static str, at: i64, outcome: Outcome, duration: f64) -> Invocation {
    Invocation { function, at, outcome, duration, stamp: at, stamp_visible: at + LOG_DELAY }
}

/// One error a minute at arbitrary times for half an hour.
fn one_error_a_minute(function: &'static str) -> Vec<Invocation> {
    let mut random = Rng::with_seed(7);
    (0..30)
        .map(|minute| minute * MINUTE + random.i64(0..MINUTE))
        .map(|at| invocation(function, at, Outcome::Failed, 20.0))
        .collect()
}

/// Each alarm that subtracts denials from errors, with its functions and the reason that counts.
const ERROR_ALARMS: [(&str, &[&str], &str); 2] = [
    ("SignUpErrorsAlarm", &["PreSignUpFunction"], "blocked_domain"),
    ("SignInErrorsAlarm", &["PreAuthenticationFunction", "PreTokenGenerationFunction"], "suspended"),
];

#[test]
fn stream_of_denials_rings_no_alarm() {
    for (_, functions, reason) in ERROR_ALARMS {
        for (per_second, stamp) in
            [1, 5, 10].into_iter().flat_map(|rate| [(rate, Stamp::Trace), (rate, Stamp::Handler)])
        {
            for seed in 0..3 {
                let stream = denials(functions, reason, per_second, stamp, seed);
                for alarm in alarms() {
                    assert_eq!(
                        alarm.rings_after(&stream),
                        None,
                        "{}: {per_second} denials a second, {stamp:?}, seed {seed}",
                        alarm.name
                    );
                }
            }
        }
    }
}

/// A person with an unreadable suspension is a fault of the data, not of DynamoDB or of a function.
#[test]
fn unreadable_suspension_rings_only_its_own_alarm() {
    for functions in [["PreAuthenticationFunction"], ["PreTokenGenerationFunction"]] {
        let stream = denials(&functions, "unreadable_suspension", 1, Stamp::Trace, 1);
        let rings = |alarm: &Alarm| alarm.rings_after(&stream).is_some();
        let ringing: Vec<String> = alarms().into_iter().filter(rings).map(|alarm| alarm.name).collect();
        assert_eq!(ringing, ["UnreadableSuspensionsAlarm"], "{functions:?}");
    }
}

/// Shows that the streams above contain the difficulty: the plain difference, and one period, ring.
#[test]
fn difference_of_errors_and_denials_without_a_tolerance_rings() {
    let (name, functions, reason) = ERROR_ALARMS[0];
    let stream = denials(functions, reason, 10, Stamp::Handler, 1);
    let mut plain = alarm(name);
    let text = plain.properties.to_string().replace("1.001 * ", "");
    plain.properties = serde_json::from_str(&text).unwrap();
    plain.properties["Threshold"] = 0.into();
    assert!(plain.rings_after(&stream).is_some());

    let stream = denials(functions, reason, 1, Stamp::Trace, 1);
    let mut hasty = alarm(name);
    hasty.properties["DatapointsToAlarm"] = 1.into();
    assert!(hasty.rings_after(&stream).is_some(), "the last denials are not in CloudWatch yet");
}

#[test]
fn one_real_error_a_minute_rings_within_ten_minutes_even_among_denials() {
    for (name, functions, reason) in ERROR_ALARMS {
        for function in functions {
            let errors = one_error_a_minute(function);
            let minutes = alarm(name).rings_after(&errors);
            assert!(minutes.is_some_and(|minutes| minutes <= 10), "{name}, {function}: {minutes:?}");
            for (per_second, stamp) in
                [1, 5, 10].into_iter().flat_map(|rate| [(rate, Stamp::Trace), (rate, Stamp::Handler)])
            {
                let mut both = denials(functions, reason, per_second, stamp, 3);
                both.extend(one_error_a_minute(function));
                let minutes = alarm(name).rings_after(&both);
                assert!(
                    minutes.is_some_and(|minutes| minutes <= 20),
                    "{name}: {per_second} denials a second, {stamp:?}: {minutes:?}"
                );
            }
        }
    }
}

/// Lambda repeats the failed invocation of a schedule twice.
#[test]
fn failed_watch_rings_other_errors() {
    let failures: Vec<Invocation> = [0, MINUTE, 3 * MINUTE]
        .map(|at| invocation("UserPoolWatchFunction", at, Outcome::Failed, 40_000.0))
        .into_iter()
        .collect();
    assert!(alarm("OtherErrorsAlarm").rings_after(&failures).is_some_and(|minutes| minutes <= 5));
    let rings = |alarm: &Alarm| alarm.rings_after(&failures).is_some();
    let ringing: Vec<String> = alarms().into_iter().filter(rings).map(|alarm| alarm.name).collect();
    assert_eq!(ringing, ["OtherErrorsAlarm"]);
}

#[test]
fn failed_start_rings_within_two_minutes() {
    for second in 0..60 {
        let start = vec![invocation("PreSignUpFunction", second * 1_000, Outcome::NotStarted, 0.0)];
        let minutes = alarm("StartFailuresAlarm").rings_after(&start);
        assert!(minutes.is_some_and(|minutes| minutes * 60 <= second + 120), "{second}: {minutes:?}");
    }
}

#[test]
fn slow_triggers_ring_only_with_enough_invocations_in_two_periods() {
    let slow = |count: i64, periods: i64| -> Vec<Invocation> {
        let starts = (0..periods).flat_map(|period| (0..count).map(move |index| period * 5 * MINUTE + index));
        starts
            .map(|at| Invocation {
                duration: 2_500.0,
                ..invocation("CustomMessageFunction", at, Outcome::Denied(""), 0.0)
            })
            .collect()
    };
    let alarm = alarm("TriggersSlowAlarm");
    assert_eq!(alarm.rings_after(&slow(19, 3)), None);
    assert_eq!(alarm.rings_after(&slow(20, 1)), None);
    assert!(alarm.rings_after(&slow(20, 2)).is_some());
}

#[test]
fn throttles_ring_if_they_last() {
    let throttled = |count: i64, periods: i64| -> Vec<Invocation> {
        let starts = (0..periods).flat_map(|period| (0..count).map(move |index| period * 5 * MINUTE + index));
        starts.map(|at| invocation("PreSignUpFunction", at, Outcome::Throttled, 0.0)).collect()
    };
    let alarm = alarm("ThrottlesAlarm");
    assert_eq!(alarm.rings_after(&throttled(100, 1)), None, "a burst");
    assert_eq!(alarm.rings_after(&throttled(10, 3)), None);
    assert!(alarm.rings_after(&throttled(11, 2)).is_some());
}

/// The same number of requests to the read API in each of some periods.
fn requests(periods: i64, outcomes: &[(i64, Outcome)], duration: f64) -> Vec<Invocation> {
    let starts = (0..periods).flat_map(|period| {
        let each =
            outcomes.iter().flat_map(|(count, outcome)| (0..*count).map(move |index| (index, *outcome)));
        each.map(move |(index, outcome)| (period * 5 * MINUTE + index, outcome))
    });
    starts.map(|(at, outcome)| invocation("ReadApiFunction", at, outcome, duration)).collect()
}

/// Anyone can send requests without a token, or for pages that do not exist.
#[test]
fn requests_that_the_read_api_refuses_ring_no_alarm() {
    let refused = requests(12, &[(3_000, Outcome::Answered)], 20.0);
    for alarm in alarms() {
        assert_eq!(alarm.rings_after(&refused), None, "{}", alarm.name);
    }
}

#[test]
fn errors_of_the_read_api_ring_if_they_last_and_are_more_than_one_in_twenty() {
    let alarm = alarm("ReadApiErrorsAlarm");
    let rings = |periods, failed, answered| {
        let outcomes = [(failed, Outcome::Failed), (answered, Outcome::Answered)];
        alarm.rings_after(&requests(periods, &outcomes, 20.0)).is_some()
    };
    assert!(!rings(1, 100, 0), "a single period");
    assert!(!rings(12, 2, 0), "two errors in a period");
    assert!(!rings(12, 5, 95), "one in twenty");
    assert!(rings(2, 3, 0));
    assert!(rings(2, 6, 94));
    // API Gateway answers with 503 if Lambda throttles.
    assert!(alarm.rings_after(&requests(2, &[(3, Outcome::Throttled)], 0.0)).is_some());
}

#[test]
fn slow_read_api_rings_only_with_enough_requests_in_two_periods() {
    let alarm = alarm("ReadApiSlowAlarm");
    let rings = |periods, count, duration| {
        alarm.rings_after(&requests(periods, &[(count, Outcome::Answered)], duration)).is_some()
    };
    assert!(!rings(3, 19, 1_500.0));
    assert!(!rings(1, 20, 1_500.0));
    assert!(!rings(12, 1_000, 900.0));
    assert!(rings(2, 20, 1_500.0));
}

#[test]
fn throttles_of_the_read_api_ring_if_they_last() {
    let alarm = alarm("ReadApiThrottlesAlarm");
    for outcome in [Outcome::Throttled, Outcome::TooManyRequests] {
        let rings =
            |periods, count| alarm.rings_after(&requests(periods, &[(count, outcome)], 0.0)).is_some();
        assert!(!rings(1, 100), "a burst");
        assert!(!rings(3, 10));
        assert!(rings(2, 11));
    }
}
