//! `replay recover`: options and output.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use shared::events::Event;
use shared::function_id::FunctionId;
use shared::queues::{Message, Queue, batches};
use shared::text::printable;
use shared::time::Clock;

use crate::account::Account;
use crate::aws_error::{Service, describe, explain};
use crate::error::{CommandError, Result};
use crate::interrupt::StopSignal;
use crate::options::ChangeOptions;
use crate::output::{self, counted, number};
use crate::progress::Progress;
use crate::queue::recover::log_groups::LogGroupReader;
use crate::queue::recover::report::{RecoverReport, Sources};
use crate::queue::recover::{RecoveredEvents, decompress};
use crate::queue::sending::send_with_retries;
use crate::time_option::{When, parse_when};

const EXAMPLES: &str = "\
Examples:
  replay recover --stack cognito-user-events --since 2h
  replay recover --stack cognito-user-events --since 2h --yes
  replay recover --log-group /aws/lambda/cognito-user-events-pre-sign-up --since 2026-04-01
  aws logs tail /aws/lambda/cognito-user-events-pre-sign-up | replay recover --log -";

/// The first bytes of a compressed file.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Maximum number of events that are shown, of those that were skipped because they are masked, and of those
/// that could not be read.
const MAX_PLACES: usize = 10;

/// Find the events in logs that triggers could not publish, and send them to user-events.
///
/// Reads the log groups of a stack's triggers, other log groups, or files. A file can have any form:
/// lines as Lambda writes them, output of the AWS CLI as text, JSON or YAML, CSV of Logs Insights,
/// payloads of a log subscription, and exports, also compressed (gzip). You can run the command several
/// times: each event counts once.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Recover {
    /// Log files, or - for standard input.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["log_group", "stack", "since", "until"])]
    log: Vec<PathBuf>,
    /// Log groups in CloudWatch Logs, by name, or by ARN in another account.
    #[arg(long, value_name = "NAME", num_args = 1.., conflicts_with = "stack")]
    log_group: Vec<String>,
    /// Read log groups from this time on: 2h, 1d, 2026-04-01, 2026-04-01T12:00:00Z. [default: 1d]
    #[arg(long, value_name = "TIME", value_parser = parse_when)]
    since: Option<When>,
    /// Read log groups up to this time. [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_when)]
    until: Option<When>,
    /// Queue user-events, by name, ARN or URL. [default: that of the stack, or USER_EVENTS_QUEUE_URL]
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// Seconds before now from which on log groups are read by default.
const DEFAULT_SINCE_SECONDS: i64 = 24 * 3600;

impl Recover {
    pub async fn run(self) -> Result<()> {
        let now = Clock::system().now();
        let mut recovered = RecoveredEvents::default();
        let (account, stop, sources) = if self.log.is_empty() {
            let account = self.change.open().await?;
            let groups = self.log_groups(&account).await?;
            let range = self.range(now)?;
            let stop = StopSignal::on_signals();
            let reading = read_log_groups(&account, &groups, range, &mut recovered, now);
            let sources = stop.run(reading, "nothing was sent. Run the command again").await?;
            (Some(account), Some(stop), sources)
        } else {
            for path in &self.log {
                recovered.read(&name(path), &read(path)?, now);
            }
            let logs = self.log.iter().map(|path| name(path)).collect();
            (None, None, Sources { logs, ..Sources::default() })
        };
        let mut report = RecoverReport::of(&recovered, sources, !self.change.yes);
        if !self.json {
            output::print(&render(&report))?;
        }
        let sent = match (self.change.yes, report.events) {
            (true, 1..) => {
                let account = match account {
                    Some(account) => account,
                    None => self.change.open().await?,
                };
                let user_events = account.user_events(self.queue.as_deref()).await?.without_retries();
                let stop = stop.unwrap_or_else(StopSignal::on_signals);
                let (sent, result) = send_events(&user_events, &recovered.events, &stop).await;
                report.sent = sent;
                result
            }
            _ => Ok(()),
        };
        if self.json {
            output::json(&report)?;
        } else if report.events == 0 {
            output::not_done("No events to send.")?;
        } else if report.dry_run {
            let events = counted(report.events, "event");
            output::not_done(&format!(
                "Dry run: nothing was sent. Add --yes to send {events}. An event that was sent before counts once."
            ))?;
        } else if sent.is_ok() {
            output::done(&format!("{} sent.", counted(report.sent, "event")))?;
        }
        sent?;
        match problems(&report) {
            None => Ok(()),
            Some(problems) => Err(CommandError::failed(problems)),
        }
    }

    /// The log groups to read: those of the options, or of the triggers of the stack.
    async fn log_groups(&self, account: &Account) -> Result<Vec<String>> {
        if !self.log_group.is_empty() {
            return Ok(self.log_group.clone());
        }
        let stack = account.stack().await.map_err(|error| match error {
            CommandError::InvalidInput(text) if account.stack_name().is_none() => {
                CommandError::invalid_input(format!("pass --log or --log-group, or: {text}"))
            }
            error => error,
        })?;
        let groups: Vec<String> =
            FunctionId::triggers().filter_map(|trigger| stack.log_group(trigger)).collect();
        match groups.is_empty() {
            true => Err(CommandError::invalid_input(format!(
                "--stack {}: the stack has none of the triggers. Pass --log-group",
                stack.name
            ))),
            false => Ok(groups),
        }
    }

    fn range(&self, now: Timestamp) -> Result<(Timestamp, Timestamp)> {
        let since =
            self.since.unwrap_or(When::Duration(jiff::SignedDuration::from_secs(DEFAULT_SINCE_SECONDS)));
        let range = (since.ago(now), self.until.map_or(now, |until| until.ago(now)));
        if range.0 >= range.1 {
            return Err(CommandError::invalid_input(format!(
                "--since {} is not before --until {}",
                range.0, range.1
            )));
        }
        Ok(range)
    }
}

