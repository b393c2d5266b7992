//! Bringing dead letters back: what would go, and how; then either SQS moves them, or they are copied and deleted entry by
//! entry.
//!
//! Entry by entry, a message is deleted only once SQS has said that it accepted its copy. Wherever it is cut off, each
//! message is in one of the queues, or, between copy and deletion, in both; never in none.

pub mod command;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::ListMessageMoveTasksResultEntry;
use shared::events::unique_id;
use shared::queues::{Message, Queue, QueueError, Sent, backoff, batches};
use shared::telemetry::chain;
use shared::time::{Clock, plus_seconds, seconds_between};
use tokio::time::{Instant, sleep};

use crate::queue::filter::Filter;
use crate::error::InvalidInput;
use crate::queue::inspect::Inspection;
use crate::queue::message::QueuedMessage;
use crate::queue::description::{QueueDescription, told, with_advice};
use crate::queue::reader::{Received, QueueReader, delete};
use shared::text::plural;
use crate::interrupt::StopSignal;
use crate::rate::{RateLimiter, entries_at};

/// How long messages that were received stay invisible, and with them those that stay.
const HOLD: Duration = Duration::from_secs(900);
/// A message that becomes visible again sooner is not sent: its deletion might come too late.
const MARGIN_SECONDS: i64 = 150;
/// SQS: a FIFO queue swallows a deduplication id for so long.
const DEDUPLICATION_SECONDS: i64 = 300;
/// Attempts to send against throttling.
const MAX_ATTEMPTS: u32 = 6;
/// The first pause between them; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A move task that SQS has not listed after so many looks is not followed any more.
const MAX_LOOKS_UNLISTED: u32 = 60;
/// After an error, so often is looked whether the task was started all the same.
const MAX_LOOKS_FOR_OURS: u32 = 3;
/// Reasons of messages that no worker will ever take as they are.
const HOPELESS: [&str; 5] = ["invalid_data", "not_cloudevents", "not_json", "too_large", "too_old"];
/// SQS: a move task moves at most so many messages a second.
pub const MAX_TASK_RATE: u32 = 500;
/// How often a move task is looked at.
const POLL: Duration = Duration::from_secs(1);

/// From where to where.
#[derive(Clone, Debug)]
pub struct Route {
    sqs: Client,
    /// The dead-letter queue.
    pub from: QueueDescription,
    /// Where its messages go.
    pub to: QueueDescription,
    /// Whether it is the dead-letter queue of any queue.
    pub is_dead_letter_queue: bool,
}

/// Which messages go, and how.
#[derive(Clone, Debug, Default)]
pub struct RedriveOptions {
    /// Those that meet it.
    pub filter: Filter,
    /// At most so many.
    pub max: Option<usize>,
    /// What the plan has seen. When so many have gone, and so many were seen, it ends, whatever comes on.
    pub planned: Option<Planned>,
    /// Messages a second.
    pub rate: Option<u32>,
    /// Whether a FIFO queue is given the old deduplication ids, and not fresh ones.
    pub keep_deduplication_ids: bool,
    /// Whether to copy and delete entry by entry also where SQS could move them.
    pub by_entry: bool,
}

/// What a plan has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// So many go.
    pub goes: usize,
    /// So many messages were there.
    pub seen: usize,
}

/// What would happen.
#[derive(Debug)]
pub struct Plan {
    /// The messages that go.
    pub goes: Inspection,
    /// The messages that stay.
    pub stays: Inspection,
    /// Whether some were not seen: they are invisible, or SQS does not show them.
    pub has_unseen: bool,
    /// What was not seen, for people.
    unseen_text: String,
    /// How.
    pub method: Method,
}

