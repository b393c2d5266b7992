//! `replay queues`: options and output.

use clap::Args;
use shared::time::Clock;

use crate::account::AccountOptions;
use crate::error::{CommandError, Result};
use crate::output::{self, counted, wrap};
use crate::queue::list::report::{QueuesReport, table};
use crate::queue::list::{Queues, next_step, read_queues};
use crate::stack::Stack;

const EXAMPLES: &str = "\
Examples:
  replay queues --stack cognito-user-events
  replay queues user-events user-events-dead-letters
  replay queues --json | jq '.queues[] | select(.visible > 0) | .name'";

/// Show the queues of a stack: messages, oldest message, time until dead letters expire, next step.
///
/// The ages come from CloudWatch, which is one or two minutes late. They are unknown without the
/// permission cloudwatch:GetMetricData. Receives no message.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ListQueues {
    /// Queues, by name, ARN or URL. [default: all queues of the stack]
    #[arg(value_name = "QUEUE")]
    queues: Vec<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    account: AccountOptions,
}

impl ListQueues {
    pub async fn run(self) -> Result<()> {
        let account = self.account.open().await?;
        let (mut urls, mut stack) = (Vec::new(), None);
        if self.queues.is_empty() {
            let read = account.stack().await?;
            urls.extend(read.queues().map(|(_, url)| url.to_owned()));
            // A dead-letter queue's name begins with that of its source.
            urls.sort();
            stack = Some(read);
        }
        for queue in &self.queues {
            urls.push(account.queue_url(queue).await?);
        }
        let now = Clock::system().now();
        let Queues { mut queues, ages_error } =
            read_queues(&account.sqs(), &account.cloudwatch(), &urls, now).await;
        for queue in &mut queues {
            queue.next_step = next_step(queue, stack);
        }
        let notes = ages_error
            .map(|error| format!("The age of the oldest messages is unknown: {error}"))
            .into_iter()
            .collect();
        let report = QueuesReport { stack: stack.map(|stack| stack.name.clone()), queues, notes };
        match self.json {
            true => output::json(&report)?,
            false => output::print(&render(&report, stack, output::width()))?,
        }
        match report.queues.iter().filter(|queue| queue.error.is_some()).count() {
            0 => Ok(()),
            unread => Err(CommandError::failed(format!("{} could not be read", counted(unread, "queue")))),
        }
    }
}

fn render(report: &QueuesReport, stack: Option<&Stack>, width: usize) -> String {
    let short = |name: &str| stack.map_or(name, |stack| stack.short_name(name)).to_owned();
    let mut text = table(&report.queues, width, short);
    let steps = report.queues.iter().filter_map(|queue| Some((queue, queue.next_step.as_ref()?)));
    for (queue, step) in steps {
        text += &format!("\n{}\n", wrap(&format!("{}: {}", short(&queue.name), step.reason), width, 2));
        if let Some(command) = &step.command {
            text += &format!("  {}\n", output::command(command));
        }
    }
    for note in &report.notes {
        text += &format!("\n{}\n", wrap(note, width, 2));
    }
    text
}
