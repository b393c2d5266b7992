//! A schedule: the messages, their deliveries, the faults, and the crashes of the workers.

use proptest::prelude::*;
use serde_json::{Value, json};

use sandbox::aws::account::USER_POOL_ID;
use shared::events::{AccountChange, ChangedBy, Data, Empty, Event, SignInFailed, Subject};
use workers::account_activity::cloudtrail_source;

use super::aws::{ACCOUNT_ACTIVITIES, USER_EVENTS, WORKERS, has_mfa};

/// The fault of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The service throttles.
    Throttled,
    /// CloudFront has too many invalidations in progress.
    NoRoom,
    /// The service fails with a known code, and does nothing.
    Failed,
    /// The service fails with an unknown code, and does nothing.
    Unavailable,
    /// The service performs the request, then fails with an unknown code.
    UnavailableAfter,
    /// The service denies access.
    Denied,
    /// An eventually consistent read returns the state before the last commit. A consistent read returns
    /// notifications as they were before it: a transaction in progress is not applied to all items at
    /// once.
    Stale,
    /// The connection is refused.
    Dropped,
    /// The service never answers and does nothing.
    Hangs,
    /// The service performs the request. The response is lost.
    ReplyLost,
    /// The service never answers, and performs the request up to three seconds later.
    Late,
    /// The service performs part of a batch, or none of it. It cancels a transaction.
    Partial,
}

/// A bug that is planted below the workers, to prove that the schedules find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedBug {
    None,
    /// An allowed sign-in attempt is acknowledged without being stored.
    AttemptNotStored,
    /// An allowed sign-in attempt increases the version of STATS.
    AttemptCounted,
    /// Stored events are put without the condition that they do not exist.
    NoConditionOnMarkers,
    /// The notice is published before the commit instead of after it.
    NoticeBeforeCommit,
    /// One failed message is not reported.
    FailureNotReported,
    /// A worker that finds only duplicates publishes no notice.
    NoNoticeForDuplicates,
    /// The mark of an invalidation is a second later than the invalidation.
    MarkInTheFuture,
    /// user-stats believes that tokens are valid for 10 minutes instead of an hour.
    TokenValidityTooShort,
    /// All reads are eventually consistent.
    NoConsistentReads,
    /// Invalidation items are not booked in the ledger.
    NotBookedInLedger,
    /// The claim of a purge is not stored.
    ClaimNotKept,
    /// cache-invalidation believes that there is no minimum time between two invalidations of a user.
    IntervalNotKept,
    /// A change that waits for the interval is dropped.
    WaitingChangeDropped,
    /// cache-invalidation believes every claim of a suspension.
    ClaimBelieved,
    /// cache-invalidation finds no suspension, so that suspensions count for the budget.
    SuspensionNotFound,
    /// Entries of lists are put after the commit instead of in its transaction.
    EntriesPutAfterCommit,
    /// user-stats takes all notifications to be new.
    NotificationsNotRead,
    /// The states of notifications are put without the condition that they did not change.
    NoConditionOnNotifications,
    /// read-api takes a stored event as a proof that STATS includes it.
    MarkerVersionIgnored,
    /// The cache keeps a pending answer.
    PendingAnswerStored,
    /// read-api finds stored events of other users.
    MarkerOfAnyUser,
    /// The address of a failed sign-in is not recorded.
    AddressNotRecorded,
}

/// The address from which all sign-ins fail.
pub const ADDRESS: &str = "198.51.100.7";

/// The user of another pool.
pub const FOREIGN_SUB: &str = "foreign";

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Order,
    Cancellation,
    Activity,
    NotificationCreated,
    NotificationRead,
    Confirmed,
    ProfileUpdated,
    SignedIn,
    TokenRefreshed,
    SignInDenied,
    SignInAllowed,
    SignUp,
    /// An operator suspends the user and publishes the event. It is sent in the round of its number.
    Suspended,
    /// A producer claims that the user is suspended.
    ForgedSuspension,
    Deleted,
    /// CloudTrail reports a call. account-activity looks the user up for MfaChanged.
    PasswordChanged,
    AccountDisabled,
    AccountEnabled,
    SignedOut,
    MfaChanged,
    SignInFailed,
    AccountDeleted,
    /// Calls about a user of another pool of the account, which the records do not name.
    ForeignDeleted,
    ForeignMfaChanged,
    UnknownUser,
    NotJson,
    UnknownType,
    TooOld,
    WrongQueue,
}

