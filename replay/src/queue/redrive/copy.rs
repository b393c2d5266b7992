//! Copies messages and deletes them one by one: each is deleted only after SQS has accepted its
//! copy. Or copies them, and deletes none.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Result, bail};
use shared::events::unique_id;
use shared::queues::{Message, Queue, batches};
use shared::time::{Clock, plus_seconds, seconds_between};

use crate::aws_error::describe;
use crate::interrupt::StopSignal;
use crate::queue::message::{QueuedMessage, Unsendable};
use crate::queue::reader::{QueueReader, Received, delete};
use crate::queue::redrive::summary::RedriveSummary;
use crate::queue::redrive::{RedriveOptions, Route};
use crate::queue::sending::{is_about_message, send_with_retries};
use crate::rate::{RateLimiter, batch_entries};

/// If the process is killed, messages become visible again after this time.
pub const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(900);
/// A message that becomes visible again within this time is not sent: its deletion could be too
/// late.
const MARGIN_SECONDS: i64 = 150;
/// SQS: a FIFO queue drops messages with the same deduplication id within this time.
const DEDUPLICATION_SECONDS: f64 = 300.0;

/// Counts of a plan. A run that has sent `to_move` messages and has seen `seen` messages ends, even
/// if messages keep arriving in the dead-letter queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedCounts {
    pub to_move: usize,
    pub seen: usize,
}

/// Moves the selected messages until none is left, or until the counts of the plan or the maximum
/// are reached. Without these counts, a run would never end if a broken worker dead-letters all
/// messages again. Messages that stay become visible again.
pub async fn move_one_by_one(
    route: &Route,
    options: &RedriveOptions,
    planned: Option<PlannedCounts>,
    clock: &Clock,
    stop: &StopSignal,
    progress: &dyn Fn(usize),
) -> RedriveSummary {
    let run = Run {
        route,
        options,
        planned,
        clock,
        stop,
        progress,
        target: Queue::new(route.to_sqs.clone(), &route.to.url).without_retries(),
        id: unique_id(clock.now()),
        limiter: RateLimiter::new(options.rate),
        started: Cell::new(0),
        sent_deduplication_ids: RefCell::default(),
        summary: RefCell::default(),
    };
    let reader = match QueueReader::new((&route.sqs, &route.from), VISIBILITY_TIMEOUT, clock, stop) {
        Ok(reader) => reader,
        Err(error) => return RedriveSummary { error: Some(error), ..RedriveSummary::default() },
    };
    let report = reader.for_each_batch(async |reader, received| run.process(reader, received).await).await;
    let started = run.started.get();
    let mut summary = run.summary.into_inner();
    summary.still_invisible = report.still_invisible;
    // A stop after the last message of the plan changes nothing.
    let is_done = planned.is_some_and(|planned| summary.moved >= planned.to_move);
    summary.is_stopped_early |= (stop.is_requested() && !is_done) || report.error.is_some();
    if !summary.is_stopped_early && options.max.is_none_or(|max| started < max) {
        summary.unseen = report.unseen;
    }
    summary.error = report.error;
    summary
}

/// Why a message is not sent. A FIFO queue would accept a copy with a known deduplication id, and
/// drop it.
#[derive(Debug, thiserror::Error)]
enum NotSent {
    #[error("this run has already sent its deduplication id")]
    RepeatedId,
    #[error("sent less than five minutes ago with the same deduplication id")]
    RecentId,
    #[error(transparent)]
    Unsendable(#[from] Unsendable),
}

impl NotSent {
    /// True if a later run can send the message as it is.
    fn is_temporary(&self) -> bool {
        !matches!(self, Self::Unsendable(_))
    }
}

struct Run<'a> {
    route: &'a Route,
    options: &'a RedriveOptions,
    planned: Option<PlannedCounts>,
    clock: &'a Clock,
    stop: &'a StopSignal,
    progress: &'a dyn Fn(usize),
    target: Queue,
    /// Makes deduplication ids unique to this run. A message that comes back to the dead-letter
    /// queue keeps its message id, and SQS must not drop its next copy.
    id: String,
    limiter: RateLimiter,
    /// Messages that are or were being sent: never more than the maximum.
    started: Cell<usize>,
    /// Old deduplication ids that this run has sent.
    sent_deduplication_ids: RefCell<HashSet<String>>,
    summary: RefCell<RedriveSummary>,
}

