//! Use and cost of every service in a month. Pure.

use shared::queues::MAX_BATCH_ENTRIES;
use shared::store::batch::MAX_READ_ITEMS;

use super::assumptions::{
    ATTEMPT_RETENTION_DAYS, ATTEMPTS_PER_SIGN_IN, CALLS_IN_FLIGHT, CHUNK_KILOBYTES, CLOUDFRONT_MILLISECONDS,
    COMMITS_IN_FLIGHT, DYNAMODB_MILLISECONDS, EMPTY_RECEIVES_PER_MONTH, ENTRY_KILOBYTES,
    EVENT_CPU_MILLISECONDS, EVENT_KILOBYTES, EVENTS_PER_COMMIT, EVENTUAL_READ_UNITS, EventKind,
    INVALIDATION_BATCH, INVALIDATION_CONCURRENCY, INVALIDATION_WINDOW_SECONDS, MARK_READ_UNITS,
    MARKS_PER_CALL, MEGABYTES_PER_PROCESSOR, PEAK, PLAIN_WRITE_UNITS, POLLERS, PURGE_ALL_WRITE_UNITS, QUEUES,
    SQS_MILLISECONDS, TRANSACTION_MILLISECONDS, TRIGGER_CPU_MILLISECONDS, TRIGGER_MEGABYTES,
    TRIGGER_READ_UNITS, TRIGGERS_PER_SIGN_IN, USER_STATS_BATCH, USER_STATS_WINDOW_SECONDS, WORKER_MEGABYTES,
    write_units,
};
use super::day::{DAY_SECONDS, DAYS_PER_MONTH, Model, tokens};
use super::outcome::Outcome;
use super::prices;

/// Use of all services in a month.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Invocations of all functions.
    pub lambda_invocations: f64,
    /// Duration times memory of all functions.
    pub lambda_gigabyte_seconds: f64,
    /// Sends, receives and deletes. SQS counts one for each 64 KB.
    pub sqs_requests: f64,
    /// Sent messages. All are in message groups.
    pub sqs_messages: f64,
    pub write_units: f64,
    pub read_units: f64,
    /// Stored events and entries of lists, after the first of them have expired.
    pub stored_gigabytes: f64,
    /// Invalidation items.
    pub items: f64,
    /// Requests to the origin for pages.
    pub origin_requests: f64,
}

/// A part of the day, with the events of the whole pool.
#[derive(Clone, Copy, Debug)]
struct Phase {
    seconds: f64,
    /// Events for user-stats.
    events: f64,
    /// Allowed sign-in attempts among the events.
    attempts: f64,
    /// Changes of a user's data among the events. Each has an entry in a list.
    changes: f64,
}

impl Phase {
    /// Events per second.
    fn rate(&self) -> f64 {
        self.events / self.seconds
    }

    /// Write units of user-stats.
    fn write_units(&self) -> f64 {
        (self.events - self.attempts - self.changes) * write_units(EVENTS_PER_COMMIT, EventKind::Unlisted)
            + self.changes * write_units(EVENTS_PER_COMMIT, EventKind::Listed)
            + self.attempts * PLAIN_WRITE_UNITS
    }
}

fn share(percent: u32) -> f64 {
    f64::from(percent) / 100.0
}

/// Sign-ins per day.
fn sign_ins(model: &Model) -> f64 {
    f64::from(model.users) * share(model.active_percent)
}

/// Token refreshes per day: of long sessions, and of the second devices, which are signed in already.
fn refreshes(model: &Model) -> f64 {
    let tokens = f64::from(tokens(model));
    sign_ins(model) * (tokens - 1.0 + share(model.second_device_percent) * tokens)
}

/// Invocations of triggers per day.
fn triggers(model: &Model) -> f64 {
    sign_ins(model) * TRIGGERS_PER_SIGN_IN + refreshes(model)
}

