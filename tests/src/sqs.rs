//! SQS in memory, for `replay`. It has what winterbaume's SQS lacks: message groups, trace headers,
//! FIFO queues, move tasks and partial failures. It answers only the operations that `replay` uses.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_smithy_runtime_api::client::result::ConnectorError;
use sandbox::aws::Answer;
use sandbox::aws::AwsBackend;
use serde_json::{Map, Value, json};
use shared::time::Clock;
use winterbaume_core::{MockRequest, MockResponse};

const ACCOUNT: &str = "123456789012";
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
const MAX_IN_FLIGHT: usize = 120_000;
/// SQS: a FIFO queue drops messages with the same deduplication id for five minutes.
const DEDUPLICATION_MILLIS: i64 = 300_000;

/// The queues of an account. Clones share them.
#[derive(Clone)]
pub struct Sqs(Arc<Account>);

struct Account {
    region: &'static str,
    clock: Clock,
    queues: Mutex<BTreeMap<String, Queue>>,
    tasks: Mutex<Vec<Task>>,
    refuse_every: [AtomicUsize; 2],
    entries: [AtomicUsize; 2],
    lost_replies: Mutex<Vec<(String, usize)>>,
    late_lists: AtomicUsize,
    left_by_tasks: AtomicUsize,
    refused_operations: Mutex<BTreeMap<String, &'static str>>,
}

#[derive(Default)]
struct Queue {
    dead_letters: Option<(String, u64)>,
    /// Further attributes: MaximumMessageSize, DelaySeconds, RedriveAllowPolicy and so on.
    attributes: BTreeMap<String, String>,
    next: u64,
    messages: HashMap<u64, Message>,
    visible: BTreeSet<u64>,
    /// Invisible messages by the millisecond at which they become visible.
    invisible: BTreeSet<(i64, u64)>,
    /// Delayed messages, by the same.
    delayed: BTreeSet<(i64, u64)>,
    deduplicated: HashMap<String, i64>,
}

#[derive(Clone)]
struct Message {
    id: String,
    /// The entry as it was sent: MessageBody, MessageAttributes and so on.
    sent: Map<String, Value>,
    sent_at: i64,
    receives: u64,
    visible_at: i64,
    /// Receipt handle of the latest receive.
    receipt: String,
}

struct Task {
    source: String,
    destination: String,
    status: &'static str,
    moved: usize,
    to_move: usize,
    at_once: usize,
    /// Ends as COMPLETED although this many messages are left.
    leaves: usize,
    started: i64,
}

/// A message in a queue, for assertions.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredMessage {
    pub id: String,
    /// The entry as it was sent: MessageBody, MessageAttributes, MessageSystemAttributes,
    /// MessageGroupId, MessageDeduplicationId.
    pub sent: Value,
    pub receives: u64,
    pub is_visible: bool,
}

impl std::fmt::Debug for Sqs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sqs")
    }
}

