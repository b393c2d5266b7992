//! An AWS for schedules: winterbaume's DynamoDB, one request at a time; models of SQS and CloudFront of our own; and below
//! the SDK the faults. Its time is the runtime's, which passes when everybody waits.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::result::ConnectorError;
use jiff::{SignedDuration, Timestamp};
use sandbox::aws::TABLE;
use sandbox::aws::http_client::{Answer, AwsBackend, elements, error_response};
use serde_json::{Value, json};
use shared::time::{Clock, plus, plus_seconds};
use tokio::time::Instant;
use winterbaume_core::{MockRequest, MockResponse, MockService};
use winterbaume_dynamodb::DynamoDbService;

use super::schedule::{Fault, Plant};

/// The queue of all events.
pub const USER_EVENTS: &str = "https://sqs.eu-central-1.amazonaws.com/000000000000/user-events";
/// The queue of invalidations.
pub const CACHE_INVALIDATIONS: &str =
    "https://sqs.eu-central-1.amazonaws.com/000000000000/cache-invalidations";
/// What is behind a queue for messages that failed.
pub fn dead_letters(queue: &str) -> String {
    format!("{queue}-dlq")
}

/// What stands for the events in an erasure's commit.
pub const ERASED: &str = "erased";
/// Two of each kind: who makes requests.
pub const WORKERS: usize = 4;

/// The schedule's time: that of the runtime.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    start: Timestamp,
    zero: Instant,
}

impl Time {
    /// Begins at `start`, in a runtime whose time is paused.
    pub fn starting_at(start: Timestamp) -> Self {
        Self { start, zero: Instant::now() }
    }

    /// The current time.
    pub fn now(self) -> Timestamp {
        plus(self.start, SignedDuration::try_from(self.zero.elapsed()).unwrap())
    }

    /// Waits until `time`.
    pub async fn pass_until(self, time: Timestamp) {
        let left = Duration::try_from(time.duration_since(self.now())).unwrap_or_default();
        tokio::time::sleep(left).await;
    }

    /// A clock that is wrong by some milliseconds.
    pub fn clock(self, wrong_by: i16) -> Clock {
        Clock::from_fn(move || plus(self.now(), SignedDuration::from_millis(wrong_by.into())))
    }
}

/// A message in a queue.
#[derive(Clone, Debug)]
pub struct Message {
    /// SQS's id.
    pub id: String,
    /// The body.
    pub body: String,
    /// The attribute `error.type`, where it has one.
    pub error_type: Option<String>,
    /// How often it was received.
    pub receives: u32,
    /// The handle of the latest receive. Earlier ones are good for nothing.
    pub receipt: String,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// When it can be received.
    pub visible_at: Timestamp,
}

/// Something that happened, in its order.
#[derive(Clone, Debug)]
pub enum Happened {
    /// A transaction of events was committed: the sort keys, and when.
    Commit {
        /// The partition.
        partition: String,
        /// The sort keys of the events.
        events: Vec<String>,
        /// When.
        at: Timestamp,
    },
    /// SQS took a notice for cache-invalidation.
    Notice {
        /// When the pages changed, as the notice has it.
        changed_at: Timestamp,
    },
    /// CloudFront evicted entries.
    Invalidation {
        /// The items.
        items: Vec<String>,
        /// When.
        at: Timestamp,
    },
    /// A worker was done with a message about this user, and SQS deleted it.
    Done {
        /// Who.
        sub: String,
        /// When.
        at: Timestamp,
    },
    /// A worker counted this, with that reason.
    Counted {
        /// The metric.
        metric: &'static str,
        /// The reason.
        reason: String,
        /// When.
        at: Timestamp,
    },
}

/// What the schedule's AWS holds.
pub struct State {
    /// The time of everything.
    pub time: Time,
    /// Messages by queue.
    pub queues: BTreeMap<String, Vec<Message>>,
    /// What happened, in order.
    pub happened: Vec<Happened>,
    /// Items that CloudFront has charged for.
    pub charged: u64,
    /// Invalidations by caller reference: CloudFront answers with the one it has.
    references: BTreeMap<String, (Vec<String>, Timestamp)>,
    /// What the next requests meet; empty: nothing.
    faults: VecDeque<Option<Fault>>,
    /// How many requests of each worker were served.
    pub served: [usize; WORKERS],
    /// STATS as they were before the last commit, by partition; `None` where there were none.
    before: BTreeMap<String, Option<Value>>,
    /// Whether each worker has committed since it got its batch.
    pub has_committed: [bool; WORKERS],
    /// Requests that AWS is still at work on, though nobody waits for them.
    pub late: usize,
    /// For what is drawn about a request.
    seed: u64,
    next_id: u64,
    plant: Plant,
}

