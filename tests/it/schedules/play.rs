//! Plays a schedule: delivers messages to workers that may crash, with faults below the SDK. Then
//! stops the faults and drains the queues.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use futures_util::future::join_all;
use jiff::Timestamp;
use sandbox::aws::account::{ACCOUNT_ID, USER_POOL_ID};
use sandbox::aws::{TABLE, sdk_config};
use serde_json::{Value, json};
use shared::function_context::FunctionContext;
use shared::telemetry::Metrics;
use shared::time::{Clock, plus_seconds};
use workers::{BatchError, account_activity, cache_invalidation, user_stats};

use super::aws::{
    ACCOUNT_ACTIVITIES, CACHE_INVALIDATIONS, FaultyAws, HistoryEntry, Message, Time, USER_EVENTS,
    dead_letters, subject_of,
};
use super::reader::Reader;
use super::schedule::{Kind, MessageSpec, PlantedBug, Round, Schedule, Settings, bodies};

/// Start of every schedule.
pub const START: &str = "2026-03-02T09:00:00Z";
/// Visibility timeout of the queues.
const VISIBILITY_SECONDS: i64 = 180;
/// If the queues are not empty after this many rounds, a message is redelivered forever.
const MAX_ROUNDS: usize = 300;

/// MAX_CACHE_LIFETIME_SECONDS if inactive users are skipped. Otherwise pages live longer than any
/// schedule.
pub const CACHE_LIFETIME_SECONDS: i64 = 1_800;
/// TOKEN_VALIDITY_MINUTES, in seconds.
pub const TOKEN_VALIDITY_SECONDS: i64 = 3_600;

/// Two workers of each kind, and their AWS.
pub struct World {
    pub aws: FaultyAws,
    user_stats: [user_stats::Deps; 2],
    cache_invalidation: [cache_invalidation::Deps; 2],
    account_activity: [account_activity::Deps; 2],
    reader: Reader,
    bug: PlantedBug,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worker {
    UserStats(usize),
    CacheInvalidation(usize),
    AccountActivity(usize),
}

impl Worker {
    /// Index among all six workers.
    fn number(self) -> usize {
        match self {
            Self::UserStats(index) => index,
            Self::CacheInvalidation(index) => 2 + index,
            Self::AccountActivity(index) => 4 + index,
        }
    }

    fn queue(self) -> &'static str {
        match self {
            Self::UserStats(_) => USER_EVENTS,
            Self::CacheInvalidation(_) => CACHE_INVALIDATIONS,
            Self::AccountActivity(_) => ACCOUNT_ACTIVITIES,
        }
    }

