//! `replay inspect`: options and output.

use std::collections::BTreeMap;

use clap::Args;
use shared::text::printable;
use shared::time::Clock;

use crate::account::AccountOptions;
use crate::error::{CommandError, Result};
use crate::interrupt::StopSignal;
use crate::output::{self, counted, number};
use crate::progress::Progress;
use crate::queue::description::QueueDescription;
use crate::queue::filter::Filter;
use crate::queue::inspect::next_step;
use crate::queue::inspect::report::InspectReport;
use crate::queue::inspect::{Inspection, inspect};
use crate::queue::reader::{ReadLimit, Unseen};

const EXAMPLES: &str = "\
Examples:
  replay inspect user-events-dead-letters
  replay inspect user-events-dead-letters --error invalid_data --sample 3
  replay inspect user-events-dead-letters --where data.order_id=42 --attribute tenant=blue
  replay inspect user-events-dead-letters --json | jq .byReason";

/// Maximum number of rows in a table.
const MAX_ROWS: usize = 10;

/// Count the messages of a dead-letter queue by type, reason, age and subject.
///
/// Messages stay in the queue. Each message is received once, which increases its receive count,
/// and then becomes visible again. A queue that has a dead-letter queue of its own is refused.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Inspect {
    /// Queue, by name, ARN or URL.
    queue: String,
    /// Show this many bodies for each reason, with personal data masked.
    #[arg(long, value_name = "N", default_value_t = 0)]
    sample: usize,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    account: AccountOptions,
}

impl Inspect {
    pub async fn run(self) -> Result<()> {
        let account = self.account.open().await?;
        let (url, sqs) = (account.queue_url(&self.queue).await?, account.sqs());
        let queue = QueueDescription::read(&sqs, &url).await.map_err(|error| error.context(&self.queue))?;
        let progress = Progress::new("seen", Some(queue.visible));
        let (clock, stop) = (Clock::system(), StopSignal::on_signals());
        let seen = |count| progress.set(count);
        let inspection = inspect((&sqs, &queue), &self.filter, self.sample, &clock, &stop, &seen).await;
        drop(progress);
        let inspection = inspection.map_err(|error| error.context(&self.queue))?;
        if self.json {
            output::json(&InspectReport::of(&queue, &inspection))?;
        } else {
            let next_steps = next_step::render(&inspection.by_reason, queue.name());
            output::print(&(render(&inspection) + &next_steps))?;
        }
        if inspection.messages == 0 {
            reject_no_match(&inspection.others_by_type, &inspection.others_by_reason)?;
        }
        Ok(())
    }
}

/// Names the types and reasons of the messages that the options do not select, if there are any. An option
/// with a typing error looks like an empty queue otherwise.
pub fn reject_no_match(
    others_by_type: &BTreeMap<String, usize>,
    others_by_reason: &BTreeMap<String, usize>,
) -> Result<()> {
    if others_by_type.is_empty() {
        return Ok(());
    }
    let names = |counts: &BTreeMap<String, usize>| {
        let names: Vec<&str> = counts.keys().map(String::as_str).collect();
        printable(&names.join(", ")).to_string()
    };
    Err(CommandError::failed(format!(
        "no message matches the options. Types in the queue: {}. Reasons: {}",
        names(others_by_type),
        names(others_by_reason)
    )))
}

/// The totals, the tables and the samples.
pub fn render(inspection: &Inspection) -> String {
    let mut out = counted(inspection.messages, "message");
    if inspection.others > 0 {
        let (verb, other_verb) =
            (agree(inspection.messages, "match", "matches"), agree(inspection.others, "do", "does"));
        out += &format!(" {verb}, {} {other_verb} not", number(inspection.others));
    }
    out += &format!("\n{}", render_unseen(&inspection.unseen));
    out += &render_envelopes(inspection);
    out += &render_tables(inspection);
    for (reason, samples) in &inspection.samples {
        out += &format!("\nSamples: {reason}\n");
        samples.iter().for_each(|body| out += &format!("  {}\n", printable(body)));
    }
    out
}

fn agree(count: usize, plural: &'static str, singular: &'static str) -> &'static str {
    if count == 1 { singular } else { plural }
}

/// One line for each cause why messages were not seen.
pub fn render_unseen(unseen: &Unseen) -> String {
    let mut out = String::new();
    let missing = counted(unseen.missing, "message");
    let limit = unseen.limit.map(|limit| match limit {
        ReadLimit::InvisibleMessages => "SQS returns at most 120,000 at a time",
        ReadLimit::FifoGroup => "SQS returns at most ten of a group at a time",
        ReadLimit::VisibilityTimeout => "messages became visible again too soon",
    });
    if let Some(limit) = limit {
        out += &format!("about {missing} not seen: {limit}\n");
    } else if unseen.missing > 0 {
        out += &format!(
            "about {missing} not seen: another consumer received them, or SQS's count is outdated\n"
        );
    }
    if unseen.invisible > 0 {
        out += &format!(
            "about {} invisible: another consumer received them, or a killed run (visible again within 15 minutes)\n",
            counted(unseen.invisible, "message")
        );
    }
    if unseen.delayed > 0 {
        out += &format!(
            "about {} delayed: visible after the delay with which they were sent, at most 15 minutes\n",
            counted(unseen.delayed, "message")
        );
    }
    out
}

