//! The programs to measure: the functions of this repository, their peers in Node.js and Python, and the baseline.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::results::BASELINE;

/// A function for whose answer a person waits: a trigger, or the read API.
#[derive(Clone, Copy, Debug)]
pub struct AnsweringFunction {
    pub name: &'static str,
    /// Its event: a file in `events/<name>/`, without `.json`.
    pub fixture: &'static str,
    /// Budget of AWS calls of an invocation.
    pub max_calls: f64,
    /// Budget of the first answer, divided by that of the baseline. A function that calls two services,
    /// or one service twice, opens two connections.
    pub max_first_answer: f64,
}

impl AnsweringFunction {
    const fn with_one_call(name: &'static str, fixture: &'static str) -> Self {
        Self { name, fixture, max_calls: 1.0, max_first_answer: 2.0 }
    }

    const fn with_two_calls(name: &'static str, fixture: &'static str) -> Self {
        Self { name, fixture, max_calls: 2.0, max_first_answer: 2.2 }
    }
}

/// The functions with peers in Node.js.
pub const ANSWERING_FUNCTIONS: [AnsweringFunction; 6] = [
    AnsweringFunction::with_one_call("pre-sign-up", "sign-up"),
    AnsweringFunction::with_two_calls("post-confirmation", "confirm-sign-up"),
    AnsweringFunction::with_two_calls("pre-authentication", "authentication"),
    AnsweringFunction::with_two_calls("pre-token-generation", "authentication"),
    AnsweringFunction::with_one_call("custom-message", "sign-up"),
    AnsweringFunction::with_two_calls("read-api", "dashboard"),
];

/// Name and fixture of each worker.
pub const WORKERS: [(&str, &str); 5] = [
    ("user-stats", "orders-of-two-users"),
    ("cache-invalidation", "changes-of-two-users"),
    ("group-membership", "changes-of-two-users"),
    ("resource-permission", "orders-shared-with-two-users"),
    ("account-activity", "admin-disable-user"),
];

/// Peers in Python: function, language in the name of the subject, and handler.
const PYTHON_PEERS: [(&str, &str, &str); 2] = [
    ("pre-token-generation", "Python", "pre_token_generation.handler"),
    ("user-stats", "Powertools", "user_stats.handler"),
];

const NODE_FOLDER: &str = "tests/peers/node";
const PYTHON_FOLDER: &str = "tests/peers/python";
/// From the virtual environment with the packages of the peers.
const PYTHON: &str = "tests/peers/.venv/bin/python";

/// Numbers of users in the measured batches of [`BATCH_EVENTS`] events.
pub const BATCH_USERS: [usize; 4] = [1, 10, 100, 1000];
pub const BATCH_EVENTS: usize = 1000;

/// Names of a function's peers in Node.js: from source files, and bundled.
pub fn node_peers(function: &str) -> [String; 2] {
    ["Node.js", "Node.js bundled"].map(|language| peer(function, language))
}

/// Name of the peer of user-stats.
pub fn powertools_peer() -> String {
    peer("user-stats", "Powertools")
}

fn peer(function: &str, language: &str) -> String {
    format!("{function} in {language}")
}

/// A program that runs as a Lambda function.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Name in the results.
    pub name: String,
    pub command: PathBuf,
    pub arguments: Vec<String>,
    /// Environment variables of this subject only.
    pub environment: Vec<(String, String)>,
    /// The event of every invocation, except batches.
    pub event: Bytes,
    /// Whether batches of [`BATCH_EVENTS`] events are measured too.
    pub takes_batches: bool,
}

/// The subjects that this machine can run.
#[derive(Clone, Debug, Default)]
pub struct Subjects {
    pub found: Vec<Subject>,
    /// For each group of peers that cannot run: its name, the reason, and the command that fixes it.
    pub skipped: Vec<String>,
    /// Release binaries that do not exist.
    pub missing: Vec<String>,
    /// Versions of Node.js and Python.
    pub versions: BTreeMap<String, String>,
}

