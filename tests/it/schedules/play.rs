//! Plays a schedule: hands messages to workers that may die, while everything fails; then lets everything heal, and
//! drains the queues.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};

use aws_config::SdkConfig;
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use replay::embedded::{ManualTime, TABLE, loader_for};
use serde_json::{Value, json};
use shared::function::Function;
use shared::telemetry::Metrics;
use shared::time::plus_seconds;
use workers::{BatchError, cache_invalidation, user_stats};

use super::aws::{CACHE_INVALIDATIONS, FaultyAws, Message, USER_EVENTS, dead_letters};
use super::schedule::{Plant, Schedule, bodies};

/// When every schedule starts.
pub const START: &str = "2026-03-02T09:00:00Z";
/// The queues' own visibility time-out.
const VISIBILITY_SECONDS: i64 = 180;
/// A batch's worth of time.
const WORKER_SECONDS: i64 = 60;
/// A schedule that is not at rest by then never is.
const MAX_ROUNDS: usize = 300;

/// MAX_CACHE_LIFETIME_SECONDS where idle users are skipped. Else entries live longer than any schedule takes.
pub const CACHE_LIFETIME_SECONDS: i64 = 1_800;
/// TOKEN_VALIDITY_MINUTES, in seconds.
pub const TOKEN_VALIDITY_SECONDS: i64 = 3_600;

/// The two workers on their AWS.
pub struct World {
    /// What they work on.
    pub aws: FaultyAws,
    user_stats: user_stats::Deps,
    cache_invalidation: cache_invalidation::Deps,
    time: ManualTime,
    plant: Plant,
}

/// Which worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worker {
    UserStats,
    CacheInvalidation,
}

impl Worker {
    fn queue(self) -> &'static str {
        match self {
            Self::UserStats => USER_EVENTS,
            Self::CacheInvalidation => CACHE_INVALIDATIONS,
        }
    }

    /// As in the template.
    fn max_receives(self) -> u32 {
        match self {
            Self::UserStats => 5,
            Self::CacheInvalidation => 10,
        }
    }
}

/// Plays a schedule to its end; fails where the queues do not come to rest.
pub async fn play(schedule: &Schedule, plant: Plant) -> Result<World, String> {
    fastrand::seed(schedule.seed);
    let world = World::new(schedule, plant).await;
    for body in bodies(&schedule.specs) {
        world.aws.state().put(USER_EVENTS, body, None);
    }
    for round in &schedule.rounds {
        world.time.advance(i64::from(round.seconds));
        let first = world.receive(Worker::UserStats, round.sizes[0]);
        let second =
            if round.same { first.clone() } else { world.receive(Worker::UserStats, round.sizes[1]) };
        let world = &world;
        let [first_crash, second_crash, third_crash, last_crash] = round.crashes;
        let notices = async |index: usize, crash| {
            for _ in 0..round.notices_after[index] {
                tokio::task::yield_now().await;
            }
            let notices = world.receive(Worker::CacheInvalidation, round.notices[index]);
            world.run(Worker::CacheInvalidation, notices, crash).await
        };
        let mut running: FuturesUnordered<Running<'_>> = FuturesUnordered::new();
        running.push(Box::pin(world.run(Worker::UserStats, first, first_crash)));
        running.push(Box::pin(world.run(Worker::UserStats, second, second_crash)));
        running.push(Box::pin(notices(0, third_crash)));
        running.push(Box::pin(notices(1, last_crash)));
        let mut done = Vec::new();
        while let Some(outcome) = running.next().await {
            done.push(outcome);
        }
        drop(running);
        for (worker, messages, response) in done {
            world.settle(worker, &messages, response, round.again);
        }
    }
    world.aws.state().heal();
    world.drain().await.map(|()| world)
}

impl World {
    async fn new(schedule: &Schedule, plant: Plant) -> Self {
        let time = ManualTime::starting_at(START.parse().unwrap());
        let aws = FaultyAws::start(time.clone(), schedule.faults.clone(), schedule.seed, plant).await;
        let config = shared::aws::worker_settings(loader_for(aws.clone())).load().await;
        let environment = environment(schedule.skip_idle);
        let function = |name, queue| function(name, queue, &environment, &config, &time);
        Self {
            user_stats: user_stats::Deps::new(&function("user-stats", USER_EVENTS)).unwrap(),
            cache_invalidation: cache_invalidation::Deps::new(&function(
                "cache-invalidation",
                CACHE_INVALIDATIONS,
            ))
            .unwrap(),
            aws,
            time,
            plant,
        }
    }

    /// What is visible in a worker's queue, at most `size` messages. What was received too often goes to the
    /// dead-letter queue.
    fn receive(&self, worker: Worker, size: usize) -> Vec<Message> {
        let mut state = self.aws.state();
        let (now, mut received, mut dead) = (state.time.now(), Vec::new(), Vec::new());
        for message in state.queue(worker.queue()).iter_mut().filter(|message| message.visible_at <= now) {
            if received.len() == size {
                break;
            }
            message.receives += 1;
            message.visible_at = plus_seconds(now, VISIBILITY_SECONDS);
            if message.receives > worker.max_receives() {
                dead.push(message.clone());
            } else {
                received.push(message.clone());
            }
        }
        for message in dead {
            state.queue(worker.queue()).retain(|other| other.id != message.id);
            state.put(&dead_letters(worker.queue()), message.body, None);
        }
        received
    }