/// The schedule's AWS.
#[derive(Clone)]
pub struct FaultyAws {
    /// Whose requests come this way.
    worker: usize,
    state: Arc<Mutex<State>>,
    dynamodb: Arc<DynamoDbService>,
    one_at_a_time: Arc<tokio::sync::Mutex<()>>,
}

impl fmt::Debug for FaultyAws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyAws")
    }
}

impl FaultyAws {
    /// An empty AWS with the table, whose requests meet these faults in turn.
    pub async fn start(time: Time, faults: Vec<Option<Fault>>, seed: u64, plant: Plant) -> Self {
        let state = State {
            time,
            queues: BTreeMap::new(),
            happened: Vec::new(),
            charged: 0,
            references: BTreeMap::new(),
            faults: faults.into(),
            served: [0; WORKERS],
            before: BTreeMap::new(),
            has_committed: [false; WORKERS],
            late: 0,
            seed,
            next_id: 0,
            plant,
        };
        let aws = Self {
            worker: 0,
            state: Arc::new(Mutex::new(state)),
            dynamodb: Arc::new(DynamoDbService::new()),
            one_at_a_time: Arc::default(),
        };
        let key = |name: &str, kind: &str| json!({"AttributeName": name, "KeyType": kind});
        let attribute = |name: &str| json!({"AttributeName": name, "AttributeType": "S"});
        let table = json!({
            "TableName": TABLE, "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [key("PK", "HASH"), key("SK", "RANGE")],
            "AttributeDefinitions": [attribute("PK"), attribute("SK")],
        });
        let response = aws.dynamodb.handle(request_of("CreateTable", &table)).await;
        assert_eq!(response.status, 200);
        aws
    }

    /// The same AWS, for the requests of another worker.
    pub fn for_worker(&self, worker: usize) -> Self {
        Self { worker, ..self.clone() }
    }

    /// What it holds.
    pub fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Every item of the table.
    pub async fn items(&self) -> Vec<Value> {
        let response = self.dynamodb.handle(request_of("Scan", &json!({"TableName": TABLE}))).await;
        let body: Value = serde_json::from_slice(&response.body).unwrap();
        assert!(body["LastEvaluatedKey"].is_null(), "tables are small here");
        body["Items"].as_array().cloned().unwrap_or_default()
    }

    async fn perform(&self, operation: &str, request: MockRequest) -> MockResponse {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match operation {
            "SendMessageBatch" => self.state().send(&body, None),
            "ChangeMessageVisibilityBatch" => self.state().change_visibility(&body, None),
            "CreateInvalidation" => self.state().invalidate(&String::from_utf8_lossy(&request.body)),
            "TransactWriteItems" => self.transact(request, body).await,
            _ => {
                let response = self.dynamodb.handle(request).await;
                let is_erasure = operation == "PutItem" && body["Item"].get("erasedAt").is_some();
                if is_erasure && response.status == 200 {
                    let partition = body["Item"]["PK"]["S"].as_str().unwrap_or_default().to_owned();
                    self.note_commit(partition, vec![ERASED.to_owned()]);
                }
                response
            }
        }
    }

    async fn transact(&self, mut request: MockRequest, mut body: Value) -> MockResponse {
        let (partition, events) = committed(&body);
        if self.state().plant == Plant::NoMarkerCondition {
            // The bug: events are put whether they are there or not.
            for item in body["TransactItems"].as_array_mut().into_iter().flatten() {
                if let Some(put) = item.get_mut("Put").and_then(Value::as_object_mut) {
                    put.remove("ConditionExpression");
                }
            }
            request.body = body.to_string().into();
        }
        let key = json!({"PK": {"S": partition}, "SK": {"S": "STATS"}});
        let read = request_of("GetItem", &json!({"TableName": TABLE, "Key": key}));
        let before: Value =
            serde_json::from_slice(&self.dynamodb.handle(read).await.body).unwrap_or_default();
        let response = self.dynamodb.handle(request).await;
        if response.status == 200 {
            self.state().before.insert(partition.clone(), before.get("Item").cloned());
            self.note_commit(partition, events);
        }
        response
    }

