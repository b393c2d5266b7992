//! Sends a file of `replay save`, edited or not. The whole file is checked first. A checkpoint file
//! records what was sent, so that an interrupted run can continue.

pub mod check;
pub mod checkpoint;
pub mod command;
pub mod input;
pub mod message_key;
mod pending_batches;
pub mod report;

use std::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::{Result, bail};
use aws_sdk_sqs::Client;
use futures_util::{StreamExt, stream};
use shared::queues::{Message, Queue};

use crate::aws_error::describe;
use crate::interrupt::StopSignal;
use crate::queue::description::QueueDescription;
use crate::queue::sending::send_with_retries;
use crate::rate::RateLimiter;
use check::CheckedFile;
use checkpoint::{Entry, SendCheckpoint};
use message_key::MessageKey;
use pending_batches::PendingBatches;

/// Concurrent calls. A FIFO queue gets one message at a time, so that none overtakes a rejected
/// one.
const CONCURRENT_SENDS: usize = 8;

#[derive(Debug, Default)]
pub struct SendSummary {
    /// Messages that SQS accepted in this run.
    pub sent: usize,
    /// Messages for which SQS's answer is missing.
    pub in_doubt: usize,
    /// Messages that SQS rejected, by SQS's error code.
    pub rejected: BTreeMap<String, usize>,
    /// The error that ended the run.
    pub error: Option<anyhow::Error>,
}

/// Sends the messages that were not sent yet, at most `max`, at `rate` messages per second.
pub async fn send(
    (sqs, queue): (&Client, &QueueDescription),
    (file, checkpoint): (CheckedFile, SendCheckpoint),
    (max, rate): (Option<usize>, Option<u32>),
    stop: &StopSignal,
    progress: &dyn Fn(usize),
) -> SendSummary {
    let batches = match PendingBatches::new(file, queue.is_fifo, max, rate) {
        Ok(batches) => batches,
        Err(error) => return SendSummary { error: Some(error), ..SendSummary::default() },
    };
    let run = Run {
        queue: Queue::new(sqs.clone(), &queue.url).without_retries(),
        is_fifo: queue.is_fifo,
        checkpoint: checkpoint.into(),
        summary: RefCell::default(),
    };
    let limiter = RateLimiter::new(rate);
    let is_stopping = || stop.is_requested() || run.summary.borrow().error.is_some();
    let concurrency = if queue.is_fifo { 1 } else { CONCURRENT_SENDS };
    stream::unfold(batches, async |mut batches| {
        if is_stopping() {
            return None;
        }
        match batches.next(&run.checkpoint.borrow()) {
            Ok(Some(batch)) => Some((batch, batches)),
            Ok(None) => None,
            Err(error) => {
                run.summary.borrow_mut().error.get_or_insert(error);
                None
            }
        }
    })
    .for_each_concurrent(concurrency, async |batch| {
        if !is_stopping() && limiter.acquire(batch.len(), stop).await && !is_stopping() {
            if let Err(error) = run.send(batch).await {
                run.summary.borrow_mut().error.get_or_insert(error);
            }
            progress(run.summary.borrow().sent);
        }
    })
    .await;
    run.summary.into_inner()
}

struct Run {
    queue: Queue,
    is_fifo: bool,
    checkpoint: RefCell<SendCheckpoint>,
    summary: RefCell<SendSummary>,
}

impl Run {
    /// Sends one batch.
    async fn send(&self, batch: Vec<(MessageKey, Message)>) -> Result<()> {
        let (keys, messages): (Vec<MessageKey>, Vec<Message>) = batch.into_iter().unzip();
        // If the checkpoint cannot be written, nothing is sent.
        self.checkpoint.borrow_mut().write(Entry::Begun, &keys)?;
        let sent = match send_with_retries(&self.queue, messages.into_iter().enumerate().collect()).await {
            Ok(sent) => sent,
            Err(error) => {
                if error.is_refused() {
                    // SQS answered, and accepted nothing.
                    self.checkpoint.borrow_mut().write(Entry::Refused, &keys)?;
                } else {
                    self.summary.borrow_mut().in_doubt += keys.len();
                }
                bail!("{}", describe(&error));
            }
        };
        let keys_of = |indexes: &mut dyn Iterator<Item = &usize>| -> Vec<MessageKey> {
            indexes.filter_map(|index| keys.get(*index).copied()).collect()
        };
        let (accepted, rejected) = (keys_of(&mut sent.accepted.iter()), keys_of(&mut sent.refused.keys()));
        let mut summary = self.summary.borrow_mut();
        summary.sent += accepted.len();
        // SQS's answer can leave out messages.
        summary.in_doubt += keys.len().saturating_sub(accepted.len() + rejected.len());
        for code in sent.refused.values() {
            *summary.rejected.entry(code.clone()).or_default() += 1;
        }
        let mut checkpoint = self.checkpoint.borrow_mut();
        checkpoint.write(Entry::Accepted, &accepted)?;
        if !rejected.is_empty() {
            checkpoint.write(Entry::Refused, &rejected)?;
            if self.is_fifo {
                bail!("SQS rejected a message, and later messages must not overtake it");
            }
        }
        Ok(())
    }
}
