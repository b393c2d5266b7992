//! CloudWatch Logs: the operation FilterLogEvents, in the protocol JSON 1.1.

use jiff::Timestamp;
use serde_json::{Value, json};
use winterbaume_core::MockResponse;

use super::{Refusal, StackAccount, lock, refusal};

/// Log events in a page. CloudWatch Logs has 10,000. With fewer, tests read several pages.
const PAGE: usize = 3;

/// An event of a log group.
#[derive(Clone, Debug)]
pub struct LogEvent {
    pub time: Timestamp,
    pub message: String,
    /// The message as a data protection policy shows it.
    pub masked: Option<String>,
}

impl LogEvent {
    pub fn new(time: Timestamp, message: impl Into<String>) -> Self {
        Self { time, message: message.into(), masked: None }
    }
}

/// An error in the protocols with JSON.
pub(super) fn error(Refusal { code, message }: &Refusal) -> MockResponse {
    MockResponse::json(400, json!({"__type": code, "message": message}).to_string())
}

impl StackAccount {
    pub(super) fn cloudwatch_logs(&self, operation: &str, body: &[u8]) -> MockResponse {
        let input: Value = serde_json::from_slice(body).unwrap_or_default();
        let result = self.begin(operation).and_then(|()| match operation {
            "FilterLogEvents" => self.filter_log_events(&input),
            _ => Err(refusal("UnknownOperationException", operation)),
        });
        match result {
            Ok(output) => MockResponse::json(200, output.to_string()),
            Err(refusal) => error(&refusal),
        }
    }

    /// The events that contain the phrase in quotation marks. As in AWS, a page can be empty although
    /// more follow: here it is the first one.
    fn filter_log_events(&self, input: &Value) -> Result<Value, Refusal> {
        let unmask = input["unmask"].as_bool().unwrap_or_default();
        if unmask && !*lock(&self.0.may_unmask) {
            return Err(refusal(
                "AccessDeniedException",
                "User: arn:aws:iam::123456789012:user/ben is not authorized to perform: logs:Unmask",
            ));
        }
        let group = input["logGroupName"].as_str().unwrap_or_default();
        let groups = lock(&self.0.log_groups);
        let events = groups.get(group);
        let events = events
            .ok_or_else(|| refusal("ResourceNotFoundException", "The specified log group does not exist."))?;
        let pattern = input["filterPattern"].as_str().unwrap_or_default();
        let phrase = pattern.strip_prefix('"').and_then(|pattern| pattern.strip_suffix('"'));
        let phrase =
            phrase.ok_or_else(|| refusal("InvalidParameterException", "only a phrase is known here"))?;
        let (start, end) = (input["startTime"].as_i64(), input["endTime"].as_i64());
        let is_selected = |event: &&LogEvent| {
            let time = event.time.as_millisecond();
            start.is_none_or(|start| time >= start)
                && end.is_none_or(|end| time <= end)
                && event.message.contains(phrase)
        };
        let selected: Vec<&LogEvent> = events.iter().filter(is_selected).collect();
        let Some(from) = input["nextToken"].as_str().and_then(|token| token.parse::<usize>().ok()) else {
            return Ok(json!({"events": [], "nextToken": "0"}));
        };
        let page: Vec<Value> = selected
            .iter()
            .skip(from)
            .take(PAGE)
            .map(|event| {
                let message = event.masked.as_ref().filter(|_| !unmask).unwrap_or(&event.message);
                json!({
                    "logStreamName": "2026/03/02/[$LATEST]0123456789abcdef", "timestamp": event.time.as_millisecond(),
                    "message": message, "eventId": "1",
                })
            })
            .collect();
        let mut output = json!({"events": page});
        if from + PAGE < selected.len() {
            output["nextToken"] = (from + PAGE).to_string().into();
        }
        Ok(output)
    }
}
