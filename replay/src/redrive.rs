//! Bringing dead letters back: what would go, and how; then either SQS moves them, or they are copied and deleted entry by
//! entry.
//!
//! Entry by entry, a message is deleted only once SQS has said that it accepted its copy. Wherever it is cut off, each
//! message is in one of the queues, or, between copy and deletion, in both; never in none.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_sdk_sqs::Client;
use shared::events::unique_id;
use shared::queues::{MAX_BATCH_ENTRIES, Message, Queue, batches};
use shared::telemetry::chain;
use shared::time::Clock;
use tokio::time::Instant;

use crate::filter::Filter;
use crate::inspect::{Inspection, refuse_source_queue};
use crate::messages::QueuedMessage;
use crate::queues::{QueueDescription, told, with_advice};
use crate::receiving::{Received, Receiving, Report, delete};
use crate::report::plural;
use crate::stop::{Pacer, Stop};

/// How long messages that were received stay invisible, and with them those that stay.
const HOLD: Duration = Duration::from_secs(900);
/// A message that becomes visible again sooner is not sent: its deletion might come too late.
const MARGIN: Duration = Duration::from_secs(60);
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
pub struct Terms {
    /// Those that meet it.
    pub filter: Filter,
    /// At most so many.
    pub max: Option<usize>,
    /// Messages a second.
    pub rate: Option<u32>,
    /// Whether a FIFO queue is given the old deduplication ids, and not fresh ones.
    pub keep_deduplication_ids: bool,
    /// Whether to copy and delete entry by entry also where SQS could move them.
    pub by_entry: bool,
}

