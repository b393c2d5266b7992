//! The AWS of the schedules: winterbaume's DynamoDB, small models of SQS and CloudFront, and faults
//! below the SDK. It follows the runtime's paused time, which advances when all tasks wait.
//!
//! The models of SQS and CloudFront are not those of the sandbox: winterbaume's SQS follows the
//! machine's clock, and its CloudFront ignores the caller reference.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_smithy_runtime_api::client::result::ConnectorError;
use jiff::{SignedDuration, Timestamp};
use sandbox::aws::TABLE;
use sandbox::aws::call_log::xml_elements;
use sandbox::aws::sdk_client::{cancelled_transaction, error_response};
use sandbox::aws::{Answer, AwsBackend};
use serde_json::{Value, json};
use shared::events::{ATTEMPT_PREFIX, EVENT_PREFIX, View};
use shared::store::keys;
use shared::store::lists::LIST_PREFIX;
use shared::store::notifications::NOTIFICATION_PREFIX;
use shared::time::{Clock, plus, plus_seconds};
use tokio::time::Instant;
use winterbaume_core::{MockRequest, MockResponse, MockService};
use winterbaume_dynamodb::DynamoDbService;

use super::reader::CachedPage;
use super::schedule::{FOREIGN_SUB, Fault, PlantedBug};

pub const USER_EVENTS: &str = "https://sqs.eu-central-1.amazonaws.com/000000000000/user-events";
pub const CACHE_INVALIDATIONS: &str =
    "https://sqs.eu-central-1.amazonaws.com/000000000000/cache-invalidations";
pub const ACCOUNT_ACTIVITIES: &str = "https://sqs.eu-central-1.amazonaws.com/000000000000/account-activities";
/// The dead-letter queue of a queue.
pub fn dead_letters(queue: &str) -> String {
    format!("{queue}-dlq")
}

/// Stands for the sort keys of the events in the commit of an erasure.
pub const ERASED: &str = "erased";
/// Two workers each of user-stats, cache-invalidation and account-activity.
pub const WORKERS: usize = 6;
/// Index of read-api among the callers of AWS.
pub const READER: usize = WORKERS;
const CALLERS: usize = WORKERS + 1;

/// The runtime's paused time, as a timestamp.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    start: Timestamp,
    zero: Instant,
}

impl Time {
    pub fn starting_at(start: Timestamp) -> Self {
        Self { start, zero: Instant::now() }
    }

    pub fn now(self) -> Timestamp {
        plus(self.start, SignedDuration::try_from(self.zero.elapsed()).unwrap())
    }

    pub async fn pass_until(self, time: Timestamp) {
        let left = Duration::try_from(time.duration_since(self.now())).unwrap_or_default();
        tokio::time::sleep(left).await;
    }

    /// A clock with an offset.
    pub fn clock(self, offset_millis: i16) -> Clock {
        Clock::from_fn(move || plus(self.now(), SignedDuration::from_millis(offset_millis.into())))
    }
}

/// A message in a queue.
#[derive(Clone, Debug)]
pub struct Message {
    pub id: String,
    pub body: String,
    /// The message attribute `error.type`.
    pub error_type: Option<String>,
    /// Receive count.
    pub receives: u32,
    /// Receipt handle of the latest receive. Earlier handles are invalid.
    pub receipt: String,
    pub sent_at: Timestamp,
    pub visible_at: Timestamp,
}

/// CACHE items by sub.
pub type Marks = BTreeMap<String, Value>;