    /// maxReceiveCount in template.yaml.
    fn max_receives(self) -> u32 {
        match self {
            Self::UserStats(_) | Self::AccountActivity(_) => 5,
            Self::CacheInvalidation(_) => 10,
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Delivery {
    /// Number of polls after which the worker crashes.
    crash: Option<u8>,
    /// Timeout of the worker.
    seconds: u8,
    /// Whether SQS redelivers the processed messages.
    again: bool,
}

/// Plays a schedule. Fails if the queues do not drain.
pub async fn play(schedule: &Schedule, bug: PlantedBug) -> Result<World, String> {
    fastrand::seed(schedule.seed);
    let world = World::new(schedule, bug).await;
    let messages: Vec<(&MessageSpec, String)> = schedule.specs.iter().zip(bodies(&schedule.specs)).collect();
    for (spec, body) in &messages {
        if spec.kind != Kind::Suspended {
            world.aws.state().put(spec.queue(), body.clone(), None);
        }
    }
    for (number, round) in schedule.rounds.iter().enumerate() {
        tokio::time::sleep(Duration::from_secs(round.seconds.into())).await;
        for (spec, body) in &messages {
            if spec.kind == Kind::Suspended && usize::from(spec.number) % schedule.rounds.len() == number {
                world.aws.suspend(&spec.sub(), schedule.settings.operator_clock()).await;
                world.aws.state().put(USER_EVENTS, body.clone(), None);
            }
        }
        world.round(round).await?;
    }
    world.aws.state().stop_faults();
    world.redrive_messages_without_reason();
    // AWS may still perform requests that were given up.
    while world.aws.state().late > 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    world.drain(&schedule.settings).await?;
    Ok(world)
}

impl World {
    async fn new(schedule: &Schedule, bug: PlantedBug) -> Self {
        let time = Time::starting_at(START.parse().unwrap());
        let aws = FaultyAws::start(time, schedule.faults.clone(), schedule.seed, bug).await;
        let mut environment = environment(&schedule.settings);
        if bug == PlantedBug::TokenValidityTooShort {
            environment.insert("TOKEN_VALIDITY_MINUTES".to_owned(), "10".to_owned());
        }
        if bug == PlantedBug::IntervalNotKept {
            environment.insert("INVALIDATION_INTERVAL_SECONDS".to_owned(), "0".to_owned());
        }
        let function = async |name, worker: Worker| {
            let number = worker.number();
            let clock = time.clock(schedule.settings.clocks[number]);
            function(name, worker.queue(), &environment, &aws.for_worker(number), clock).await
        };
        let user_stats = async |index| {
            user_stats::Deps::new(&function("user-stats", Worker::UserStats(index)).await).unwrap()
        };
        let cache_invalidation = async |index| {
            let function = function("cache-invalidation", Worker::CacheInvalidation(index)).await;
            cache_invalidation::Deps::new(&function).unwrap()
        };
        let account_activity = async |index| {
            let function = function("account-activity", Worker::AccountActivity(index)).await;
            account_activity::Deps::new(&function).unwrap()
        };
        Self {
            user_stats: [user_stats(0).await, user_stats(1).await],
            cache_invalidation: [cache_invalidation(0).await, cache_invalidation(1).await],
            account_activity: [account_activity(0).await, account_activity(1).await],
            reader: Reader::new(schedule, &aws, time, bug),
            aws,
            bug,
        }
    }

    /// Delivers a batch to each worker. The notices may arrive while user-stats runs.
    async fn round(&self, round: &Round) -> Result<(), String> {
        let delivery = |worker: usize| Delivery {
            crash: round.crashes[worker],
            seconds: round.worker_seconds,
            again: round.again,
        };
        let first = self.receive(Worker::UserStats(0), round.sizes[0]);
        let second =
            if round.same { first.clone() } else { self.receive(Worker::UserStats(1), round.sizes[1]) };
        let calls = async |index: usize| {
            let worker = Worker::AccountActivity(index);
            let messages = self.receive(worker, round.calls[index]);
            self.deliver(worker, messages, delivery(4 + index)).await.map(drop)
        };
        let notices = async |index: usize| {
            tokio::time::sleep(Duration::from_millis(round.notices_after[index].into())).await;
            let worker = Worker::CacheInvalidation(index);
            let mut deliveries =
                vec![self.deliver(worker, self.receive(worker, round.notices[index]), delivery(2 + index))];
            if round.same_notices && index == 0 {
                let other = Worker::CacheInvalidation(1);
                let messages = self.aws.state().queue(other.queue()).clone();
                let same = messages.into_iter().filter(|message| message.visible_at > self.now()).collect();
                deliveries.push(self.deliver(other, same, delivery(3)));
            }
            join_all(deliveries).await.into_iter().collect::<Result<Vec<_>, _>>().map(drop)
        };
        let reads = async {
            for read in &round.reads {
                tokio::time::sleep(Duration::from_millis(read.millis.into())).await;
                self.reader.read(*read).await?;
            }
            Ok(())
        };
        let (a, b, c, d, e, f, g) = tokio::join!(
            async { self.deliver(Worker::UserStats(0), first, delivery(0)).await.map(drop) },
            async { self.deliver(Worker::UserStats(1), second, delivery(1)).await.map(drop) },
            notices(0),
            async { if round.same_notices { Ok(()) } else { notices(1).await } },
            reads,
            calls(0),
            calls(1),
        );
        a.and(b).and(c).and(d).and(e).and(f).and(g)
    }

    fn receive(&self, worker: Worker, size: usize) -> Vec<Message> {
        self.aws.state().receive(worker.queue(), size, VISIBILITY_SECONDS, worker.max_receives())
    }

    /// Delivers a batch to a worker, and applies its response unless it crashes. Returns the bodies of
    /// the messages that it reported as failed.
    async fn deliver(
        &self,
        worker: Worker,
        messages: Vec<Message>,
        delivery: Delivery,
    ) -> Result<Vec<String>, String> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        self.aws.state().start_delivery(worker.number());
        let event = sqs_event(&messages);
        let deadline = plus_seconds(self.now(), delivery.seconds.into());
        let handling: Handling<'_> = match worker {
            Worker::UserStats(index) => {
                Box::pin(user_stats::handle(&self.user_stats[index], event, deadline))
            }
            Worker::CacheInvalidation(index) => {
                Box::pin(cache_invalidation::handle(&self.cache_invalidation[index], event, deadline))
            }
            Worker::AccountActivity(index) => {
                Box::pin(account_activity::handle(&self.account_activity[index], event, deadline))
            }
        };
        let response = CrashingWorker { handling, polls_left: delivery.crash }.await;
        if self.now() > deadline {
            return Err(format!("{worker:?} took longer than {} s", delivery.seconds));
        }
        // SQS deletes nothing if the worker crashed.
        let response = match response {
            None => return Ok(Vec::new()),
            Some(Err(error)) => return Err(format!("{worker:?}: {error}")),
            Some(Ok(response)) => response,
        };
        let mut failed: Vec<String> =
            response.batch_item_failures.into_iter().map(|item| item.item_identifier).collect();
        let is_failed = |message: &&Message| failed.contains(&message.id);
        let failed_bodies = messages.iter().filter(is_failed).map(|message| message.body.clone()).collect();
        if self.bug == PlantedBug::FailureNotReported && !failed.is_empty() {
            failed.remove(0);
        }
        if self.bug == PlantedBug::WaitingChangeDropped && self.aws.state().has_waiting[worker.number()] {
            failed.clear();
        }
        let done: Vec<&Message> = messages.iter().filter(|message| !failed.contains(&message.id)).collect();
        let mut state = self.aws.state();
        let now = state.time.now();
        // SQS deletes a message only with its latest receipt handle.
        let is_done = |message: &Message| done.iter().any(|done| done.receipt == message.receipt);
        if delivery.again {
            let queue = state.queue(worker.queue()).iter_mut();
            queue.filter(|message| is_done(message)).for_each(|message| message.visible_at = now);
        } else {
            let subs: BTreeSet<String> =
                done.iter().filter_map(|message| subject_of(&message.body)).collect();
            let done = subs.iter().map(|sub| HistoryEntry::Done { sub: sub.clone(), at: now });
            state.history.extend(done);
            state.queue(worker.queue()).retain(|message| !is_done(message));
            for sub in subs {
                if !state.has_messages_about(&sub) {
                    state.history.push(HistoryEntry::Settled { sub, at: now });
                }
            }
        }
        Ok(failed_bodies)
    }

    /// Moves the messages back that SQS dead-lettered after too many receives, as an operator does after
    /// an outage.
    fn redrive_messages_without_reason(&self) {
        let mut state = self.aws.state();
        for queue in [USER_EVENTS, CACHE_INVALIDATIONS, ACCOUNT_ACTIVITIES] {
            state.queue(queue).iter_mut().for_each(|message| message.receives = 0);
            for message in std::mem::take(state.queue(&dead_letters(queue))) {
                match message.error_type {
                    None => drop(state.put(queue, message.body, None)),
                    Some(_) => state.queue(&dead_letters(queue)).push(message),
                }
            }
        }
    }

    /// Delivers messages until the queues are empty. Messages may fail only if they wait for the next
    /// purge, or for the next invalidation of their user.
    async fn drain(&self, settings: &Settings) -> Result<(), String> {
        let delivery = Delivery { seconds: 60, ..Delivery::default() };
        let may_wait = settings.interval > 0
            || settings.purge_all_threshold < 3_000
            || (settings.purge_all_when_spent && settings.budget.is_some());
        for _ in 0..MAX_ROUNDS {
            let next = {
                let mut state = self.aws.state();
                let waiting = [USER_EVENTS, CACHE_INVALIDATIONS, ACCOUNT_ACTIVITIES]
                    .map(|queue| state.queue(queue).iter().map(|message| message.visible_at).min());
                waiting.into_iter().flatten().min()
            };
            let Some(next) = next else { return Ok(()) };
            let time = self.aws.state().time;
            time.pass_until(next).await;
            let workers = [Worker::UserStats(0), Worker::AccountActivity(1), Worker::CacheInvalidation(1)];
            for worker in workers {
                let failed = self.deliver(worker, self.receive(worker, 10), delivery).await?;
                let waits = may_wait && matches!(worker, Worker::CacheInvalidation(_));
                if !failed.is_empty() && !waits {
                    return Err(format!("messages failed without a fault: {worker:?} {failed:?}"));
                }
                let state = self.aws.state();
                if let Some(waiting) = failed.iter().find(|body| state.is_urgent(body)) {
                    return Err(format!("a suspension or erasure waits: {waiting}"));
                }
            }
        }
        Err("the queues did not drain".to_owned())
    }

    fn now(&self) -> Timestamp {
        self.aws.state().time.now()
    }
}

/// The context of a worker.
pub async fn function(
    name: &'static str,
    queue: &str,
    environment: &BTreeMap<String, String>,
    aws: &FaultyAws,
    clock: Clock,
) -> FunctionContext {
    let own = [("DEAD_LETTER_QUEUE_URL".to_owned(), dead_letters(queue))];
    let counted = aws.clone();
    FunctionContext {
        environment: environment.clone().into_iter().chain(own).collect(),
        aws: shared::aws::worker_settings(sdk_config(aws.clone())),
        metrics: Metrics::new(name, clock.clone(), move |line| {
            counted.state().record_metric(counted.worker, line)
        }),
        clock,
    }
}

/// The environment variables of the workers.
pub fn environment(settings: &Settings) -> BTreeMap<String, String> {
    let Settings { skip_inactive, by_path, purge_all_threshold, interval, .. } = settings;
    let Settings { budget, purge_all_when_spent, .. } = settings;
    let lifetime = if *skip_inactive { CACHE_LIFETIME_SECONDS } else { 31_536_000 };
    let lifetime = settings.adaptive.map_or(lifetime, |adaptive| i64::from(adaptive.max_seconds));
    let adaptive = settings.adaptive.iter().flat_map(|adaptive| {
        [
            ("ORIGIN_LIFETIME", "adaptive".to_owned()),
            ("CACHE_LIFETIME_DIVISOR", adaptive.divisor.to_string()),
            ("INVALIDATION_POLICY", adaptive.policy.to_owned()),
        ]
    });
    [
        ("TABLE_NAME", TABLE.to_owned()),
        ("USER_EVENTS_QUEUE_URL", USER_EVENTS.to_owned()),
        ("CACHE_INVALIDATIONS_QUEUE_URL", CACHE_INVALIDATIONS.to_owned()),
        ("ACCOUNT_ACTIVITIES_QUEUE_URL", ACCOUNT_ACTIVITIES.to_owned()),
        ("ACCOUNT_ID", ACCOUNT_ID.to_owned()),
        ("USER_POOL_ID", USER_POOL_ID.to_owned()),
        ("DISTRIBUTION_ID", "E1EXAMPLE".to_owned()),
        ("SKIP_INACTIVE_USERS", skip_inactive.to_string()),
        ("INVALIDATION_TARGET", if *by_path { "path" } else { "tag" }.to_owned()),
        ("PURGE_ALL_THRESHOLD", purge_all_threshold.to_string()),
        ("INVALIDATION_INTERVAL_SECONDS", interval.to_string()),
        ("MONTHLY_ITEM_BUDGET", budget.unwrap_or_default().to_string()),
        ("ON_BUDGET_EXHAUSTED", if *purge_all_when_spent { "purge_all" } else { "expire" }.to_owned()),
        ("MAX_CACHE_LIFETIME_SECONDS", lifetime.to_string()),
        ("TOKEN_VALIDITY_MINUTES", (TOKEN_VALIDITY_SECONDS / 60).to_string()),
        ("ALLOW_ERASURE_EVENTS", "true".to_owned()),
    ]
    .into_iter()
    .chain(adaptive)
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

type Handling<'a> = Pin<Box<dyn Future<Output = Result<SqsBatchResponse, BatchError>> + 'a>>;

/// A worker that crashes after a number of polls, at whatever it awaits then.
struct CrashingWorker<'a> {
    handling: Handling<'a>,
    polls_left: Option<u8>,
}

impl Future for CrashingWorker<'_> {
    type Output = Option<Result<SqsBatchResponse, BatchError>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.polls_left {
            Some(0) => return Poll::Ready(None),
            Some(polls_left) => *polls_left -= 1,
            None => {}
        }
        self.handling.as_mut().poll(context).map(Some)
    }
}

pub fn sqs_event(messages: &[Message]) -> SqsEvent {
    let records: Vec<Value> = messages
        .iter()
        .map(|message| {
            json!({
                "messageId": message.id,
                "receiptHandle": message.receipt,
                "body": message.body,
                "attributes": {
                    "ApproximateReceiveCount": message.receives.to_string(),
                    "SentTimestamp": message.sent_at.as_millisecond().to_string(),
                },
                "messageAttributes": {},
            })
        })
        .collect();
    serde_json::from_value(json!({ "Records": records })).unwrap()
}
