//! Saves the messages of a queue to a file. On request, it deletes each message once its line is on
//! the disk.

pub mod command;
pub mod report;
pub mod target;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use aws_sdk_sqs::Client;
use shared::time::Clock;

use crate::interrupt::StopSignal;
use crate::queue::description::QueueDescription;
use crate::queue::filter::Filter;
use crate::queue::reader::{QueueReader, Received, Unseen, delete};
use crate::queue::redact;
use target::SaveTarget;

/// If the process is killed, messages become visible again after this time.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(900);

#[derive(Debug, Default)]
pub struct SaveSummary {
    /// Messages that this run wrote.
    pub saved: usize,
    /// Messages that an earlier run had written.
    pub already_saved: usize,
    /// Messages that the filter does not select.
    pub others: usize,
    /// The same, by event type.
    pub others_by_type: BTreeMap<String, usize>,
    /// The same, by reason.
    pub others_by_reason: BTreeMap<String, usize>,
    pub deleted: usize,
    /// Messages in the file that may still be in the queue.
    pub undeleted: usize,
    /// Empty if the run was interrupted or ended with an error.
    pub unseen: Unseen,
    /// Messages that stay invisible for up to 15 minutes, because they could not be released.
    pub still_invisible: usize,
    /// The error that ended the run.
    pub error: Option<anyhow::Error>,
}

/// Writes the messages of a queue to `target`. Then it deletes them if `deletes` is set, otherwise
/// it makes them visible again.
pub async fn save(
    (sqs, queue): (&Client, &QueueDescription),
    (target, deletes): (&mut SaveTarget, bool),
    filter: &Filter,
    clock: &Clock,
    stop: &StopSignal,
    progress: &dyn Fn(usize),
) -> SaveSummary {
    let reader = match QueueReader::new((sqs, queue), VISIBILITY_TIMEOUT, clock, stop) {
        Ok(reader) => reader,
        Err(error) => return SaveSummary { error: Some(error), ..SaveSummary::default() },
    };
    let summary = RefCell::new(SaveSummary::default());
    let target = RefCell::new(target);
    let work = async |reader: &QueueReader<'_>, received: Vec<Received>| {
        let (selected, others): (Vec<_>, Vec<_>) =
            received.into_iter().partition(|received| filter.matches(&received.message, clock));
        for Received { message, .. } in &others {
            let mut summary = summary.borrow_mut();
            summary.others += 1;
            *summary.others_by_type.entry(message.type_name()).or_default() += 1;
            *summary.others_by_reason.entry(redact::code(message.reason()).to_owned()).or_default() += 1;
        }
        reader.hold(others)?;
        let written = match target.borrow_mut().write(&selected, deletes) {
            Ok(written) => written,
            Err(error) => {
                reader.hold(selected)?;
                return Err(error.context("the file"));
            }
        };
        {
            let mut summary = summary.borrow_mut();
            summary.saved += written;
            summary.already_saved += selected.len() - written;
            progress(summary.saved + summary.already_saved);
        }
        if !deletes {
            return reader.hold(selected);
        }
        let receipts: Vec<&str> = selected.iter().map(|received| received.receipt.as_str()).collect();
        let undeleted = delete(sqs, &queue.url, &receipts).await;
        let failed = undeleted.as_ref().map_or(selected.len(), Vec::len);
        summary.borrow_mut().undeleted += failed;
        summary.borrow_mut().deleted += selected.len() - failed;
        if failed > 0 {
            reader.hold(selected)?;
            undeleted?;
            bail!("SQS did not delete all saved messages");
        }
        Ok(())
    };
    let report = reader.for_each_batch(work).await;
    let mut summary = summary.into_inner();
    if !stop.is_requested() && report.error.is_none() {
        summary.unseen = report.unseen;
    }
    summary.still_invisible = report.still_invisible;
    let flush_error = target.into_inner().flush().context("the file").err();
    summary.error = report.error.or(flush_error);
    summary
}
