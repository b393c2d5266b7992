//! Which messages would move, and how.

use std::cell::RefCell;
use std::collections::BTreeMap;

use aws_sdk_sqs::Client;
use shared::events::Event;
use shared::time::Clock;

use crate::error::{CommandError, Result};
use crate::interrupt::StopSignal;
use crate::output::{counted, number};
use crate::queue::description::QueueDescription;
use crate::queue::inspect::Inspection;
use crate::queue::message::QueuedMessage;
use crate::queue::move_task::MAX_RATE;
use crate::queue::reader::{QueueReader, Received, Unseen};
use crate::queue::redrive::copy::{PlannedCounts, VISIBILITY_TIMEOUT};
use crate::queue::redrive::{MoveTasks, RedriveOptions, Route};
use crate::queue::template_queue::TemplateQueue;

/// Reasons that a redrive cannot remove, whichever queue the message came from.
const PERMANENT_REASONS: [&str; 6] =
    ["invalid_data", "not_cloudevents", "not_cloudtrail", "not_json", "too_large", "too_old"];

/// Reason of a message whose type the worker did not know.
pub const UNKNOWN_TYPE: &str = "unknown_type";

#[derive(Debug)]
pub struct Plan {
    pub to_move: Inspection,
    pub to_stay: Inspection,
    /// Messages among those that stay: the options select them, but the destination would reject them. By
    /// reason.
    pub unsendable: BTreeMap<String, usize>,
    /// Messages among those that would move: the worker of the destination would dead-letter them again. By
    /// reason.
    pub rejected_again: BTreeMap<String, usize>,
    pub unseen: Unseen,
    pub method: Method,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// SQS moves all messages (StartMessageMoveTask).
    MoveTask,
    /// Messages are copied and deleted one by one.
    OneByOne(OneByOneReason),
}

/// Why the messages are moved one by one instead of in a move task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneByOneReason {
    /// The option `--by-entry`.
    Requested,
    /// A filter selects messages. A task moves all.
    Filter,
    /// The option `--max`.
    Max,
    /// A rate above SQS's limit.
    Rate,
    /// The option `--keep-deduplication-ids`.
    KeepDeduplicationIds,
    /// Workers dead-lettered messages. A task would keep their reasons.
    Reasons,
    /// Not all messages were seen.
    Unseen,
    /// The destination rejects some of the messages. A task cannot leave them out.
    Unsendable,
    /// The option `--keep`. A task deletes what it moves.
    Keep,
    /// The destination is in another account or region.
    Elsewhere,
    /// No queue uses `from` as its dead-letter queue, or the operator may not list such queues.
    NotADeadLetterQueue,
    /// SQS did not list the move tasks.
    MoveTasksRefused,
}

#[derive(Default)]
struct Seen {
    to_move: Inspection,
    to_stay: Inspection,
    unsendable: BTreeMap<String, usize>,
    rejected_again: BTreeMap<String, usize>,
    has_reasons: bool,
}