/// Two lines for each kind of envelope: what it is, and what to do.
pub fn render_envelopes(inspection: &Inspection) -> String {
    let envelopes = inspection.by_envelope.iter().map(|(envelope, count)| {
        let verb = agree(*count, "are each", "is");
        let count = counted(*count, "message");
        format!("{count} {verb} {}\n  {}\n", envelope.description(), envelope.advice())
    });
    envelopes.collect()
}

/// The counts by type, reason, age and subject.
pub fn render_tables(inspection: &Inspection) -> String {
    let ages = inspection.by_age.iter().map(|(age, count)| (age.name().to_owned(), *count)).collect();
    let tables = [
        ("By type", &inspection.by_type),
        ("By reason", &inspection.by_reason),
        ("By age", &ages),
        ("By subject", &inspection.by_subject),
    ];
    let mut out = String::new();
    for (title, counts) in tables.into_iter().filter(|(_, counts)| !counts.is_empty()) {
        out += &format!("\n{title}\n");
        let mut counts: Vec<(&String, &usize)> = counts.iter().collect();
        counts.sort_by(|a, b| b.1.cmp(a.1));
        for (name, count) in counts.iter().take(MAX_ROWS) {
            out += &format!("{:>7}  {}\n", number(**count), printable(name));
            if let Some(text) = inspection.error_messages.get(*name).filter(|_| title == "By reason") {
                out += &format!("         {}\n", printable(text));
            }
        }
        if let Some(more) = counts.len().checked_sub(MAX_ROWS).filter(|more| *more > 0) {
            out += &format!("         and {} more\n", number(more));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;
    use shared::queues::ERROR_TYPE;

    use super::*;
    use crate::queue::message::QueuedMessage;

    #[test]
    fn messages_are_counted_by_type_reason_age_and_subject() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let message = |body: &str, reason: Option<&str>, seconds_ago: i64| {
            let sent_at = shared::time::minus_seconds(now, seconds_ago).as_millisecond().to_string();
            let reason =
                reason.map(|reason| (ERROR_TYPE, json!({"dataType": "String", "stringValue": reason})));
            let line = json!({
                "messageId": "1", "attributes": {"SentTimestamp": sent_at}, "body": body,
                "messageAttributes": reason.into_iter().collect::<BTreeMap<_, _>>(),
            });
            serde_json::from_value::<QueuedMessage>(line).unwrap()
        };
        let messages = [
            message(
                r#"{"type": "order.shipped", "subject": "domain:example.com"}"#,
                Some("unknown_type"),
                10,
            ),
            message(r#"{"type": "order.shipped", "subject": "ben"}"#, Some("unknown_type"), 4_000),
            message("{", None, 700_000),
        ];
        let mut inspection = Inspection::default();
        messages.iter().for_each(|message| inspection.add(message, 1, now));
        let expected = "3 messages\n\nBy type\n      2  order.shipped\n      1  not_an_event\n\n\
            By reason\n      2  unknown_type\n      1  received_too_often\n\n\
            By age\n      1  a week or more\n      1  less than a day\n      1  less than an hour\n\n\
            By subject\n      1  domain:example.com\n      1  masked (not a sub or a domain)\n\n\
            Samples: received_too_often\n  not JSON, 1 byte of JSON that is cut off: {\n\n\
            Samples: unknown_type\n  {\"subject\":\"domain:example.com\",\"type\":\"order.shipped\"}\n";
        assert_eq!(render(&inspection), expected);
    }

    #[test]
    fn unseen_messages_are_explained() {
        assert_eq!(render_unseen(&Unseen { seen: 3, ..Unseen::default() }), "");
        let unseen = Unseen { seen: 2, missing: 1, invisible: 2, delayed: 3, limit: None };
        assert_eq!(
            render_unseen(&unseen),
            "about 1 message not seen: another consumer received them, or SQS's count is outdated\n\
             about 2 messages invisible: another consumer received them, or a killed run (visible again within 15 \
             minutes)\n\
             about 3 messages delayed: visible after the delay with which they were sent, at most 15 minutes\n"
        );
        let unseen =
            Unseen { seen: 10, missing: 4_120, invisible: 0, delayed: 0, limit: Some(ReadLimit::FifoGroup) };
        assert_eq!(
            render_unseen(&unseen),
            "about 4,120 messages not seen: SQS returns at most ten of a group at a time\n"
        );
    }
}