/// The error of a refused request.
type Refusal = (&'static str, String);

fn refusal<T>(code: &'static str, message: impl Into<String>) -> Result<T, Refusal> {
    Err((code, message.into()))
}

/// In place of the code of a refused operation: the answer is empty.
const NOTHING: &str = "";

impl Sqs {
    /// An account without queues.
    pub fn new(clock: Clock) -> Self {
        Self::in_region("eu-central-1", clock)
    }

    /// The same, in a region.
    pub fn in_region(region: &'static str, clock: Clock) -> Self {
        Self(Arc::new(Account {
            region,
            clock,
            queues: Mutex::default(),
            tasks: Mutex::default(),
            refuse_every: Default::default(),
            entries: Default::default(),
            lost_replies: Mutex::default(),
            late_lists: AtomicUsize::new(0),
            left_by_tasks: AtomicUsize::new(0),
            refused_operations: Mutex::default(),
        }))
    }

    /// Creates a queue, with its dead-letter queue and maxReceiveCount.
    pub fn create(&self, name: &str, dead_letters: Option<(&str, u64)>) {
        let dead_letters = dead_letters.map(|(name, receives)| (name.to_owned(), receives));
        self.queues().insert(name.to_owned(), Queue { dead_letters, ..Queue::default() });
    }

    /// Sets MessageRetentionPeriod of a queue. Without it, the queue has SQS's default of four days.
    pub fn set_retention(&self, name: &str, seconds: u64) {
        self.set_attribute(name, "MessageRetentionPeriod", &seconds.to_string());
    }

    /// Sets an attribute of a queue, such as MaximumMessageSize or DelaySeconds.
    pub fn set_attribute(&self, queue: &str, name: &str, value: &str) {
        let mut queues = self.queues();
        let queue = queues.get_mut(queue).expect("a queue");
        queue.attributes.insert(name.to_owned(), value.to_owned());
    }

    /// Refuses every request of an operation from now on.
    pub fn refuse_operation(&self, operation: &str, code: &'static str) {
        let mut refused = self.0.refused_operations.lock().unwrap_or_else(PoisonError::into_inner);
        refused.insert(operation.to_owned(), code);
    }

    /// Deletes a queue with its messages.
    pub fn delete(&self, name: &str) {
        self.queues().remove(name);
    }

    /// Every move task that is started from now on leaves this many messages, and ends as COMPLETED.
    pub fn leave_in_tasks(&self, messages: usize) {
        self.0.left_by_tasks.store(messages, Relaxed);
    }

    /// The URL of a queue. Only the part after the last slash counts.
    pub fn url(name: &str) -> String {
        format!("https://sqs.eu-central-1.amazonaws.com/{ACCOUNT}/{name}")
    }

    /// Refuses every `count`th entry of SendMessageBatch from now on. 0 refuses none.
    pub fn refuse_every_send(&self, count: usize) {
        self.0.refuse_every[0].store(count, Relaxed);
    }

    /// Refuses every `count`th entry of DeleteMessageBatch from now on. 0 refuses none.
    pub fn refuse_every_deletion(&self, count: usize) {
        self.0.refuse_every[1].store(count, Relaxed);
    }

    /// Answers every request of an operation with an empty object from now on, and does nothing.
    pub fn answer_nothing_to(&self, operation: &str) {
        self.refuse_operation(operation, NOTHING);
    }

    /// Performs the next `times` requests of an operation, but loses their responses.
    pub fn lose_reply_of(&self, operation: &str, times: usize) {
        self.lost_replies().push((operation.to_owned(), times));
    }

    fn lost_replies(&self) -> MutexGuard<'_, Vec<(String, usize)>> {
        self.0.lost_replies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn loses_reply_of(&self, operation: &str) -> bool {
        let mut replies = self.lost_replies();
        let lost = replies.iter_mut().find(|(name, times)| name == operation && *times > 0);
        lost.map(|(_, times)| *times -= 1).is_some()
    }

    /// Omits the latest task from the next `times` lists of move tasks.
    pub fn list_tasks_late(&self, times: usize) {
        self.0.late_lists.store(times, Relaxed);
    }

    /// Removes all visible messages from a queue.
    pub fn take_all(&self, name: &str) -> Vec<StoredMessage> {
        let visible: Vec<StoredMessage> =
            self.messages_in(name).into_iter().filter(|message| message.is_visible).collect();
        let _ = self.with(name, |queue| Ok(queue.take_visible(visible.len())));
        visible
    }

    fn is_refused(&self, which: usize) -> bool {
        let every = self.0.refuse_every[which].load(Relaxed);
        every > 0 && self.0.entries[which].fetch_add(1, Relaxed) % every == every - 1
    }

    /// The messages in a queue, in the order of sending.
    pub fn messages_in(&self, name: &str) -> Vec<StoredMessage> {
        let now = self.now();
        let mut queues = self.queues();
        let queue = queues.get_mut(name).expect("a queue");
        queue.come_back(now);
        let mut keys: Vec<u64> = queue.messages.keys().copied().collect();
        keys.sort_unstable();
        let stored = keys.iter().map(|key| {
            let message = &queue.messages[key];
            StoredMessage {
                id: message.id.clone(),
                sent: Value::Object(message.sent.clone()),
                receives: message.receives,
                is_visible: queue.visible.contains(key),
            }
        });
        stored.collect()
    }

    /// Makes all messages visible, as after their visibility timeouts.
    pub fn make_visible(&self) {
        self.queues().values_mut().for_each(|queue| queue.come_back(i64::MAX));
    }

    fn arn(&self, name: &str) -> String {
        format!("arn:aws:sqs:{}:{ACCOUNT}:{name}", self.0.region)
    }

    fn now(&self) -> i64 {
        self.0.clock.now().as_millisecond()
    }

    fn queues(&self) -> MutexGuard<'_, BTreeMap<String, Queue>> {
        self.0.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<Task>> {
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn handle(&self, operation: &str, input: &Value) -> MockResponse {
        let text = |name: &str| input[name].as_str().unwrap_or_default();
        let queue = text("QueueUrl").rsplit('/').next().unwrap_or_default();
        let refused = self.0.refused_operations.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = refused.get(operation).copied();
        let result = match operation {
            _ if refused == Some(NOTHING) => Ok(json!({})),
            _ if refused.is_some() => refusal(refused.unwrap_or_default(), "refused"),
            "GetQueueUrl" => self.get_queue_url(text("QueueName")),
            "GetQueueAttributes" => self.get_queue_attributes(queue),
            "ListDeadLetterSourceQueues" => self.list_dead_letter_source_queues(queue),
            "SendMessage" => self.send(queue, input),
            "SendMessageBatch" => self.send_batch(queue, input),
            "ReceiveMessage" => self.receive(queue, input),
            "DeleteMessageBatch" => self.batch(queue, input, |entry| {
                if self.is_refused(1) {
                    return refusal("InternalError", "injected");
                }
                self.with(queue, |queue| queue.delete(receipt(entry)?)).map(|()| json!({}))
            }),
            "ChangeMessageVisibilityBatch" => self.batch(queue, input, |entry| {
                let millis = entry["VisibilityTimeout"].as_i64().unwrap_or_default() * 1000;
                let until = self.now() + millis;
                self.with(queue, |queue| queue.hide(receipt(entry)?, until)).map(|()| json!({}))
            }),
            "StartMessageMoveTask" => self.start_task(input),
            "ListMessageMoveTasks" => {
                self.list_tasks(text("SourceArn"), input["MaxResults"].as_u64().unwrap_or(1))
            }
            "CancelMessageMoveTask" => self.cancel_task(text("TaskHandle")),
            _ => refusal("UnsupportedOperation", operation),
        };
        match result {
            Ok(output) => MockResponse::json(200, output.to_string()),
            Err((code, message)) => {
                let error = json!({"__type": format!("com.amazonaws.sqs#{code}"), "message": message});
                MockResponse::json(400, error.to_string())
            }
        }
    }

    fn with<T>(&self, name: &str, work: impl FnOnce(&mut Queue) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let now = self.now();
        match self.queues().get_mut(name) {
            Some(queue) => {
                queue.come_back(now);
                work(queue)
            }
            None => refusal("QueueDoesNotExist", "The specified queue does not exist."),
        }
    }

    fn get_queue_url(&self, name: &str) -> Result<Value, Refusal> {
        self.with(name, |_| Ok(json!({"QueueUrl": Self::url(name)})))
    }

    fn get_queue_attributes(&self, name: &str) -> Result<Value, Refusal> {
        self.with(name, |queue| {
            let mut attributes = json!({
                "QueueArn": self.arn(name),
                "ApproximateNumberOfMessages": queue.visible.len().to_string(),
                "ApproximateNumberOfMessagesNotVisible": queue.invisible.len().to_string(),
                "ApproximateNumberOfMessagesDelayed": queue.delayed.len().to_string(),
                "MaximumMessageSize": MAX_MESSAGE_BYTES.to_string(),
                "MessageRetentionPeriod": "345600",
            });
            for (name, value) in &queue.attributes {
                attributes[name] = value.clone().into();
            }
            if let Some((dead_letters, receives)) = &queue.dead_letters {
                let policy =
                    json!({"deadLetterTargetArn": self.arn(dead_letters), "maxReceiveCount": receives.to_string()});
                attributes["RedrivePolicy"] = policy.to_string().into();
            }
            if is_fifo(name) {
                attributes["FifoQueue"] = "true".into();
            }
            Ok(json!({"Attributes": attributes}))
        })
    }

    fn list_dead_letter_source_queues(&self, name: &str) -> Result<Value, Refusal> {
        let queues = self.queues();
        let sources =
            queues.iter().filter(|(_, queue)| queue.dead_letters.iter().any(|(dlq, _)| dlq == name));
        Ok(json!({"queueUrls": sources.map(|(name, _)| Self::url(name)).collect::<Vec<_>>()}))
    }

    fn send(&self, name: &str, input: &Value) -> Result<Value, Refusal> {
        let now = self.now();
        self.with(name, |queue| queue.send(is_fifo(name), input, now).map(|id| json!({"MessageId": id})))
    }

    fn send_batch(&self, name: &str, input: &Value) -> Result<Value, Refusal> {
        let entries = input["Entries"].as_array().map(Vec::as_slice).unwrap_or_default();
        let bytes: usize = entries.iter().map(|e| e["MessageBody"].as_str().map_or(0, str::len)).sum();
        if bytes > 1024 * 1024 {
            return refusal("BatchRequestTooLong", "more than 1 MiB");
        }
        self.batch(name, input, |entry| {
            if self.is_refused(0) {
                return refusal("InternalError", "injected");
            }
            self.send(name, entry)
        })
    }

    /// The result of each entry of a batch.
    fn batch(
        &self,
        queue: &str,
        input: &Value,
        mut one: impl FnMut(&Value) -> Result<Value, Refusal>,
    ) -> Result<Value, Refusal> {
        self.with(queue, |_| Ok(()))?;
        let entries = input["Entries"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !(1..=10).contains(&entries.len()) {
            return refusal("TooManyEntriesInBatchRequest", "1 to 10 entries");
        }
        let ids: HashSet<&str> = entries.iter().filter_map(|entry| entry["Id"].as_str()).collect();
        if ids.len() < entries.len() {
            return refusal("BatchEntryIdsNotDistinct", "two entries with one id");
        }
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for entry in entries {
            match one(entry) {
                Ok(mut output) => {
                    output["Id"] = entry["Id"].clone();
                    output["MD5OfMessageBody"] = "".into();
                    successful.push(output);
                }
                Err((code, message)) => failed
                    .push(json!({"Id": entry["Id"], "Code": code, "Message": message, "SenderFault": false})),
            }
        }
        Ok(json!({"Successful": successful, "Failed": failed}))
    }

    fn receive(&self, name: &str, input: &Value) -> Result<Value, Refusal> {
        let now = self.now();
        let most = usize::try_from(input["MaxNumberOfMessages"].as_u64().unwrap_or(1)).unwrap_or(1);
        let until = now + input["VisibilityTimeout"].as_i64().unwrap_or(30) * 1000;
        let (received, dead) = self.with(name, |queue| {
            let dead = queue.take_dead();
            Ok((queue.receive(is_fifo(name), most.min(10), until), dead))
        })?;
        for (target, message) in dead {
            self.with(&target, |queue| {
                queue.put(message);
                Ok(())
            })?;
        }
        Ok(json!({"Messages": received}))
    }

    fn start_task(&self, input: &Value) -> Result<Value, Refusal> {
        let text = |name: &str| input[name].as_str().unwrap_or_default().to_owned();
        let name = |arn: &str| arn.rsplit(':').next().unwrap_or_default().to_owned();
        let (source, destination) = (text("SourceArn"), text("DestinationArn"));
        if destination.is_empty() {
            return refusal("CouldNotDetermineMessageSource", "no destination");
        }
        let to_move = self.with(&name(&source), |queue| Ok(queue.visible.len()))?;
        let mut tasks = self.tasks();
        if tasks.iter().any(|task| task.source == source && task.status == "RUNNING") {
            let text = "There is already a task running. Only one active task is allowed for a source queue";
            return refusal("InvalidParameterValue", text);
        }
        let at_once = input["MaxNumberOfMessagesPerSecond"].as_u64().unwrap_or(500);
        let at_once = usize::try_from(at_once).unwrap_or(500);
        let leaves = self.0.left_by_tasks.load(Relaxed).min(to_move);
        // Two tasks never start in the same millisecond.
        let started = tasks.last().map_or(0, |task| task.started + 1).max(self.now());
        tasks.push(Task {
            source,
            destination,
            status: "RUNNING",
            moved: 0,
            to_move,
            at_once,
            leaves,
            started,
        });
        Ok(json!({"TaskHandle": (tasks.len() - 1).to_string()}))
    }

    /// The latest tasks first. Each call moves as many messages as a running task may move per second.
    fn list_tasks(&self, source: &str, max: u64) -> Result<Value, Refusal> {
        let name = |arn: &str| arn.rsplit(':').next().unwrap_or_default().to_owned();
        let mut tasks = self.tasks();
        let is_late = self.0.late_lists.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
        let of_source = tasks.iter_mut().enumerate().rev().filter(|(_, task)| task.source == source);
        let is_running = |task: &Task| task.status == "RUNNING";
        let listed = of_source.into_iter().filter(|(_, task)| !is_late || !is_running(task));
        let mut results = Vec::new();
        for (index, task) in listed.take(usize::try_from(max).unwrap_or(1)) {
            if is_running(task) {
                let most = task.at_once.min(task.to_move - task.leaves - task.moved);
                let taken = self.with(&name(&task.source), |queue| Ok(queue.take_visible(most)))?;
                task.moved += taken.len();
                for message in taken {
                    self.with(&name(&task.destination), |queue| {
                        queue.put(Message { receives: 0, ..message });
                        Ok(())
                    })?;
                }
                if task.moved + task.leaves >= task.to_move {
                    task.status = "COMPLETED";
                }
            }
            let handle = is_running(task).then(|| index.to_string());
            results.push(json!({
                "TaskHandle": handle, "StartedTimestamp": task.started, "Status": task.status,
                "SourceArn": task.source, "DestinationArn": task.destination,
                "ApproximateNumberOfMessagesMoved": task.moved,
                "ApproximateNumberOfMessagesToMove": task.to_move,
            }));
        }
        Ok(json!({"Results": results}))
    }

    fn cancel_task(&self, handle: &str) -> Result<Value, Refusal> {
        let mut tasks = self.tasks();
        let task = handle.parse::<usize>().ok().and_then(|index| tasks.get_mut(index));
        match task.filter(|task| task.status == "RUNNING") {
            Some(task) => {
                task.status = "CANCELLED";
                Ok(json!({"ApproximateNumberOfMessagesMoved": task.moved}))
            }
            None => refusal("ResourceNotFoundException", "no such task is running"),
        }
    }
}

impl Queue {
    fn come_back(&mut self, now: i64) {
        while let Some((at, key)) = self.delayed.first().copied().filter(|(at, _)| *at <= now) {
            self.delayed.remove(&(at, key));
            self.visible.insert(key);
        }
        while let Some((at, key)) = self.invisible.first().copied().filter(|(at, _)| *at <= now) {
            self.invisible.remove(&(at, key));
            self.visible.insert(key);
        }
    }

    fn put(&mut self, message: Message) {
        self.next += 1;
        self.messages.insert(self.next, message);
        self.visible.insert(self.next);
    }

    fn send(&mut self, is_fifo: bool, input: &Value, now: i64) -> Result<String, Refusal> {
        let invalid = |reason: &str| refusal("InvalidParameterValue", reason);
        let text = |name: &str| input[name].as_str();
        match text("MessageBody") {
            None | Some("") => return invalid("an empty body"),
            Some(body) if body.contains(['\u{0}', '\u{1}', '\u{fffe}', '\u{ffff}']) => {
                return refusal("InvalidMessageContents", "a character");
            }
            Some(_) => {}
        }
        let number = |name: &str| self.attributes.get(name).and_then(|value| value.parse::<i64>().ok());
        let max_bytes = number("MaximumMessageSize").and_then(|bytes| usize::try_from(bytes).ok());
        let max_bytes = max_bytes.unwrap_or(MAX_MESSAGE_BYTES);
        if sent_bytes(input) > max_bytes {
            return invalid(&format!(
                "One or more parameters are invalid. Reason: Message must be shorter than {max_bytes} bytes."
            ));
        }
        let delay = input["DelaySeconds"].as_i64().or(number("DelaySeconds")).unwrap_or_default();
        if input["MessageAttributes"].as_object().is_some_and(|attributes| attributes.len() > 10) {
            return invalid("more than 10 attributes");
        }
        let id = format!("{:08x}-0000-4000-8000-{:012x}", self.next, now);
        if is_fifo {
            let (Some(_), Some(deduplication)) = (text("MessageGroupId"), text("MessageDeduplicationId"))
            else {
                return invalid("a FIFO queue wants a group and a deduplication id");
            };
            let last = self.deduplicated.insert(deduplication.to_owned(), now);
            if last.is_some_and(|last| now - last < DEDUPLICATION_MILLIS) {
                return Ok(id);
            }
        } else if text("MessageDeduplicationId").is_some() {
            return invalid("a standard queue takes no deduplication id");
        }
        let mut sent = input.as_object().cloned().unwrap_or_default();
        sent.retain(|name, _| name != "QueueUrl" && name != "Id");
        let message = Message {
            id: id.clone(),
            sent,
            sent_at: now,
            receives: 0,
            visible_at: now,
            receipt: String::new(),
        };
        self.put(message);
        if delay > 0 {
            self.visible.remove(&self.next);
            self.delayed.insert((now + delay * 1000, self.next));
        }
        Ok(id)
    }

    fn group(&self, key: u64) -> Option<&str> {
        self.messages.get(&key)?.sent.get("MessageGroupId")?.as_str()
    }

    fn receive(&mut self, is_fifo: bool, most: usize, until: i64) -> Vec<Value> {
        let most = most.min(MAX_IN_FLIGHT.saturating_sub(self.invisible.len()));
        let busy: HashSet<String> = match is_fifo {
            true => {
                self.invisible.iter().filter_map(|(_, key)| self.group(*key)).map(str::to_owned).collect()
            }
            false => HashSet::new(),
        };
        let free = self
            .visible
            .iter()
            .copied()
            .filter(|key| !is_fifo || self.group(*key).is_none_or(|group| !busy.contains(group)));
        let keys: Vec<u64> = free.take(most).collect();
        let mut received = Vec::new();
        for key in keys {
            self.visible.remove(&key);
            self.invisible.insert((until, key));
            let Some(message) = self.messages.get_mut(&key) else { continue };
            message.receives += 1;
            message.visible_at = until;
            message.receipt = format!("{key}/{}/{}", message.receives, "x".repeat(300));
            received.push(message.received());
        }
        received
    }

    /// Removes the messages whose receives are used up. Returns them with their dead-letter queue.
    fn take_dead(&mut self) -> Vec<(String, Message)> {
        let Some((target, most)) = self.dead_letters.clone() else { return Vec::new() };
        let dead: Vec<u64> =
            self.visible.iter().copied().filter(|key| self.messages[key].receives >= most).collect();
        let dead = dead.into_iter().filter_map(|key| {
            self.visible.remove(&key);
            Some((target.clone(), Message { receives: 0, ..self.messages.remove(&key)? }))
        });
        dead.collect()
    }

    fn take_visible(&mut self, most: usize) -> Vec<Message> {
        let keys: Vec<u64> = self.visible.iter().copied().take(most).collect();
        self.visible.retain(|key| !keys.contains(key));
        keys.iter().filter_map(|key| self.messages.remove(key)).collect()
    }

    fn find(&self, receipt: &str) -> Option<u64> {
        let key = receipt.split('/').next()?.parse().ok()?;
        self.messages.get(&key).filter(|message| message.receipt == receipt).map(|_| key)
    }

    fn delete(&mut self, receipt: &str) -> Result<(), Refusal> {
        // SQS reports success for a message that does not exist.
        let Some(key) = self.find(receipt) else { return Ok(()) };
        self.visible.remove(&key);
        if let Some(message) = self.messages.remove(&key) {
            self.invisible.remove(&(message.visible_at, key));
        }
        Ok(())
    }

    fn hide(&mut self, receipt: &str, until: i64) -> Result<(), Refusal> {
        let Some(key) = self.find(receipt) else {
            return refusal("ReceiptHandleIsInvalid", "no such receipt handle");
        };
        let Some(message) = self.messages.get_mut(&key) else { return Ok(()) };
        if !self.invisible.remove(&(message.visible_at, key)) {
            return refusal("MessageNotInflight", "it is visible");
        }
        message.visible_at = until;
        self.invisible.insert((until, key));
        Ok(())
    }
}

impl Message {
    fn received(&self) -> Value {
        let mut attributes = json!({
            "SentTimestamp": self.sent_at.to_string(),
            "ApproximateReceiveCount": self.receives.to_string(),
        });
        for name in ["MessageGroupId", "MessageDeduplicationId"] {
            if let Some(value) = self.sent.get(name) {
                attributes[name] = value.clone();
            }
        }
        if let Some(header) = self.sent.get("MessageSystemAttributes") {
            attributes["AWSTraceHeader"] = header["AWSTraceHeader"]["StringValue"].clone();
        }
        json!({
            "MessageId": self.id, "ReceiptHandle": self.receipt, "Body": self.sent["MessageBody"],
            "Attributes": attributes,
            "MessageAttributes": self.sent.get("MessageAttributes").unwrap_or(&json!({})),
        })
    }
}

/// SQS counts the body, and the names, types and values of the attributes.
fn sent_bytes(input: &Value) -> usize {
    let length = |value: &Value| value.as_str().map_or(0, str::len);
    let attributes = input["MessageAttributes"].as_object().into_iter().flatten().map(|(name, value)| {
        let binary = length(&value["BinaryValue"]) / 4 * 3;
        name.len() + length(&value["DataType"]) + length(&value["StringValue"]) + binary
    });
    length(&input["MessageBody"]) + attributes.sum::<usize>()
}

fn receipt(entry: &Value) -> Result<&str, Refusal> {
    entry["ReceiptHandle"].as_str().map_or_else(|| refusal("MissingParameter", "ReceiptHandle"), Ok)
}

fn is_fifo(name: &str) -> bool {
    name.ends_with(".fifo")
}

impl AwsBackend for Sqs {
    async fn answer(&self, request: MockRequest) -> Result<Answer, ConnectorError> {
        let target = request.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let operation = target.and_then(|target| target.strip_prefix("AmazonSQS.")).unwrap_or_default();
        let input = serde_json::from_slice(&request.body).unwrap_or_default();
        let response = self.handle(operation, &input);
        if self.loses_reply_of(operation) {
            return Err(ConnectorError::io("connection closed".into()));
        }
        Ok(Answer { response, is_cut_off: false })
    }
}
