//! Use and cost of every service in a month. Pure.

use shared::queues::MAX_BATCH_ENTRIES;
use shared::store::batch::MAX_READ_ITEMS;

use super::assumptions::{
    ATTEMPT_RETENTION_DAYS, CALLS_IN_FLIGHT, CHUNK_KILOBYTES, CLOUDFRONT_MILLISECONDS, COMMITS_IN_FLIGHT,
    DYNAMODB_MILLISECONDS, EMPTY_RECEIVES_PER_MONTH, ENTRY_KILOBYTES, EVENT_CPU_MILLISECONDS,
    EVENT_KILOBYTES, EVENTS_PER_COMMIT, EVENTUAL_READ_UNITS, INVALIDATION_BATCH, INVALIDATION_CONCURRENCY,
    INVALIDATION_WINDOW_SECONDS, MARK_READ_UNITS, MARKS_PER_CALL, MEGABYTES_PER_PROCESSOR, PEAK,
    PLAIN_WRITE_UNITS, POLLERS, PURGE_ALL_WRITE_UNITS, QUEUES, RETENTION_DAYS, SQS_MILLISECONDS,
    TRANSACTION_MILLISECONDS, TRIGGER_CPU_MILLISECONDS, TRIGGER_MEGABYTES, TRIGGER_READ_UNITS,
    TRIGGERS_PER_SIGN_IN, USER_STATS_BATCH, USER_STATS_WINDOW_SECONDS, WORKER_MEGABYTES,
};
use super::day::{DAY_SECONDS, DAYS_PER_MONTH, Model};
use super::policy::{Invalidations, Phase, Policy, job, people, phases, sign_ins};
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
}