/// How messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// SQS moves them by itself (StartMessageMoveTask), all of them.
    MoveTask,
    /// Entry by entry, for this reason.
    ByEntry(&'static str),
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Redriven {
    /// Copied and deleted.
    pub moved: usize,
    /// Copied, and not deleted for certain: they may be in both queues.
    pub in_both: usize,
    /// SQS did not answer whether it took the copies: they are where they were, and may be in both queues.
    pub in_doubt: usize,
    /// SQS refused the copy, by its word for it. They are where they were.
    pub refused: BTreeMap<String, usize>,
    /// They were not meant, or it was cut off. They are where they were.
    pub stayed: usize,
    /// Whether it was cut off, so that nobody knows how many stayed.
    pub is_cut_off: bool,
    /// What was not seen, for people.
    unseen_text: String,
    /// Of those that are where they were, so many could not be made visible at once, and will be in 15 minutes at most.
    pub still_invisible: usize,
    /// What ended it before its time.
    pub error: Option<anyhow::Error>,
}

impl Route {
    /// Describes both queues, and refuses what cannot go well. Without `to`, messages go to the one queue whose dead
    /// letters these are.
    pub async fn new(sqs: Client, from: &str, to: Option<&str>) -> Result<Self> {
        let from = QueueDescription::read(&sqs, from).await.context("--from")?;
        from.refuse_source_queue().context("--from")?;
        let call = sqs.list_dead_letter_source_queues().queue_url(&from.url);
        let sources = call.send().await.map(|output| output.queue_urls);
        let to = match (to, &sources) {
            (Some(to), _) => to.to_owned(),
            (None, Ok(sources)) => match sources.as_slice() {
                [source] => source.clone(),
                [] => {
                    let told =
                        format!("--to: no queue has {} as its dead-letter queue; say where to", from.name());
                    return InvalidInput::err(told);
                }
                _ => {
                    let told = format!(
                        "--to: several queues have {} as their dead-letter queue; say which",
                        from.name()
                    );
                    return InvalidInput::err(told);
                }
            },
            (None, Err(_)) => {
                let error = sources.map_err(told("ListDeadLetterSourceQueues")).err();
                return Err(error.context("ListDeadLetterSourceQueues")?.context("--to: say where to"));
            }
        };
        let to = QueueDescription::read(&sqs, &to).await.context("--to")?;
        if from.arn == to.arn {
            return InvalidInput::err("--to: is the same queue as --from");
        }
        if from.is_fifo != to.is_fifo {
            let (from_kind, to_kind) = (from.kind(), to.kind());
            let told =
                format!("--to: {} is a {to_kind} queue, and {} a {from_kind} queue", to.name(), from.name());
            return InvalidInput::err(told);
        }
        let is_dead_letter_queue = sources.is_ok_and(|sources| !sources.is_empty());
        Ok(Self { sqs, from, to, is_dead_letter_queue })
    }

    /// Looks at every message, gives all of them back, and tells what would happen.
    pub async fn plan(
        &self,
        terms: &RedriveOptions,
        clock: &Clock,
        stop: &StopSignal,
        progress: &dyn Fn(usize),
    ) -> Result<Plan> {
        let looked = RefCell::new((Inspection::default(), Inspection::default(), false));
        let look = async |receiving: &QueueReader<'_>, received: Vec<Received>| {
            let mut looked = looked.borrow_mut();
            let (goes, stays, parked) = &mut *looked;
            for Received { message, .. } in &received {
                *parked |= message.is_parked();
                if terms.filter.is_met_by(message, clock) && terms.max.is_none_or(|max| goes.messages < max) {
                    goes.add(message, 0, clock.now());
                } else {
                    stays.add(message, 0, clock.now());
                }
            }
            progress(goes.messages + stays.messages);
            receiving.hold(received)
        };
        let mut report = QueueReader::new((&self.sqs, &self.from), HOLD, clock, stop)?.each(look).await;
        if let Some(error) = report.error.take() {
            return Err(error.context("nothing was sent"));
        }
        let still_invisible = report.still_invisible;
        if still_invisible > 0 {
            bail!(
                "nothing was sent; {still_invisible} messages stay invisible for up to 15 minutes: may you change \
                 their visibility?"
            );
        }
        let (goes, stays, parked) = looked.into_inner();
        let has_unseen = report.unseen > 0 || report.is_limited || self.from.invisible > 0;
        let unseen_text = report.unseen_text(&self.from);
        Ok(Plan { method: self.method(terms, parked, has_unseen), goes, stays, has_unseen, unseen_text })
    }

    /// SQS moves messages by itself where all are meant, as they are.
    fn method(&self, terms: &RedriveOptions, parked: bool, has_unseen: bool) -> Method {
        match terms {
            RedriveOptions { by_entry: true, .. } => Method::ByEntry("--by-entry"),
            RedriveOptions { filter, .. } if !filter.is_empty() => Method::ByEntry("not all are meant"),
            RedriveOptions { max: Some(_), .. } => Method::ByEntry("--max"),
            RedriveOptions { rate: Some(rate), .. } if *rate > MAX_TASK_RATE => {
                Method::ByEntry("SQS itself moves at most 500 a second")
            }
            RedriveOptions { keep_deduplication_ids: true, .. } => Method::ByEntry("--keep-deduplication-ids"),
            _ if parked => Method::ByEntry("the reasons of parked messages are taken off"),
            _ if has_unseen => Method::ByEntry("not all could be looked at"),
            _ if !self.is_dead_letter_queue => {
                Method::ByEntry("no queue names it as its dead-letter queue, or you may not ask")
            }
            _ => Method::MoveTask,
        }
    }

    /// Copies messages and deletes them, entry by entry, until none is left that is meant, or `max` have gone: where a worker
    /// parks all of them again, it would never end. What stays is given back.
    pub async fn by_entry(
        &self,
        terms: &RedriveOptions,
        clock: &Clock,
        stop: &StopSignal,
        progress: &dyn Fn(usize),
    ) -> Redriven {
        let run = Run {
            route: self,
            terms,
            clock,
            stop,
            progress,
            target: Queue::new(self.sqs.clone(), &self.to.url).without_retries(),
            name: unique_id(clock.now()),
            pacer: RateLimiter::new(terms.rate),
            begun: RefCell::new(0),
            old_ids: RefCell::default(),
            outcome: RefCell::default(),
        };
        let receiving = match QueueReader::new((&self.sqs, &self.from), HOLD, clock, stop) {
            Ok(receiving) => receiving,
            Err(error) => return Redriven { error: Some(error), ..Redriven::default() },
        };
        let report = receiving.each(async |receiving, received| run.work(receiving, received).await).await;
        let mut outcome = run.outcome.into_inner();
        outcome.still_invisible = report.still_invisible;
        outcome.is_cut_off |= stop.is_requested() || report.error.is_some();
        if !outcome.is_cut_off && terms.max.is_none_or(|max| run.begun.into_inner() < max) {
            outcome.unseen_text = report.unseen_text(&self.from);
        }
        outcome.error = report.error;
        outcome
    }

    /// Has SQS move all messages, and follows its counts. The destination is always given: SQS does not know where parked
    /// messages came from. Asked to stop, it cancels the task.
    pub async fn by_move_task(
        &self,
        rate: Option<u32>,
        stop: &StopSignal,
        progress: &dyn Fn(usize, Option<usize>),
    ) -> Result<usize> {
        // What it lists first is the latest: ours, once it is listed.
        let before =
            self.latest_task().await.context("nothing was moved")?.map(|task| task.started_timestamp());
        let call = self.sqs.start_message_move_task().source_arn(&self.from.arn);
        let call = call.destination_arn(&self.to.arn);
        let call = call.set_max_number_of_messages_per_second(rate.and_then(|rate| i32::try_from(rate).ok()));
        let started = call.send().await.map_err(told("StartMessageMoveTask"));
        if let Err(error) = started {
            // It may have been started all the same, by an attempt whose answer was lost.
            let is_ours = |task: &ListMessageMoveTasksResultEntry| {
                Some(task.started_timestamp()) != before && task.destination_arn() == Some(&self.to.arn)
            };
            let mut looks = 0;
            while !self.latest_task().await?.is_some_and(|task| is_ours(&task)) {
                looks += 1;
                if looks == MAX_LOOKS_FOR_OURS {
                    return Err(
                        error.context("nothing was moved; with --by-entry it goes without SQS's help")
                    );
                }
                sleep(POLL).await;
            }
        }
        let (mut moved, mut cancelled, mut unlisted) = (0, false, 0);
        loop {
            if cancelled {
                sleep(POLL).await;
            } else if !stop.sleep_until(Instant::now() + POLL).await {
                cancelled = true;
            }
            let task = self.latest_task().await.context("the task goes on in SQS, and cannot be followed")?;
            let Some(task) = task.filter(|task| Some(task.started_timestamp()) != before) else {
                unlisted += 1;
                if unlisted > MAX_LOOKS_UNLISTED {
                    bail!("the task was started, and SQS does not list it: look at the queues");
                }
                continue;
            };
            if let (true, Some(handle)) = (cancelled, task.task_handle()) {
                // What is under way still goes, and it may have ended meanwhile: the list tells.
                let _ = self.sqs.cancel_message_move_task().task_handle(handle).send().await;
            }
            moved = to_usize(task.approximate_number_of_messages_moved()).max(moved);
            progress(moved, task.approximate_number_of_messages_to_move().map(to_usize));
            match task.status().unwrap_or_default() {
                "RUNNING" | "CANCELLING" => {}
                "COMPLETED" => return Ok(moved),
                "CANCELLED" if cancelled => return Ok(moved),
                status => {
                    let why = task.failure_reason().unwrap_or("SQS does not say why");
                    bail!(
                        "SQS moved about {moved} messages, then its task ended as {status}: {}",
                        with_advice(why)
                    );
                }
            }
        }
    }
}

