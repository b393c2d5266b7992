//! Reads unsent events from log groups of CloudWatch Logs.

use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::error::ProvideErrorMetadata;
use aws_sdk_cloudwatchlogs::types::FilteredLogEvent;
use jiff::Timestamp;
use shared::telemetry::UNSENT_EVENT;
use tokio::time::{Instant, sleep_until};

use crate::aws_error::{Service, aws_error};
use crate::queue::recover::RecoveredEvents;

/// Time between two calls. All callers of an account share a quota of a few calls per second, which depends
/// on the region (Service Quotas, *FilterLogEvents throttle limit in transactions per second*). If others
/// use it up, the SDK retries with backoff.
const CALL_INTERVAL: Duration = Duration::from_millis(250);

/// Reads log groups one after the other.
pub struct LogGroupReader<'a> {
    logs: &'a Client,
    /// The time at which the events were logged.
    range: (Timestamp, Timestamp),
    /// False after the role turned out not to have the permission `logs:Unmask`.
    may_unmask: bool,
    next_call: Instant,
    log_events: usize,
}

impl<'a> LogGroupReader<'a> {
    pub fn new(logs: &'a Client, range: (Timestamp, Timestamp)) -> Self {
        Self { logs, range, may_unmask: true, next_call: Instant::now(), log_events: 0 }
    }

    /// Adds the unsent events of a log group. `progress` gets the number of log events so far.
    pub async fn read(
        &mut self,
        group: &str,
        recovered: &mut RecoveredEvents,
        now: Timestamp,
        progress: &dyn Fn(usize),
    ) -> Result<()> {
        let mut token = None;
        loop {
            let (events, next) = self.page(group, token).await.with_context(|| group.to_owned())?;
            for event in &events {
                recovered.read_log_event(&place(group, event), event.message().unwrap_or_default(), now);
            }
            self.log_events += events.len();
            progress(self.log_events);
            // A page can be empty although more follow.
            match next {
                Some(next) => token = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn page(
        &mut self,
        group: &str,
        token: Option<String>,
    ) -> Result<(Vec<FilteredLogEvent>, Option<String>)> {
        let mut unmasks = self.may_unmask;
        loop {
            sleep_until(self.next_call).await;
            self.next_call = Instant::now() + CALL_INTERVAL;
            let (from, to) = self.range;
            let call = self.logs.filter_log_events().filter_pattern(format!("\"{UNSENT_EVENT}\""));
            // An ARN names a log group of another account.
            let call = match group.starts_with("arn:") {
                true => call.log_group_identifier(group),
                false => call.log_group_name(group),
            };
            let call = call.start_time(from.as_millisecond()).end_time(to.as_millisecond());
            let call = call.unmask(unmasks).set_next_token(token.clone());
            match call.send().await {
                Ok(page) => {
                    self.may_unmask = unmasks;
                    return Ok((page.events.unwrap_or_default(), page.next_token));
                }
                // Without the permission to see masked values, events without masked values can be read. If
                // that fails too, the role lacks another permission.
                Err(error) if unmasks && error.code() == Some("AccessDeniedException") => unmasks = false,
                Err(error) => return Err(aws_error(Service::CloudWatchLogs, "FilterLogEvents")(error)),
            }
        }
    }
}

/// The place of a log event: the log group, its stream and its time.
fn place(group: &str, event: &FilteredLogEvent) -> String {
    let time = event.timestamp().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    let time = time.map(|time| format!(" at {time:.3}")).unwrap_or_default();
    match event.log_stream_name() {
        Some(stream) => format!("{group}, {stream}{time}"),
        None => format!("{group}{time}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_names_the_group_the_stream_and_the_time() {
        let event = FilteredLogEvent::builder();
        assert_eq!(place("/aws/lambda/x", &event.clone().build()), "/aws/lambda/x");
        let event = event.log_stream_name("2026/03/02/[1]0a").timestamp(1_772_442_000_000).build();
        assert_eq!(
            place("/aws/lambda/x", &event),
            "/aws/lambda/x, 2026/03/02/[1]0a at 2026-03-02T09:00:00.000Z"
        );
    }
}