/// The day without the job.
fn people(model: &Model) -> Phase {
    let actions = sign_ins(model) * f64::from(model.actions_in_session);
    let session = f64::from(model.session_minutes) * 60.0;
    let by_services =
        model.service_change_seconds.map_or(0.0, |seconds| (session / f64::from(seconds)).ceil());
    let changes = actions * (f64::from(model.changes_of_action) + share(model.late_percent))
        + sign_ins(model) * by_services;
    Phase {
        seconds: DAY_SECONDS as f64,
        // Each trigger publishes an event.
        events: triggers(model) + changes,
        attempts: sign_ins(model) * ATTEMPTS_PER_SIGN_IN,
        changes,
    }
}

/// The time of the job.
fn job(model: &Model) -> Phase {
    let users = if model.is_job_for_active_users { sign_ins(model) } else { f64::from(model.users) };
    let events = users * share(model.job_percent);
    Phase { seconds: f64::from(model.job_minutes.max(1)) * 60.0, events, attempts: 0.0, changes: events }
}

/// The use in a month of such days.
pub fn usage(model: &Model, outcome: &Outcome) -> Usage {
    let mut day = Usage::default();
    day.add_lambda(triggers(model), trigger_milliseconds(), TRIGGER_MEGABYTES);
    day.read_units += triggers(model) * TRIGGER_READ_UNITS;
    let mut invocations = 0.0;
    for (phase, notices) in [(people(model), outcome.people_notices), (job(model), outcome.job_notices)] {
        let (events, notices) = (phase.events, notices as f64 * outcome.ratio);
        // Producers and triggers send single messages. user-stats sends batches of ten.
        let batch = user_stats_batch(phase.rate());
        let notices_of_batch = if events > 0.0 { batch * notices / events } else { 0.0 };
        day.add_lambda(events / batch, user_stats_milliseconds(batch, notices_of_batch), WORKER_MEGABYTES);
        day.sqs_requests += requests(events, 1.0) + 2.0 * requests(events, batch);
        day.sqs_requests += requests(notices, notices_of_batch);
        day.sqs_messages += events + notices;
        day.write_units += phase.write_units();
        day.read_units += events / EVENTS_PER_COMMIT as f64 * EVENTUAL_READ_UNITS;
        let batch = invalidation_batch(notices / phase.seconds);
        invocations += notices / batch;
        day.sqs_requests += 2.0 * requests(notices, batch);
        day.read_units += notices * MARK_READ_UNITS;
    }
    let notices = (outcome.people_notices + outcome.job_notices) as f64 * outcome.ratio;
    let milliseconds = invalidation_milliseconds(notices, outcome, invocations);
    day.add_lambda(invocations, milliseconds, WORKER_MEGABYTES);
    day.read_units += invocations * MARK_READ_UNITS;
    let (items, purges) = (outcome.items(), outcome.purges as f64);
    day.write_units += (outcome.planned_calls + items - purges) * PLAIN_WRITE_UNITS;
    day.write_units += purges * PURGE_ALL_WRITE_UNITS;
    let (days, people, job) = (DAYS_PER_MONTH as f64, people(model), job(model));
    Usage {
        lambda_invocations: day.lambda_invocations * days,
        lambda_gigabyte_seconds: day.lambda_gigabyte_seconds * days,
        sqs_requests: day.sqs_requests * days + QUEUES * EMPTY_RECEIVES_PER_MONTH,
        sqs_messages: day.sqs_messages * days,
        write_units: day.write_units * days,
        read_units: day.read_units * days,
        stored_gigabytes: ((events(model) * model.retention_days
            - people.attempts * (model.retention_days - ATTEMPT_RETENTION_DAYS))
            * EVENT_KILOBYTES
            + (people.changes + job.changes) * model.retention_days * ENTRY_KILOBYTES)
            / 1e6,
        items: items * days,
        origin_requests: outcome.origin_requests() * days,
    }
}

impl Usage {
    fn add_lambda(&mut self, invocations: f64, milliseconds: f64, megabytes: f64) {
        self.lambda_invocations += invocations;
        self.lambda_gigabyte_seconds += invocations * milliseconds / 1_000.0 * megabytes / 1_024.0;
    }
}

/// Events per day.
pub fn events(model: &Model) -> f64 {
    people(model).events + job(model).events
}

/// SQS requests for `messages`, in batches of `together` messages and at most ten.
fn requests(messages: f64, together: f64) -> f64 {
    let together = together.clamp(1.0, MAX_BATCH_ENTRIES as f64);
    messages / together * (together * EVENT_KILOBYTES / CHUNK_KILOBYTES).ceil()
}