    /// Runs a worker on a batch. It dies after some polls, or answers.
    async fn run(
        &self,
        worker: Worker,
        messages: Vec<Message>,
        crash: Option<u8>,
    ) -> (Worker, Vec<Message>, Option<SqsBatchResponse>) {
        if messages.is_empty() {
            return (worker, messages, None);
        }
        let event = sqs_event(&messages);
        let deadline = plus_seconds(self.time.now(), WORKER_SECONDS);
        let handling: Handling<'_> = match worker {
            Worker::UserStats => Box::pin(user_stats::handle(&self.user_stats, event, deadline)),
            Worker::CacheInvalidation => {
                Box::pin(cache_invalidation::handle(&self.cache_invalidation, event, deadline))
            }
        };
        let response = Mortal { handling, polls_left: crash }.await;
        (worker, messages, response)
    }

    /// Does what the response says: what is not reported is deleted. A worker that died deletes nothing.
    fn settle(
        &self,
        worker: Worker,
        messages: &[Message],
        response: Option<SqsBatchResponse>,
        deletion_lost: bool,
    ) {
        let Some(response) = response else { return };
        let mut failed: Vec<String> =
            response.batch_item_failures.into_iter().map(|item| item.item_identifier).collect();
        if self.plant == Plant::ForgetsFailure && !failed.is_empty() {
            failed.remove(0);
        }
        let mut state = self.aws.state();
        let now = state.time.now();
        let done = |message: &Message| {
            messages.iter().any(|other| other.id == message.id) && !failed.contains(&message.id)
        };
        if deletion_lost {
            for message in state.queue(worker.queue()).iter_mut().filter(|message| done(message)) {
                message.visible_at = now;
            }
        } else {
            state.queue(worker.queue()).retain(|message| !done(message));
        }
    }

    /// Delivers everything until the queues are empty. What SQS moved away after too many receives is brought back, as
    /// an operator would.
    async fn drain(&self) -> Result<(), String> {
        for _ in 0..MAX_ROUNDS {
            let next = {
                let mut state = self.aws.state();
                for worker in [Worker::UserStats, Worker::CacheInvalidation] {
                    let dead = std::mem::take(state.queue(&dead_letters(worker.queue())));
                    for message in dead {
                        match message.error_type {
                            None => drop(state.put(worker.queue(), message.body, None)),
                            Some(_) => state.queue(&dead_letters(worker.queue())).push(message),
                        }
                    }
                }
                let waiting = [USER_EVENTS, CACHE_INVALIDATIONS]
                    .map(|queue| state.queue(queue).iter().map(|message| message.visible_at).min());
                waiting.into_iter().flatten().min()
            };
            let Some(next) = next else { return Ok(()) };
            self.time.move_to(next);
            for worker in [Worker::UserStats, Worker::CacheInvalidation] {
                let messages = self.receive(worker, 10);
                let (worker, messages, response) = self.run(worker, messages, None).await;
                self.settle(worker, &messages, response, false);
            }
        }
        Err("the queues do not come to rest".to_owned())
    }

    /// The time at the end.
    pub fn now(&self) -> Timestamp {
        self.time.now()
    }
}

/// What a worker is built from.
pub fn function(
    name: &'static str,
    queue: &str,
    environment: &BTreeMap<String, String>,
    config: &SdkConfig,
    time: &ManualTime,
) -> Function {
    let own = [("DEAD_LETTER_QUEUE_URL".to_owned(), dead_letters(queue))];
    Function {
        environment: environment.clone().into_iter().chain(own).collect(),
        aws: config.clone(),
        clock: time.clock(),
        metrics: Metrics::new(name, time.clock(), |_| ()),
    }
}

/// The workers' variables.
pub fn environment(skip_idle: bool) -> BTreeMap<String, String> {
    let lifetime = if skip_idle { CACHE_LIFETIME_SECONDS } else { 31_536_000 };
    [
        ("TABLE_NAME", TABLE.to_owned()),
        ("USER_EVENTS_QUEUE_URL", USER_EVENTS.to_owned()),
        ("CACHE_INVALIDATIONS_QUEUE_URL", CACHE_INVALIDATIONS.to_owned()),
        ("DISTRIBUTION_ID", "E1EXAMPLE".to_owned()),
        ("SKIP_IDLE_USERS", skip_idle.to_string()),
        ("MAX_CACHE_LIFETIME_SECONDS", lifetime.to_string()),
        ("TOKEN_VALIDITY_MINUTES", (TOKEN_VALIDITY_SECONDS / 60).to_string()),
        ("ALLOW_ERASURE_EVENTS", "true".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

type Handling<'a> = Pin<Box<dyn Future<Output = Result<SqsBatchResponse, BatchError>> + 'a>>;

/// A worker at its batch, and what it answers.
type Running<'a> = Pin<Box<dyn Future<Output = (Worker, Vec<Message>, Option<SqsBatchResponse>)> + 'a>>;

/// A worker that dies after some polls: at whatever it awaits then.
struct Mortal<'a> {
    handling: Handling<'a>,
    polls_left: Option<u8>,
}

impl Future for Mortal<'_> {
    type Output = Option<SqsBatchResponse>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.polls_left {
            Some(0) => return Poll::Ready(None),
            Some(polls_left) => *polls_left -= 1,
            None => {}
        }
        self.handling.as_mut().poll(context).map(Result::ok)
    }
}

pub fn sqs_event(messages: &[Message]) -> SqsEvent {
    let records: Vec<Value> = messages
        .iter()
        .map(|message| {
            json!({
                "messageId": message.id,
                "receiptHandle": message.id,
                "body": message.body,
                "attributes": {
                    "ApproximateReceiveCount": message.receives.to_string(),
                    "SentTimestamp": "1772442000000",
                },
                "messageAttributes": {},
            })
        })
        .collect();
    serde_json::from_value(json!({ "Records": records })).unwrap()
}
