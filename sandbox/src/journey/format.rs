//! The file format of a journey. A file in `events/<function>/` is a journey of one step.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use shared::config::Object;
use shared::function_id::{FunctionId, FunctionKind};

use super::account::AccountStep;
use super::view::ViewStep;

/// Start of a journey without `start`.
pub const DEFAULT_START: &str = "2026-03-02T09:00:00Z";
/// Variables that name the account's table, queues and distribution. The sandbox sets them.
const ACCOUNT_VARIABLES: [&str; 15] = [
    "ACCOUNT_ACTIVITIES_QUEUE_URL",
    "ACCOUNT_ID",
    "CACHE_INVALIDATIONS_QUEUE_URL",
    "CLIENT_IDS",
    "DEAD_LETTER_QUEUE_URL",
    "DISTRIBUTION_ID",
    "GROUP_MEMBERSHIPS_QUEUE_URL",
    "ISSUER_URL",
    "LAMBDA_CONFIG",
    "LOGIN_URL",
    "ORIGIN_SECRETS",
    "RESOURCE_PERMISSIONS_QUEUE_URL",
    "TABLE_NAME",
    "USER_EVENTS_QUEUE_URL",
    "USER_POOL_ID",
];

/// The queue to which a step sends if it names none.
const USER_EVENTS: &str = "user-events";

/// A file that cannot be played, with the field and the problem. Exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct InvalidJourney {
    path: PathBuf,
    reason: String,
}

impl InvalidJourney {
    pub fn new(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into() }
    }
}

/// A journey.
#[derive(Clone, Debug)]
pub struct Journey {
    pub name: String,
    pub start: Timestamp,
    /// Environment variables by function. They override `events/environment.json`.
    pub environment: Variables,
    /// How often each batch of messages is delivered. More than once shows that duplicates do no
    /// harm.
    pub deliveries: u32,
    pub steps: Vec<Step>,
}

/// Environment variables by function's resource name, such as `PreSignUpFunction`: the format of
/// `sam local invoke --env-vars`.
pub type Variables = BTreeMap<String, BTreeMap<String, String>>;

#[derive(Clone, Debug)]
pub struct Step {
    pub name: String,
    /// Time since the step before.
    pub after: SignedDuration,
    pub action: Action,
}

/// The action of a step.
#[derive(Clone, Debug)]
pub enum Action {
    /// Invokes a function with an event.
    Invoke {
        function: FunctionId,
        event: Value,
        /// True if the step sets the groups that Cognito sends, instead of the pool's.
        has_own_groups: bool,
        /// The device that gets the token of pre-token-generation.
        device: String,
    },
    /// Sends messages to a queue, as other services do.
    Send {
        /// The worker that consumes the queue.
        to: FunctionId,
        /// CloudEvents, in which `specversion` and `time` are optional, or text to send unchanged.
        messages: Vec<Value>,
        /// How often each message is sent.
        times: u32,
    },
    /// A user or an administrator changes an account, without a trigger.
    Account(AccountStep),
    /// A user requests a page through CloudFront.
    View(ViewStep),
    /// An operator suspends a user.
    Suspend(SuspensionStep),
    /// An operator reinstates a user.
    Reinstate(SuspensionStep),
}

