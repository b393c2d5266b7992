//! An AWS for schedules: winterbaume's DynamoDB, one request at a time; models of SQS and CloudFront of our own, on the
//! schedule's time; and below the SDK the faults.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::result::ConnectorError;
use replay::embedded::http_client::{Answer, Aws, elements, error_response};
use replay::embedded::{ManualTime, TABLE};
use serde_json::{Value, json};
use shared::time::plus_seconds;
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
    /// When it can be received.
    pub visible_at: jiff::Timestamp,
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
        at: jiff::Timestamp,
    },
    /// CloudFront evicted entries.
    Invalidation {
        /// The items.
        items: Vec<String>,
    },
}

/// What the schedule's AWS holds.
pub struct State {
    /// The time of everything.
    pub time: ManualTime,
    /// Messages by queue.
    pub queues: BTreeMap<String, Vec<Message>>,
    /// What happened, in order.
    pub happened: Vec<Happened>,
    /// Items that CloudFront has charged for.
    pub charged: u64,
    /// Invalidations by caller reference: CloudFront answers with the one it has.
    references: BTreeMap<String, (Vec<String>, jiff::Timestamp)>,
    /// What the next requests meet; empty: nothing.
    faults: VecDeque<Option<Fault>>,
    /// How many requests of each worker were served.
    pub served: [usize; 2],
    /// For what is drawn about a request.
    seed: u64,
    next_id: u64,
    plant: Plant,
}