/// An entry of the history that the oracle checks.
#[derive(Clone, Debug)]
pub enum HistoryEntry {
    /// A transaction was committed.
    Commit {
        partition: String,
        /// The sort keys of the events.
        events: Vec<String>,
        at: Timestamp,
        /// `lastChangedAt` of STATS after it, in milliseconds.
        last_changed_at: Option<i64>,
    },
    /// The table has a new suspension or erasure of this user.
    SecurityChange {
        sub: String,
        /// The time in the item, in milliseconds.
        time: i64,
        at: Timestamp,
    },
    /// SQS accepted a notice for cache-invalidation.
    Notice { changed_at: Timestamp },
    /// CloudFront accepted an invalidation.
    Invalidation {
        items: Vec<String>,
        at: Timestamp,
        /// The marks that the worker had read, by sub. Empty if a fault hit its reads.
        marks: Marks,
    },
    /// A worker processed a message about this user, and SQS deleted it.
    Done { sub: String, at: Timestamp },
    /// No message about this user is left.
    Settled { sub: String, at: Timestamp },
    /// A worker counted a metric.
    Counted { metric: &'static str, reason: String, at: Timestamp },
}

pub struct State {
    pub time: Time,
    /// Messages by queue URL.
    pub queues: BTreeMap<String, Vec<Message>>,
    pub history: Vec<HistoryEntry>,
    /// Invalidation items that CloudFront charged.
    pub charged: u64,
    /// Invalidations by caller reference. CloudFront returns the existing one.
    references: BTreeMap<String, (Vec<String>, Timestamp)>,
    /// Faults of the next requests.
    faults: VecDeque<Option<Fault>>,
    /// Number of answered requests of each worker.
    pub served: [usize; CALLERS],
    /// STATS before the last commit, by partition. `None`: the item did not exist.
    before: BTreeMap<String, Option<Value>>,
    /// Each notification before the last commit that changed it, by partition and sort key. `None`: the
    /// item did not exist.
    notifications_before: BTreeMap<(String, String), Option<Value>>,
    /// True for each worker that has committed in its current batch.
    pub has_committed: [bool; CALLERS],
    /// True for each worker that has counted a change that waits for the interval, in its current batch.
    pub has_waiting: [bool; CALLERS],
    /// Entries of lists that each worker has not put yet, for a planted bug.
    entries_to_put: [Vec<Value>; CALLERS],
    /// The marks that each worker has read in its current batch. `None` after a fault: the worker may
    /// not have got them.
    marks: [Option<Marks>; CALLERS],
    /// Number of requests that AWS still performs after the worker gave up.
    pub late: usize,
    /// Length of the history at the first read of the current request of read-api.
    pub reader_saw: Option<usize>,
    /// The answers of read-api that the cache has kept.
    pub pages: Vec<CachedPage>,
    seed: u64,
    next_id: u64,
    bug: PlantedBug,
}

#[derive(Clone)]
pub struct FaultyAws {
    /// Index of the worker whose requests this handles.
    pub worker: usize,
    state: Arc<Mutex<State>>,
    dynamodb: Arc<DynamoDbService>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl fmt::Debug for FaultyAws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyAws")
    }
}