    /// A read that is not consistent, of an item that was just changed.
    fn made_stale(&self, response: &MockResponse) -> MockResponse {
        let mut answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let state = self.state();
        if let Some(items) = answer.pointer_mut(&format!("/Responses/{TABLE}")).and_then(Value::as_array_mut)
        {
            let before =
                |item: &Value| state.before.get(item["PK"]["S"].as_str().unwrap_or_default()).cloned();
            let stale = items.drain(..).filter_map(|item| match before(&item) {
                Some(before) if item["SK"]["S"] == "STATS" => before,
                _ => Some(item),
            });
            let stale: Vec<Value> = stale.collect();
            *items = stale;
        }
        MockResponse::json(200, answer.to_string())
    }

    fn note_commit(&self, partition: String, events: Vec<String>) {
        let mut state = self.state();
        state.has_committed[self.worker] = true;
        let at = state.time.now();
        state.happened.push(Happened::Commit { partition, events, at });
    }

    /// The bug: what a commit will change is told before it is made, and not after it.
    fn tell_too_early(&self, body: &Value) {
        let (partition, _) = committed(body);
        if let Some(sub) = partition.strip_prefix("USER#") {
            let mut state = self.state();
            let now = state.time.now();
            let data = json!({"views": ["dashboard", "orders", "profile"], "changed_at": now.to_string()});
            let event = json!({
                "specversion": "1.0", "id": format!("early-{}", state.next_id), "source": "/user-stats",
                "type": "user.data_changed", "subject": sub, "time": now.to_string(), "data": data,
            });
            state.put(CACHE_INVALIDATIONS, event.to_string(), None);
        }
    }