/// Reads all log groups, also if one of them cannot be read.
async fn read_log_groups(
    account: &Account,
    groups: &[String],
    range: (Timestamp, Timestamp),
    recovered: &mut RecoveredEvents,
    now: Timestamp,
) -> Result<Sources> {
    let logs = account.cloudwatch_logs();
    let mut reader = LogGroupReader::new(&logs, range);
    let progress = Progress::new("read", None);
    let mut sources = Sources { range: Some(range), ..Sources::default() };
    for group in groups {
        match reader.read(group, recovered, now, &|count| progress.set(count)).await {
            Ok(()) => sources.logs.push(group.clone()),
            // Without any log, the reason is the result.
            Err(error) if groups.len() == 1 => return Err(error.into()),
            Err(error) => sources.unread.push(describe(error.as_ref())),
        }
    }
    Ok(sources)
}

/// Sends the events. Returns how many SQS accepted, and why it did not accept the others. If a stop is
/// requested, the batch in progress is completed.
pub async fn send_events(user_events: &Queue, events: &[Event], stop: &StopSignal) -> (usize, Result<()>) {
    let (count, mut accepted, mut reason) = (events.len(), 0, None);
    for batch in batches(events.iter().map(Message::from).collect()) {
        if stop.is_requested() {
            let left = counted(count - accepted, "event");
            let text = format!(
                "{} sent, {left} not sent. Run the command again: each event counts once",
                counted(accepted, "event")
            );
            return (accepted, Err(CommandError::interrupted(text)));
        }
        match send_with_retries(user_events, batch).await {
            Ok(sent) => {
                accepted += sent.accepted.len();
                let code = sent.refused.into_values().next();
                reason = code.map(|code| explain(Some(Service::Sqs), &code, None)).or(reason);
            }
            Err(error) => {
                reason = Some(describe(&error));
                break;
            }
        }
    }
    if accepted == count {
        return (accepted, Ok(()));
    }
    let text = format!(
        "{} of {} were not sent: {}. Run the command again: each event counts once",
        number(count - accepted),
        counted(count, "event"),
        reason.unwrap_or_else(|| "SQS's answer does not name them".to_owned())
    );
    (accepted, Err(CommandError::failed(text)))
}

/// What was not read, and the next step. `None` if everything was read.
fn problems(report: &RecoverReport) -> Option<String> {
    let unread = match report.unread.as_slice() {
        [] => None,
        [one] => Some(format!("1 log group could not be read: {one}")),
        [first, ..] => Some(format!("{} log groups could not be read: {first}", report.unread.len())),
    };
    let unmask = match report.since {
        // Otherwise the command would have read the events without the mask.
        Some(_) => "Your role needs the permission logs:Unmask",
        None => {
            "A masked file cannot be restored. Read the logs themselves with `replay recover --stack NAME`, which \
             needs the permission logs:Unmask"
        }
    };
    let events = match (report.masked.len(), report.incomplete.len()) {
        (0, 0) => None,
        (0, count) => {
            Some(format!("{} could not be read. Look for a complete log", counted(count, "unsent event")))
        }
        (masked, incomplete) => Some(format!(
            "{} masked by a data protection policy{}. {unmask}",
            if masked == 1 {
                "1 unsent event is".to_owned()
            } else {
                format!("{} unsent events are", number(masked))
            },
            if incomplete == 0 {
                String::new()
            } else {
                format!(", and {} could not be read", number(incomplete))
            },
        )),
    };
    match (unread, events) {
        (None, events) => events,
        (unread, None) => unread,
        (Some(unread), Some(events)) => Some(format!("{unread}. {events}")),
    }
}

fn render(report: &RecoverReport) -> String {
    let mut text = String::new();
    if let (Some(since), Some(until)) = (&report.since, &report.until) {
        text += &format!("{} from {since} to {until}\n", counted(report.logs.len(), "log group"));
    }
    for (event_type, count) in &report.by_type {
        text += &format!("{:>7}  {event_type}\n", number(*count));
    }
    for (reason, count) in &report.skipped {
        let reason = match reason.as_str() {
            "groups_mapped" => "user.groups_mapped, which the user's next token publishes again",
            _ => "more than 30 days old, which user-stats rejects",
        };
        text += &format!("{:>7}  skipped: {reason}\n", number(*count));
    }
    for places in [&report.masked, &report.incomplete] {
        for place in places.iter().take(MAX_PLACES) {
            text += &format!("skipped: {}\n", printable(&place.to_string()));
        }
        if let Some(more) = places.len().checked_sub(MAX_PLACES).filter(|more| *more > 0) {
            text += &format!("and {} more\n", number(more));
        }
    }
    text
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn name(path: &Path) -> String {
    if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() }
}

fn read(path: &Path) -> Result<String> {
    let name = name(path);
    let mut bytes = Vec::new();
    let read = match is_stdin(path) {
        true => std::io::stdin().read_to_end(&mut bytes),
        false => std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)),
    };
    // A path is wrong if it cannot be read: nothing was done.
    read.map_err(|error| CommandError::invalid_input(format!("{name}: {error}")))?;
    let log = match bytes.starts_with(&GZIP) {
        true => decompress(&bytes).map_err(|error| {
            CommandError::invalid_input(format!("{name}: cannot be decompressed: {error}"))
        })?,
        false => String::from_utf8(bytes).unwrap_or_else(|_| "\0".to_owned()),
    };
    if log.contains('\0') {
        return Err(CommandError::invalid_input(format!(
            "{name}: not UTF-8 text. Unpack or convert it first"
        )));
    }
    Ok(log)
}