/// The use in a month of such days.
pub fn usage(model: &Model, policy: Policy) -> Usage {
    let mut day = Usage::default();
    let triggers = sign_ins(model) * TRIGGERS_PER_SIGN_IN;
    day.add_lambda(triggers, trigger_milliseconds(), TRIGGER_MEGABYTES);
    day.read_units += triggers * TRIGGER_READ_UNITS;
    for (phase, done) in phases(model, policy) {
        let Phase { events, notices, .. } = phase;
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
        let invocations = notices / batch;
        let milliseconds = invalidation_milliseconds(batch, &done, invocations);
        day.add_lambda(invocations, milliseconds, WORKER_MEGABYTES);
        day.sqs_requests += 2.0 * requests(notices, batch);
        day.read_units += (notices + invocations) * MARK_READ_UNITS;
        let Invalidations { planned, purges, items, .. } = done;
        day.write_units += (planned + items - purges) * PLAIN_WRITE_UNITS;
        day.write_units += purges * PURGE_ALL_WRITE_UNITS;
        day.items += items;
    }
    let (days, attempts) = (DAYS_PER_MONTH as f64, people(model).attempts);
    let changes = people(model).changes + job(model, policy).changes;
    Usage {
        lambda_invocations: day.lambda_invocations * days,
        lambda_gigabyte_seconds: day.lambda_gigabyte_seconds * days,
        sqs_requests: day.sqs_requests * days + QUEUES * EMPTY_RECEIVES_PER_MONTH,
        sqs_messages: day.sqs_messages * days,
        write_units: day.write_units * days,
        read_units: day.read_units * days,
        stored_gigabytes: ((events(model) * RETENTION_DAYS
            - attempts * (RETENTION_DAYS - ATTEMPT_RETENTION_DAYS))
            * EVENT_KILOBYTES
            + changes * RETENTION_DAYS * ENTRY_KILOBYTES)
            / 1e6,
        items: day.items * days,
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
    people(model).events + job(model, Policy::EachChange).events
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
fn invalidation_milliseconds(batch: f64, done: &Invalidations, invocations: f64) -> f64 {
    if invocations == 0.0 {
        return 0.0;
    }
    let rounds = |calls: f64| (calls.ceil() / CALLS_IN_FLIGHT).ceil();
    let reads = rounds((batch + 1.0) / MAX_READ_ITEMS as f64);
    let marks = if done.calls > 0.0 { rounds(done.items / done.calls / MARKS_PER_CALL) } else { 0.0 };
    let call_milliseconds = CLOUDFRONT_MILLISECONDS + (1.0 + marks) * DYNAMODB_MILLISECONDS;
    let waiting = reads * DYNAMODB_MILLISECONDS + done.calls / invocations * call_milliseconds;
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
    let (people, job) = (people(model), job(model, Policy::EachChange));
    let (at_peak, with_job) = (people.rate() * PEAK, people.rate() + job.rate());
    let executions = |rate: f64| {
        let batch = user_stats_batch(rate);
        (rate / batch * user_stats_milliseconds(batch, batch) / 1_000.0).ceil()
    };
    let triggers = sign_ins(model) * TRIGGERS_PER_SIGN_IN / DAY_SECONDS as f64 * PEAK;
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
}

impl Bill {
    pub fn total(&self) -> f64 {
        self.lambda + self.sqs + self.dynamodb + self.storage + self.cloudfront
    }
}

pub fn bill(usage: &Usage) -> Bill {
    Bill {
        lambda: usage.lambda_invocations * prices::LAMBDA_REQUEST
            + usage.lambda_gigabyte_seconds * prices::LAMBDA_GIGABYTE_SECOND,
        sqs: usage.sqs_requests * prices::SQS_REQUEST + usage.sqs_messages * prices::SQS_MESSAGE_IN_GROUP,
        dynamodb: usage.write_units * prices::DYNAMODB_WRITE_UNIT
            + usage.read_units * prices::DYNAMODB_READ_UNIT,
        storage: usage.stored_gigabytes * prices::DYNAMODB_GIGABYTE_MONTH,
        cloudfront: (usage.items - prices::CLOUDFRONT_FREE_ITEMS).max(0.0) * prices::CLOUDFRONT_ITEM,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy::InactiveSkippedPurgeAll;

    fn is_near(value: f64, expected: f64) -> bool {
        (value - expected).abs() <= 1e-6 * expected.abs()
    }

    /// One sign-in per second and no job: 8 events per second, 6 of which change a view.
    fn one_sign_in_a_second() -> Model {
        Model { users: 432_000, job_percent: 0, ..Model::default() }
    }

    #[test]
    fn usage_of_one_sign_in_per_second_agrees_with_a_calculation_by_hand() {
        let usage = usage(&one_sign_in_a_second(), POLICY);
        // Batches of user-stats: 1 + 8 × 2 / 5 = 4.2 events. Of cache-invalidation: 1 + 6 × 10 / 2 = 31 messages.
        let (user_stats, invalidation) = (691_200.0 / 4.2, 518_400.0 / 31.0);
        // The last change of an action is 4 s after the first, so 4 of 15 actions are in two windows.
        let invalidated = 86_400.0 * 2.0 * (1.0 + 4.0 / 15.0);
        for (what, value, expected) in [
            ("invocations", usage.lambda_invocations, 30.0 * (172_800.0 + user_stats + invalidation)),
            // Events are sent singly, and received and deleted 4.2 at a time. The 3.15 notices of a batch
            // are sent in one call, and received and deleted ten at a time.
            (
                "requests to SQS",
                usage.sqs_requests,
                30.0 * (691_200.0 + 2.0 * user_stats + 518_400.0 / 3.15 + 2.0 * 51_840.0) + 4.0 * 648_000.0,
            ),
            ("messages", usage.sqs_messages, 30.0 * (691_200.0 + 518_400.0)),
            // 6 for each change, 4 for each token, 1 for each allowed attempt. One for each invalidated user,
            // one for each of 5,760 calls.
            (
                "write units",
                usage.write_units,
                30.0 * (6.0 * 518_400.0 + 5.0 * 86_400.0 + invalidated + 5_760.0),
            ),
            // Two reads of each trigger, STATS for each event, a mark for each message, and the mark of the
            // last purge.
            (
                "read units",
                usage.read_units,
                30.0 * (2.0 * 172_800.0 + 0.5 * 691_200.0 + 518_400.0 + invalidation),
            ),
            ("gigabytes", usage.stored_gigabytes, 38.52576 + 13.9968),
            ("items", usage.items, 6_566_400.0),
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
        };
        let bill = bill(&usage);
        for (what, value, expected) in [
            ("lambda", bill.lambda, 2.0 + 4.00002),
            ("sqs", bill.sqs, 20.0 + 2.0),
            ("dynamodb", bill.dynamodb, 50.0 + 5.0),
            ("storage", bill.storage, 45.0),
            ("cloudfront", bill.cloudfront, 10.0),
            ("total", bill.total(), 138.00002),
        ] {
            assert!(is_near(value, expected), "{what}: {value}, by hand {expected}");
        }
        assert_eq!(super::bill(&Usage { items: 999.0, ..usage }).cloudfront, 0.0);
    }

    #[test]
    fn more_users_cost_at_least_as_much_unless_all_is_purged() {
        let users = [1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
        for policy in Policy::ALL {
            let bills = users.map(|users| bill(&usage(&Model { users, ..Model::default() }, policy)));
            for pair in bills.windows(2) {
                let [less, more] = [pair[0], pair[1]];
                let may_purge_all = matches!(
                    policy,
                    Policy::CoalescedPurgeAll | Policy::InactiveSkippedPurgeAll | Policy::Budget
                );
                assert!(may_purge_all || more.cloudfront >= less.cloudfront, "{policy:?}: {less:?} {more:?}");
                let rest = |bill: &Bill| bill.total() - bill.cloudfront;
                assert!(rest(&more) >= rest(&less), "{policy:?}: {less:?} {more:?}");
            }
        }
    }

    #[test]
    fn peak_needs_as_many_executions_as_its_duration() {
        let peak = peak(&one_sign_in_a_second());
        assert!(is_near(peak.people, 40.0) && is_near(peak.job, 8.0) && is_near(peak.write_units, 205.0));
        // Ten triggers per second.
        assert_eq!(peak.triggers, (10.0 * trigger_milliseconds() / 1_000.0).ceil());
        // Batches of 1 + 40 × 2 / 5 = 17 events, in two rounds of commits.
        let (batches, seconds) = (40.0 / 17.0, user_stats_milliseconds(17.0, 17.0) / 1_000.0);
        assert_eq!(peak.user_stats, (batches * seconds).ceil());
    }

    #[test]
    fn large_batch_takes_longer_and_less_per_event() {
        let (small, large) = (user_stats_milliseconds(1.0, 1.0), user_stats_milliseconds(1_000.0, 1_000.0));
        assert!(small < large && large / 1_000.0 < small, "{small} {large}");
        assert!(large < 60_000.0, "the timeout of user-stats");
    }
}