    /// The planted bug's own doing, where it concerns this request: its answer.
    async fn planted(&self, operation: &str, request: &mut MockRequest) -> Option<MockResponse> {
        let (plant, has_committed) = {
            let state = self.state();
            (state.plant, state.has_committed[self.worker])
        };
        let mut body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let is_notice = operation == "SendMessageBatch" && body["QueueUrl"] == CACHE_INVALIDATIONS;
        match plant {
            Plant::NoticeBeforeCommit if matches!(operation, "TransactWriteItems" | "PutItem") => {
                self.tell_too_early(&body);
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            Plant::NoticeBeforeCommit if is_notice => return Some(swallowed(&body)),
            Plant::NoNoticeOfDuplicates if is_notice && !has_committed => return Some(swallowed(&body)),
            Plant::MarkOfLater if operation == "BatchWriteItem" => {
                for put in body["RequestItems"][TABLE].as_array_mut().into_iter().flatten() {
                    let Some(mark) = put.pointer_mut("/PutRequest/Item/lastInvalidatedAt/N") else {
                        continue;
                    };
                    let later =
                        mark.as_str().and_then(|mark| mark.parse().ok()).map(|mark: i64| mark + 1_000);
                    *mark = json!(later.unwrap_or_default().to_string());
                }
                request.body = body.to_string().into();
            }
            Plant::StaleReReads if operation == "BatchGetItem" => {
                body["RequestItems"][TABLE]["ConsistentRead"] = json!(false);
                request.body = body.to_string().into();
            }
            Plant::ForgetsBooking if operation == "UpdateItem" && is_month(&body) => {
                return Some(MockResponse::json(200, "{}".to_owned()));
            }
            Plant::ForgetsClaim if operation == "UpdateItem" && body["Key"]["SK"]["S"] == "COLLAPSE" => {
                return Some(MockResponse::json(200, "{}".to_owned()));
            }
            _ => {}
        }
        None
    }
}

fn is_month(body: &Value) -> bool {
    body["Key"]["SK"]["S"].as_str().is_some_and(|sort_key| sort_key.starts_with("MONTH#"))
}

/// What SQS answers, where it has taken nothing.
fn swallowed(body: &Value) -> MockResponse {
    let entries = body["Entries"].as_array().cloned().unwrap_or_default();
    let successful: Vec<Value> = entries.iter().map(|entry| sent(&entry["Id"], "swallowed")).collect();
    MockResponse::json(200, json!({"Successful": successful}).to_string())
}

impl AwsBackend for FaultyAws {
    async fn answer(&self, mut request: MockRequest) -> Result<Answer, ConnectorError> {
        let operation = operation(&request);
        let (fault, before, after, late) = {
            let mut state = self.state();
            let mut random = state.random(&operation, &request.body);
            let mut millis = |most| Duration::from_millis(random.u64(0..most));
            let (before, after, late) = (millis(30), millis(15), millis(2_800));
            (state.faults.pop_front().flatten(), before, after, late)
        };
        tokio::time::sleep(before).await;
        let answer = |response| Answer { response, is_cut_off: false };
        if let Some(response) = self.planted(&operation, &mut request).await {
            return Ok(answer(response));
        }
        let is_xml = operation == "CreateInvalidation";
        let refusal = match fault {
            None | Some(Fault::ReplyLost | Fault::Late | Fault::UnavailableAfter | Fault::Stale) => None,
            Some(Fault::Throttled) => Some(if is_xml { "Throttling" } else { "ThrottlingException" }),
            Some(Fault::Failed) => Some(if is_xml { "InternalError" } else { "InternalServerError" }),
            Some(Fault::NoRoom) if is_xml => Some("TooManyInvalidationsInProgress"),
            Some(Fault::NoRoom) => Some("RequestLimitExceeded"),
            Some(Fault::Denied) => Some(if is_xml { "AccessDenied" } else { "AccessDeniedException" }),
            Some(Fault::Dropped) => return Err(ConnectorError::io("connection refused".into())),
            Some(Fault::Hangs) => std::future::pending().await,
            Some(Fault::Unavailable) => return Ok(answer(unavailable(is_xml))),
            Some(Fault::Partly) => return Ok(answer(self.partly(&operation, request).await)),
        };
        if let Some(code) = refusal {
            return Ok(answer(error_response(code, is_xml)));
        }
        // What has reached AWS is done, also where the worker dies or gives up meanwhile.
        let (aws, is_late) = (self.clone(), fault == Some(Fault::Late));
        let may_be_stale = operation == "BatchGetItem"
            && !String::from_utf8_lossy(&request.body).contains("\"ConsistentRead\":true");
        self.state().late += usize::from(is_late);
        let performing = tokio::spawn(async move {
            if is_late {
                tokio::time::sleep(late).await;
            }
            let _turn = aws.one_at_a_time.lock().await;
            let response = aws.perform(&operation, request).await;
            aws.state().late -= usize::from(is_late);
            response
        });
        if is_late {
            std::future::pending::<()>().await;
        }
        let response = performing.await.map_err(|error| ConnectorError::other(error.into(), None))?;
        self.state().served[self.worker] += 1;
        tokio::time::sleep(after).await;
        match fault {
            Some(Fault::ReplyLost) => Err(ConnectorError::io("connection closed".into())),
            Some(Fault::UnavailableAfter) => Ok(answer(unavailable(is_xml))),
            Some(Fault::Stale) if may_be_stale => Ok(answer(self.made_stale(&response))),
            _ => Ok(answer(response)),
        }
    }
}

fn unavailable(is_xml: bool) -> MockResponse {
    MockResponse { status: 503, ..error_response("ServerBusy", is_xml) }
}

impl FaultyAws {
    /// The half of a request that AWS does, where it may do a half, or nothing of it; else a conflict or a failure.
    async fn partly(&self, operation: &str, request: MockRequest) -> MockResponse {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let mut random = self.state().random("partly", &request.body);
        // Of one, one is done, or none.
        let half = |count: usize, random: &mut fastrand::Rng| match random.u8(0..4) {
            0 => 0,
            _ => count.div_ceil(2),
        };
        match operation {
            "SendMessageBatch" => self.state().send(&body, Some(half(1, &mut random))),
            "ChangeMessageVisibilityBatch" => {
                self.state().change_visibility(&body, Some(half(1, &mut random)))
            }
            "BatchGetItem" => {
                let keys = body["RequestItems"][TABLE]["Keys"].as_array().cloned().unwrap_or_default();
                let (now, later) = keys.split_at(half(keys.len(), &mut random));
                let mut answer = json!({"Responses": {}, "UnprocessedKeys": {}});
                if !now.is_empty() {
                    let mut part = body.clone();
                    part["RequestItems"][TABLE]["Keys"] = json!(now);
                    let read = self.part_of(&request, &part).await;
                    answer["Responses"] = read["Responses"].clone();
                }
                if !later.is_empty() {
                    answer["UnprocessedKeys"] = json!({TABLE: {"Keys": later}});
                }
                MockResponse::json(200, answer.to_string())
            }
            "BatchWriteItem" => {
                let writes = body["RequestItems"][TABLE].as_array().cloned().unwrap_or_default();
                let (now, later) = writes.split_at(half(writes.len(), &mut random));
                if !now.is_empty() {
                    self.part_of(&request, &json!({"RequestItems": {TABLE: now}})).await;
                }
                let left = if later.is_empty() { json!({}) } else { json!({TABLE: later}) };
                MockResponse::json(200, json!({"UnprocessedItems": left}).to_string())
            }
            "TransactWriteItems" => {
                let count = body["TransactItems"].as_array().map_or(0, Vec::len);
                let codes = [
                    "TransactionConflict",
                    "TransactionConflict",
                    "ThrottlingError",
                    "ProvisionedThroughputExceeded",
                    "ValidationError",
                ];
                let code = codes[random.usize(0..codes.len())];
                let cancelled = random.usize(0..count);
                let reason = |index| json!({"Code": if index == cancelled { code } else { "None" }});
                let reasons: Vec<Value> = (0..count).map(reason).collect();
                let error = json!({
                    "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
                    "message": "Transaction cancelled", "CancellationReasons": reasons,
                });
                MockResponse::json(400, error.to_string())
            }
            "UpdateItem" | "PutItem" | "DeleteItem" => error_response("TransactionConflictException", false),
            operation => error_response("InternalServerError", operation == "CreateInvalidation"),
        }
    }