/// Messages in a batch at a rate per second: the first one, and those that arrive while the window
/// is open. Pollers share the arriving messages.
fn batch(rate: f64, window_seconds: f64, pollers: f64, maximum: f64) -> f64 {
    (1.0 + rate * window_seconds / pollers).min(maximum)
}

fn user_stats_batch(rate: f64) -> f64 {
    batch(rate, USER_STATS_WINDOW_SECONDS, POLLERS, USER_STATS_BATCH)
}

fn invalidation_batch(rate: f64) -> f64 {
    batch(rate, INVALIDATION_WINDOW_SECONDS, INVALIDATION_CONCURRENCY, INVALIDATION_BATCH)
}

/// Duration of this processor time on a function with this memory.
fn processor_milliseconds(milliseconds: f64, megabytes: f64) -> f64 {
    milliseconds * (MEGABYTES_PER_PROCESSOR / megabytes).max(1.0)
}

/// Duration of a trigger, which reads, decides and sends one after the other.
pub fn trigger_milliseconds() -> f64 {
    (processor_milliseconds(TRIGGER_CPU_MILLISECONDS, TRIGGER_MEGABYTES)
        + DYNAMODB_MILLISECONDS
        + SQS_MILLISECONDS)
        .ceil()
}

/// Duration of user-stats, which reads, commits and sends, with several calls in flight. It does not
/// compute while it waits.
pub fn user_stats_milliseconds(events: f64, notices: f64) -> f64 {
    let users = events / EVENTS_PER_COMMIT as f64;
    let rounds = |calls: f64, at_once: f64| (calls.ceil() / at_once).ceil();
    let reads = rounds(users / MAX_READ_ITEMS as f64, CALLS_IN_FLIGHT);
    let commits = rounds(users, COMMITS_IN_FLIGHT);
    let sends = rounds(notices / MAX_BATCH_ENTRIES as f64, CALLS_IN_FLIGHT);
    let waiting =
        reads * DYNAMODB_MILLISECONDS + commits * TRANSACTION_MILLISECONDS + sends * SQS_MILLISECONDS;
    (processor_milliseconds(events * EVENT_CPU_MILLISECONDS, WORKER_MEGABYTES) + waiting).ceil()
}

/// Duration of cache-invalidation, which reads the marks. Each call waits for the ledger, for
/// CloudFront and for the marks.
fn invalidation_milliseconds(notices: f64, outcome: &Outcome, invocations: f64) -> f64 {
    if invocations == 0.0 {
        return 0.0;
    }
    let (batch, calls) = (notices / invocations, outcome.calls);
    let rounds = |calls: f64| (calls.ceil() / CALLS_IN_FLIGHT).ceil();
    let reads = rounds((batch + 1.0) / MAX_READ_ITEMS as f64);
    let marks = if calls > 0.0 { rounds(outcome.items() / calls / MARKS_PER_CALL) } else { 0.0 };
    let call_milliseconds = CLOUDFRONT_MILLISECONDS + (1.0 + marks) * DYNAMODB_MILLISECONDS;
    let waiting = reads * DYNAMODB_MILLISECONDS + calls / invocations * call_milliseconds;
    (processor_milliseconds(batch * EVENT_CPU_MILLISECONDS, WORKER_MEGABYTES) + waiting).ceil()
}

/// Load at the peaks of a day, if no event may wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Events per second of users: [`PEAK`] times the average.
    pub people: f64,
    /// Events per second while the job runs.
    pub job: f64,
    /// Concurrent executions of the two triggers, at the peak of users.
    pub triggers: f64,
    /// Concurrent executions of user-stats, at the peak of users.
    pub user_stats: f64,
    /// Concurrent executions of user-stats that keep up with the job. MaximumConcurrency allows
    /// fewer, so the events of the job wait.
    pub user_stats_during_job: f64,
    /// Write units per second, at the peak of users.
    pub write_units: f64,
}

