//! What a schedule is made of: events, who delivers them when, what fails, where a worker dies.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::aws::WORKERS;

/// What a request meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// AWS has no room now.
    Throttled,
    /// CloudFront has too many invalidations in progress.
    NoRoom,
    /// AWS fails, and does nothing.
    Failed,
    /// AWS fails with a code that is in no list.
    Unavailable,
    /// AWS does it, and fails with a code that is in no list.
    UnavailableAfter,
    /// AWS does not allow it.
    Denied,
    /// A read that need not be consistent answers with what was there before the last commit.
    Stale,
    /// The request gets nowhere.
    Dropped,
    /// No answer comes, and nothing is done.
    Hangs,
    /// It is done, and the answer lost.
    ReplyLost,
    /// No answer comes, and it is done up to three seconds later.
    Late,
    /// A batch is done in part, or nothing of it; a transaction is cancelled.
    Partly,
}

/// A bug that is planted below the workers, to see whether it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// None.
    Nothing,
    /// Events are put without the condition that they are not there.
    NoMarkerCondition,
    /// The notice goes out before the commit, and not after it.
    NoticeBeforeCommit,
    /// One failed message is not reported.
    ForgetsFailure,
    /// No notice is sent by a worker that finds only duplicates.
    NoNoticeOfDuplicates,
    /// Pages count as evicted up to a second later than they are.
    MarkOfLater,
    /// user-stats takes tokens to live ten minutes, and they live an hour.
    TokensLiveLonger,
    /// No read is consistent.
    StaleReReads,
    /// Items are not booked in the ledger.
    ForgetsBooking,
    /// A collapse is claimed, and the claim not kept.
    ForgetsClaim,
}

/// What an event is, up to its user, number and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Order,
    Cancellation,
    Activity,
    Notification,
    Confirmed,
    ProfileUpdated,
    SignedIn,
    TokenRefreshed,
    SignInDenied,
    SignUp,
    Suspended,
    Deleted,
    UnknownUser,
    NotJson,
    UnknownType,
    TooOld,
    WrongQueue,
}

/// One message to deliver.
#[derive(Clone, Debug)]
pub struct Spec {
    /// What it says.
    pub kind: Kind,
    /// Of which user.
    pub user: u8,
    /// The same number is the same event.
    pub number: u8,
    /// How long before the start it happened; negative for what is dated ahead.
    pub seconds_ago: i32,
}

/// One thing that happens while everything fails.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// How many messages user-stats gets in each of its workers.
    pub sizes: [usize; 2],
    /// Whether both workers get the same messages.
    pub same: bool,
    /// How many notices cache-invalidation gets in each of its workers.
    pub notices: [usize; 2],
    /// Whether both workers get the same notices.
    pub same_notices: bool,
    /// How long after user-stats has begun they ask for them, in milliseconds.
    pub notices_after: [u16; 2],
    /// The workers' time-out.
    pub worker_seconds: u8,
    /// After how many polls each worker dies.
    pub crashes: [Option<u8>; 4],
    /// Whether what was done is delivered once more.
    pub again: bool,
    /// How long after the round before it.
    pub seconds: u16,
}

/// How the workers are set up.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Whether users without a live token cost nothing, and entries expire.
    pub skip_idle: bool,
    /// Whether entries are found by path, and not by tag.
    pub by_path: bool,
    /// PURGE_ALL_THRESHOLD.
    pub collapse_above: u32,
    /// MONTHLY_ITEM_BUDGET, where there is one.
    pub budget: Option<u64>,
    /// Whether all entries are evicted when it is spent, and not left to expire.
    pub collapse_when_spent: bool,
    /// By how many milliseconds the workers' clocks are wrong. No two differ by a second.
    pub clocks: [i16; WORKERS],
}

impl Settings {
    /// Whether idle users are skipped: only where the token is in the cache key, which comes with tags.
    pub fn skips_idle(&self) -> bool {
        self.skip_idle && !self.by_path
    }
}

/// A schedule.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// For what is drawn beside all this.
    pub seed: u64,
    /// How the workers are set up.
    pub settings: Settings,
    /// The messages, in the order in which they are sent.
    pub specs: Vec<Spec>,
    /// What the requests meet, in their order.
    pub faults: Vec<Option<Fault>>,
    /// What happens.
    pub rounds: Vec<Round>,
}

