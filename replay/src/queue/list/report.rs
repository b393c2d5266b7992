//! What `replay queues` prints.

use serde::Serialize;

use crate::output::{duration, number};
use crate::queue::description::QueueDescription;
use crate::queue::move_task::MoveTask;

/// The state of queues.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct QueuesReport {
    /// Name of the stack, or null if queues were named.
    pub stack: Option<String>,
    /// The queues, each dead-letter queue after its source.
    pub queues: Vec<QueueReport>,
    /// What could not be read, such as the ages without a permission for CloudWatch.
    pub notes: Vec<String>,
}

/// A queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct QueueReport {
    /// Name of the queue.
    pub name: String,
    /// URL of the queue.
    pub url: String,
    /// True if another queue has this one as its dead-letter queue.
    pub is_dead_letter_queue: bool,
    /// Approximate number of visible messages.
    pub visible: usize,
    /// Approximate number of messages that a consumer has received and not deleted yet.
    pub in_flight: usize,
    /// Approximate number of messages that were sent with a delay that is not over.
    pub delayed: usize,
    /// Time for which the queue keeps a message, in seconds.
    pub retention_seconds: u64,
    /// Age of the oldest message in seconds, from CloudWatch. In a dead-letter queue, the time since the message came there.
    pub oldest_message_seconds: Option<u64>,
    /// Time until the oldest dead letter expires, in seconds. It is less if SQS moved the message from a standard queue, because its time in that queue counts too.
    pub expires_in_at_most_seconds: Option<u64>,
    /// The move task that runs.
    pub move_task: Option<MoveTaskReport>,
    /// Why the queue could not be read.
    pub error: Option<String>,
    /// What to do about the queue, or null if nothing needs a look.
    pub next_step: Option<NextStep>,
}

/// A running move task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MoveTaskReport {
    /// Approximate number of messages that were moved.
    pub moved: usize,
    /// Approximate number of messages to move, or null if SQS does not know it yet.
    pub to_move: Option<usize>,
    /// The same in words, with the destination.
    pub progress: String,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NextStep {
    /// What needs a look.
    pub reason: String,
    /// The command to type next.
    pub command: Option<String>,
}

impl MoveTaskReport {
    pub fn of(task: &MoveTask) -> Self {
        Self { moved: task.moved, to_move: task.to_move, progress: task.progress() }
    }
}

impl QueueReport {
    /// A queue of which only the URL is known.
    pub fn unread(url: &str) -> Self {
        let name = url.rsplit('/').next().unwrap_or_default().to_owned();
        Self { name, url: url.to_owned(), ..Self::default() }
    }

    /// Adds the attributes of the queue.
    pub fn read(&mut self, queue: QueueDescription) {
        self.visible = queue.visible;
        self.in_flight = queue.invisible;
        self.delayed = queue.delayed;
        self.retention_seconds = queue.retention_seconds;
    }

    /// Adds the age of the oldest message. The metric of an empty queue is out of date.
    pub fn set_age(&mut self, age: Option<u64>) {
        self.oldest_message_seconds = age.filter(|_| self.messages() > 0);
        let age = self.oldest_message_seconds.filter(|_| self.is_dead_letter_queue);
        self.expires_in_at_most_seconds = age.map(|age| self.retention_seconds.saturating_sub(age));
    }

    /// Messages of every kind.
    pub fn messages(&self) -> usize {
        self.visible + self.in_flight + self.delayed
    }
}

/// A line per queue, or some short lines per queue if the terminal is too narrow. `short` shortens names.
pub fn table(queues: &[QueueReport], width: usize, short: impl Fn(&str) -> String) -> String {
    const HEAD: [&str; 6] = ["", "visible", "in flight", "delayed", "oldest", "expires"];
    let rows: Vec<[String; 6]> = queues
        .iter()
        .map(|queue| {
            if queue.error.is_some() {
                return [short(&queue.name), "?".into(), "?".into(), "?".into(), "?".into(), String::new()];
            }
            let time = |seconds: Option<u64>, unknown: &str| match seconds {
                Some(seconds) => duration(seconds),
                None if queue.messages() > 0 => unknown.to_owned(),
                None => String::new(),
            };
            let unknown = if queue.is_dead_letter_queue { "?" } else { "" };
            [
                short(&queue.name),
                number(queue.visible),
                number(queue.in_flight),
                number(queue.delayed),
                time(queue.oldest_message_seconds, "?"),
                time(queue.expires_in_at_most_seconds, unknown),
            ]
        })
        .collect();
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(HEAD.get(column).map(|head| head.len())).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(widest).collect();
    if widths.iter().sum::<usize>() + 2 * (HEAD.len() - 1) > width {
        return rows.iter().map(block).collect();
    }
    let line = |cells: &[String]| {
        let cells = cells.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("  {cell:>width$}"),
        });
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    let head = line(&HEAD.map(str::to_owned));
    head + &rows.iter().map(|row| line(row)).collect::<String>()
}

/// The cells of a row on lines of their own. Empty ones are left out.
fn block([name, visible, in_flight, delayed, oldest, expires]: &[String; 6]) -> String {
    let mut text = format!("{name}\n  {visible} visible, {in_flight} in flight\n");
    if delayed != "0" {
        text += &format!("  {delayed} delayed\n");
    }
    match (oldest.as_str(), expires.as_str()) {
        ("", _) => {}
        (oldest, "") => text += &format!("  oldest {oldest}\n"),
        (oldest, expires) => text += &format!("  oldest {oldest}, expires in {expires}\n"),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_fits_the_terminal() {
        let queue = |name: &str, visible, age, is_dead_letter_queue| {
            let mut queue = QueueReport { visible, ..QueueReport::unread(name) };
            queue.is_dead_letter_queue = is_dead_letter_queue;
            queue.retention_seconds = 14 * 86_400;
            queue.set_age(age);
            queue
        };
        let unread = QueueReport { error: Some("x".into()), ..QueueReport::unread("shop-other") };
        let queues = [
            queue("shop-user-events", 1_204, Some(1_320), false),
            queue("shop-user-events-dead-letters", 6, Some(93_600), true),
            queue("shop-empty", 0, None, true),
            queue("shop-unknown", 2, None, true),
            unread,
        ];
        let short = |name: &str| name.trim_start_matches("shop-").to_owned();
        assert_eq!(
            table(&queues, 80, short),
            "                          visible  in flight  delayed  oldest  expires
user-events                 1,204          0        0     22m
user-events-dead-letters        6          0        0   1d 2h  12d 22h
empty                           0          0        0
unknown                         2          0        0       ?        ?
other                           ?          ?        ?       ?
"
        );
        let narrow = table(&queues, 40, short);
        assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
        assert!(
            narrow.contains("  6 visible, 0 in flight\n  oldest 1d 2h, expires in 12d 22h\n"),
            "{narrow}"
        );
    }
}