/// The peaks of a day.
pub fn peak(model: &Model) -> Peak {
    let (people, job) = (people(model), job(model));
    let (at_peak, with_job) = (people.rate() * PEAK, people.rate() + job.rate());
    let executions = |rate: f64| {
        let batch = user_stats_batch(rate);
        (rate / batch * user_stats_milliseconds(batch, batch) / 1_000.0).ceil()
    };
    let triggers = triggers(model) / DAY_SECONDS as f64 * PEAK;
    Peak {
        people: at_peak,
        job: with_job,
        triggers: (triggers * trigger_milliseconds() / 1_000.0).ceil(),
        user_stats: executions(at_peak),
        user_stats_during_job: executions(with_job),
        write_units: people.write_units() / people.seconds * PEAK,
    }
}

/// Dollars per month.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bill {
    /// Invocations and duration.
    pub lambda: f64,
    pub sqs: f64,
    /// Reads and writes.
    pub dynamodb: f64,
    /// Stored events and entries of lists.
    pub storage: f64,
    /// Invalidation items.
    pub cloudfront: f64,
    /// Pages that the origin rendered.
    pub pages: f64,
}

impl Bill {
    /// All services of this project, without invalidations and pages.
    pub fn other_services(&self) -> f64 {
        self.lambda + self.sqs + self.dynamodb + self.storage
    }

    pub fn without_pages(&self) -> f64 {
        self.other_services() + self.cloudfront
    }

    pub fn total(&self) -> f64 {
        self.without_pages() + self.pages
    }
}