impl Route {
    /// The move task of the dead-letter queue that was started last.
    async fn latest_task(&self) -> Result<Option<ListMessageMoveTasksResultEntry>> {
        let call = self.sqs.list_message_move_tasks().source_arn(&self.from.arn).max_results(1);
        let output = call.send().await.map_err(told("ListMessageMoveTasks"))?;
        Ok(output.results.unwrap_or_default().into_iter().next())
    }
}

fn to_usize(count: i64) -> usize {
    usize::try_from(count).unwrap_or_default()
}

/// Sends a batch, and once more after a pause where SQS throttles: it took nothing then. Other failures are not tried again,
/// so that nothing comes twice without a word.
pub async fn send_patiently(queue: &Queue, batch: Vec<(usize, Message)>) -> Result<Sent, QueueError> {
    let mut attempts = 1;
    loop {
        match queue.try_send(batch.clone()).await {
            Err(error) if error.is_throttled() && attempts < MAX_ATTEMPTS => {
                sleep(backoff(FIRST_PAUSE, LONGEST_PAUSE, attempts, fastrand::f64())).await;
                attempts += 1;
            }
            answer => return answer,
        }
    }
}

/// One run of [`Route::by_entry`].
struct Run<'a> {
    route: &'a Route,
    terms: &'a RedriveOptions,
    clock: &'a Clock,
    stop: &'a StopSignal,
    progress: &'a dyn Fn(usize),
    target: Queue,
    /// Makes fresh deduplication ids differ from those of any other run: what comes back to the dead-letter queue keeps its
    /// message id, and must not be swallowed the second time.
    name: String,
    pacer: RateLimiter,
    /// Messages that are sent or were: never more than `max`.
    begun: RefCell<usize>,
    /// Old deduplication ids that were sent.
    old_ids: RefCell<HashSet<String>>,
    outcome: RefCell<Redriven>,
}

