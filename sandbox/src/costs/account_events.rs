//! What account events cost, by the number of failed sign-ins: the table of docs/account-events.md.
//! Pure.
//!
//! Sign-ins that succeed do not match the rule of the template, and EventBridge charges nothing for
//! events of AWS services. Changes of users are rare. So failed sign-ins are all that matters.

use std::fmt::Write;

use shared::statistics::MAX_FAILED_SIGN_INS_PER_HOUR;
use shared::store::addresses::MAX_USERS;

use super::assumptions::{
    DYNAMODB_MILLISECONDS, EVENT_CPU_MILLISECONDS, EVENT_KILOBYTES, EVENTUAL_READ_UNITS, EventKind,
    MEGABYTES_PER_PROCESSOR, PLAIN_WRITE_UNITS, POLLERS, RETENTION_DAYS, TRANSACTION_MILLISECONDS,
    write_units,
};
use super::number::number;
use super::prices;

/// MemorySize of account-activity.
pub const MEGABYTES: f64 = 256.0;
/// account-activity: BatchSize.
pub const BATCH: f64 = 100.0;
/// account-activity: MaximumBatchingWindowInSeconds.
pub const WINDOW_SECONDS: f64 = 5.0;
/// Failed sign-ins of one user that are stored in an hour.
pub const STORED_PER_HOUR: f64 = MAX_FAILED_SIGN_INS_PER_HOUR as f64;
/// The default quota of Cognito for sign-ins, in all pools of an account: requests per second of the
/// category UserAuthentication. Source: "Quotas in Amazon Cognito" of the developer guide.
pub const SIGN_INS_PER_SECOND: f64 = 120.0;
/// Amazon SQS: messages that Lambda receives and deletes in one request.
const MESSAGES_PER_REQUEST: f64 = 10.0;
/// Assumed: the log of an invocation, mostly Lambda's own lines. Same as in docs/costs.md.
const LOG_GIGABYTES: f64 = 1e-6;
const HOURS_PER_MONTH: f64 = 24.0 * 30.0;
const SECONDS_PER_MONTH: f64 = HOURS_PER_MONTH * 3_600.0;
/// Windows of ten minutes in a month.
const MONTH_WINDOWS: f64 = HOURS_PER_MONTH * 6.0;

/// Failed sign-ins of a month.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Load {
    /// Failed sign-ins of existing users. Each is a message.
    failed: f64,
    /// Those that are stored. The others only count in a metric.
    stored: f64,
    /// Messages of an invocation.
    batch: f64,
    /// Users of an invocation. STATS and PROFILE of each are read.
    users: f64,
    /// Windows of addresses that are written.
    windows: f64,
}

impl Load {
    /// Failed sign-ins that come one by one, each in a batch of its own: the worst case.
    fn one_by_one(failed: f64) -> Self {
        Self { failed, stored: failed, batch: 1.0, users: 1.0, windows: failed }
    }

    /// As many failed sign-ins as the quota of Cognito allows, for a month, spread over this number of
    /// users, from one address or each from another one.
    fn attack(users: f64, addresses: Addresses) -> Self {
        let failed = SIGN_INS_PER_SECOND * SECONDS_PER_MONTH;
        let stored = (users * STORED_PER_HOUR * HOURS_PER_MONTH).min(failed);
        let batch = (1.0 + SIGN_INS_PER_SECOND * WINDOW_SECONDS / POLLERS).min(BATCH);
        let windows = match addresses {
            // A warm function does not write what it has written before.
            Addresses::One => MONTH_WINDOWS * users.min(MAX_USERS as f64),
            Addresses::Many => failed,
        };
        Self { failed, stored, batch, users: users.min(batch), windows }
    }
}

/// From how many addresses an attack comes.
#[derive(Clone, Copy, Debug)]
enum Addresses {
    One,
    /// Each failed sign-in has another address: the worst case.
    Many,
}

/// Dollars of a month by service.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Dollars {
    sqs: f64,
    lambda: f64,
    dynamodb: f64,
    logs: f64,
}