/// The schedule's AWS.
#[derive(Clone)]
pub struct FaultyAws {
    /// Whose requests come this way: 0 or 1.
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
    pub async fn start(time: ManualTime, faults: Vec<Option<Fault>>, seed: u64, plant: Plant) -> Self {
        let state = State {
            time,
            queues: BTreeMap::new(),
            happened: Vec::new(),
            charged: 0,
            references: BTreeMap::new(),
            faults: faults.into(),
            served: [0; 2],
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
        let response = aws.dynamodb.handle(request("CreateTable", &table)).await;
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
        let response = self.dynamodb.handle(request("Scan", &json!({"TableName": TABLE}))).await;
        let body: Value = serde_json::from_slice(&response.body).unwrap();
        assert!(body["LastEvaluatedKey"].is_null(), "tables are small here");
        body["Items"].as_array().cloned().unwrap_or_default()
    }

    async fn perform(&self, operation: &str, request: MockRequest) -> Answer {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let response = match operation {
            "SendMessageBatch" => self.state().send(&body, None),
            "ChangeMessageVisibilityBatch" => self.state().change_visibility(&body),
            "CreateInvalidation" => self.state().invalidate(&String::from_utf8_lossy(&request.body)),
            operation => self.store(operation, request, body).await,
        };
        Answer { response, is_cut_off: false }
    }

    async fn store(&self, operation: &str, mut request: MockRequest, mut body: Value) -> MockResponse {
        if operation != "TransactWriteItems" {
            let response = self.dynamodb.handle(request).await;
            if operation == "PutItem" && response.status == 200 && body["Item"].get("erasedAt").is_some() {
                let partition = body["Item"]["PK"]["S"].as_str().unwrap_or_default().to_owned();
                self.state().note_commit(partition, vec![ERASED.to_owned()]);
            }
            return response;
        }
        let plant = self.state().plant;
        let (partition, events) = committed(&body);
        if plant == Plant::NoMarkerCondition {
            // The bug: events are put whether they are there or not.
            for item in body["TransactItems"].as_array_mut().into_iter().flatten() {
                if let Some(put) = item.get_mut("Put").and_then(Value::as_object_mut) {
                    put.remove("ConditionExpression");
                }
            }
            request.body = body.to_string().into();
        }
        let response = self.dynamodb.handle(request).await;
        if response.status == 200 {
            self.state().note_commit(partition, events);
        }
        response
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
}

impl Aws for FaultyAws {
    async fn answer(&self, request: MockRequest) -> Result<Answer, ConnectorError> {
        let operation = operation(&request);
        let (fault, before, after, plant) = {
            let mut state = self.state();
            let mut random = state.random(&operation, &request.body);
            let pass = random.i64(0..40);
            let later = shared::time::plus(state.time.now(), jiff::SignedDuration::from_millis(pass));
            state.time.move_to(later);
            let fault = state.faults.pop_front().flatten();
            (fault, random.u8(0..4), random.u8(0..3), state.plant)
        };
        for _ in 0..before {
            tokio::task::yield_now().await;
        }
        let commits = matches!(operation.as_str(), "TransactWriteItems" | "PutItem");
        if plant == Plant::NoticeBeforeCommit && commits {
            self.tell_too_early(&serde_json::from_slice(&request.body).unwrap_or_default());
            for _ in 0..40 {
                tokio::task::yield_now().await;
            }
        }
        let is_xml = operation == "CreateInvalidation";
        let refusal = match fault {
            None | Some(Fault::ReplyLost) => None,
            Some(Fault::Throttled) => Some(if is_xml { "Throttling" } else { "ThrottlingException" }),
            Some(Fault::Failed) => Some(if is_xml { "InternalError" } else { "InternalServerError" }),
            Some(Fault::NoRoom) if is_xml => Some("TooManyInvalidationsInProgress"),
            Some(Fault::NoRoom) => Some("ThrottlingException"),
            Some(Fault::Dropped) => return Err(ConnectorError::io("connection refused".into())),
            Some(Fault::Hangs) => std::future::pending().await,
            Some(Fault::Partly) => return Ok(self.partly(&operation, request).await),
        };
        if let Some(code) = refusal {
            return Ok(Answer { response: error_response(code, is_xml), is_cut_off: false });
        }
        let told_before = plant == Plant::NoticeBeforeCommit
            && operation == "SendMessageBatch"
            && String::from_utf8_lossy(&request.body).contains(&format!("{CACHE_INVALIDATIONS}\""));
        let answer = if told_before {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let ids = body["Entries"].as_array().cloned().unwrap_or_default();
            let successful: Vec<Value> = ids.iter().map(|entry| sent(&entry["Id"], "swallowed")).collect();
            let response = MockResponse::json(200, json!({"Successful": successful}).to_string());
            Answer { response, is_cut_off: false }
        } else {
            // What has reached AWS is done, also where the worker dies meanwhile.
            let (aws, operation) = (self.clone(), operation.clone());
            let performing = tokio::spawn(async move {
                let _turn = aws.one_at_a_time.lock().await;
                aws.perform(&operation, request).await
            });
            let answer = performing.await.map_err(|error| ConnectorError::other(error.into(), None))?;
            self.state().served[self.worker] += 1;
            answer
        };
        for _ in 0..after {
            tokio::task::yield_now().await;
        }
        if fault == Some(Fault::ReplyLost) {
            return Err(ConnectorError::io("connection closed".into()));
        }
        Ok(answer)
    }
}

impl FaultyAws {
    /// The half of a request that AWS does, where it may do a half; else a conflict or a failure.
    async fn partly(&self, operation: &str, request: MockRequest) -> Answer {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let response = match operation {
            "SendMessageBatch" => self.state().send(&body, Some(1)),
            "BatchGetItem" => {
                let mut all = json!({"Responses": {}, "UnprocessedKeys": {}});
                let keys = body["RequestItems"][TABLE]["Keys"].as_array().cloned().unwrap_or_default();
                // Of one key, one is read.
                let (now, later) = keys.split_at(keys.len().div_ceil(2));
                let mut half = body.clone();
                half["RequestItems"][TABLE]["Keys"] = json!(now);
                let mut half_request = request.clone();
                half_request.body = half.to_string().into();
                let _turn = self.one_at_a_time.lock().await;
                let answer = self.dynamodb.handle(half_request).await;
                let answer: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                all["Responses"] = answer["Responses"].clone();
                if !later.is_empty() {
                    all["UnprocessedKeys"] = json!({TABLE: {"Keys": later}});
                }
                MockResponse::json(200, all.to_string())
            }
            "TransactWriteItems" => {
                let count = body["TransactItems"].as_array().map_or(0, Vec::len);
                let reason =
                    |index| json!({"Code": if index + 1 == count { "TransactionConflict" } else { "None" }});
                let reasons: Vec<Value> = (0..count).map(reason).collect();
                let error = json!({
                    "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
                    "message": "Transaction cancelled", "CancellationReasons": reasons,
                });
                MockResponse::json(400, error.to_string())
            }
            operation => error_response("InternalServerError", operation == "CreateInvalidation"),
        };
        Answer { response, is_cut_off: false }
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

    /// Puts a message into a queue.
    pub fn put(&mut self, queue: &str, body: String, error_type: Option<String>) -> String {
        self.next_id += 1;
        let id = format!("m{}", self.next_id);
        let message = Message { id: id.clone(), body, error_type, receives: 0, visible_at: self.time.now() };
        self.queues.entry(queue.to_owned()).or_default().push(message);
        id
    }

    /// The messages of a queue.
    pub fn queue(&mut self, queue: &str) -> &mut Vec<Message> {
        self.queues.entry(queue.to_owned()).or_default()
    }

    fn note_commit(&mut self, partition: String, events: Vec<String>) {
        let at = self.time.now();
        self.happened.push(Happened::Commit { partition, events, at });
    }

    /// No more faults.
    pub fn heal(&mut self) {
        self.faults.clear();
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

    fn change_visibility(&mut self, body: &Value) -> MockResponse {
        let queue = body["QueueUrl"].as_str().unwrap_or_default().to_owned();
        let now = self.time.now();
        let mut successful = Vec::new();
        for entry in body["Entries"].as_array().into_iter().flatten() {
            let seconds = entry["VisibilityTimeout"].as_i64().unwrap_or_default();
            let receipt = entry["ReceiptHandle"].as_str().unwrap_or_default();
            for message in self.queue(&queue).iter_mut().filter(|message| message.id == receipt) {
                message.visible_at = plus_seconds(now, seconds);
            }
            successful.push(json!({"Id": entry["Id"]}));
        }
        MockResponse::json(200, json!({"Successful": successful, "Failed": []}).to_string())
    }

    fn invalidate(&mut self, xml: &str) -> MockResponse {
        let (items, reference) = (elements(xml, "Path"), elements(xml, "CallerReference").remove(0));
        let now = self.time.now();
        let created_at = match self.references.get(&reference) {
            Some((known, at)) if *known == items => *at,
            Some(_) => return error_response("InvalidArgument", true),
            None => {
                self.charged += items.len() as u64;
                self.happened.push(Happened::Invalidation { items: items.clone() });
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
fn request(operation: &str, body: &Value) -> MockRequest {
    let mut headers = http::HeaderMap::new();
    headers.insert("x-amz-target", format!("DynamoDB_20120810.{operation}").parse().unwrap());
    MockRequest {
        method: "POST".to_owned(),
        uri: "https://dynamodb.eu-central-1.amazonaws.com/".to_owned(),
        headers,
        body: body.to_string().into(),
    }
}