/// One message.
#[derive(Clone, Debug)]
pub struct MessageSpec {
    pub kind: Kind,
    pub user: u8,
    /// Messages with the same kind, user and number are the same event.
    pub number: u8,
    /// Time of the event, in seconds before the start. Negative: in the future.
    pub seconds_ago: i32,
    /// True if the client of the event reads its own write.
    pub client_aware: bool,
}

/// A request for a page.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    pub user: u8,
    /// Index of the view.
    pub view: u8,
    /// Index of the message whose event the reader waits for. It may be of another user, and it may never
    /// arrive.
    pub after: Option<u8>,
    /// When the request begins, in milliseconds after the one before.
    pub millis: u16,
}

/// One round of deliveries while faults happen.
#[derive(Clone, Debug)]
pub struct Round {
    /// Batch sizes of the two user-stats workers.
    pub sizes: [usize; 2],
    /// Whether both user-stats workers get the same messages.
    pub same: bool,
    /// Batch sizes of the two cache-invalidation workers.
    pub notices: [usize; 2],
    /// Whether both cache-invalidation workers get the same notices.
    pub same_notices: bool,
    /// When the cache-invalidation workers receive, in milliseconds after user-stats.
    pub notices_after: [u16; 2],
    /// Timeout of the workers, in seconds.
    pub worker_seconds: u8,
    /// Batch sizes of the two account-activity workers.
    pub calls: [usize; 2],
    /// Number of polls after which each worker crashes.
    pub crashes: [Option<u8>; WORKERS],
    /// Whether SQS redelivers the processed messages.
    pub again: bool,
    /// Seconds since the round before.
    pub seconds: u16,
    pub reads: Vec<Read>,
}

/// Configuration of the workers.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// SKIP_INACTIVE_USERS, with cached pages that expire.
    pub skip_inactive: bool,
    /// INVALIDATION_TARGET is `path` instead of `tag`.
    pub by_path: bool,
    /// PURGE_ALL_THRESHOLD.
    pub purge_all_threshold: u32,
    /// INVALIDATION_INTERVAL_SECONDS.
    pub interval: u32,
    /// MONTHLY_ITEM_BUDGET.
    pub budget: Option<u64>,
    /// ON_BUDGET_EXHAUSTED is `purge_all` instead of `expire`.
    pub purge_all_when_spent: bool,
    /// Offsets of the workers' clocks in milliseconds. No two differ by a second.
    pub clocks: [i16; WORKERS],
    /// `None` if ORIGIN_LIFETIME is `fixed`.
    pub adaptive: Option<Adaptive>,
    /// Offset of read-api's clock in milliseconds.
    pub reader_clock: i16,
}

/// The settings with ORIGIN_LIFETIME `adaptive`.
#[derive(Clone, Copy, Debug)]
pub struct Adaptive {
    /// CACHE_LIFETIME_DIVISOR.
    pub divisor: u32,
    /// MAX_CACHE_LIFETIME_SECONDS.
    pub max_seconds: u32,
    /// INVALIDATION_POLICY.
    pub policy: &'static str,
}

/// Values of INVALIDATION_POLICY.
const POLICIES: [&str; 5] = [
    "",
    "*=budget",
    "*=budget, activity.recorded=never, notification.created=never, profile.updated=never",
    "*=never",
    "order.placed=always, activity.recorded=never",
];

impl Settings {
    /// The offset of the operators' clock in milliseconds: up to nine minutes.
    pub fn operator_clock(&self) -> i64 {
        i64::from(self.clocks[0]) * 1_200
    }