impl Run<'_> {
    async fn work(&self, receiving: &QueueReader<'_>, received: Vec<Received>) -> Result<()> {
        let (mut meant, mut others) = (Vec::new(), Vec::new());
        for received in received {
            let is_meant = self.terms.filter.is_met_by(&received.message, self.clock);
            if is_meant && self.begin() {
                meant.push(received);
            } else {
                others.push(received);
            }
        }
        self.leave(receiving, others)?;
        let mut sendable = Vec::new();
        for received in meant {
            if let Some(reason) = self.is_deduplicated(&received.message) {
                self.refuse(reason);
                receiving.hold([received])?;
                continue;
            }
            match received.message.to_send(self.deduplication_id(&received.message)) {
                Ok(message) => sendable.push((received, message)),
                Err(reason) => {
                    self.refuse(&reason.to_string());
                    receiving.hold([received])?;
                }
            }
        }
        for batch in self.batches(sendable) {
            self.copy(receiving, batch).await?;
        }
        let begun = *self.begun.borrow();
        if self.terms.planned.is_some_and(|planned| begun >= planned.goes && receiving.seen() >= planned.seen)
        {
            receiving.finish_receiving();
        }
        Ok(())
    }

    /// Takes one of the `max`.
    fn begin(&self) -> bool {
        let mut begun = self.begun.borrow_mut();
        let at_most = [self.terms.max, self.terms.planned.map(|planned| planned.goes)];
        let is_one_more = at_most.iter().flatten().all(|at_most| *begun < *at_most);
        *begun += usize::from(is_one_more);
        is_one_more
    }

    /// Why a FIFO queue would take the copy and throw it away, where its old deduplication id is kept.
    fn is_deduplicated(&self, message: &QueuedMessage) -> Option<&'static str> {
        let old = message.deduplication_id().filter(|_| self.terms.keep_deduplication_ids)?;
        if !self.old_ids.borrow_mut().insert(old.to_owned()) {
            return Some("its deduplication id came before in this run");
        }
        let now = self.clock.now();
        let is_young = |at| seconds_between(at, now) < DEDUPLICATION_SECONDS as f64;
        message
            .sent_at()
            .is_none_or(is_young)
            .then_some("sent less than five minutes ago, with its deduplication id")
    }

    fn deduplication_id(&self, message: &QueuedMessage) -> Option<String> {
        if !self.route.to.is_fifo {
            return None;
        }
        let old = message.deduplication_id().filter(|_| self.terms.keep_deduplication_ids);
        Some(old.map_or_else(|| format!("{}-{}", self.name, message.message_id), str::to_owned))
    }

    /// What goes in one call each: what SQS takes, no more than the rate has in a second, and of a FIFO group one
    /// message at a time, so that a refused one is not overtaken.
    fn batches(&self, mut left: Vec<(Received, Message)>) -> Vec<Vec<(Received, Message)>> {
        let most = entries_at(self.terms.rate);
        let mut all = Vec::new();
        while !left.is_empty() {
            let (mut batch, mut later, mut groups) = (Vec::new(), Vec::new(), HashSet::new());
            for (received, message) in left {
                let is_first = !self.route.to.is_fifo || groups.insert(message.group_id.clone());
                if is_first && batch.len() < most {
                    batch.push((received, message));
                } else {
                    later.push((received, message));
                }
            }
            all.push(batch);
            left = later;
        }
        all
    }

    /// Sends copies, and deletes those messages whose copies SQS accepted.
    async fn copy(&self, receiving: &QueueReader<'_>, batch: Vec<(Received, Message)>) -> Result<()> {
        let go =
            !receiving.is_over() && self.pacer.turn(batch.len(), self.stop).await && !receiving.is_over();
        if !go {
            return self.cut_off(receiving, batch.into_iter().map(|(received, _)| received).collect());
        }
        let (received, messages): (Vec<Received>, Vec<Message>) = batch.into_iter().unzip();
        for batch in batches(messages) {
            self.send(receiving, &received, batch).await?;
        }
        Ok(())
    }

    /// Sends one batch, whose indexes are those of `received`.
    async fn send(
        &self,
        receiving: &QueueReader<'_>,
        received: &[Received],
        batch: Vec<(usize, Message)>,
    ) -> Result<()> {
        let of =
            |indexes: &[usize]| indexes.iter().filter_map(|i| received.get(*i)).cloned().collect::<Vec<_>>();
        let latest = plus_seconds(self.clock.now(), MARGIN_SECONDS);
        let (batch, stale): (Vec<_>, Vec<_>) = batch.into_iter().partition(|(index, _)| {
            received.get(*index).is_some_and(|received| received.visible_again > latest)
        });
        for received in stale.iter().filter_map(|(index, _)| received.get(*index)) {
            // It becomes visible, and is received anew.
            receiving.forget(received);
            *self.begun.borrow_mut() -= 1;
        }
        let indexes: Vec<usize> = batch.iter().map(|(index, _)| *index).collect();
        if indexes.is_empty() {
            return Ok(());
        }
        if receiving.is_over() {
            return self.cut_off(receiving, of(&indexes));
        }
        let sent = match send_patiently(&self.target, batch).await {
            Ok(sent) => sent,
            Err(error) => {
                // SQS has answered, and taken nothing.
                if error.is_refused() {
                    self.outcome.borrow_mut().stayed += indexes.len();
                } else {
                    self.outcome.borrow_mut().in_doubt += indexes.len();
                }
                receiving.hold(of(&indexes))?;
                bail!("{}", with_advice(&chain(&error)));
            }
        };
        sent.refused.values().for_each(|code| self.refuse(code));
        let not_accepted: Vec<usize> = indexes.into_iter().filter(|i| !sent.accepted.contains(i)).collect();
        // SQS said nothing of some of them.
        self.outcome.borrow_mut().in_doubt += not_accepted.len() - sent.refused.len().min(not_accepted.len());
        receiving.hold(of(&not_accepted))?;
        if self.route.to.is_fifo && !not_accepted.is_empty() {
            // What follows in the group would overtake it.
            receiving.halt();
        }
        let accepted = of(&sent.accepted);
        // Before the deletion: what is dropped while it waits is in both queues.
        self.outcome.borrow_mut().in_both += accepted.len();
        let receipts: Vec<&str> = accepted.iter().map(|received| received.receipt.as_str()).collect();
        let undeleted = match delete(&self.route.sqs, &self.route.from.url, &receipts).await {
            Ok(undeleted) => undeleted,
            Err(error) => {
                receiving.hold(accepted)?;
                return Err(error);
            }
        };
        let deleted = accepted.len() - undeleted.len();
        {
            let mut outcome = self.outcome.borrow_mut();
            outcome.moved += deleted;
            outcome.in_both -= deleted;
            (self.progress)(outcome.moved);
        }
        if !undeleted.is_empty() {
            receiving.hold(undeleted.iter().filter_map(|index| accepted.get(*index)).cloned())?;
            bail!("SQS did not delete all that was sent");
        }
        Ok(())
    }

    fn refuse(&self, reason: &str) {
        *self.outcome.borrow_mut().refused.entry(reason.to_owned()).or_default() += 1;
    }

    /// Leaves messages that were meant.
    fn cut_off(&self, receiving: &QueueReader<'_>, received: Vec<Received>) -> Result<()> {
        self.outcome.borrow_mut().is_cut_off = true;
        self.leave(receiving, received)
    }

    fn leave(&self, receiving: &QueueReader<'_>, received: Vec<Received>) -> Result<()> {
        self.outcome.borrow_mut().stayed += received.len();
        receiving.hold(received)
    }
}