/// Any schedule.
pub fn schedules() -> impl Strategy<Value = Schedule> {
    let kind = prop_oneof![
        6 => Just(Kind::Order),
        1 => Just(Kind::Cancellation),
        2 => Just(Kind::Activity),
        1 => Just(Kind::Notification),
        1 => Just(Kind::Confirmed),
        1 => Just(Kind::ProfileUpdated),
        3 => Just(Kind::SignedIn),
        2 => Just(Kind::TokenRefreshed),
        1 => Just(Kind::SignInDenied),
        2 => Just(Kind::SignUp),
        1 => Just(Kind::Suspended),
        1 => prop_oneof![3 => Just(Kind::Order), 1 => Just(Kind::Deleted)],
        1 => prop::sample::select(vec![
            Kind::UnknownUser, Kind::NotJson, Kind::UnknownType, Kind::TooOld, Kind::WrongQueue,
        ]),
    ];
    let seconds = prop_oneof![3 => 0..180_i32, 3 => 0..12_000_i32, 1 => -700..0_i32];
    let spec = (kind, 0..3_u8, 0..5_u8, seconds).prop_map(|(kind, user, number, seconds_ago)| Spec {
        kind,
        user,
        number,
        seconds_ago,
    });
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
        Fault::Partly,
        Fault::Partly,
        Fault::Partly,
    ]);
    let crash = || prop_oneof![2 => Just(None), 1 => (0..60_u8).prop_map(Some)];
    let later = || prop_oneof![Just(0), 0..300_u16, 0..15_000_u16];
    let round = (
        ([0..8_usize, 0..8_usize], prop::bool::weighted(0.3)),
        ([0..10_usize, 0..4_usize], prop::bool::weighted(0.2), [later(), later()]),
        prop_oneof![Just(60), 30..60_u8],
        [crash(), crash(), crash(), crash()],
        prop::bool::weighted(0.2),
        prop_oneof![0..3_u16, 0..400_u16],
    )
        .prop_map(
            |(
                (sizes, same),
                (notices, same_notices, notices_after),
                worker_seconds,
                crashes,
                again,
                seconds,
            )| {
                Round {
                    sizes,
                    same,
                    notices,
                    same_notices,
                    notices_after,
                    worker_seconds,
                    crashes,
                    again,
                    seconds,
                }
            },
        );
    let wrong = || -450..450_i16;
    let settings =
        (
            any::<bool>(),
            prop::bool::weighted(0.2),
            prop_oneof![3 => Just(3_000), 1 => 1..4_u32],
            prop::option::weighted(0.2, 1..6_u64),
            any::<bool>(),
            prop_oneof![Just([0; WORKERS]), [wrong(), wrong(), wrong(), wrong()]],
        )
            .prop_map(|(skip_idle, by_path, collapse_above, budget, collapse_when_spent, clocks)| {
                Settings { skip_idle, by_path, collapse_above, budget, collapse_when_spent, clocks }
            });
    (
        any::<u64>(),
        settings,
        prop::collection::vec(spec, 1..14),
        prop::collection::vec(prop_oneof![3 => Just(None), 1 => fault.prop_map(Some)], 0..40),
        prop::collection::vec(round, 1..6),
    )
        .prop_map(|(seed, settings, specs, faults, rounds)| Schedule {
            seed,
            settings,
            specs,
            faults,
            rounds,
        })
}

impl Spec {
    /// The sub of the user.
    pub fn sub(&self) -> String {
        format!("user-{}", self.user)
    }

    /// When it happened, where everything starts at nine o'clock.
    pub fn time(&self) -> jiff::Timestamp {
        let start: jiff::Timestamp = super::play::START.parse().unwrap();
        shared::time::minus_seconds(start, self.seconds_ago.into())
    }

    /// The message's body. Of two specs of the same kind, user and number, the first one's time counts: an event
    /// never changes.
    pub fn body(&self) -> String {
        let Self { kind, user, number, .. } = self;
        let id = format!("{kind:?}-{number}");
        let order = json!({"order_id": id, "amount": format!("{number}.25"), "currency": "EUR"});
        let (event_type, data) = match kind {
            Kind::Order | Kind::TooOld => ("order.placed", order),
            Kind::Cancellation => ("order.cancelled", order),
            Kind::Activity => ("activity.recorded", json!({"description": id})),
            Kind::Notification => ("notification.created", json!({"notification_id": id})),
            // Said once only: its id follows from pool and sub.
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
            Kind::SignUp => (
                "user.sign_up_attempted",
                json!({"outcome": if number % 2 == 0 { "allowed" } else { "denied" }, "reason": "x", "channel": "self"}),
            ),
            Kind::Suspended => ("user.suspended", json!({})),
            Kind::Deleted => ("user.deleted", json!({})),
            Kind::NotJson => return format!("not JSON {user} {number}"),
            Kind::UnknownType => ("thing.happened", json!({})),
            Kind::WrongQueue => {
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
        let event = json!({
            "specversion": "1.0", "id": id, "source": "/shop", "type": event_type, "subject": subject,
            "time": time, "data": data,
        });
        event.to_string()
    }

    /// The word with which it is parked, where it can never succeed.
    pub fn parked_as(&self) -> Option<&'static str> {
        match self.kind {
            Kind::NotJson => Some("not_json"),
            Kind::UnknownType => Some("unknown_type"),
            Kind::TooOld => Some("too_old"),
            Kind::WrongQueue => Some("wrong_queue"),
            _ => None,
        }
    }
}

/// The bodies of a schedule: where two specs are the same event, both are the first one's body.
pub fn bodies(specs: &[Spec]) -> Vec<String> {
    let mut first: std::collections::HashMap<String, String> = std::collections::HashMap::new();
    let key = |spec: &Spec, body: &str| {
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
