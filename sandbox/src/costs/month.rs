//! What a month takes of every service, and what it costs. Pure.

use shared::queues::MAX_BATCH_ENTRIES;
use shared::store::commits::MAX_READ_ITEMS;

use super::assumptions::{
    CALLS_IN_FLIGHT, CHUNK_KILOBYTES, CLOUDFRONT_MILLISECONDS, COLLAPSE_WRITE_UNITS, COMMITS_IN_FLIGHT,
    CONSISTENT_READ_UNITS, DYNAMODB_MILLISECONDS, EVENT_CPU_MILLISECONDS, EVENT_KILOBYTES,
    EVENTS_OF_A_COMMIT, EVENTUAL_READ_UNITS, IDLE_RECEIVES_A_MONTH, INVALIDATION_BATCH,
    INVALIDATION_CONCURRENCY, INVALIDATION_WINDOW_SECONDS, MARKS_OF_A_CALL, MEGABYTES_OF_A_PROCESSOR, PEAK,
    PLAIN_WRITE_UNITS, POLLERS, QUEUES, RETENTION_DAYS, SQS_MILLISECONDS, TRANSACTION_MILLISECONDS,
    TRIGGER_CPU_MILLISECONDS, TRIGGER_MEGABYTES, TRIGGERS_OF_A_SIGN_IN, USER_STATS_BATCH,
    USER_STATS_WINDOW_SECONDS, WORKER_MEGABYTES, write_units,
};
use super::policy::{Invalidations, Phase, Policy, job, people, phases, sign_ins};
use super::day::{DAY_SECONDS, DAYS_PER_MONTH, Model};
use super::prices;

/// What is used in a month.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Of all functions.
    pub lambda_invocations: f64,
    /// Their duration by their memory.
    pub lambda_gigabyte_seconds: f64,
    /// Sends, receives and deletes, in chunks of 64 KB.
    pub sqs_requests: f64,
    /// Messages sent, all of them in groups.
    pub sqs_messages: f64,
    /// Write request units.
    pub write_units: f64,
    /// Read request units.
    pub read_units: f64,
    /// Stored events, once the first of them expire.
    pub stored_gigabytes: f64,
    /// Invalidation items.
    pub items: f64,
}

/// What a month of such days uses.
pub fn usage(model: &Model, policy: Policy) -> Usage {
    let mut day = Usage::default();
    let triggers = sign_ins(model) * TRIGGERS_OF_A_SIGN_IN;
    day.add_lambda(triggers, trigger_milliseconds(), TRIGGER_MEGABYTES);
    day.read_units += triggers * CONSISTENT_READ_UNITS;
    for (phase, done) in phases(model, policy) {
        let Phase { events, notices, .. } = phase;
        // Producers and triggers send one by one, user-stats ten at a time.
        let batch = user_stats_batch(phase.rate());
        let notices_of_batch = if events > 0.0 { batch * notices / events } else { 0.0 };
        day.add_lambda(events / batch, user_stats_milliseconds(batch, notices_of_batch), WORKER_MEGABYTES);
        day.sqs_requests += requests(events, 1.0) + 2.0 * requests(events, batch);
        day.sqs_requests += requests(notices, notices_of_batch);
        day.sqs_messages += events + notices;
        day.write_units += events * write_units(EVENTS_OF_A_COMMIT);
        day.read_units += events / EVENTS_OF_A_COMMIT as f64 * EVENTUAL_READ_UNITS;
        let batch = invalidation_batch(notices / phase.seconds);
        let invocations = notices / batch;
        let milliseconds = invalidation_milliseconds(batch, &done, invocations);
        day.add_lambda(invocations, milliseconds, WORKER_MEGABYTES);
        day.sqs_requests += 2.0 * requests(notices, batch);
        day.read_units += (notices + invocations) * EVENTUAL_READ_UNITS;
        let Invalidations { planned, collapses, items, .. } = done;
        day.write_units += (planned + items - collapses) * PLAIN_WRITE_UNITS;
        day.write_units += collapses * COLLAPSE_WRITE_UNITS;
        day.items += items;
    }
    let days = DAYS_PER_MONTH as f64;
    Usage {
        lambda_invocations: day.lambda_invocations * days,
        lambda_gigabyte_seconds: day.lambda_gigabyte_seconds * days,
        sqs_requests: day.sqs_requests * days + QUEUES * IDLE_RECEIVES_A_MONTH,
        sqs_messages: day.sqs_messages * days,
        write_units: day.write_units * days,
        read_units: day.read_units * days,
        stored_gigabytes: events(model) * RETENTION_DAYS * EVENT_KILOBYTES / 1e6,
        items: day.items * days,
    }
}

impl Usage {
    fn add_lambda(&mut self, invocations: f64, milliseconds: f64, megabytes: f64) {
        self.lambda_invocations += invocations;
        self.lambda_gigabyte_seconds += invocations * milliseconds / 1_000.0 * megabytes / 1_024.0;
    }
}