    /// INVALIDATION_POLICY if it has the rule `always`: then some invalidations count neither for the
    /// interval nor for the budget.
    pub fn urgent_policy(&self) -> Option<&'static str> {
        self.adaptive.map(|adaptive| adaptive.policy).filter(|policy| policy.contains("=always"))
    }

    /// Inactive users are skipped only with tags, because then the cache key contains the token.
    pub fn skips_inactive(&self) -> bool {
        self.skip_inactive && !self.by_path
    }
}

#[derive(Clone, Debug)]
pub struct Schedule {
    /// Seed for backoffs and durations.
    pub seed: u64,
    pub settings: Settings,
    /// The messages, in the order of sending.
    pub specs: Vec<MessageSpec>,
    /// The faults of the requests, in order.
    pub faults: Vec<Option<Fault>>,
    pub rounds: Vec<Round>,
}

/// All schedules, for proptest.
pub fn schedules() -> impl Strategy<Value = Schedule> {
    let kind = prop_oneof![
        6 => Just(Kind::Order),
        1 => Just(Kind::Cancellation),
        2 => Just(Kind::Activity),
        2 => Just(Kind::NotificationCreated),
        2 => Just(Kind::NotificationRead),
        1 => Just(Kind::Confirmed),
        1 => Just(Kind::ProfileUpdated),
        3 => Just(Kind::SignedIn),
        2 => Just(Kind::TokenRefreshed),
        1 => Just(Kind::SignInDenied),
        2 => Just(Kind::SignInAllowed),
        2 => Just(Kind::SignUp),
        1 => Just(Kind::Suspended),
        1 => Just(Kind::ForgedSuspension),
        1 => prop_oneof![6 => Just(Kind::Order), 1 => Just(Kind::Deleted), 1 => Just(Kind::AccountDeleted)],
        5 => prop::sample::select(vec![
            Kind::PasswordChanged, Kind::AccountDisabled, Kind::AccountEnabled, Kind::SignedOut,
            Kind::MfaChanged, Kind::SignInFailed, Kind::SignInFailed,
        ]),
        1 => prop::sample::select(vec![
            Kind::UnknownUser, Kind::NotJson, Kind::UnknownType, Kind::TooOld, Kind::WrongQueue,
        ]),
    ];
    let seconds = prop_oneof![3 => 0..180_i32, 3 => 0..12_000_i32, 1 => -700..0_i32];
    let spec = (kind, 0..3_u8, 0..5_u8, seconds, prop::bool::weighted(0.2)).prop_map(
        |(kind, user, number, seconds_ago, client_aware)| MessageSpec {
            kind,
            user,
            number,
            seconds_ago,
            client_aware,
        },
    );
    let user = prop_oneof![3 => Just(0), 2 => 0..3_u8];
    let read = (user, 0..3_u8, prop::option::weighted(0.6, 0..14_u8), prop_oneof![0..200_u16, 0..8_000_u16]);
    let read = read.prop_map(|(user, view, after, millis)| Read { user, view, after, millis });
    let fault = prop::sample::select(vec![
        Fault::Throttled,
        Fault::NoRoom,
        Fault::Failed,
        Fault::Unavailable,
        Fault::UnavailableAfter,
        Fault::Denied,
        Fault::Stale,
        Fault::Stale,
        Fault::Dropped,
        Fault::Hangs,
        Fault::ReplyLost,
        Fault::ReplyLost,
        Fault::Late,
        Fault::Late,
        Fault::Partial,
        Fault::Partial,
        Fault::Partial,
    ]);
    let crash = || prop_oneof![2 => Just(None), 1 => (0..60_u8).prop_map(Some)];
    let later = || prop_oneof![Just(0), 0..300_u16, 0..15_000_u16];
    let round = (
        ([0..8_usize, 0..8_usize], prop::bool::weighted(0.3)),
        ([0..10_usize, 0..4_usize], prop::bool::weighted(0.2), [later(), later()]),
        prop_oneof![Just(60), 30..60_u8],
        ([0..6_usize, 0..6_usize], [crash(), crash(), crash(), crash(), crash(), crash()]),
        prop::bool::weighted(0.2),
        prop_oneof![0..3_u16, 0..400_u16],
        prop::collection::vec(read, 0..3),
    )
        .prop_map(
            |(
                (sizes, same),
                (notices, same_notices, notices_after),
                worker_seconds,
                (calls, crashes),
                again,
                seconds,
                reads,
            )| {
                Round {
                    sizes,
                    same,
                    notices,
                    same_notices,
                    notices_after,
                    worker_seconds,
                    calls,
                    crashes,
                    again,
                    seconds,
                    reads,
                }
            },
        );
    let offset = || -450..450_i16;
    let adaptive = (prop::sample::select(vec![1, 10]), prop::sample::select(vec![60, 300, 1_800]));
    let adaptive = (adaptive, prop::sample::select(POLICIES.to_vec()))
        .prop_map(|((divisor, max_seconds), policy)| Adaptive { divisor, max_seconds, policy });
    let origin = (prop::option::weighted(0.6, adaptive), prop_oneof![Just(0), -2_000..2_000_i16]);
    let settings = (
        any::<bool>(),
        prop::bool::weighted(0.2),
        prop_oneof![3 => Just(3_000), 1 => 1..4_u32],
        prop_oneof![Just(0), Just(60), 1..300_u32],
        prop::option::weighted(0.2, 1..6_u64),
        any::<bool>(),
        prop_oneof![Just([0; WORKERS]), [offset(), offset(), offset(), offset(), offset(), offset()]],
        origin,
    )
        .prop_map(
            |(
                skip_inactive,
                by_path,
                purge_all_threshold,
                interval,
                budget,
                purge_all_when_spent,
                clocks,
                (adaptive, reader_clock),
            )| {
                Settings {
                    skip_inactive,
                    by_path,
                    purge_all_threshold,
                    interval,
                    budget,
                    purge_all_when_spent,
                    clocks,
                    adaptive,
                    reader_clock,
                }
            },
        );
    let specs = (prop_oneof![Just(1), Just(3)], prop::collection::vec(spec, 1..14));
    // In some schedules, all events and reads are of one user.
    let specs = specs.prop_map(|(users, mut specs): (u8, Vec<MessageSpec>)| {
        specs.iter_mut().for_each(|spec| spec.user %= users);
        specs
    });
    (
        any::<u64>(),
        settings,
        specs,
        prop::collection::vec(prop_oneof![3 => Just(None), 1 => fault.prop_map(Some)], 0..40),
        prop::collection::vec(round, 1..6),
    )
        .prop_map(|(seed, settings, mut specs, faults, rounds)| {
            // Not drawn, so that it changes neither the other schedules nor how they shrink.
            if seed % 8 == 7 {
                specs.extend(calls_about_a_foreign_user());
            }
            Schedule { seed, settings, specs, faults, rounds }
        })
}