/// The bill, with `origin_dollars` for a million requests to the origin.
pub fn bill(usage: &Usage, origin_dollars: f64) -> Bill {
    Bill {
        lambda: usage.lambda_invocations * prices::LAMBDA_REQUEST
            + usage.lambda_gigabyte_seconds * prices::LAMBDA_GIGABYTE_SECOND,
        sqs: usage.sqs_requests * prices::SQS_REQUEST + usage.sqs_messages * prices::SQS_MESSAGE_IN_GROUP,
        dynamodb: usage.write_units * prices::DYNAMODB_WRITE_UNIT
            + usage.read_units * prices::DYNAMODB_READ_UNIT,
        storage: usage.stored_gigabytes * prices::DYNAMODB_GIGABYTE_MONTH,
        cloudfront: (usage.items - prices::CLOUDFRONT_FREE_ITEMS).max(0.0) * prices::CLOUDFRONT_ITEM,
        pages: usage.origin_requests * origin_dollars / 1e6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_near(value: f64, expected: f64) -> bool {
        (value - expected).abs() <= 1e-6 * expected.abs()
    }

    /// One sign-in per second, no second devices, late changes and job: 8 events per second, 6 of which
    /// change a view.
    fn one_sign_in_a_second() -> Model {
        Model {
            users: 432_000,
            job_percent: 0,
            late_percent: 0,
            second_device_percent: 0,
            ..Model::default()
        }
    }

    #[test]
    fn usage_of_one_sign_in_per_second_agrees_with_a_calculation_by_hand() {
        // Each change has a notice. 1.25 of 3 changes have an item. There are ten calls per minute.
        let outcome = Outcome {
            ratio: 43.2,
            people_notices: 12_000,
            user_items: 5_000,
            planned_calls: 20_000.0,
            calls: 14_400.0,
            page_views: 24_000,
            hits: 4_000,
            polls: 1_000,
            ..Outcome::default()
        };
        let usage = usage(&one_sign_in_a_second(), &outcome);
        // Batches of user-stats: 1 + 8 × 1 / 5 = 2.6 events. Of cache-invalidation: 1 + 6 × 10 / 2 = 31 messages.
        let (user_stats, invalidation) = (691_200.0 / 2.6, 518_400.0 / 31.0);
        for (what, value, expected) in [
            ("invocations", usage.lambda_invocations, 30.0 * (172_800.0 + user_stats + invalidation)),
            // Events are sent singly, and received and deleted 2.6 at a time. The 1.95 notices of a batch
            // are sent in one call, and received and deleted ten at a time.
            (
                "requests to SQS",
                usage.sqs_requests,
                30.0 * (691_200.0 + 2.0 * user_stats + 518_400.0 / 1.95 + 2.0 * 51_840.0) + 4.0 * 648_000.0,
            ),
            ("messages", usage.sqs_messages, 30.0 * (691_200.0 + 518_400.0)),
            // 6 for each change, 4 for each token, 1 for each allowed attempt. One for each invalidated user,
            // one for each planned call.
            (
                "write units",
                usage.write_units,
                30.0 * (6.0 * 518_400.0 + 5.0 * 86_400.0 + 216_000.0 + 20_000.0),
            ),
            // Two reads of each trigger, STATS for each event, a mark for each message, and the mark of the
            // last purge.
            (
                "read units",
                usage.read_units,
                30.0 * (2.0 * 172_800.0 + 0.5 * 691_200.0 + 518_400.0 + invalidation),
            ),
            ("gigabytes", usage.stored_gigabytes, 38.52576 + 13.9968),
            ("items", usage.items, 30.0 * 216_000.0),
            ("requests to the origin", usage.origin_requests, 30.0 * 21_000.0 * 43.2),
        ] {
            assert!(is_near(value, expected), "{what}: {value}, by hand {expected}");
        }
    }

    #[test]
    fn second_devices_late_changes_and_services_cause_events() {
        let model = one_sign_in_a_second();
        let more = |change: fn(&mut Model)| {
            let mut changed = model;
            change(&mut changed);
            events(&changed) / 86_400.0
        };
        for (what, value, expected) in [
            ("as it is", more(|_| {}), 8.0),
            ("a refresh of each second device", more(|model| model.second_device_percent = 50), 8.5),
            ("a late change of each second action", more(|model| model.late_percent = 50), 9.0),
            ("a change each minute", more(|model| model.service_change_seconds = Some(60)), 33.0),
            ("two tokens", more(|model| model.session_minutes = 60), 9.0),
        ] {
            assert!(is_near(value, expected), "{what}: {value}, by hand {expected}");
        }
    }

    #[test]
    fn bill_agrees_with_a_calculation_by_hand() {
        let usage = Usage {
            lambda_invocations: 10_000_000.0,
            lambda_gigabyte_seconds: 300_000.0,
            sqs_requests: 50_000_000.0,
            sqs_messages: 20_000_000.0,
            write_units: 80_000_000.0,
            read_units: 40_000_000.0,
            stored_gigabytes: 100.0,
            items: 3_000.0,
            origin_requests: 5_000_000.0,
        };
        let bill = bill(&usage, 1.6);
        for (what, value, expected) in [
            ("lambda", bill.lambda, 2.0 + 4.00002),
            ("sqs", bill.sqs, 20.0 + 2.0),
            ("dynamodb", bill.dynamodb, 50.0 + 5.0),
            ("storage", bill.storage, 45.0),
            ("cloudfront", bill.cloudfront, 10.0),
            ("pages", bill.pages, 8.0),
            ("other services", bill.other_services(), 128.00002),
            ("without pages", bill.without_pages(), 138.00002),
            ("total", bill.total(), 146.00002),
        ] {
            assert!(is_near(value, expected), "{what}: {value}, by hand {expected}");
        }
        assert_eq!(super::bill(&Usage { items: 999.0, ..usage }, 1.6).cloudfront, 0.0);
    }

    #[test]
    fn peak_needs_as_many_executions_as_its_duration() {
        let peak = peak(&one_sign_in_a_second());
        assert!(is_near(peak.people, 40.0) && is_near(peak.job, 8.0) && is_near(peak.write_units, 205.0));
        // Ten triggers per second.
        assert_eq!(peak.triggers, (10.0 * trigger_milliseconds() / 1_000.0).ceil());
        // Batches of 1 + 40 × 1 / 5 = 9 events, in one round of commits.
        let (batches, seconds) = (40.0 / 9.0, user_stats_milliseconds(9.0, 9.0) / 1_000.0);
        assert_eq!(peak.user_stats, (batches * seconds).ceil());
    }

    #[test]
    fn large_batch_takes_longer_and_less_per_event() {
        let (small, large) = (user_stats_milliseconds(1.0, 1.0), user_stats_milliseconds(1_000.0, 1_000.0));
        assert!(small < large && large / 1_000.0 < small, "{small} {large}");
        assert!(large < 60_000.0, "the timeout of user-stats");
    }
}