/// Events of a day.
pub fn events(model: &Model) -> f64 {
    people(model).events + job(model, Policy::EachChange).events
}

/// Requests to SQS for so many messages, up to ten at a time where as many are together.
fn requests(messages: f64, together: f64) -> f64 {
    let together = together.clamp(1.0, MAX_BATCH_ENTRIES as f64);
    messages / together * (together * EVENT_KILOBYTES / CHUNK_KILOBYTES).ceil()
}

/// Messages in a batch at a rate: the first, and what comes while the window is open. Pollers share what comes.
fn batch(rate: f64, window_seconds: f64, pollers: f64, most: f64) -> f64 {
    (1.0 + rate * window_seconds / pollers).min(most)
}

fn user_stats_batch(rate: f64) -> f64 {
    batch(rate, USER_STATS_WINDOW_SECONDS, POLLERS, USER_STATS_BATCH)
}

fn invalidation_batch(rate: f64) -> f64 {
    batch(rate, INVALIDATION_WINDOW_SECONDS, INVALIDATION_CONCURRENCY, INVALIDATION_BATCH)
}

/// What processor time takes on a function of so much memory.
fn computing(milliseconds: f64, megabytes: f64) -> f64 {
    milliseconds * (MEGABYTES_OF_A_PROCESSOR / megabytes).max(1.0)
}

/// A trigger reads, decides and sends, one after the other.
pub fn trigger_milliseconds() -> f64 {
    (computing(TRIGGER_CPU_MILLISECONDS, TRIGGER_MEGABYTES) + DYNAMODB_MILLISECONDS + SQS_MILLISECONDS).ceil()
}

/// user-stats reads, commits and sends, with several calls under way; none of it while it computes.
pub fn user_stats_milliseconds(events: f64, notices: f64) -> f64 {
    let users = events / EVENTS_OF_A_COMMIT as f64;
    let rounds = |calls: f64, at_once: f64| (calls.ceil() / at_once).ceil();
    let reads = rounds(users / MAX_READ_ITEMS as f64, CALLS_IN_FLIGHT);
    let commits = rounds(users, COMMITS_IN_FLIGHT);
    let sends = rounds(notices / MAX_BATCH_ENTRIES as f64, CALLS_IN_FLIGHT);
    let waiting =
        reads * DYNAMODB_MILLISECONDS + commits * TRANSACTION_MILLISECONDS + sends * SQS_MILLISECONDS;
    (computing(events * EVENT_CPU_MILLISECONDS, WORKER_MEGABYTES) + waiting).ceil()
}

/// cache-invalidation reads the marks; each call waits for the ledger, for CloudFront and for the marks.
fn invalidation_milliseconds(batch: f64, done: &Invalidations, invocations: f64) -> f64 {
    if invocations == 0.0 {
        return 0.0;
    }
    let rounds = |calls: f64| (calls.ceil() / CALLS_IN_FLIGHT).ceil();
    let reads = rounds((batch + 1.0) / MAX_READ_ITEMS as f64);
    let marks = if done.calls > 0.0 { rounds(done.items / done.calls / MARKS_OF_A_CALL) } else { 0.0 };
    let of_call = CLOUDFRONT_MILLISECONDS + (1.0 + marks) * DYNAMODB_MILLISECONDS;
    let waiting = reads * DYNAMODB_MILLISECONDS + done.calls / invocations * of_call;
    (computing(batch * EVENT_CPU_MILLISECONDS, WORKER_MEGABYTES) + waiting).ceil()
}

/// What a peak takes, if nothing is to wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Events of people in a second, [`PEAK`] times the average.
    pub people: f64,
    /// Events in a second while the job runs.
    pub job: f64,
    /// Copies of the two triggers at once, at the peak of people.
    pub triggers: f64,
    /// Copies of user-stats then.
    pub user_stats: f64,
    /// Copies of user-stats that keep up with the job. With fewer, it takes longer: MaximumConcurrency sees to that.
    pub user_stats_of_job: f64,
    /// Write request units in a second, at the peak of people.
    pub write_units: f64,
}

/// The peaks of a day.
pub fn peak(model: &Model) -> Peak {
    let (people, job) = (people(model), job(model, Policy::EachChange));
    let (at_peak, with_job) = (people.rate() * PEAK, people.rate() + job.rate());
    let copies = |rate: f64| {
        let batch = user_stats_batch(rate);
        (rate / batch * user_stats_milliseconds(batch, batch) / 1_000.0).ceil()
    };
    let triggers = sign_ins(model) * TRIGGERS_OF_A_SIGN_IN / DAY_SECONDS as f64 * PEAK;
    Peak {
        people: at_peak,
        job: with_job,
        triggers: (triggers * trigger_milliseconds() / 1_000.0).ceil(),
        user_stats: copies(at_peak),
        user_stats_of_job: copies(with_job),
        write_units: at_peak * write_units(EVENTS_OF_A_COMMIT),
    }
}