/// A deletion of a user of another pool, and another call that needs a lookup.
fn calls_about_a_foreign_user() -> impl Iterator<Item = MessageSpec> {
    let kinds = [Kind::ForeignMfaChanged, Kind::ForeignDeleted].into_iter();
    kinds.map(|kind| MessageSpec { kind, user: 0, number: 0, seconds_ago: 60, client_aware: false })
}

/// Schedules of one user who reads the dashboard while changes are committed. For planted bugs of the rule
/// for own writes.
pub fn schedules_of_one_user() -> impl Strategy<Value = Schedule> {
    schedules().prop_map(|mut schedule| {
        let policy = POLICIES[1 + usize::from(schedule.seed.is_multiple_of(2))];
        schedule.settings = Settings {
            skip_inactive: false,
            by_path: false,
            purge_all_threshold: 3_000,
            interval: 0,
            budget: None,
            adaptive: Some(Adaptive { divisor: 1, max_seconds: 1_800, policy }),
            ..schedule.settings
        };
        schedule.specs.iter_mut().for_each(|spec| spec.user = 0);
        for (index, read) in schedule.rounds.iter_mut().flat_map(|round| &mut round.reads).enumerate() {
            // The dashboard shows STATS. The reader asks while the first messages are processed.
            let after = read.after.or_else(|| u8::try_from(index).ok());
            *read = Read { user: 0, view: 0, after, millis: read.millis % 60 };
        }
        schedule
    })
}