impl FaultyAws {
    /// An AWS with an empty table. The requests meet the faults in order.
    pub async fn start(time: Time, faults: Vec<Option<Fault>>, seed: u64, bug: PlantedBug) -> Self {
        let state = State {
            time,
            queues: BTreeMap::new(),
            history: Vec::new(),
            charged: 0,
            references: BTreeMap::new(),
            faults: faults.into(),
            served: [0; CALLERS],
            before: BTreeMap::new(),
            notifications_before: BTreeMap::new(),
            has_committed: [false; CALLERS],
            has_waiting: [false; CALLERS],
            entries_to_put: [const { Vec::new() }; CALLERS],
            marks: [const { Some(Marks::new()) }; CALLERS],
            late: 0,
            reader_saw: None,
            pages: Vec::new(),
            seed,
            next_id: 0,
            bug,
        };
        let aws = Self {
            worker: 0,
            state: Arc::new(Mutex::new(state)),
            dynamodb: Arc::new(DynamoDbService::new()),
            turn: Arc::default(),
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

    /// The same AWS, for another worker.
    pub fn for_worker(&self, worker: usize) -> Self {
        Self { worker, ..self.clone() }
    }

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
        self.note_read();
        match operation {
            "SendMessageBatch" => self.state().send(&body, None),
            "ChangeMessageVisibilityBatch" => self.state().change_visibility(&body, None),
            "CreateInvalidation" => {
                self.state().invalidate(&String::from_utf8_lossy(&request.body), self.worker)
            }
            "TransactWriteItems" => self.transact(request, body).await,
            "AdminGetUser" => found_user(&body),
            // AdminGetUser finds all users of the pool.
            "ListUsers" => MockResponse::json(200, json!({"Users": []}).to_string()),
            _ => {
                let response = self.dynamodb.handle(request).await;
                let erased_at = number(&body["Item"]["erasedAt"]).filter(|_| operation == "PutItem");
                if let Some(erased_at) = erased_at.filter(|_| response.status == 200) {
                    let partition = body["Item"]["PK"]["S"].as_str().unwrap_or_default().to_owned();
                    if let Some(sub) = partition.strip_prefix("USER#") {
                        self.state().record_security_change(sub, erased_at);
                    }
                    self.record_commit(partition, vec![ERASED.to_owned()], None);
                }
                response
            }
        }
    }

    /// An operator suspends a user. The operator's clock has an offset.
    pub async fn suspend(&self, sub: &str, offset_millis: i64) {
        let now = self.state().time.now();
        let at = now.as_millisecond() + offset_millis;
        let item = suspension(sub, at);
        let put = request_of("PutItem", &json!({"TableName": TABLE, "Item": item}));
        assert_eq!(self.dynamodb.handle(put).await.status, 200);
        self.state().record_security_change(sub, at);
    }

    async fn item(&self, key: &Value) -> Option<Value> {
        let read = request_of("GetItem", &json!({"TableName": TABLE, "Key": key}));
        let response: Value =
            serde_json::from_slice(&self.dynamodb.handle(read).await.body).unwrap_or_default();
        response.get("Item").cloned()
    }

    async fn transact(&self, mut request: MockRequest, mut body: Value) -> MockResponse {
        let (partition, events) = committed(&body);
        let bug = self.state().bug;
        for item in body["TransactItems"].as_array_mut().into_iter().flatten() {
            let Some(put) = item.get_mut("Put").and_then(Value::as_object_mut) else { continue };
            let is_unconditional = match bug {
                PlantedBug::NoConditionOnMarkers => sort_key_of(&put["Item"]).starts_with(EVENT_PREFIX),
                PlantedBug::NoConditionOnNotifications | PlantedBug::NotificationsNotRead => {
                    sort_key_of(&put["Item"]).starts_with(NOTIFICATION_PREFIX)
                }
                _ => false,
            };
            if is_unconditional {
                for field in ["ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues"]
                {
                    put.remove(field);
                }
            }
        }
        let key = |sort_key: &str| json!({"PK": {"S": partition}, "SK": {"S": sort_key}});
        let statistics = self.item(&key("STATS")).await;
        let mut notifications = BTreeMap::new();
        for sort_key in put_sort_keys(&body).filter(|key| key.starts_with(NOTIFICATION_PREFIX)) {
            notifications.insert((partition.clone(), sort_key.clone()), self.item(&key(&sort_key)).await);
        }
        let mut entries = Vec::new();
        if bug == PlantedBug::EntriesPutAfterCommit {
            let items = body["TransactItems"].as_array_mut().unwrap();
            items.retain(|item| {
                let is_entry = sort_key_of(&item["Put"]["Item"]).starts_with(LIST_PREFIX);
                entries.extend(is_entry.then(|| item["Put"].clone()));
                !is_entry
            });
        }
        request.body = body.to_string().into();
        let response = self.dynamodb.handle(request).await;
        if response.status == 200 {
            {
                let mut state = self.state();
                state.before.insert(partition.clone(), statistics);
                state.notifications_before.extend(notifications);
                state.entries_to_put[self.worker].extend(entries);
            }
            let statistics = self.item(&key("STATS")).await.unwrap_or_default();
            self.record_commit(partition, events, number(&statistics["lastChangedAt"]));
        }
        response
    }

    /// Reads the items of a batch at two times, as DynamoDB may do: it reads each item consistently, and
    /// not all of them at once.
    async fn read_in_two_parts(&self, request: &MockRequest) -> MockResponse {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let mut random = self.state().random("two parts", &request.body);
        let keys = body["RequestItems"][TABLE]["Keys"].as_array().cloned().unwrap_or_default();
        let markers: Vec<Value> =
            keys.iter().filter(|key| sort_key_of(key).starts_with(EVENT_PREFIX)).cloned().collect();
        let (first, second): (Vec<Value>, Vec<Value>) = keys.into_iter().partition(|_| random.bool());
        let mut found = Vec::new();
        for keys in [first, second].into_iter().filter(|keys| !keys.is_empty()) {
            let mut part = body.clone();
            part["RequestItems"][TABLE]["Keys"] = json!(keys);
            let read = self.answer_part_of(request, &part).await;
            found.extend(read["Responses"][TABLE].as_array().cloned().unwrap_or_default());
            tokio::time::sleep(Duration::from_millis(random.u64(0..300))).await;
        }
        if self.state().bug == PlantedBug::MarkerOfAnyUser {
            for (marker, user) in markers.iter().flat_map(|marker| (0..3).map(move |user| (marker, user))) {
                let of_user = json!({"PK": {"S": format!("USER#user-{user}")}, "SK": marker["SK"]});
                if let Some(mut item) = self.item(&of_user).await.filter(|_| of_user != *marker) {
                    item["PK"] = marker["PK"].clone();
                    found.push(item);
                }
            }
        }
        if self.state().bug == PlantedBug::MarkerVersionIgnored {
            for item in found.iter_mut().filter(|item| sort_key_of(item).starts_with(EVENT_PREFIX)) {
                item["version"] = json!({"N": "0"});
            }
        }
        let answer = json!({"Responses": {TABLE: found}, "UnprocessedKeys": {}});
        MockResponse::json(200, answer.to_string())
    }

    /// The bug: entries are put after the commit. They are lost if the worker crashes before.
    async fn put_entries(&self) {
        let entries = std::mem::take(&mut self.state().entries_to_put[self.worker]);
        for put in entries {
            self.dynamodb.handle(request_of("PutItem", &put)).await;
        }
    }

    /// The response of a read that misses the last commit.
    fn stale_answer(&self, response: &MockResponse) -> MockResponse {
        let mut answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let state = self.state();
        if let Some(items) = answer.pointer_mut(&format!("/Responses/{TABLE}")).and_then(Value::as_array_mut)
        {
            let before = |item: &Value| {
                let (partition, sort_key) = (item["PK"]["S"].as_str().unwrap_or_default(), sort_key_of(item));
                match sort_key {
                    "STATS" => state.before.get(partition).cloned(),
                    _ => {
                        state.notifications_before.get(&(partition.to_owned(), sort_key.to_owned())).cloned()
                    }
                }
            };
            let stale: Vec<Value> =
                items.drain(..).filter_map(|item| before(&item).unwrap_or(Some(item))).collect();
            *items = stale;
        }
        MockResponse::json(200, answer.to_string())
    }

    /// Records the marks in the response to a read. After a fault, the worker may act without marks.
    fn record_marks(&self, response: &MockResponse, fault: Option<Fault>) {
        let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let items = answer.pointer(&format!("/Responses/{TABLE}")).and_then(Value::as_array);
        let known = &mut self.state().marks[self.worker];
        if !matches!(fault, None | Some(Fault::Stale)) {
            *known = None;
        }
        for item in items.into_iter().flatten().filter(|item| item["SK"]["S"] == keys::CACHE) {
            let (_, sub) = item["PK"]["S"].as_str().and_then(|key| key.split_once('#')).unwrap();
            if let Some(known) = known {
                known.insert(sub.to_owned(), item.clone());
            }
        }
    }

    /// Notes which commits a request of read-api can see.
    fn note_read(&self) {
        if self.worker == READER {
            let mut state = self.state();
            let seen = state.history.len();
            state.reader_saw.get_or_insert(seen);
        }
    }

    fn record_commit(&self, partition: String, events: Vec<String>, last_changed_at: Option<i64>) {
        let mut state = self.state();
        state.has_committed[self.worker] = true;
        let at = state.time.now();
        state.history.push(HistoryEntry::Commit { partition, events, at, last_changed_at });
    }

    /// The bug: the notice is published before the commit.
    fn publish_notice_too_early(&self, body: &Value) {
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

    /// Applies the planted bug to a request. Returns a response if the bug answers it.
    async fn planted(&self, operation: &str, request: &mut MockRequest) -> Option<MockResponse> {
        let (bug, has_committed) = {
            let state = self.state();
            (state.bug, state.has_committed[self.worker])
        };
        let mut body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let is_notice = operation == "SendMessageBatch" && body["QueueUrl"] == CACHE_INVALIDATIONS;
        match bug {
            PlantedBug::NoticeBeforeCommit if matches!(operation, "TransactWriteItems" | "PutItem") => {
                self.publish_notice_too_early(&body);
                tokio::time::sleep(Duration::from_millis(400)).await;
            }
            PlantedBug::NoticeBeforeCommit if is_notice => return Some(accepted_and_dropped(&body)),
            PlantedBug::NoNoticeForDuplicates if is_notice && !has_committed => {
                return Some(accepted_and_dropped(&body));
            }
            PlantedBug::MarkInTheFuture if operation == "BatchWriteItem" => {
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
            PlantedBug::AttemptNotStored if operation == "BatchWriteItem" && is_attempts(&body) => {
                return Some(MockResponse::json(200, json!({"UnprocessedItems": {}}).to_string()));
            }
            PlantedBug::AttemptCounted if operation == "BatchWriteItem" && is_attempts(&body) => {
                let partition = &body["RequestItems"][TABLE][0]["PutRequest"]["Item"]["PK"];
                let count = json!({
                    "TableName": TABLE, "Key": {"PK": partition, "SK": {"S": "STATS"}},
                    "UpdateExpression": "ADD version :one",
                    "ExpressionAttributeValues": {":one": {"N": "1"}},
                });
                self.dynamodb.handle(request_of("UpdateItem", &count)).await;
            }
            PlantedBug::ClaimBelieved | PlantedBug::SuspensionNotFound if reads_suspensions(&body) => {
                let now = self.state().time.now().as_millisecond();
                let keys = body["RequestItems"][TABLE]["Keys"].as_array().cloned().unwrap_or_default();
                let subs = keys.iter().filter_map(|key| key["PK"]["S"].as_str()?.strip_prefix("SUSPENSION#"));
                let items: Vec<Value> = match bug {
                    PlantedBug::ClaimBelieved => subs.map(|sub| suspension(sub, now)).collect(),
                    _ => Vec::new(),
                };
                let answer = json!({"Responses": {TABLE: items}, "UnprocessedKeys": {}});
                return Some(MockResponse::json(200, answer.to_string()));
            }
            PlantedBug::NotificationsNotRead if reads_notifications(&body) => {
                let answer = json!({"Responses": {TABLE: []}, "UnprocessedKeys": {}});
                return Some(MockResponse::json(200, answer.to_string()));
            }
            PlantedBug::NoConsistentReads if operation == "BatchGetItem" => {
                body["RequestItems"][TABLE]["ConsistentRead"] = json!(false);
                request.body = body.to_string().into();
            }
            PlantedBug::NotBookedInLedger if operation == "UpdateItem" && is_month(&body) => {
                return Some(MockResponse::json(200, "{}".to_owned()));
            }
            PlantedBug::AddressNotRecorded if operation == "UpdateItem" && is_window(&body) => {
                return Some(MockResponse::json(200, "{}".to_owned()));
            }
            PlantedBug::ClaimNotKept
                if operation == "UpdateItem" && body["Key"]["SK"]["S"] == "PURGE_ALL" =>
            {
                return Some(MockResponse::json(200, "{}".to_owned()));
            }
            _ => {}
        }
        None
    }
}

/// A number attribute.
pub fn number(value: &Value) -> Option<i64> {
    value["N"].as_str()?.parse().ok()
}

fn suspension(sub: &str, at: i64) -> Value {
    json!({
        "PK": {"S": format!("SUSPENSION#{sub}")}, "SK": {"S": "SUSPENSION"}, "at": {"N": at.to_string()},
        "reason": {"S": "spam"}, "by": {"S": "ben"},
    })
}

fn reads_suspensions(body: &Value) -> bool {
    let keys = body["RequestItems"][TABLE]["Keys"].as_array();
    keys.is_some_and(|keys| keys.iter().any(|key| key["SK"]["S"] == "SUSPENSION"))
}

fn reads_notifications(body: &Value) -> bool {
    let keys = body["RequestItems"][TABLE]["Keys"].as_array();
    keys.is_some_and(|keys| keys.iter().any(|key| sort_key_of(key).starts_with(NOTIFICATION_PREFIX)))
}

fn is_month(body: &Value) -> bool {
    body["Key"]["SK"]["S"].as_str().is_some_and(|sort_key| sort_key.starts_with("MONTH#"))
}

fn is_window(body: &Value) -> bool {
    body["Key"]["SK"]["S"].as_str().is_some_and(|sort_key| sort_key.starts_with("FAILURES#"))
}

/// Cognito's answer about a user. The users with an even number have MFA.
fn found_user(asked: &Value) -> MockResponse {
    let sub = asked["Username"].as_str().unwrap_or_default();
    if sub == FOREIGN_SUB {
        return error_response("UserNotFoundException", false);
    }
    let mfa = if has_mfa(sub) { json!(["SOFTWARE_TOKEN_MFA"]) } else { json!([]) };
    let user = json!({
        "Username": sub, "Enabled": true, "UserStatus": "CONFIRMED", "UserMFASettingList": mfa,
        "UserAttributes": [{"Name": "sub", "Value": sub}],
    });
    MockResponse::json(200, user.to_string())
}

pub fn has_mfa(sub: &str) -> bool {
    sub.ends_with(['0', '2'])
}

/// Whether a BatchWriteItem puts sign-in attempts.
fn is_attempts(body: &Value) -> bool {
    let sort_key = body["RequestItems"][TABLE][0]["PutRequest"]["Item"]["SK"]["S"].as_str();
    sort_key.is_some_and(|sort_key| sort_key.starts_with(ATTEMPT_PREFIX))
}

/// The response of SQS for a batch that is dropped.
fn accepted_and_dropped(body: &Value) -> MockResponse {
    let entries = body["Entries"].as_array().cloned().unwrap_or_default();
    let successful: Vec<Value> = entries.iter().map(|entry| sent(&entry["Id"], "dropped")).collect();
    MockResponse::json(200, json!({"Successful": successful}).to_string())
}

impl AwsBackend for FaultyAws {
    async fn answer(&self, mut request: MockRequest) -> Result<Answer, ConnectorError> {
        let operation = operation(&request);
        let (fault, before, after, late) = {
            let mut state = self.state();
            let mut random = state.random(&operation, &request.body);
            let mut millis = |maximum| Duration::from_millis(random.u64(0..maximum));
            let (before, after, late) = (millis(30), millis(15), millis(2_800));
            (state.faults.pop_front().flatten(), before, after, late)
        };
        if fault.is_some() && operation == "BatchGetItem" {
            self.record_marks(&MockResponse::json(200, "{}".to_owned()), fault);
        }
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
            Some(Fault::Partial) => return Ok(answer(self.partial_answer(&operation, request).await)),
        };
        if let Some(code) = refusal {
            return Ok(answer(error_response(code, is_xml)));
        }
        // AWS performs a request that it received, even if the worker crashes or gives up.
        let (aws, is_late) = (self.clone(), fault == Some(Fault::Late));
        let is_read = operation == "BatchGetItem";
        if self.worker == READER && is_read && matches!(fault, None | Some(Fault::Stale)) {
            return Ok(answer(self.read_in_two_parts(&request).await));
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let is_of_notifications = is_read && reads_notifications(&body);
        let is_consistent = body["RequestItems"][TABLE]["ConsistentRead"] == true;
        let may_be_stale = is_read && (!is_consistent || is_of_notifications);
        self.state().late += usize::from(is_late);
        let performing = tokio::spawn(async move {
            if is_late {
                tokio::time::sleep(late).await;
            }
            let _turn = aws.turn.lock().await;
            let response = aws.perform(&operation, request).await;
            aws.state().late -= usize::from(is_late);
            response
        });
        if is_late {
            std::future::pending::<()>().await;
        }
        let response = performing.await.map_err(|error| ConnectorError::other(error.into(), None))?;
        self.state().served[self.worker] += 1;
        if is_read {
            self.record_marks(&response, fault);
        }
        tokio::time::sleep(after).await;
        self.put_entries().await;
        // The bug shows if a read misses a commit.
        let misses_commit = is_of_notifications && self.state().bug == PlantedBug::NoConditionOnNotifications;
        match fault {
            None if misses_commit => Ok(answer(self.stale_answer(&response))),
            Some(Fault::ReplyLost) => Err(ConnectorError::io("connection closed".into())),
            Some(Fault::UnavailableAfter) => Ok(answer(unavailable(is_xml))),
            Some(Fault::Stale) if may_be_stale => Ok(answer(self.stale_answer(&response))),
            _ => Ok(answer(response)),
        }
    }
}

fn unavailable(is_xml: bool) -> MockResponse {
    MockResponse { status: 503, ..error_response("ServerBusy", is_xml) }
}

impl FaultyAws {
    /// Performs half of a batch or none of it. Other operations fail with a conflict or an error.
    async fn partial_answer(&self, operation: &str, request: MockRequest) -> MockResponse {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let mut random = self.state().random("partial", &request.body);
        // At least one entry, or none.
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
                    let read = self.answer_part_of(&request, &part).await;
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
                    self.answer_part_of(&request, &json!({"RequestItems": {TABLE: now}})).await;
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
                let reason = |index| if index == cancelled { code } else { "None" };
                cancelled_transaction(&(0..count).map(reason).collect::<Vec<_>>())
            }
            "UpdateItem" | "PutItem" | "DeleteItem" => error_response("TransactionConflictException", false),
            operation => error_response("InternalServerError", operation == "CreateInvalidation"),
        }
    }

    async fn answer_part_of(&self, request: &MockRequest, body: &Value) -> Value {
        let mut request = request.clone();
        request.body = body.to_string().into();
        let _turn = self.turn.lock().await;
        self.note_read();
        let answer = self.dynamodb.handle(request).await;
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }
}

impl State {
    /// Random numbers that follow from the request, so that a shrunk schedule takes nearly the same
    /// course. The length is hashed instead of the body, because times and ids differ between runs.
    fn random(&self, operation: &str, body: &[u8]) -> fastrand::Rng {
        let mut hasher = std::hash::DefaultHasher::new();
        (self.seed, operation, body.len() / 64).hash(&mut hasher);
        fastrand::Rng::with_seed(hasher.finish())
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub fn put(&mut self, queue: &str, body: String, error_type: Option<String>) -> String {
        let id = format!("m{}", self.next_id());
        if queue == CACHE_INVALIDATIONS {
            let notice: Value = serde_json::from_str(&body).unwrap_or_default();
            let changed_at = notice.pointer("/data/changed_at").and_then(Value::as_str);
            if let Some(changed_at) = changed_at.and_then(|time| time.parse().ok()) {
                self.history.push(HistoryEntry::Notice { changed_at });
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

    pub fn queue(&mut self, queue: &str) -> &mut Vec<Message> {
        self.queues.entry(queue.to_owned()).or_default()
    }

    /// Receives up to `size` visible messages. A message with more than `max_receives` receives goes to
    /// the dead-letter queue.
    pub fn receive(
        &mut self,
        queue: &str,
        size: usize,
        visibility_seconds: i64,
        max_receives: u32,
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
            if message.receives > max_receives {
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

    fn record_security_change(&mut self, sub: &str, time: i64) {
        let at = self.time.now();
        // A repeated erasure keeps its time. A suspension after an erasure can have an earlier time, because
        // operators and workers have different clocks. It is then invalidated like any other change.
        let is_known = self.history.iter().any(|entry| {
            matches!(entry, HistoryEntry::SecurityChange { sub: known, time: at, .. } if known == sub && *at >= time)
        });
        if !is_known {
            self.history.push(HistoryEntry::SecurityChange { sub: sub.to_owned(), time, at });
        }
    }

    /// Whether this notice claims a suspension or erasure for which the user's pages were not
    /// invalidated yet.
    pub fn is_urgent(&self, notice: &str) -> bool {
        let notice: Value = serde_json::from_str(notice).unwrap_or_default();
        let sub = notice["subject"].as_str().unwrap_or_default();
        let is_change =
            |entry: &HistoryEntry| matches!(entry, HistoryEntry::SecurityChange { sub: of, .. } if of == sub);
        let Some(index) = self.history.iter().rposition(is_change) else { return false };
        let is_invalidated = |entry: &HistoryEntry| matches!(entry, HistoryEntry::Invalidation { items, .. } if covers_user(items, sub));
        notice["data"].get("reason").is_some() && !self.history[index..].iter().any(is_invalidated)
    }

    /// Forgets what a worker did in its last batch.
    pub fn start_delivery(&mut self, worker: usize) {
        self.has_committed[worker] = false;
        self.has_waiting[worker] = false;
        self.entries_to_put[worker].clear();
        self.marks[worker] = Some(Marks::new());
    }

    /// True if a queue has a message about this user that a worker can still process.
    pub fn has_messages_about(&self, sub: &str) -> bool {
        let mut messages = self.queues.values().flatten();
        messages
            .any(|message| message.error_type.is_none() && subject_of(&message.body).as_deref() == Some(sub))
    }

    pub fn stop_faults(&mut self) {
        self.faults.clear();
    }

    /// Adds the metrics that the oracle needs to the history.
    pub fn record_metric(&mut self, worker: usize, line: &str) {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        let at = self.time.now();
        if line.get("InvalidationsDeferred").is_some() && line["reason"] == "interval" {
            self.has_waiting[worker] = true;
        }
        for metric in ["BudgetExhausted", "InvalidationsSkipped"] {
            if line.get(metric).is_some() {
                let reason = line["reason"].as_str().unwrap_or_default().to_owned();
                self.history.push(HistoryEntry::Counted { metric, reason, at });
            }
        }
    }

    /// SendMessageBatch. Accepts only the first `limit` entries.
    fn send(&mut self, body: &Value, limit: Option<usize>) -> MockResponse {
        let queue = body["QueueUrl"].as_str().unwrap_or_default().to_owned();
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for (index, entry) in body["Entries"].as_array().into_iter().flatten().enumerate() {
            if limit.is_some_and(|limit| index >= limit) {
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

    /// ChangeMessageVisibilityBatch. Accepts only the first `limit` entries.
    fn change_visibility(&mut self, body: &Value, limit: Option<usize>) -> MockResponse {
        let queue = body["QueueUrl"].as_str().unwrap_or_default().to_owned();
        let now = self.time.now();
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for (index, entry) in body["Entries"].as_array().into_iter().flatten().enumerate() {
            let seconds = entry["VisibilityTimeout"].as_i64().unwrap_or_default();
            let receipt = entry["ReceiptHandle"].as_str().unwrap_or_default();
            let message = self.queue(&queue).iter_mut().find(|message| message.receipt == receipt);
            match message.filter(|_| limit.is_none_or(|limit| index < limit)) {
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

    fn invalidate(&mut self, xml: &str, worker: usize) -> MockResponse {
        let (items, reference) = (xml_elements(xml, "Path"), xml_elements(xml, "CallerReference").remove(0));
        let now = self.time.now();
        let created_at = match self.references.get(&reference) {
            Some((known, at)) if *known == items => *at,
            Some(_) => return error_response("InvalidArgument", true),
            None => {
                self.charged += items.len() as u64;
                let marks = self.marks[worker].clone().unwrap_or_default();
                self.history.push(HistoryEntry::Invalidation { items: items.clone(), at: now, marks });
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

/// The user that a message is about.
pub fn subject_of(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    let sub = body.pointer("/detail/additionalEventData/sub").or_else(|| body.get("subject"))?;
    Some(sub.as_str()?.to_owned())
}

/// Whether the items of an invalidation cover all pages of a user.
pub fn covers_user(items: &[String], sub: &str) -> bool {
    let has = |item: &str| items.iter().any(|other| other == item);
    let path = |view: &View| has(&format!("/users/{sub}/{}", view.name()));
    has("#users") || has("/users/*") || has(&format!("#user:{sub}")) || View::ALL.iter().all(path)
}

fn sent(id: &Value, message_id: &str) -> Value {
    json!({"Id": id, "MessageId": message_id, "MD5OfMessageBody": "00000000000000000000000000000000"})
}

/// The sort key of an item or a key.
fn sort_key_of(item: &Value) -> &str {
    item["SK"]["S"].as_str().unwrap_or_default()
}

/// The sort keys of the items that a transaction puts.
fn put_sort_keys(body: &Value) -> impl Iterator<Item = String> + '_ {
    let items = body["TransactItems"].as_array().into_iter().flatten();
    items.filter_map(|item| item.get("Put")).map(|put| sort_key_of(&put["Item"]).to_owned())
}

/// The partition of a transaction, and the sort keys of its events.
fn committed(body: &Value) -> (String, Vec<String>) {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_event =
        |sort_key: &String| !sort_key.starts_with(LIST_PREFIX) && !sort_key.starts_with(NOTIFICATION_PREFIX);
    let partition = body["TransactItems"].as_array().and_then(|items| items.first());
    let partition = partition.map(|item| text(item.pointer("/Put/Item/PK/S")));
    // An erasure is a single PutItem.
    let partition = partition.unwrap_or_else(|| text(body.pointer("/Item/PK/S")));
    (partition, put_sort_keys(body).filter(is_event).collect())
}

fn operation(request: &MockRequest) -> String {
    let target = request.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    target.and_then(|target| target.rsplit('.').next()).unwrap_or("CreateInvalidation").to_owned()
}

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