    async fn part_of(&self, request: &MockRequest, body: &Value) -> Value {
        let mut request = request.clone();
        request.body = body.to_string().into();
        let _turn = self.one_at_a_time.lock().await;
        let answer = self.dynamodb.handle(request).await;
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }
}

impl State {
    /// What is drawn about a request follows from the request, so that a schedule with less in it goes much the same
    /// way. Times and ids in it change from run to run; its length hardly does.
    fn random(&self, operation: &str, body: &[u8]) -> fastrand::Rng {
        let mut hasher = std::hash::DefaultHasher::new();
        (self.seed, operation, body.len() / 64).hash(&mut hasher);
        fastrand::Rng::with_seed(hasher.finish())
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Puts a message into a queue.
    pub fn put(&mut self, queue: &str, body: String, error_type: Option<String>) -> String {
        let id = format!("m{}", self.next_id());
        if queue == CACHE_INVALIDATIONS {
            let notice: Value = serde_json::from_str(&body).unwrap_or_default();
            let changed_at = notice.pointer("/data/changed_at").and_then(Value::as_str);
            if let Some(changed_at) = changed_at.and_then(|time| time.parse().ok()) {
                self.happened.push(Happened::Notice { changed_at });
            }
        }
        let now = self.time.now();
        let message = Message {
            id: id.clone(),
            body,
            error_type,
            receives: 0,
            receipt: String::new(),
            sent_at: now,
            visible_at: now,
        };
        self.queue(queue).push(message);
        id
    }

    /// The messages of a queue.
    pub fn queue(&mut self, queue: &str) -> &mut Vec<Message> {
        self.queues.entry(queue.to_owned()).or_default()
    }

    /// What is visible in a queue, at most `size` messages. What was received more than `most_receives` times goes to
    /// the dead-letter queue.
    pub fn receive(
        &mut self,
        queue: &str,
        size: usize,
        visibility_seconds: i64,
        most_receives: u32,
    ) -> Vec<Message> {
        let now = self.time.now();
        let receipt = format!("r{}", self.next_id());
        let (mut received, mut dead) = (Vec::new(), Vec::new());
        for message in self.queue(queue).iter_mut().filter(|message| message.visible_at <= now) {
            if received.len() == size {
                break;
            }
            message.receives += 1;
            message.receipt = format!("{receipt}-{}", message.id);
            message.visible_at = plus_seconds(now, visibility_seconds);
            if message.receives > most_receives {
                dead.push(message.clone());
            } else {
                received.push(message.clone());
            }
        }
        for message in dead {
            self.queue(queue).retain(|other| other.id != message.id);
            self.put(&dead_letters(queue), message.body, None);
        }
        received
    }

    /// No more faults.
    pub fn heal(&mut self) {
        self.faults.clear();
    }

    /// Takes down what a worker counts, where it matters for what must hold.
    pub fn note_metric(&mut self, line: &str) {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        let at = self.time.now();
        for metric in ["BudgetExhausted", "InvalidationsSkipped", "InvalidationsSkippedInactive"] {
            if line.get(metric).is_some() {
                let reason = line["reason"].as_str().unwrap_or_default().to_owned();
                self.happened.push(Happened::Counted { metric, reason, at });
            }
        }
    }

    /// SendMessageBatch, of all entries or of the first few.
    fn send(&mut self, body: &Value, most: Option<usize>) -> MockResponse {
        let queue = body["QueueUrl"].as_str().unwrap_or_default().to_owned();
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for (index, entry) in body["Entries"].as_array().into_iter().flatten().enumerate() {
            if most.is_some_and(|most| index >= most) {
                failed.push(json!({"Id": entry["Id"], "Code": "InternalError", "SenderFault": false}));
                continue;
            }
            let text = entry["MessageBody"].as_str().unwrap_or_default().to_owned();
            let error_type = entry.pointer("/MessageAttributes/error.type/StringValue");
            let id = self.put(&queue, text, error_type.and_then(Value::as_str).map(str::to_owned));
            successful.push(sent(&entry["Id"], &id));
        }
        MockResponse::json(200, json!({"Successful": successful, "Failed": failed}).to_string())
    }

    /// ChangeMessageVisibilityBatch, of all entries or of the first few.
    fn change_visibility(&mut self, body: &Value, most: Option<usize>) -> MockResponse {
        let queue = body["QueueUrl"].as_str().unwrap_or_default().to_owned();
        let now = self.time.now();
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for (index, entry) in body["Entries"].as_array().into_iter().flatten().enumerate() {
            let seconds = entry["VisibilityTimeout"].as_i64().unwrap_or_default();
            let receipt = entry["ReceiptHandle"].as_str().unwrap_or_default();
            let message = self.queue(&queue).iter_mut().find(|message| message.receipt == receipt);
            match message.filter(|_| most.is_none_or(|most| index < most)) {
                Some(message) => {
                    message.visible_at = plus_seconds(now, seconds);
                    successful.push(json!({"Id": entry["Id"]}));
                }
                None => {
                    failed.push(
                        json!({"Id": entry["Id"], "Code": "ReceiptHandleIsInvalid", "SenderFault": true}),
                    );
                }
            }
        }
        MockResponse::json(200, json!({"Successful": successful, "Failed": failed}).to_string())
    }

    fn invalidate(&mut self, xml: &str) -> MockResponse {
        let (items, reference) = (elements(xml, "Path"), elements(xml, "CallerReference").remove(0));
        let now = self.time.now();
        let created_at = match self.references.get(&reference) {
            Some((known, at)) if *known == items => *at,
            Some(_) => return error_response("InvalidArgument", true),
            None => {
                self.charged += items.len() as u64;
                self.happened.push(Happened::Invalidation { items: items.clone(), at: now });
                self.references.insert(reference.clone(), (items.clone(), now));
                now
            }
        };
        let paths: String = items.iter().map(|item| format!("<Path>{item}</Path>")).collect();
        let body = format!(
            "<Invalidation><Id>I1</Id><Status>InProgress</Status><CreateTime>{created_at}</CreateTime><InvalidationBatch>\
             <Paths><Quantity>{}</Quantity><Items>{paths}</Items></Paths><CallerReference>{reference}</CallerReference>\
             </InvalidationBatch></Invalidation>",
            items.len()
        );
        MockResponse::xml(201, body)
    }
}

fn sent(id: &Value, message_id: &str) -> Value {
    json!({"Id": id, "MessageId": message_id, "MD5OfMessageBody": "00000000000000000000000000000000"})
}

/// Partition and event keys of a transaction.
fn committed(body: &Value) -> (String, Vec<String>) {
    let items = || body["TransactItems"].as_array().into_iter().flatten();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let events = items().filter_map(|item| item.get("Put")).map(|put| text(put.pointer("/Item/SK/S")));
    let partition = items().next().map(|item| text(item.pointer("/Put/Item/PK/S")));
    // An erasure is a PutItem by itself.
    (partition.unwrap_or_else(|| text(body.pointer("/Item/PK/S"))), events.collect())
}

fn operation(request: &MockRequest) -> String {
    let target = request.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    target.and_then(|target| target.rsplit('.').next()).unwrap_or("CreateInvalidation").to_owned()
}

/// A request of DynamoDB's.
fn request_of(operation: &str, body: &Value) -> MockRequest {
    let mut headers = http::HeaderMap::new();
    headers.insert("x-amz-target", format!("DynamoDB_20120810.{operation}").parse().unwrap());
    MockRequest {
        method: "POST".to_owned(),
        uri: "https://dynamodb.eu-central-1.amazonaws.com/".to_owned(),
        headers,
        body: body.to_string().into(),
    }
}