impl MessageSpec {
    pub fn sub(&self) -> String {
        if self.is_foreign() { FOREIGN_SUB.to_owned() } else { format!("user-{}", self.user) }
    }

    /// True if the call is about a user of another pool. The worker ignores it.
    pub fn is_foreign(&self) -> bool {
        matches!(self.kind, Kind::ForeignDeleted | Kind::ForeignMfaChanged)
    }

    /// Time of the event.
    pub fn time(&self) -> jiff::Timestamp {
        let start: jiff::Timestamp = super::play::START.parse().unwrap();
        // Failed sign-ins of more than two hours are not all stored.
        let seconds =
            if self.kind == Kind::SignInFailed { self.seconds_ago % 3_600 } else { self.seconds_ago };
        shared::time::minus_seconds(start, seconds.into())
    }

    /// The queue on which the message arrives.
    pub fn queue(&self) -> &'static str {
        if self.call().is_some() { ACCOUNT_ACTIVITIES } else { USER_EVENTS }
    }

    /// The operation that CloudTrail reports, and the data of its event. `None` for other messages.
    fn call(&self) -> Option<(&'static str, Data)> {
        let by = |by| AccountChange { by };
        Some(match self.kind {
            Kind::PasswordChanged => ("ChangePassword", Data::PasswordChanged(by(ChangedBy::User))),
            Kind::AccountDisabled => ("AdminDisableUser", Data::Disabled(Empty {})),
            Kind::AccountEnabled => ("AdminEnableUser", Data::Enabled(Empty {})),
            Kind::SignedOut => ("AdminUserGlobalSignOut", Data::SignedOut(by(ChangedBy::Administrator))),
            Kind::MfaChanged if has_mfa(&self.sub()) => {
                ("SetUserMFAPreference", Data::MfaEnabled(by(ChangedBy::User)))
            }
            Kind::MfaChanged => ("SetUserMFAPreference", Data::MfaDisabled(by(ChangedBy::User))),
            Kind::SignInFailed => {
                let ip_address = Some(ADDRESS.to_owned());
                ("InitiateAuth", Data::SignInFailed(SignInFailed { ip_address }))
            }
            Kind::AccountDeleted => ("AdminDeleteUser", Data::Deleted(Empty {})),
            Kind::ForeignDeleted => ("DeleteUser", Data::Deleted(Empty {})),
            Kind::ForeignMfaChanged => ("SetUserMFAPreference", Data::MfaDisabled(by(ChangedBy::User))),
            _ => return None,
        })
    }

    /// The event that a valid message with this body is about.
    pub fn event(&self, body: &str) -> Event {
        let Some((_, data)) = self.call() else { return Event::parse(body).unwrap() };
        let record: Value = serde_json::from_str(body).unwrap();
        let time = record["detail"]["eventTime"].as_str().unwrap().parse().unwrap();
        let id = record["detail"]["eventID"].as_str().unwrap();
        Event::new(cloudtrail_source(USER_POOL_ID), Subject::User(self.sub()), time, data).with_id(id)
    }

    /// The message's body. [`bodies`] gives two specs of the same event the same body.
    pub fn body(&self) -> String {
        let Self { kind, user, number, .. } = self;
        let id = format!("{kind:?}-{number}");
        if let Some((name, _)) = self.call() {
            let id = format!("{user}-{id}");
            let mut call = crate::account_activity::call(name, &id, &self.sub());
            call["id"] = json!(id);
            call["detail"]["eventTime"] = json!(self.time().to_string());
            if self.is_foreign() {
                call["detail"]["requestParameters"] =
                    json!({"accessToken": "HIDDEN_DUE_TO_SECURITY_REASONS"});
            }
            if *kind == Kind::SignInFailed {
                call["detail"]["errorCode"] = json!("NotAuthorizedException");
                call["detail"]["sourceIPAddress"] = json!(ADDRESS);
            }
            return call.to_string();
        }
        let notification = format!("notification {}", number % 2);
        let order = json!({"order_id": id, "amount": format!("{number}.25"), "currency": "EUR"});
        let (event_type, data) = match kind {
            Kind::Order | Kind::TooOld => ("order.placed", order),
            Kind::Cancellation => ("order.cancelled", order),
            Kind::Activity => ("activity.recorded", json!({"description": id})),
            // A user has two notifications, each with several events.
            Kind::NotificationCreated => {
                let title = (number % 3 > 0).then(|| format!("title {number}"));
                ("notification.created", json!({"notification_id": notification, "title": title}))
            }
            Kind::NotificationRead => ("notification.read", json!({"notification_id": notification})),
            // Happens once per user: the id follows from pool and sub.
            Kind::Confirmed => {
                ("user.confirmed", json!({"username": self.sub(), "email": "ana@example.com"}))
            }
            Kind::ProfileUpdated => ("profile.updated", json!({"changed": ["name"]})),
            Kind::SignedIn => ("user.signed_in", json!({"flow": "password", "client_id": "client"})),
            Kind::TokenRefreshed => ("user.token_refreshed", json!({"client_id": "client"})),
            Kind::SignInDenied | Kind::UnknownUser => (
                "user.sign_in_attempted",
                json!({"flow": "pre_authentication", "outcome": "denied", "reason": "suspended"}),
            ),
            Kind::SignInAllowed => (
                "user.sign_in_attempted",
                json!({"flow": "pre_authentication", "outcome": "allowed", "reason": "not_suspended"}),
            ),
            Kind::SignUp => (
                "user.sign_up_attempted",
                json!({"outcome": if number % 2 == 0 { "allowed" } else { "denied" }, "reason": "x", "channel": "self"}),
            ),
            Kind::Suspended | Kind::ForgedSuspension => ("user.suspended", json!({})),
            Kind::Deleted => ("user.deleted", json!({})),
            Kind::NotJson => return format!("not JSON {user} {number}"),
            Kind::UnknownType => ("thing.happened", json!({})),
            Kind::PasswordChanged
            | Kind::AccountDisabled
            | Kind::AccountEnabled
            | Kind::SignedOut
            | Kind::MfaChanged
            | Kind::SignInFailed
            | Kind::AccountDeleted
            | Kind::ForeignDeleted
            | Kind::ForeignMfaChanged
            | Kind::WrongQueue => {
                ("user.data_changed", json!({"views": ["orders"], "changed_at": "2026-03-02T08:59:00Z"}))
            }
        };
        let subject = match kind {
            Kind::SignUp => format!("domain:{user}.example.com"),
            Kind::UnknownUser => "unknown".to_owned(),
            _ => self.sub(),
        };
        let id = if *kind == Kind::Confirmed { format!("confirmed-{user}") } else { format!("{user}-{id}") };
        let time =
            if *kind == Kind::TooOld { "2025-01-01T00:00:00Z".to_owned() } else { self.time().to_string() };
        let mut event = json!({
            "specversion": "1.0", "id": id, "source": "/shop", "type": event_type, "subject": subject,
            "time": time, "data": data,
        });
        if self.client_aware {
            event["clientaware"] = true.into();
        }
        event.to_string()
    }

    /// The code with which the message is dead-lettered, if it is permanently invalid.
    pub fn dead_letter_code(&self) -> Option<&'static str> {
        match self.kind {
            Kind::NotJson => Some("not_json"),
            Kind::UnknownType => Some("unknown_type"),
            Kind::TooOld => Some("too_old"),
            Kind::WrongQueue => Some("wrong_queue"),
            _ => None,
        }
    }
}

/// The bodies of a schedule's messages. Two specs of the same event both get the body of the first,
/// because an event never changes.
pub fn bodies(specs: &[MessageSpec]) -> Vec<String> {
    let mut first: std::collections::HashMap<String, String> = std::collections::HashMap::new();
    let key = |spec: &MessageSpec, body: &str| {
        let id =
            serde_json::from_str::<Value>(body).ok().and_then(|event| Some(event["id"].as_str()?.to_owned()));
        id.unwrap_or_else(|| format!("{:?}", (spec.kind, spec.user, spec.number)))
    };
    let bodies = specs.iter().map(|spec| {
        let body = spec.body();
        first.entry(key(spec, &body)).or_insert(body).clone()
    });
    bodies.collect()
}