impl Plan {
    /// For people.
    pub fn text(&self, route: &Route) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out, route);
        out
    }

    fn write(&self, out: &mut String, route: &Route) -> std::fmt::Result {
        writeln!(out, "from  {}", route.from.arn)?;
        writeln!(out, "to    {}", route.to.arn)?;
        match self.method {
            Method::MoveTask => writeln!(out, "how   SQS moves them by itself (a move task)")?,
            Method::ByEntry(why) => writeln!(out, "how   copied and deleted entry by entry: {why}")?,
        }
        let goes = if self.goes.messages == 1 { "goes" } else { "go" };
        write!(out, "\n{} {goes}", plural(self.goes.messages, "message"))?;
        let stays = self.stays.messages;
        if stays > 0 {
            write!(out, ", {stays} stay{}", if stays == 1 { "s" } else { "" })?;
        }
        writeln!(out)?;
        write!(out, "{}", self.unseen_text)?;
        let hopeless =
            |(reason, count): (&String, &usize)| HOPELESS.contains(&reason.as_str()).then_some(*count);
        let hopeless: usize = self.goes.by_reason.iter().filter_map(hopeless).sum();
        if hopeless > 0 {
            writeln!(
                out,
                "of these, no worker takes {hopeless} as they are: mend them in a file (replay help save)"
            )?;
        }
        if self.goes.messages > 0 || stays == 0 {
            return self.goes.write_tables(out);
        }
        writeln!(out, "\nWhat stays")?;
        self.stays.write_tables(out)
    }

    /// What it has seen. Where more could not be seen, as many go as SQS counts.
    pub fn planned(&self, route: &Route) -> Planned {
        let counted = if self.has_unseen { route.from.visible } else { 0 };
        let seen = self.goes.messages + self.stays.messages;
        Planned { goes: self.goes.messages.max(counted), seen: seen.max(counted) }
    }
}