/// A suspension or reinstatement.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuspensionStep {
    pub sub: String,
    #[serde(default)]
    pub reason: String,
    /// Duration of the suspension. `None`: no end.
    #[serde(default, rename = "for", deserialize_with = "some_duration")]
    pub duration: Option<SignedDuration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JourneyFile {
    name: String,
    #[serde(default)]
    start: Option<Timestamp>,
    #[serde(default)]
    environment: Variables,
    #[serde(default = "once")]
    deliveries: u32,
    steps: Vec<Object<StepFile>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepFile {
    name: String,
    #[serde(default, deserialize_with = "duration")]
    after: SignedDuration,
    #[serde(default)]
    invoke: Option<String>,
    #[serde(default)]
    patch: Value,
    /// The device of `invoke`.
    #[serde(default)]
    device: Option<String>,
    #[serde(default)]
    send: Option<Vec<Value>>,
    /// The queue of `send`: `user-events` if it is missing.
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    times: Option<u32>,
    #[serde(default)]
    view: Option<Object<ViewStep>>,
    #[serde(default)]
    suspend: Option<Object<SuspensionStep>>,
    #[serde(default)]
    reinstate: Option<Object<SuspensionStep>>,
    #[serde(default)]
    account: Option<Object<AccountStep>>,
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SignedDuration, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| de::Error::custom("expected hours, minutes or seconds, such as 24h or 1m 30s"))
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SignedDuration>, D::Error> {
    duration(deserializer).map(Some)
}

fn once() -> u32 {
    1
}

/// Reads a journey, or a function's event as a journey of one step.
pub fn read(path: &Path) -> Result<Journey, InvalidJourney> {
    if let Some(function) = function_of(path) {
        let event = read_event(path, function)?;
        let step = Step {
            name: path.display().to_string(),
            after: SignedDuration::ZERO,
            action: Action::Invoke { function, event, has_own_groups: true, device: String::new() },
        };
        return Ok(Journey {
            name: format!("One event: {}", path.display()),
            start: default_start(),
            environment: Variables::new(),
            deliveries: 1,
            steps: vec![step],
        });
    }
    let text = read_text(path)?;
    let event: Value = parse_json(path, &text)?;
    if event.get("triggerSource").is_some()
        || event.get("Records").is_some()
        || event.get("rawPath").is_some()
    {
        let reason =
            "this is an event. Put it into a folder that is named after its function, such as pre-sign-up";
        return Err(invalid(path, reason.to_owned()));
    }
    let Object(file): Object<JourneyFile> = parse_json(path, &text)?;
    check_variables(path, "environment.", &file.environment)?;
    if file.steps.is_empty() {
        return Err(invalid(path, "steps: is empty. Add a step".to_owned()));
    }
    let steps = file.steps.into_iter().enumerate().map(|(index, Object(step))| {
        let at = |reason: String| invalid(path, format!("steps[{index}]: {reason}"));
        let action = action(path, &step).map_err(|error| match error {
            ActionError::File(error) => error,
            ActionError::Step(reason) => at(reason),
        })?;
        Ok(Step { name: step.name, after: step.after, action })
    });
    Ok(Journey {
        name: file.name,
        start: file.start.unwrap_or_else(default_start),
        environment: file.environment,
        deliveries: file.deliveries.max(1),
        steps: steps.collect::<Result<_, InvalidJourney>>()?,
    })
}

/// Reads a file of environment variables.
pub fn read_variables(path: &Path) -> Result<Variables, InvalidJourney> {
    let variables = read_json(path)?;
    check_variables(path, "", &variables).map(|()| variables)
}

/// The folder `events` of this repository: in the current folder, above it, or above `file`.
pub fn find_events(file: Option<&Path>) -> Option<PathBuf> {
    let here = std::env::current_dir().ok();
    let file = file.and_then(|file| std::path::absolute(file).ok());
    let folders = here.iter().chain(&file).flat_map(|path| path.ancestors());
    folders.map(|folder| folder.join("events")).find(|events| events.join("journeys").is_dir())
}

/// The file of variables: the given one, or `events/environment.json`.
pub fn variables_file(given: Option<PathBuf>, events: Option<&Path>) -> Option<PathBuf> {
    given.or_else(|| Some(events?.join("environment.json")))
}

/// The variables of a file. Without a file, there are none.
pub fn read_variables_or_default(file: Option<&Path>) -> Result<Variables, InvalidJourney> {
    file.map_or_else(|| Ok(Variables::new()), read_variables)
}

/// Refuses unknown functions and variables: a rule with a misspelled name would silently not apply.
fn check_variables(path: &Path, prefix: &str, variables: &Variables) -> Result<(), InvalidJourney> {
    for (function, own) in variables {
        let Some(id) = FunctionId::from_resource_name(function) else {
            return Err(invalid(
                path,
                format!(
                    "{prefix}{function}: no function has this name. The names are those of template.yaml, such as PreSignUpFunction"
                ),
            ));
        };
        for name in own.keys() {
            if id.variables().contains(&name.as_str()) {
                continue;
            }
            let readers: Vec<&str> = FunctionId::readers(name).into_iter().map(FunctionId::name).collect();
            let wrong = if ACCOUNT_VARIABLES.contains(&name.as_str()) {
                "the sandbox sets this variable. Remove it".to_owned()
            } else if readers.is_empty() {
                "no function reads this variable. docs/configuration.md lists all".to_owned()
            } else {
                format!("this function does not read it. It is read by {}", readers.join(", "))
            };
            return Err(invalid(path, format!("{prefix}{function}.{name}: {wrong}")));
        }
    }
    Ok(())
}

enum ActionError {
    File(InvalidJourney),
    Step(String),
}

fn action(journey: &Path, step: &StepFile) -> Result<Action, ActionError> {
    let wrong = |reason: &str| ActionError::Step(reason.to_owned());
    let suspensions = [("suspend", &step.suspend), ("reinstate", &step.reinstate)];
    for (name, Object(suspension)) in
        suspensions.iter().filter_map(|(name, suspension)| Some((name, suspension.as_ref()?)))
    {
        if suspension.sub.trim().is_empty() {
            return Err(ActionError::Step(format!("{name}.sub: is empty")));
        }
        if suspension.duration.is_some_and(|duration| !duration.is_positive()) {
            return Err(ActionError::Step(format!("{name}.for: expected a positive duration")));
        }
    }
    if step.times == Some(0) || step.send.as_ref().is_some_and(Vec::is_empty) {
        return Err(wrong("send: is empty or sent 0 times"));
    }
    if step.after.is_negative() {
        return Err(wrong("after: must not be negative"));
    }
    if step.reinstate.as_ref().is_some_and(|Object(suspension)| suspension.duration.is_some()) {
        return Err(wrong("reinstate.for: a reinstatement has no end. Remove it"));
    }
    if step.times.is_some() && step.send.is_none() {
        return Err(wrong("times: needs send"));
    }
    if step.to.is_some() && step.send.is_none() {
        return Err(wrong("to: needs send"));
    }
    if !step.patch.is_null() && step.invoke.is_none() {
        return Err(wrong("patch: needs invoke"));
    }
    if step.device.is_some() && step.invoke.is_none() {
        return Err(wrong("device: needs invoke. A view has a device of its own, view.device"));
    }
    if let Some(Object(view)) = &step.view {
        view.validate().map_err(ActionError::Step)?;
    }
    if let Some(Object(account)) = &step.account {
        account.validate().map_err(ActionError::Step)?;
    }
    match (&step.invoke, &step.send, &step.view, &step.suspend, &step.reinstate, &step.account) {
        (Some(event), None, None, None, None, None) => {
            let path = journey.parent().unwrap_or(Path::new("")).join(event);
            let function = function_of(&path).ok_or_else(|| {
                ActionError::Step(format!("invoke: the folder of {event} is not named after a function"))
            })?;
            if !path.is_file() {
                return Err(ActionError::Step(format!(
                    "invoke: file {event} does not exist. The path is relative to the journey's folder"
                )));
            }
            let mut event = read_event(&path, function).map_err(ActionError::File)?;
            merge(&mut event, &step.patch);
            let has_own_groups = step.patch.pointer("/request/groupConfiguration").is_some();
            let device = step.device.clone().unwrap_or_default();
            Ok(Action::Invoke { function, event, has_own_groups, device })
        }
        (None, Some(messages), None, None, None, None) => {
            let name = step.to.as_deref().unwrap_or(USER_EVENTS);
            let to = FunctionId::workers().find(|worker| worker.queue() == Some(name)).ok_or_else(|| {
                let queues: Vec<&str> = FunctionId::workers().filter_map(FunctionId::queue).collect();
                ActionError::Step(format!("to: no queue has this name. The queues are {}", queues.join(", ")))
            })?;
            Ok(Action::Send { to, messages: messages.clone(), times: step.times.unwrap_or(1) })
        }
        (None, None, Some(Object(view)), None, None, None) => Ok(Action::View(view.clone())),
        (None, None, None, Some(Object(suspension)), None, None) => Ok(Action::Suspend(suspension.clone())),
        (None, None, None, None, Some(Object(suspension)), None) => Ok(Action::Reinstate(suspension.clone())),
        (None, None, None, None, None, Some(Object(account))) => Ok(Action::Account(account.clone())),
        _ => Err(wrong("expected exactly one of invoke, send, view, suspend, reinstate, account")),
    }
}

/// The function of an event file: the name of its folder.
fn function_of(path: &Path) -> Option<FunctionId> {
    let path = std::path::absolute(path).ok()?;
    FunctionId::from_name(path.parent()?.file_name()?.to_str()?)
}

/// Reads an event of `function`. Lambda would pass any JSON, but another document is a mistake here.
fn read_event(path: &Path, function: FunctionId) -> Result<Value, InvalidJourney> {
    let event: Value = read_json(path)?;
    let (is_event, expected) = match function.kind() {
        FunctionKind::Trigger => (event["triggerSource"].is_string(), "the text triggerSource"),
        FunctionKind::Worker => (event["Records"].is_array(), "the list Records"),
        FunctionKind::HttpApi => (event["rawPath"].is_string(), "the text rawPath"),
        FunctionKind::Scheduled => (event["source"] == "aws.events", "the source aws.events"),
    };
    if is_event {
        return Ok(event);
    }
    Err(invalid(path, format!("is not an event of {function}. Expected an object with {expected}")))
}

/// The variables of one function.
pub fn variables_of(variables: &Variables, function: FunctionId) -> BTreeMap<String, String> {
    variables.get(function.resource_name()).cloned().unwrap_or_default()
}

fn default_start() -> Timestamp {
    DEFAULT_START.parse().unwrap_or_default()
}

fn invalid(path: &Path, reason: String) -> InvalidJourney {
    InvalidJourney { path: path.to_owned(), reason }
}

fn read_text(path: &Path) -> Result<String, InvalidJourney> {
    std::fs::read_to_string(path).map_err(|error| invalid(path, error.to_string()))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, InvalidJourney> {
    parse_json(path, &read_text(path)?)
}

fn parse_json<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, InvalidJourney> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| invalid(path, format!("{}: {}", error.path(), error.inner())))?;
    deserializer.end().map_err(|error| invalid(path, error.to_string()))?;
    Ok(value)
}

/// JSON merge patch (RFC 7396): null removes a field.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        if !patch.is_null() {
            *target = patch.clone();
        }
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Default::default());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patch_changes_only_the_fields_it_names() {
        let mut event = json!({"request": {"userAttributes": {"sub": "1", "name": "Ana"}}, "version": "1"});
        merge(&mut event, &json!({"request": {"userAttributes": {"sub": "2", "name": null}}}));
        assert_eq!(event, json!({"request": {"userAttributes": {"sub": "2"}}, "version": "1"}));
        merge(&mut event, &Value::Null);
        assert_eq!(event["version"], "1");
    }
}