impl Dollars {
    fn of(load: &Load) -> Self {
        let Load { failed, stored, batch, users, windows } = *load;
        let invocations = failed / batch;
        // EventBridge sends each message in a request of its own.
        let together = batch.min(MESSAGES_PER_REQUEST);
        let requests = failed + 2.0 * failed / together;
        let cpu = batch * EVENT_CPU_MILLISECONDS * (MEGABYTES_PER_PROCESSOR / MEGABYTES);
        // The user is read, the event committed, and the window of the address written.
        let milliseconds = 2.0 * DYNAMODB_MILLISECONDS + TRANSACTION_MILLISECONDS + cpu;
        let gigabyte_seconds = invocations * milliseconds / 1_000.0 * MEGABYTES / 1_024.0;
        let read = invocations * users * 2.0 * EVENTUAL_READ_UNITS;
        // The worst case: each failure that is stored has a commit of its own.
        let written = stored * write_units(1, EventKind::Unlisted) + windows * PLAIN_WRITE_UNITS;
        let gigabyte_months = stored * EVENT_KILOBYTES / 1e6 * RETENTION_DAYS / 30.0;
        Self {
            sqs: requests * prices::SQS_REQUEST,
            lambda: invocations * prices::LAMBDA_REQUEST + gigabyte_seconds * prices::LAMBDA_GIGABYTE_SECOND,
            dynamodb: read * prices::DYNAMODB_READ_UNIT
                + written * prices::DYNAMODB_WRITE_UNIT
                + gigabyte_months * prices::DYNAMODB_GIGABYTE_MONTH,
            logs: invocations * LOG_GIGABYTES * prices::LOGS_GIGABYTE,
        }
    }

    fn total(&self) -> f64 {
        self.sqs + self.lambda + self.dynamodb + self.logs
    }
}

/// The table, in Markdown.
pub fn report() -> String {
    let million = 1e6;
    let rows = [
        ("a million sign-ins, none fails".to_owned(), Load::one_by_one(0.0)),
        ("a million sign-ins, 5 % fail once before".to_owned(), Load::one_by_one(0.05 * million)),
        ("a million sign-ins, 20 % fail once before".to_owned(), Load::one_by_one(0.2 * million)),
        ("a million failed sign-ins of different users".to_owned(), Load::one_by_one(million)),
        (attack("one user, from one address"), Load::attack(1.0, Addresses::One)),
        (attack("one user, each from another address"), Load::attack(1.0, Addresses::Many)),
        (attack("10,000 users, each from another address"), Load::attack(10_000.0, Addresses::Many)),
        (attack("a million users, each from another address"), Load::attack(million, Addresses::Many)),
    ];
    let mut out = String::from(
        "| | failed sign-ins | stored | SQS | Lambda | DynamoDB | CloudWatch Logs | dollars together |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for (name, load) in rows {
        let dollars = Dollars::of(&load);
        let figures = [
            load.failed,
            load.stored,
            dollars.sqs,
            dollars.lambda,
            dollars.dynamodb,
            dollars.logs,
            dollars.total(),
        ];
        // Writing to a string cannot fail.
        let _ = writeln!(out, "| {name} | {} |", figures.map(number).join(" | "));
    }
    out
}

fn attack(users: &str) -> String {
    format!("a month of {SIGN_INS_PER_SECOND} failed sign-ins a second of {users}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_of_a_million_failed_sign_ins_agree_with_a_calculation_by_hand() {
        let dollars = Dollars::of(&Load::one_by_one(1e6));
        let near = |value: f64, expected: f64| assert!((value - expected).abs() < 0.005, "{value}");
        // Three requests of $0.40 a million.
        near(dollars.sqs, 1.2);
        // 22 ms and 0.12 ms at 1/6.9 of a processor, with 256 MB.
        near(dollars.lambda, 0.2 + 22.83e-3 * 0.25 * 13.3334);
        // One read unit, five write units, and 0.7 GB for three months.
        near(dollars.dynamodb, 0.125 + 5.0 * 0.625 + 0.7 * 3.0 * 0.45);
        near(dollars.logs, 0.5);
        assert_eq!(Dollars::of(&Load::one_by_one(0.0)).total(), 0.0);
    }

    #[test]
    fn attack_on_one_user_stores_at_most_twenty_events_an_hour() {
        let (one, many) = (Load::attack(1.0, Addresses::One), Load::attack(1e6, Addresses::Many));
        assert_eq!((one.stored, one.failed), (20.0 * 720.0, 120.0 * 2_592_000.0));
        assert_eq!(many.stored, many.failed);
        // What is not stored still has to be read, and once for each batch.
        assert!(Dollars::of(&one).dynamodb < 1.0 && Dollars::of(&many).dynamodb > 1_000.0);
    }
}