impl Subjects {
    /// Finds binaries in the folder `release`, and peers in the repository at `root`.
    pub fn find(root: &Path, release: &Path) -> Self {
        let mut subjects = Self::default();
        let environments = read_json(&root.join("events/environment.json"));
        let input = |function: &str, fixture: &str| {
            let event = event(root, function, fixture);
            (event, variables(&environments[resource(function)]))
        };
        let (event, _) = input("pre-token-generation", "authentication");
        subjects.add_binary(release, BASELINE, event, Vec::new(), true);
        for AnsweringFunction { name, fixture, .. } in ANSWERING_FUNCTIONS {
            let (event, environment) = input(name, fixture);
            subjects.add_binary(release, name, event, environment, false);
        }
        for (name, fixture) in WORKERS {
            let (event, environment) = input(name, fixture);
            subjects.add_binary(release, name, event, environment, name == "user-stats");
        }
        subjects.add_node(root, input);
        subjects.add_python(root, input);
        subjects
    }

    fn add_binary(
        &mut self,
        release: &Path,
        name: &str,
        event: Bytes,
        environment: Vec<(String, String)>,
        takes_batches: bool,
    ) {
        let command = release.join(name);
        if !command.is_file() {
            self.missing.push(name.to_owned());
            return;
        }
        let name = name.to_owned();
        self.found.push(Subject { name, command, arguments: Vec::new(), environment, event, takes_batches });
    }

    fn add_node(&mut self, root: &Path, input: impl Fn(&str, &str) -> (Bytes, Vec<(String, String)>)) {
        let folder = root.join(NODE_FOLDER);
        let Some(node) = on_path("node") else {
            return self
                .skipped
                .push("Node.js: `node` is not on the PATH. Install Node.js 20 or later".to_owned());
        };
        if !folder.join("node_modules").is_dir() {
            let reason = format!("Node.js: its packages are missing. Run: npm ci --prefix {NODE_FOLDER}");
            return self.skipped.push(reason);
        }
        self.versions.insert("Node.js".to_owned(), version(&node));
        let is_bundled = folder.join("dist").is_dir();
        if !is_bundled {
            self.skipped.push(format!(
                "Node.js bundled: the bundle is missing. Run: npm run bundle --prefix {NODE_FOLDER}"
            ));
        }
        let variants = [("Node.js", ""), ("Node.js bundled", "dist/")];
        for (language, folder_of_handler) in variants.into_iter().take(if is_bundled { 2 } else { 1 }) {
            for AnsweringFunction { name, fixture, .. } in ANSWERING_FUNCTIONS {
                let (event, environment) = input(name, fixture);
                let runtime = folder.join("runtime.mjs").display().to_string();
                self.found.push(Subject {
                    name: peer(name, language),
                    command: node.clone(),
                    arguments: vec![runtime, format!("{folder_of_handler}{name}.handler")],
                    environment,
                    event,
                    takes_batches: false,
                });
            }
        }
    }

    fn add_python(&mut self, root: &Path, input: impl Fn(&str, &str) -> (Bytes, Vec<(String, String)>)) {
        let (folder, python) = (root.join(PYTHON_FOLDER), root.join(PYTHON));
        if !python.is_file() {
            return self.skipped.push(format!(
                "Python: its packages are missing. Run: python3 -m venv tests/peers/.venv && \
                 tests/peers/.venv/bin/pip install --no-deps -r {PYTHON_FOLDER}/requirements.txt"
            ));
        }
        self.versions.insert("Python".to_owned(), version(&python));
        for (function, language, handler) in PYTHON_PEERS {
            let fixture = match function {
                "user-stats" => "orders-of-two-users",
                _ => "authentication",
            };
            let (event, mut environment) = input(function, fixture);
            environment.push(("IDEMPOTENCY_TABLE_NAME".to_owned(), "idempotency".to_owned()));
            environment.push(("PYTHONPATH".to_owned(), folder.display().to_string()));
            self.found.push(Subject {
                name: peer(function, language),
                command: python.clone(),
                arguments: ["-m", "awslambdaric", handler].map(str::to_owned).into(),
                environment,
                event,
                takes_batches: function == "user-stats",
            });
        }
    }
}

/// Name of a function in the template and in `events/environment.json`: `PreSignUpFunction` for `pre-sign-up`.
fn resource(function: &str) -> String {
    let words = function.split('-').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    words.collect::<String>() + "Function"
}

