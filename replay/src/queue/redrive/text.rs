//! What `replay redrive` prints: the plan and the result, as text.

use crate::aws_error::{self, Service};
use crate::output::{counted, number};
use crate::queue::inspect::command::{render_envelopes, render_tables, render_unseen};
use crate::queue::redrive::Route;
use crate::queue::redrive::plan::{Method, OneByOneReason, Plan, UNKNOWN_TYPE};
use crate::queue::redrive::summary::RedriveSummary;

/// Past participle for messages that reached the destination.
pub fn participle(keeps: bool) -> &'static str {
    if keeps { "copied" } else { "moved" }
}

/// `keeps`: the messages also stay where they are.
pub fn render_plan(plan: &Plan, route: &Route, will_move: bool, keeps: bool) -> String {
    let mut text = format!("from  {}\nto    {}\n", route.from.arn, route.to.arn);
    match plan.method {
        Method::MoveTask => text += "how   moved by SQS in a move task\n",
        Method::OneByOne(OneByOneReason::Keep) => text += "how   copied, and not deleted: --keep\n",
        Method::OneByOne(reason) => {
            text += &format!("how   copied and deleted one by one: {}\n", explain(reason));
        }
    }
    let verb = if will_move { "will" } else { "would" };
    let action = if keeps { "be copied" } else { "move" };
    text += &format!("\n{} {verb} {action}", counted(plan.to_move.messages, "message"));
    if plan.to_stay.messages > 0 {
        let stay = if keeps { "not" } else { "stay" };
        text += &format!(", {} {verb} {stay}", number(plan.to_stay.messages));
    }
    text += &format!("\n{}", render_unseen(&plan.unseen));
    for (reason, count) in &plan.unsendable {
        text += &format!("{} of these {verb} stay: {reason}\n", number(*count));
    }
    let rejected = plan.rejected_again_count();
    if rejected > 0 {
        text += &format!(
            "{} of these {verb} come back as dead letters ({}). Correct them in a file (see `replay help save`)\n",
            number(rejected),
            plan.rejected_reasons().join(", ")
        );
    }
    if let Some(unknown) = plan.rejected_again.get(UNKNOWN_TYPE) {
        text += &format!(
            "{} of these {verb} come back as dead letters, unless the worker knows their type now ({UNKNOWN_TYPE})\n",
            number(*unknown)
        );
    }
    text += &render_envelopes(&plan.to_move);
    if plan.to_move.messages > 0 || plan.to_stay.messages == 0 {
        return text + &render_tables(&plan.to_move);
    }
    text + "\nMessages that stay\n" + &render_tables(&plan.to_stay)
}

/// Why messages are moved one by one.
pub fn explain(reason: OneByOneReason) -> &'static str {
    match reason {
        OneByOneReason::Requested => "--by-entry",
        OneByOneReason::Filter => "the options choose messages",
        OneByOneReason::Max => "--max",
        OneByOneReason::Rate => "a move task moves at most 500 messages a second",
        OneByOneReason::KeepDeduplicationIds => "--keep-deduplication-ids",
        OneByOneReason::Reasons => "the reasons of dead letters must be removed",
        OneByOneReason::Unseen => "not all messages were seen",
        OneByOneReason::Unsendable => "SQS rejects some of the messages",
        OneByOneReason::Keep => "--keep",
        OneByOneReason::Elsewhere => "--to is in another account or region",
        OneByOneReason::MoveTasksRefused => "SQS does not list move tasks, or your role may not list them",
        OneByOneReason::NotADeadLetterQueue => {
            "no queue uses --from as its dead-letter queue, or your role may not list such queues"
        }
    }
}

/// One line for each result that an operator needs to know.
pub fn render_summary(summary: &RedriveSummary, keeps: bool) -> String {
    let stayed = match summary.stayed {
        _ if summary.is_stopped_early => ", the others stayed".to_owned(),
        0 => String::new(),
        stayed if keeps => format!(", {} not", number(stayed)),
        stayed => format!(", {} stayed", number(stayed)),
    };
    let mut text = format!("{} {}{stayed}\n", counted(summary.moved, "message"), participle(keeps));
    let mut line = |count: usize, what: &str| {
        if count > 0 {
            text += &format!("{} {what}\n", number(count));
        }
    };
    line(
        summary.in_both,
        "sent, but perhaps not deleted. The next run sends those that are still there again",
    );
    line(summary.in_doubt, "in doubt: still there, and perhaps sent. The next run sends them again");
    for (code, count) in &summary.rejected {
        let reason = aws_error::explain(Some(Service::Sqs), code, None);
        line(*count, &format!("stayed, rejected by SQS: {reason}"));
    }
    for (reason, count) in &summary.not_sent {
        line(*count, &format!("stayed, not sent: {reason}"));
    }
    line(summary.still_invisible, "of those that stayed are invisible for up to 15 minutes");
    text + &render_unseen(&summary.unseen)
}
