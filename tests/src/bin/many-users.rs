//! A user pool and a table with many users in a process of their own, for tests/e2e/many_users.py.
//!
//! `many-users USERS FILE` plants differences between both, writes them to FILE as `replay reconcile --out`
//! does, and prints its address. For each line on standard input it prints the number of calls since the last
//! one, by operation. Goes on until it is killed.
//!
//! DynamoDB and SQS are those of the sandbox. Its Cognito reads all users for each page, so this file answers
//! Cognito's calls from an index. Source of the formats: the API reference of Amazon Cognito user pools.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "the caller reads the address and the counts")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Write};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use aws_smithy_runtime_api::client::result::ConnectorError;
use sandbox::aws::backend::SandboxBackend;
use sandbox::aws::{Answer, AwsBackend, SandboxAccount, TABLE};
use serde_json::{Value, json};
use shared::store::Item;
use shared::time::Clock;
use tests::lambda::serve_aws;
use winterbaume_core::{MockRequest, MockResponse};

/// Number of planted differences of each kind.
const PLANTED: usize = 20;
/// Cognito: a page has at most 60 users.
const USERS_PER_PAGE: usize = 60;
const USER_POOL_ID: &str = "eu-central-1_EXAMPLE12";
const GROUP: &str = "Developer";

#[derive(Clone, Debug)]
struct Account {
    sandbox: SandboxBackend,
    pool: Arc<Mutex<Pool>>,
}

#[derive(Debug, Default)]
struct Pool {
    /// By sub, which is also the username.
    users: BTreeMap<String, User>,
    members: BTreeSet<String>,
    calls: BTreeMap<String, usize>,
}

#[derive(Clone, Debug)]
struct User {
    name: String,
    is_engineer: bool,
    is_enabled: bool,
}

fn lock(pool: &Mutex<Pool>) -> MutexGuard<'_, Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AwsBackend for Account {
    async fn answer(&self, request: MockRequest) -> Result<Answer, ConnectorError> {
        let target = request.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let (service, operation) = target.and_then(|target| target.split_once('.')).unwrap_or_default();
        let (is_cognito, operation) = (service.starts_with("AWSCognito"), operation.to_owned());
        *lock(&self.pool).calls.entry(operation.clone()).or_default() += 1;
        if !is_cognito {
            return self.sandbox.answer(request).await;
        }
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let is_pool = asked["UserPoolId"] == USER_POOL_ID;
        let (status, answer) = match lock(&self.pool).answer(&operation, &asked).filter(|_| is_pool) {
            Some(answer) => (200, answer),
            None if !is_pool => (400, json!({"__type": "ResourceNotFoundException", "message": "no pool"})),
            None => (400, json!({"__type": "InvalidParameterException", "message": "unknown"})),
        };
        Ok(Answer { response: MockResponse::json(status, answer.to_string()), is_cut_off: false })
    }
}

impl Pool {
    fn answer(&mut self, operation: &str, asked: &Value) -> Option<Value> {
        let text = |name: &str| asked.get(name).and_then(Value::as_str);
        match operation {
            "ListUsers" => Some(match text("Filter") {
                Some(filter) => {
                    let sub = filter.strip_prefix("sub = \"")?.strip_suffix('"')?;
                    json!({"Users": self.users.get(sub).map(|user| describe(sub, user)).into_iter().collect::<Vec<_>>()})
                }
                None => page(self.users.range(after(text("PaginationToken"))), "PaginationToken"),
            }),
            "ListUsersInGroup" => {
                let members = self.members.range(after(text("NextToken")));
                Some(page(members.filter_map(|sub| self.users.get_key_value(sub)), "NextToken"))
            }
            "GetGroup" => (text("GroupName")? == GROUP).then(|| json!({"Group": {"GroupName": GROUP}})),
            "AdminListGroupsForUser" => {
                let is_member = self.members.contains(text("Username")?);
                let groups: Vec<Value> = is_member.then(|| json!({"GroupName": GROUP})).into_iter().collect();
                Some(json!({"Groups": groups}))
            }
            "AdminAddUserToGroup" => {
                self.members.insert(text("Username")?.to_owned());
                Some(json!({}))
            }
            "AdminRemoveUserFromGroup" => {
                self.members.remove(text("Username")?);
                Some(json!({}))
            }
            _ => None,
        }
    }
}

/// The users after the sub in a token, in the order of the subs.
fn after(token: Option<&str>) -> (Bound<String>, Bound<String>) {
    (token.map_or(Bound::Unbounded, |token| Bound::Excluded(token.to_owned())), Bound::Unbounded)
}

/// The first page of these users.
fn page<'a>(users: impl Iterator<Item = (&'a String, &'a User)>, token_name: &str) -> Value {
    let mut page: Vec<(&String, &User)> = users.take(USERS_PER_PAGE + 1).collect();
    let has_more = page.len() > USERS_PER_PAGE;
    page.truncate(USERS_PER_PAGE);
    let described: Vec<Value> = page.iter().map(|(sub, user)| describe(sub, user)).collect();
    let mut answer = json!({"Users": described});
    if let Some((last, _)) = page.last().filter(|_| has_more) {
        answer[token_name] = json!(last);
    }
    answer
}