fn variables(environment: &Value) -> Vec<(String, String)> {
    let variables = environment.as_object().into_iter().flatten();
    variables.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn read_json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A fixture from `events/`, with three changes: messages have the current time, access tokens are valid for another day,
/// and the user already has the group that the rules give, so that pre-token-generation has no change of groups to publish.
fn event(root: &Path, function: &str, fixture: &str) -> Bytes {
    let mut event = read_json(&root.join("events").join(function).join(fixture).with_extension("json"));
    let records = event.get_mut("Records").and_then(Value::as_array_mut);
    for record in records.into_iter().flatten() {
        let mut body: Value =
            serde_json::from_str(record["body"].as_str().unwrap_or_default()).expect("the body is JSON");
        body["time"] = json!(Timestamp::now());
        if !body["data"]["changed_at"].is_null() {
            body["data"]["changed_at"] = body["time"].clone();
        }
        record["body"] = json!(body.to_string());
    }
    if let Some(end) = event.pointer_mut("/requestContext/authorizer/jwt/claims/exp") {
        *end = json!((Timestamp::now().as_second() + 24 * 3600).to_string());
    }
    let groups = event.pointer_mut("/request/groupConfiguration/groupsToOverride");
    if let Some(groups) = groups.and_then(Value::as_array_mut) {
        groups.push(json!("Developer"));
    }
    event.to_string().into()
}

/// A batch of [`BATCH_EVENTS`] new orders, spread evenly over `users` users, as Lambda delivers it. Each `run` has its own
/// orders.
pub fn batch(users: usize, run: usize, now: Timestamp) -> Bytes {
    let bodies = (0..BATCH_EVENTS).map(|index| {
        let order = format!("{}-{run}-{users}-{index}", now.as_millisecond());
        let data = json!({"order_id": order, "amount": "12.50", "currency": "EUR"});
        body(&format!("order-{order}-placed"), "order.placed", index % users, now, data)
    });
    sqs_event(bodies, now)
}

/// The events of a sign-in, as the two triggers publish them, each in a batch of its own.
pub fn sign_in(now: Timestamp) -> [Bytes; 2] {
    let client = "1example23456789example1234";
    let claimed =
        json!({"ip": "192.0.2.1", "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101"});
    let attempt = json!({
        "flow": "pre_authentication", "outcome": "allowed", "reason": "not_suspended", "claimed_by_client": claimed,
    });
    let signed_in = json!({"flow": "password", "client_id": client, "groups": ["Developer", "Support"]});
    [("attempt", "user.sign_in_attempted", attempt), ("token", "user.signed_in", signed_in)].map(
        |(id, event_type, data)| {
            let id = format!("{id}-{}", now.as_millisecond());
            sqs_event([body(&id, event_type, 0, now, data)].into_iter(), now)
        },
    )
}

fn body(id: &str, event_type: &str, user: usize, now: Timestamp, data: Value) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/shop", "type": event_type,
        "subject": format!("7d8ca528-4931-4254-9273-{user:012x}"), "time": now,
        "datacontenttype": "application/json", "data": data,
    })
}

/// A batch with these bodies, as Lambda delivers it.
fn sqs_event(bodies: impl Iterator<Item = Value>, now: Timestamp) -> Bytes {
    let millis = now.as_millisecond().to_string();
    let records = bodies.enumerate().map(|(index, body)| {
        json!({
            "messageId": format!("059f36b4-87a3-44ab-83d2-{index:012x}"),
            "receiptHandle": "AQEB".repeat(100),
            "body": body.to_string(),
            "attributes": {
                "ApproximateReceiveCount": "1", "SentTimestamp": millis, "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": millis,
            },
            "messageAttributes": {},
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:user-events",
            "awsRegion": "eu-central-1",
        })
    });
    json!({ "Records": records.collect::<Vec<_>>() }).to_string().into()
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// `20.20.2` of `v20.20.2`, and `3.11.7` of `Python 3.11.7`.
fn version(program: &Path) -> String {
    let output = std::process::Command::new(program).arg("--version").output();
    let output =
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    output.trim().trim_start_matches(|c: char| !c.is_ascii_digit()).to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn resource_name_is_camel_case() {
        assert_eq!(resource("pre-sign-up"), "PreSignUpFunction");
    }

    #[test]
    fn batch_has_the_given_number_of_users_and_no_event_twice() {
        let now: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        for users in BATCH_USERS {
            let batch: Value = serde_json::from_slice(&batch(users, 1, now)).unwrap();
            let (mut subjects, mut ids) = (BTreeSet::new(), BTreeSet::new());
            for record in batch["Records"].as_array().unwrap() {
                let body: Value = serde_json::from_str(record["body"].as_str().unwrap()).unwrap();
                subjects.insert(body["subject"].to_string());
                ids.insert(body["id"].to_string());
                assert_eq!(body["time"], "2026-03-02T09:00:00Z");
            }
            assert_eq!((subjects.len(), ids.len()), (users, BATCH_EVENTS));
        }
    }
}