impl Run<'_> {
    async fn process(&self, reader: &QueueReader<'_>, received: Vec<Received>) -> Result<()> {
        let (mut sendable, mut others) = (Vec::new(), Vec::new());
        for received in received {
            if !self.has_room() || !self.options.filter.matches(&received.message, self.clock) {
                others.push(received);
                continue;
            }
            match self.prepare(&received.message) {
                Ok(message) => {
                    self.started.set(self.started.get() + 1);
                    sendable.push((received, message));
                }
                Err(reason) => {
                    let mut summary = self.summary.borrow_mut();
                    summary.can_send_later |= reason.is_temporary();
                    *summary.not_sent.entry(reason.to_string()).or_default() += 1;
                    reader.hold([received])?;
                }
            }
        }
        self.leave(reader, others)?;
        for batch in self.batches(sendable) {
            self.move_batch(reader, batch).await?;
        }
        if self
            .planned
            .is_some_and(|planned| self.started.get() >= planned.to_move && reader.seen() >= planned.seen)
        {
            reader.finish_receiving();
        }
        Ok(())
    }

    /// True if one more message may be sent.
    fn has_room(&self) -> bool {
        let limits = [self.options.max, self.planned.map(|planned| planned.to_move)];
        limits.iter().flatten().all(|limit| self.started.get() < *limit)
    }

    /// The copy to send.
    fn prepare(&self, message: &QueuedMessage) -> Result<Message, NotSent> {
        let old_id = message.deduplication_id().filter(|_| self.options.keep_deduplication_ids);
        if let Some(id) = old_id {
            if !self.sent_deduplication_ids.borrow_mut().insert(id.to_owned()) {
                return Err(NotSent::RepeatedId);
            }
            let now = self.clock.now();
            let is_recent = |sent_at| seconds_between(sent_at, now) < DEDUPLICATION_SECONDS;
            if message.sent_at().is_none_or(is_recent) {
                return Err(NotSent::RecentId);
            }
        }
        let new_id = || format!("{}-{}", self.id, message.message_id);
        let id = self.route.to.is_fifo.then(|| old_id.map_or_else(new_id, str::to_owned));
        Ok(self.route.message(message, id)?)
    }

    /// Messages of one call each. A call has at most ten messages, and no more than the rate allows
    /// per second. It has one message of each FIFO group, so that none overtakes a rejected one.
    fn batches(&self, mut remaining: Vec<(Received, Message)>) -> Vec<Vec<(Received, Message)>> {
        let max_entries = batch_entries(self.options.rate);
        let mut all = Vec::new();
        while !remaining.is_empty() {
            let (mut batch, mut later, mut groups) = (Vec::new(), Vec::new(), HashSet::new());
            for (received, message) in remaining {
                let is_first_of_group = !self.route.to.is_fifo || groups.insert(message.group_id.clone());
                if is_first_of_group && batch.len() < max_entries {
                    batch.push((received, message));
                } else {
                    later.push((received, message));
                }
            }
            all.push(batch);
            remaining = later;
        }
        all
    }

    async fn move_batch(&self, reader: &QueueReader<'_>, batch: Vec<(Received, Message)>) -> Result<()> {
        let may_send = !reader.is_stopping()
            && self.limiter.acquire(batch.len(), self.stop).await
            && !reader.is_stopping();
        if !may_send {
            return self.stop_early(reader, batch.into_iter().map(|(received, _)| received).collect());
        }
        let (received, messages): (Vec<Received>, Vec<Message>) = batch.into_iter().unzip();
        for batch in batches(messages) {
            self.copy_and_delete(reader, &received, batch).await?;
        }
        Ok(())
    }

    /// Sends one batch, and deletes the messages whose copies SQS accepted. The indexes of the
    /// batch are those of `received`.
    async fn copy_and_delete(
        &self,
        reader: &QueueReader<'_>,
        received: &[Received],
        batch: Vec<(usize, Message)>,
    ) -> Result<()> {
        let at = |indexes: &[usize]| -> Vec<Received> {
            indexes.iter().filter_map(|index| received.get(*index)).cloned().collect()
        };
        let batch = self.without_expiring(reader, received, batch);
        let indexes: Vec<usize> = batch.iter().map(|(index, _)| *index).collect();
        if indexes.is_empty() {
            return Ok(());
        }
        if reader.is_stopping() {
            return self.stop_early(reader, at(&indexes));
        }
        let sent = match send_with_retries(&self.target, batch).await {
            Ok(sent) => sent,
            Err(error) => {
                let mut summary = self.summary.borrow_mut();
                if error.is_refused() {
                    // SQS answered, and accepted nothing.
                    summary.stayed += indexes.len();
                } else {
                    summary.in_doubt += indexes.len();
                }
                reader.hold(at(&indexes))?;
                bail!("{}", describe(&error));
            }
        };
        for code in sent.refused.values() {
            let mut summary = self.summary.borrow_mut();
            summary.can_send_later |= !is_about_message(code);
            *summary.rejected.entry(code.clone()).or_default() += 1;
        }
        let not_accepted: Vec<usize> =
            indexes.into_iter().filter(|index| !sent.accepted.contains(index)).collect();
        // SQS's answer can leave out messages.
        let without_answer = not_accepted.len() - sent.refused.len().min(not_accepted.len());
        self.summary.borrow_mut().in_doubt += without_answer;
        reader.hold(at(&not_accepted))?;
        if self.route.to.is_fifo && !not_accepted.is_empty() {
            // The next messages of the group would overtake it.
            reader.halt();
        }
        self.delete_copied(reader, at(&sent.accepted)).await
    }

    /// Removes messages that become visible again soon. They are received again.
    fn without_expiring(
        &self,
        reader: &QueueReader<'_>,
        received: &[Received],
        batch: Vec<(usize, Message)>,
    ) -> Vec<(usize, Message)> {
        let earliest = plus_seconds(self.clock.now(), MARGIN_SECONDS);
        let (batch, expiring): (Vec<_>, Vec<_>) = batch.into_iter().partition(|(index, _)| {
            received.get(*index).is_some_and(|received| received.visible_again > earliest)
        });
        for received in expiring.iter().filter_map(|(index, _)| received.get(*index)) {
            reader.mark_unseen(received);
            self.started.set(self.started.get() - 1);
        }
        batch
    }

    async fn delete_copied(&self, reader: &QueueReader<'_>, copied: Vec<Received>) -> Result<()> {
        if self.options.keeps {
            let mut summary = self.summary.borrow_mut();
            summary.moved += copied.len();
            (self.progress)(summary.moved);
            return reader.hold(copied);
        }
        // Counted before the deletion: if the run is dropped meanwhile, the messages are in both
        // queues.
        self.summary.borrow_mut().in_both += copied.len();
        let receipts: Vec<&str> = copied.iter().map(|received| received.receipt.as_str()).collect();
        let undeleted = match delete(&self.route.sqs, &self.route.from.url, &receipts).await {
            Ok(undeleted) => undeleted,
            Err(error) => {
                reader.hold(copied)?;
                return Err(error);
            }
        };
        let deleted = copied.len() - undeleted.len();
        {
            let mut summary = self.summary.borrow_mut();
            summary.moved += deleted;
            summary.in_both -= deleted;
            (self.progress)(summary.moved);
        }
        if !undeleted.is_empty() {
            reader.hold(undeleted.iter().filter_map(|index| copied.get(*index)).cloned())?;
            bail!("SQS did not delete all messages that were sent");
        }
        Ok(())
    }

    /// Leaves messages that the options select, because the run is stopping.
    fn stop_early(&self, reader: &QueueReader<'_>, received: Vec<Received>) -> Result<()> {
        self.summary.borrow_mut().is_stopped_early = true;
        self.leave(reader, received)
    }

    fn leave(&self, reader: &QueueReader<'_>, received: Vec<Received>) -> Result<()> {
        self.summary.borrow_mut().stayed += received.len();
        reader.hold(received)
    }
}