impl Redriven {
    /// For people: a line for each thing to know.
    pub fn text(&self) -> String {
        let stayed = match self.stayed {
            _ if self.is_cut_off => ", the others are where they were".to_owned(),
            0 => String::new(),
            stayed => format!(", {stayed} stayed"),
        };
        let mut lines = vec![format!("{} moved{stayed}", plural(self.moved, "message"))];
        let mut line = |count: usize, text: &str| {
            if count > 0 {
                lines.push(format!("{count} {text}"));
            }
        };
        line(
            self.in_both,
            "sent, and perhaps not deleted: a rerun sends those once more that are still there",
        );
        line(self.in_doubt, "in doubt: still there, and perhaps sent; a rerun sends them once more");
        for (reason, count) in &self.refused {
            line(*count, &format!("stayed, because SQS refused them: {reason}"));
        }
        line(self.still_invisible, "of those that stayed are invisible for up to 15 minutes");
        lines.extend(self.unseen_text.lines().map(str::to_owned));
        lines.join("\n") + "\n"
    }

    /// Whether all that was meant went.
    pub fn is_complete(&self) -> bool {
        let has_gone = self.refused.is_empty() && self.in_both == 0 && self.in_doubt == 0;
        self.error.is_none() && !self.is_cut_off && has_gone && self.unseen_text.is_empty()
    }
}