impl Plan {
    /// Receives as many messages as it can, and makes them visible again. Fails if some stay invisible.
    pub async fn read(
        route: &Route,
        options: &RedriveOptions,
        clock: &Clock,
        stop: &StopSignal,
        progress: &dyn Fn(usize),
    ) -> Result<Self> {
        let seen = RefCell::new(Seen::default());
        let count = async |reader: &QueueReader<'_>, received: Vec<Received>| {
            let mut seen = seen.borrow_mut();
            for Received { message, .. } in &received {
                seen.has_reasons |= message.has_reason();
                let has_room = options.max.is_none_or(|max| seen.to_move.messages < max);
                if !has_room || !options.filter.matches(message, clock) {
                    seen.to_stay.add(message, 0, clock.now());
                } else if let Err(reason) = route.message(message, None) {
                    *seen.unsendable.entry(reason.to_string()).or_default() += 1;
                    seen.to_stay.add(message, 0, clock.now());
                } else {
                    if let Some(reason) = rejected_again(message, &route.to) {
                        *seen.rejected_again.entry(reason).or_default() += 1;
                    }
                    seen.to_move.add(message, 0, clock.now());
                }
            }
            progress(seen.to_move.messages + seen.to_stay.messages);
            reader.hold(received)
        };
        let queue: (&Client, &QueueDescription) = (&route.sqs, &route.from);
        let reader = QueueReader::new(queue, VISIBILITY_TIMEOUT, clock, stop)?;
        let report = reader.for_each_batch(count).await;
        if let Some(error) = report.error {
            return Err(error.context("nothing was sent").into());
        }
        if report.still_invisible > 0 {
            return Err(CommandError::failed(format!(
                "nothing was sent, and {} stay invisible for up to 15 minutes. Check that your role may change the \
                 visibility of messages",
                counted(report.still_invisible, "message")
            )));
        }
        let seen = seen.into_inner();
        let method = match one_by_one_reason(route, options, &seen, &report.unseen) {
            Some(reason) => Method::OneByOne(reason),
            None => Method::MoveTask,
        };
        let Seen { to_move, to_stay, unsendable, rejected_again, .. } = seen;
        Ok(Self { to_move, to_stay, unsendable, rejected_again, unseen: report.unseen, method })
    }

    /// True if no message was seen, and none is hidden.
    pub fn is_empty(&self) -> bool {
        self.to_move.messages + self.to_stay.messages == 0 && self.unseen.is_empty()
    }

    /// Number of messages that the options select and the destination would reject.
    pub fn unsendable_count(&self) -> usize {
        self.unsendable.values().sum()
    }

    /// Number of messages to move that workers would dead-letter again, whatever their version is.
    pub fn rejected_again_count(&self) -> usize {
        self.permanent().map(|(_, count)| count).sum()
    }

    /// The reasons of these messages, each with its count.
    pub fn rejected_reasons(&self) -> Vec<String> {
        self.permanent().map(|(reason, count)| format!("{} {reason}", number(*count))).collect()
    }

    fn permanent(&self) -> impl Iterator<Item = (&String, &usize)> {
        self.rejected_again.iter().filter(|(reason, _)| *reason != UNKNOWN_TYPE)
    }

    /// Counts of the messages that were seen. If some messages were not seen, each count is at least
    /// SQS's count of visible messages, as an upper bound for the progress.
    pub fn counts(&self, route: &Route) -> PlannedCounts {
        let visible = if self.unseen.is_empty() { 0 } else { route.from.visible };
        let seen = self.to_move.messages + self.to_stay.messages;
        PlannedCounts { to_move: self.to_move.messages.max(visible), seen: seen.max(visible) }
    }
}

/// The reason for which the worker of the destination would dead-letter a message: that of an earlier
/// worker, if no redrive can remove it, or what is wrong with the body.
fn rejected_again(message: &QueuedMessage, to: &QueueDescription) -> Option<String> {
    let earlier = message.reason();
    if PERMANENT_REASONS.contains(&earlier) || earlier == UNKNOWN_TYPE {
        return Some(earlier.to_owned());
    }
    // Only the workers of the template are known.
    TemplateQueue::of(to.name())?;
    Event::parse(&message.body).err().map(|error| error.error_type().to_owned())
}

fn one_by_one_reason(
    route: &Route,
    options: &RedriveOptions,
    seen: &Seen,
    unseen: &Unseen,
) -> Option<OneByOneReason> {
    let conditions = [
        (options.keeps, OneByOneReason::Keep),
        (route.move_tasks == MoveTasks::Elsewhere, OneByOneReason::Elsewhere),
        (options.one_by_one, OneByOneReason::Requested),
        (!options.filter.is_empty(), OneByOneReason::Filter),
        (options.max.is_some(), OneByOneReason::Max),
        (options.rate.is_some_and(|rate| rate > MAX_RATE), OneByOneReason::Rate),
        (options.keep_deduplication_ids, OneByOneReason::KeepDeduplicationIds),
        (seen.has_reasons, OneByOneReason::Reasons),
        (!seen.unsendable.is_empty(), OneByOneReason::Unsendable),
        (!unseen.is_empty(), OneByOneReason::Unseen),
        (route.move_tasks == MoveTasks::NotADeadLetterQueue, OneByOneReason::NotADeadLetterQueue),
        (route.move_tasks == MoveTasks::Refused, OneByOneReason::MoveTasksRefused),
    ];
    conditions.into_iter().find(|(applies, _)| *applies).map(|(_, reason)| reason)
}