/// What would happen.
#[derive(Debug)]
pub struct Plan {
    /// The messages that go.
    pub goes: Inspection,
    /// How many stay.
    pub stays: usize,
    /// Whether there may be more than were seen.
    pub may_be_more: bool,
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
    /// Whether there may be more than were seen.
    pub may_be_more: bool,
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
        refuse_source_queue(&from).context("--from")?;
        let call = sqs.list_dead_letter_source_queues().queue_url(&from.url);
        let sources = call.send().await.map(|output| output.queue_urls);
        let to = match (to, &sources) {
            (Some(to), _) => to.to_owned(),
            (None, Ok(sources)) => match sources.as_slice() {
                [source] => source.clone(),
                [] => bail!("--to: no queue has {} as its dead-letter queue; say where to", from.name()),
                _ => bail!("--to: several queues have {} as their dead-letter queue; say which", from.name()),
            },
            (None, Err(_)) => {
                let error = sources.map_err(told("ListDeadLetterSourceQueues")).err();
                return Err(error.context("ListDeadLetterSourceQueues")?.context("--to: say where to"));
            }
        };
        let to = QueueDescription::read(&sqs, &to).await.context("--to")?;
        if from.arn == to.arn {
            bail!("--to: is the same queue as --from");
        }
        if from.is_fifo != to.is_fifo {
            bail!(
                "--to: {} is a {} queue, and {} a {} queue",
                to.name(),
                to.kind(),
                from.name(),
                from.kind()
            );
        }
        let is_dead_letter_queue = sources.is_ok_and(|sources| !sources.is_empty());
        Ok(Self { sqs, from, to, is_dead_letter_queue })
    }

    /// Looks at every message, gives all of them back, and tells what would happen.
    pub async fn plan(
        &self,
        terms: &Terms,
        clock: &Clock,
        stop: &Stop,
        progress: &dyn Fn(usize),
    ) -> Result<Plan> {
        let looked = RefCell::new((Inspection::default(), 0, false));
        let look = async |receiving: &Receiving<'_>, received: Vec<Received>| {
            let mut looked = looked.borrow_mut();
            let (goes, stays, parked) = &mut *looked;
            for Received { message, .. } in &received {
                *parked |= message.is_parked();
                if terms.filter.is_met_by(message, clock) && terms.max.is_none_or(|max| goes.messages < max) {
                    goes.add(message, 0, clock.now());
                } else {
                    *stays += 1;
                }
            }
            progress(goes.messages + *stays);
            receiving.hold(received)
        };
        let report = Receiving::new(&self.sqs, &self.from, HOLD, stop)?.each(look).await;
        let Report { seen, may_be_more, still_invisible, error } = report;
        // Of a FIFO group, SQS shows ten messages, and the next ones when those have gone.
        let may_be_more = may_be_more || (self.from.is_fifo && self.from.visible > seen);
        if let Some(error) = error {
            return Err(error.context("nothing was sent"));
        }
        if still_invisible > 0 {
            bail!(
                "nothing was sent; {still_invisible} messages stay invisible for up to 15 minutes: may you change \
                 their visibility?"
            );
        }
        let (goes, stays, parked) = looked.into_inner();
        Ok(Plan { method: self.method(terms, parked, may_be_more), goes, stays, may_be_more })
    }

    /// SQS moves messages by itself where all are meant, as they are.
    fn method(&self, terms: &Terms, parked: bool, may_be_more: bool) -> Method {
        match terms {
            Terms { by_entry: true, .. } => Method::ByEntry("--by-entry"),
            Terms { filter, .. } if !filter.is_empty() => Method::ByEntry("not all are meant"),
            Terms { max: Some(_), .. } => Method::ByEntry("--max"),
            Terms { rate: Some(rate), .. } if *rate > MAX_TASK_RATE => {
                Method::ByEntry("SQS itself moves at most 500 a second")
            }
            Terms { keep_deduplication_ids: true, .. } => Method::ByEntry("--keep-deduplication-ids"),
            _ if parked => Method::ByEntry("the reasons of parked messages are taken off"),
            _ if may_be_more => Method::ByEntry("not all could be looked at"),
            _ if !self.is_dead_letter_queue => {
                Method::ByEntry("no queue names it as its dead-letter queue, or you may not ask")
            }
            _ => Method::MoveTask,
        }
    }

    /// Copies messages and deletes them, entry by entry, until none is left that is meant. What stays is given back.
    pub async fn by_entry(
        &self,
        terms: &Terms,
        clock: &Clock,
        stop: &Stop,
        progress: &dyn Fn(usize),
    ) -> Redriven {
        let run = Run {
            route: self,
            terms,
            clock,
            stop,
            progress,
            target: Queue::new(self.sqs.clone(), &self.to.url),
            name: unique_id(clock.now()),
            pacer: Pacer::new(terms.rate),
            begun: RefCell::new(0),
            outcome: RefCell::default(),
        };
        let receiving = match Receiving::new(&self.sqs, &self.from, HOLD, stop) {
            Ok(receiving) => receiving,
            Err(error) => return Redriven { error: Some(error), ..Redriven::default() },
        };
        let report = receiving.each(async |receiving, received| run.work(receiving, received).await).await;
        let mut outcome = run.outcome.into_inner();
        outcome.may_be_more = report.may_be_more;
        outcome.still_invisible = report.still_invisible;
        outcome.error = outcome.error.or(report.error);
        outcome
    }

    /// Has SQS move all messages, and follows its counts. The destination is always given: SQS does not know where parked
    /// messages came from. Asked to stop, it cancels the task.
    pub async fn by_move_task(
        &self,
        rate: Option<u32>,
        stop: &Stop,
        progress: &dyn Fn(usize, Option<usize>),
    ) -> Result<usize> {
        let call = self.sqs.start_message_move_task().source_arn(&self.from.arn);
        let call = call.destination_arn(&self.to.arn);
        let call = call.set_max_number_of_messages_per_second(rate.and_then(|rate| i32::try_from(rate).ok()));
        let started = call.send().await.map_err(told("StartMessageMoveTask"));
        let handle = started.context("nothing was moved; with --by-entry it goes without SQS's help")?;
        let handle = handle.task_handle.unwrap_or_default();
        let (mut moved, mut cancelled) = (0, false);
        loop {
            if cancelled {
                tokio::time::sleep(POLL).await;
            } else if !stop.sleep_until(Instant::now() + POLL).await {
                // What is under way still goes: its answer is not the last count.
                let cancelling = self.sqs.cancel_message_move_task().task_handle(&handle).send().await;
                cancelling.map_err(told("CancelMessageMoveTask")).context("the task goes on in SQS")?;
                cancelled = true;
            }
            let call = self.sqs.list_message_move_tasks().source_arn(&self.from.arn).max_results(1);
            let output = call.send().await.map_err(told("ListMessageMoveTasks"));
            let output = output.context("the task goes on in SQS, and cannot be followed")?;
            // The latest task comes first; for some moments it may not be listed.
            let Some(task) = output.results().first() else { continue };
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

fn to_usize(count: i64) -> usize {
    usize::try_from(count).unwrap_or_default()
}

/// One run of [`Route::by_entry`].
struct Run<'a> {
    route: &'a Route,
    terms: &'a Terms,
    clock: &'a Clock,
    stop: &'a Stop,
    progress: &'a dyn Fn(usize),
    target: Queue,
    /// Makes fresh deduplication ids differ from those of any other run: what comes back to the dead-letter queue keeps its
    /// message id, and must not be swallowed the second time.
    name: String,
    pacer: Pacer,
    /// Messages that are sent or were: never more than `max`.
    begun: RefCell<usize>,
    outcome: RefCell<Redriven>,
}

impl Run<'_> {
    async fn work(&self, receiving: &Receiving<'_>, received: Vec<Received>) -> Result<()> {
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
        Ok(())
    }

    /// Takes one of the `max`.
    fn begin(&self) -> bool {
        let mut begun = self.begun.borrow_mut();
        let is_one_more = self.terms.max.is_none_or(|max| *begun < max);
        *begun += usize::from(is_one_more);
        is_one_more
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
        let most = self.terms.rate.map_or(MAX_BATCH_ENTRIES, |rate| {
            usize::try_from(rate).unwrap_or(usize::MAX).clamp(1, MAX_BATCH_ENTRIES)
        });
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
    async fn copy(&self, receiving: &Receiving<'_>, batch: Vec<(Received, Message)>) -> Result<()> {
        let go =
            !receiving.is_over() && self.pacer.turn(batch.len(), self.stop).await && !receiving.is_over();
        if !go {
            return self.leave(receiving, batch.into_iter().map(|(received, _)| received).collect());
        }
        let latest = Instant::now() + MARGIN;
        let (batch, stale): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|(received, _)| received.visible_again > latest);
        for (received, _) in &stale {
            // It becomes visible, and is received anew.
            receiving.forget(received);
            *self.begun.borrow_mut() -= 1;
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
        receiving: &Receiving<'_>,
        received: &[Received],
        batch: Vec<(usize, Message)>,
    ) -> Result<()> {
        let indexes: Vec<usize> = batch.iter().map(|(index, _)| *index).collect();
        let of =
            |indexes: &[usize]| indexes.iter().filter_map(|i| received.get(*i)).cloned().collect::<Vec<_>>();
        if receiving.is_over() {
            return self.leave(receiving, of(&indexes));
        }
        let sent = match self.target.try_send(batch).await {
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

    fn leave(&self, receiving: &Receiving<'_>, received: Vec<Received>) -> Result<()> {
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
        writeln!(out, "from  {}", route.from.name())?;
        writeln!(out, "to    {}", route.to.name())?;
        match self.method {
            Method::MoveTask => writeln!(out, "how   SQS moves them by itself (a move task)")?,
            Method::ByEntry(why) => writeln!(out, "how   copied and deleted entry by entry: {why}")?,
        }
        let goes = if self.goes.messages == 1 { "goes" } else { "go" };
        write!(out, "\n{} {goes}", plural(self.goes.messages, "message"))?;
        if self.stays > 0 {
            write!(out, ", {} stay{}", self.stays, if self.stays == 1 { "s" } else { "" })?;
        }
        writeln!(out)?;
        if self.may_be_more {
            let at_most = if route.from.is_fifo { "ten of a group" } else { "120,000" };
            writeln!(out, "and more that could not be seen: SQS shows at most {at_most} at a time")?;
        }
        self.goes.write_tables(out, "")
    }
}

impl Redriven {
    /// For people: a line for each thing to know.
    pub fn text(&self) -> String {
        let stayed = if self.stayed > 0 { format!(", {} stayed", self.stayed) } else { String::new() };
        let mut lines = vec![format!("{} moved{stayed}", plural(self.moved, "message"))];
        let mut line = |count: usize, text: &str| {
            if count > 0 {
                lines.push(format!("{count} {text}"));
            }
        };
        line(self.in_both, "sent, but not deleted: in both queues; a rerun sends them once more");
        line(self.in_doubt, "in doubt: still there, and perhaps sent; a rerun sends them once more");
        for (reason, count) in &self.refused {
            line(*count, &format!("stayed, because SQS refused them: {reason}"));
        }
        line(self.still_invisible, "of those that stayed are invisible for up to 15 minutes");
        if self.may_be_more {
            lines.push("there may be more: SQS lends at most 120,000 at a time; run it again".to_owned());
        }
        lines.join("\n") + "\n"
    }

    /// Whether all that was meant went.
    pub fn is_complete(&self) -> bool {
        self.error.is_none() && self.refused.is_empty() && self.in_both == 0 && self.in_doubt == 0
    }
}