fn describe(sub: &str, user: &User) -> Value {
    let mut attributes = json!([
        {"Name": "sub", "Value": sub}, {"Name": "email", "Value": email(sub)},
        {"Name": "email_verified", "Value": "true"}, {"Name": "name", "Value": user.name},
    ]);
    if let (true, Some(list)) = (user.is_engineer, attributes.as_array_mut()) {
        list.push(json!({"Name": "custom:department", "Value": "Engineering"}));
    }
    json!({
        "Username": sub, "Attributes": attributes, "Enabled": user.is_enabled, "UserStatus": "CONFIRMED",
        "UserCreateDate": 1_767_225_600, "UserLastModifiedDate": 1_767_225_600,
    })
}

fn email(sub: &str) -> String {
    format!("{sub}@example.com")
}

/// A sub in the form of Cognito's. The first part spreads the users over the order of the pages.
fn sub_of(number: usize) -> String {
    let spread = u32::try_from(number).unwrap_or_default().wrapping_mul(2_654_435_761);
    format!("{spread:08x}-0000-4000-8000-{number:012x}")
}

/// The users, the items of the table, and the planted differences.
#[derive(Default)]
struct Plan {
    pool: Pool,
    items: Vec<Value>,
    differences: Vec<Value>,
}

impl Plan {
    fn of(users: usize) -> Self {
        let mut plan = Self::default();
        // The planted users come at equal distances.
        let distance = users / PLANTED;
        for number in 0..users {
            plan.add(number, number % distance, number / distance);
        }
        for number in 0..PLANTED {
            let sub = sub_of(users + number);
            plan.items.push(profile(&sub, "Deleted"));
            plan.differ("deleted_user", &sub, &[]);
        }
        plan
    }

    /// Adds a user. `place` is the place after the last planted user, and decides what differs.
    fn add(&mut self, number: usize, place: usize, round: usize) {
        let sub = sub_of(number);
        let mut user =
            User { name: format!("User {number}"), is_engineer: number % 10 == 9, is_enabled: true };
        let (mut is_member, mut has_profile, mut stored_name) = (user.is_engineer, true, user.name.clone());
        let mut statistics =
            number.is_multiple_of(3).then(|| json!({"version": 1, "lastSeenAt": 1_772_442_000_000_i64}));
        if round < PLANTED {
            match place {
                1 => {
                    has_profile = false;
                    self.differ("missing_profile", &sub, &[]);
                }
                2 => {
                    "Old name".clone_into(&mut stored_name);
                    self.differ("stale_profile", &sub, &["name"]);
                }
                3 => {
                    if round.is_multiple_of(2) {
                        user.is_enabled = false;
                    } else {
                        statistics = Some(json!({"version": 1, "isDisabled": true}));
                    }
                    let state = if user.is_enabled { "enabled" } else { "disabled" };
                    self.differ("account_state", &sub, &[state]);
                }
                4 => {
                    (user.is_engineer, is_member) = (true, false);
                    self.differ("missing_group", &sub, &[GROUP]);
                }
                5 => {
                    (user.is_engineer, is_member) = (false, true);
                    self.differ("extra_group", &sub, &[GROUP]);
                }
                _ => {}
            }
        }
        if has_profile {
            self.items.push(profile(&sub, &stored_name));
        }
        if let Some(mut statistics) = statistics {
            statistics["PK"] = json!(format!("USER#{sub}"));
            statistics["SK"] = json!("STATS");
            self.items.push(statistics);
        }
        if is_member {
            self.pool.members.insert(sub.clone());
        }
        self.pool.users.insert(sub, user);
    }

    fn differ(&mut self, kind: &str, sub: &str, fields: &[&str]) {
        self.differences.push(json!({"kind": kind, "sub": sub, "fields": fields}));
    }
}

fn profile(sub: &str, name: &str) -> Value {
    json!({
        "PK": format!("USER#{sub}"), "SK": "PROFILE", "cognitoId": sub, "username": sub, "email": email(sub),
        "isEmailVerified": true, "name": name, "isBanned": false, "createdAt": 1_767_225_600_000_i64,
    })
}

async fn write(account: &SandboxAccount, items: &[Value]) {
    let client = account.dynamodb();
    for batch in items.chunks(25) {
        let requests = batch.iter().map(|item| {
            let item: Item = serde_dynamo::to_item(item).expect("an item");
            let put = PutRequest::builder().set_item(Some(item)).build().expect("a request");
            WriteRequest::builder().put_request(put).build()
        });
        let call = client.batch_write_item().request_items(TABLE, requests.collect());
        let output = call.send().await.expect("an answer");
        assert!(output.unprocessed_items.is_none_or(|items| items.is_empty()), "all items are written");
    }
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let users: usize = arguments.next().and_then(|users| users.parse().ok()).expect("the number of users");
    assert!(users >= 10 * PLANTED, "at least {} users", 10 * PLANTED);
    let file = arguments.next().expect("a file for the planted differences");
    let plan = Plan::of(users);
    let sandbox = SandboxAccount::start(Clock::system().now()).await.expect("an account");
    write(&sandbox, &plan.items).await;
    let lines: String = plan.differences.iter().map(|difference| format!("{difference}\n")).collect();
    std::fs::write(file, lines).expect("the file is writable");
    let pool = Arc::new(Mutex::new(plan.pool));
    let account = Account { sandbox: sandbox.backend().clone(), pool: pool.clone() };
    println!("http://{}", serve_aws(account).await);
    let _ = std::io::stdout().flush();
    let print_counts = move || {
        for _ in std::io::stdin().lock().lines() {
            println!("{}", json!(std::mem::take(&mut lock(&pool).calls)));
            let _ = std::io::stdout().flush();
        }
    };
    let _ = tokio::task::spawn_blocking(print_counts).await;
    std::future::pending::<()>().await;
}