/// Dollars a month.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bill {
    /// Requests and duration.
    pub lambda: f64,
    /// Requests.
    pub sqs: f64,
    /// Reads and writes.
    pub dynamodb: f64,
    /// Stored events.
    pub storage: f64,
    /// Invalidation items.
    pub cloudfront: f64,
}

impl Bill {
    /// All of it.
    pub fn total(&self) -> f64 {
        self.lambda + self.sqs + self.dynamodb + self.storage + self.cloudfront
    }
}

/// What it costs.
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

    const POLICY: Policy = Policy::IdleSkippedCollapse;

    fn is_near(value: f64, expected: f64) -> bool {
        (value - expected).abs() <= 1e-6 * expected.abs()
    }

    /// A sign-in a second, and no job: 8 events a second, 6 of which change something.
    fn one_sign_in_a_second() -> Model {
        Model { users: 432_000, job_percent: 0, ..Model::default() }
    }

    #[test]
    fn a_month_of_one_sign_in_a_second_is_what_was_worked_out_by_hand() {
        let usage = usage(&one_sign_in_a_second(), POLICY);
        // Batches of user-stats: 1 + 8 × 2 / 5 = 4.2 events. Of cache-invalidation: 1 + 6 × 10 / 2 = 31 messages.
        let (user_stats, invalidation) = (691_200.0 / 4.2, 518_400.0 / 31.0);
        // An action's last change lies 4 seconds behind its first: of 15 windows, 4 are cut.
        let evicted = 86_400.0 * 2.0 * (1.0 + 4.0 / 15.0);
        for (what, value, expected) in [
            ("invocations", usage.lambda_invocations, 30.0 * (172_800.0 + user_stats + invalidation)),
            // Each event sent alone; received and deleted by 4.2; of a batch 3.15 notices in one call; received and
            // deleted by ten.
            (
                "requests to SQS",
                usage.sqs_requests,
                30.0 * (691_200.0 + 2.0 * user_stats + 518_400.0 / 3.15 + 2.0 * 51_840.0) + 3.0 * 648_000.0,
            ),
            ("messages", usage.sqs_messages, 30.0 * (691_200.0 + 518_400.0)),
            // 4 for each event, one for each user evicted, one for each of 5,760 calls.
            ("write units", usage.write_units, 30.0 * (4.0 * 691_200.0 + evicted + 5_760.0)),
            // The triggers', STATS of each event, a mark of each message and one of everybody's.
            (
                "read units",
                usage.read_units,
                30.0 * (172_800.0 + 0.5 * (691_200.0 + 518_400.0 + invalidation)),
            ),
            ("gigabytes", usage.stored_gigabytes, 43.5456),
            ("items", usage.items, 6_566_400.0),
        ] {
            assert!(is_near(value, expected), "{what}: {value}, by hand {expected}");
        }
    }

    #[test]
    fn a_bill_is_what_was_worked_out_by_hand() {
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
    fn more_users_never_cost_less_but_where_everybody_is_evicted_at_once() {
        let users = [1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
        for policy in Policy::ALL {
            let bills = users.map(|users| bill(&usage(&Model { users, ..Model::default() }, policy)));
            for pair in bills.windows(2) {
                let [less, more] = [pair[0], pair[1]];
                let is_collapsed = matches!(
                    policy,
                    Policy::CoalescedCollapse | Policy::IdleSkippedCollapse | Policy::Budget
                );
                assert!(is_collapsed || more.cloudfront >= less.cloudfront, "{policy:?}: {less:?} {more:?}");
                let rest = |bill: &Bill| bill.total() - bill.cloudfront;
                assert!(rest(&more) >= rest(&less), "{policy:?}: {less:?} {more:?}");
            }
        }
    }

    #[test]
    fn a_peak_has_as_many_copies_as_it_takes_time() {
        let peak = peak(&one_sign_in_a_second());
        assert!(is_near(peak.people, 40.0) && is_near(peak.job, 8.0) && is_near(peak.write_units, 160.0));
        // Ten triggers a second.
        assert_eq!(peak.triggers, (10.0 * trigger_milliseconds() / 1_000.0).ceil());
        // Batches of 1 + 40 × 2 / 5 = 17, in two rounds of commits.
        let (batches, seconds) = (40.0 / 17.0, user_stats_milliseconds(17.0, 17.0) / 1_000.0);
        assert_eq!(peak.user_stats, (batches * seconds).ceil());
    }

    #[test]
    fn a_large_batch_takes_longer_than_a_small_one_and_less_for_each_event() {
        let (small, large) = (user_stats_milliseconds(1.0, 1.0), user_stats_milliseconds(1_000.0, 1_000.0));
        assert!(small < large && large / 1_000.0 < small, "{small} {large}");
        assert!(large < 60_000.0, "the time-out of user-stats");
    }
}
