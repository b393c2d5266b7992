//! Journeys: what happens to some users, step by step, as a JSON file.
//!
//! A file in `events/<function>/` is a journey of one step by itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// When a journey begins that does not say so.
pub const DEFAULT_START: &str = "2026-03-02T09:00:00Z";
/// The functions whose events lie in `events/<function>/`.
pub const FUNCTIONS: [&str; 8] = [
    "pre-sign-up",
    "post-confirmation",
    "pre-authentication",
    "pre-token-generation",
    "custom-message",
    "user-stats",
    "cache-invalidation",
    "group-membership",
];

/// The environment variables of all functions, with the functions that read them. Another name, or the right one at the
/// wrong function, is a slip of the pen.
pub const VARIABLES: [(&str, &[&str]); 28] = [
    ("ALLOWED_EMAIL_DOMAINS", &["pre-sign-up"]),
    ("ALLOW_ERASURE_EVENTS", &["user-stats"]),
    ("ALLOW_WITHOUT_EMAIL", &["pre-sign-up"]),
    ("BLOCKED_EMAIL_DOMAINS", &["pre-sign-up"]),
    ("BLOCK_DISPOSABLE_DOMAINS", &["pre-sign-up"]),
    ("ON_BUDGET_EXHAUSTED", &["cache-invalidation"]),
    ("CHECK_ADMIN_CREATED", &["pre-sign-up"]),
    ("PURGE_ALL_THRESHOLD", &["cache-invalidation"]),
    ("CREATE_GROUPS", &["group-membership"]),
    ("DEFAULT_LOCALE", &["custom-message"]),
    ("EMAIL_THROUGH_SES", &["custom-message"]),
    ("EVENT_RETENTION_DAYS", &["user-stats"]),
    ("GROUP_RULES", &["pre-token-generation"]),
    ("INVALIDATION_TARGET", &["user-stats", "cache-invalidation"]),
    ("LINK_BASE_URL", &["custom-message"]),
    ("MAX_CACHE_LIFETIME_SECONDS", &["user-stats", "cache-invalidation"]),
    ("PURGE_ALL_THRESHOLD_HALVING_SECONDS", &["cache-invalidation"]),
    ("MONTHLY_ITEM_BUDGET", &["cache-invalidation"]),
    ("ON_STORE_ERROR", &["pre-authentication", "pre-token-generation"]),
    ("PRODUCT_NAME", &["custom-message"]),
    ("PROVIDER_DOMAINS", &["pre-sign-up"]),
    ("SKIP_INACTIVE_USERS", &["user-stats"]),
    ("SUPPORT_URL", &["custom-message"]),
    ("TOKEN_CLAIMS", &["pre-token-generation"]),
    ("TOKEN_VALIDITY_MINUTES", &["user-stats"]),
    ("TRUSTED_ATTRIBUTES", &["pre-token-generation"]),
    ("TRUSTED_DOMAINS_SKIP_VERIFICATION", &["pre-sign-up"]),
    ("TRUSTED_EMAIL_DOMAINS", &["pre-sign-up"]),
];

/// Those that name the account's own table, queues and distribution.
const ACCOUNT_VARIABLES: [&str; 6] = [
    "CACHE_INVALIDATIONS_QUEUE_URL",
    "DEAD_LETTER_QUEUE_URL",
    "DISTRIBUTION_ID",
    "GROUP_MEMBERSHIPS_QUEUE_URL",
    "TABLE_NAME",
    "USER_EVENTS_QUEUE_URL",
];

/// A file that cannot be played: where, and what is wrong.
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
    /// Its name.
    pub name: String,
    /// When it begins.
    pub start: Timestamp,
    /// Environment variables by function, on top of the defaults.
    pub environment: Variables,
    /// How often each batch of messages is delivered.
    pub deliveries: u32,
    /// What happens.
    pub steps: Vec<Step>,
}

/// Environment variables by function's resource name, such as `PreSignUpFunction`: the format of
/// `sam local invoke --env-vars`.
pub type Variables = BTreeMap<String, BTreeMap<String, String>>;

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// How long after the step before it.
    pub after: SignedDuration,
    /// What happens.
    pub action: Action,
}

/// What happens in a step.
#[derive(Clone, Debug)]
pub enum Action {
    /// A function is invoked with an event.
    Invoke {
        /// The function.
        function: String,
        /// Its event.
        event: Value,
        /// Whether the step itself says which groups Cognito tells.
        says_groups: bool,
    },
    /// Other services send messages to user-events.
    Send {
        /// The messages: CloudEvents whose `specversion` and `time` may be left out, or texts to send as they
        /// are.
        messages: Vec<Value>,
        /// How often each is sent.
        times: u32,
    },
    /// An administrator suspensions a user.
    Suspend(SuspensionStep),
    /// An administrator lifts a suspension.
    Reinstate(SuspensionStep),
}

/// Data of a suspension.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuspensionStep {
    /// Whom.
    pub sub: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// For how long; for good where it is not said.
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
    steps: Vec<StepFile>,
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
    #[serde(default)]
    send: Option<Vec<Value>>,
    #[serde(default)]
    times: Option<u32>,
    #[serde(default)]
    suspend: Option<SuspensionStep>,
    #[serde(default)]
    reinstate: Option<SuspensionStep>,
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

/// Reads a journey, or an event of a function as a journey of one step.
pub fn read(path: &Path) -> Result<Journey, InvalidJourney> {
    if let Some(function) = function_of(path) {
        let event: Value = read_json(path)?;
        let step = Step {
            name: path.display().to_string(),
            after: SignedDuration::ZERO,
            action: Action::Invoke { function, event, says_groups: true },
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
    if event.get("triggerSource").is_some() || event.get("Records").is_some() {
        let reason = "an event: it must lie in a folder named after its function, such as pre-sign-up";
        return Err(invalid(path, reason.to_owned()));
    }
    let file: JourneyFile = parse_json(path, &text)?;
    check_variables(path, "environment.", &file.environment)?;
    if file.steps.is_empty() {
        return Err(invalid(path, "steps: is empty".to_owned()));
    }
    let steps = file.steps.into_iter().enumerate().map(|(index, step)| {
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

/// The folder `events` of this repository: in the current folder or above it.
pub fn find_events() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().map(|folder| folder.join("events")).find(|events| events.join("journeys").is_dir())
}

/// The variables of a file. Without a file, those of `events/environment.json`.
pub fn read_variables_or_default(
    file: Option<PathBuf>,
    events: Option<&Path>,
) -> Result<Variables, InvalidJourney> {
    match (file, events) {
        (Some(path), _) => read_variables(&path),
        (None, Some(events)) => read_variables(&events.join("environment.json")),
        (None, None) => Ok(Variables::new()),
    }
}

/// Names that mean nothing are refused: a rule that is silently not there is the worst kind of mistake.
fn check_variables(path: &Path, prefix: &str, variables: &Variables) -> Result<(), InvalidJourney> {
    for (function, own) in variables {
        if !FUNCTIONS.iter().any(|name| resource_name(name) == *function) {
            return Err(invalid(path, format!("{prefix}{function}: no function has this name")));
        }
        for name in own.keys() {
            let readers =
                VARIABLES.iter().find(|(variable, _)| variable == name).map(|(_, readers)| *readers);
            let wrong = match readers {
                None if ACCOUNT_VARIABLES.contains(&name.as_str()) => {
                    "names what the sandbox makes: it is set already".to_owned()
                }
                None => "no function reads this variable".to_owned(),
                Some(readers) if readers.iter().any(|reader| resource_name(reader) == *function) => continue,
                Some(readers) => format!("read by {}", readers.join(", ")),
            };
            return Err(invalid(path, format!("{prefix}{function}.{name}: {wrong}")));
        }
    }
    Ok(())
}

/// The resource of a function in the template: `pre-sign-up` is `PreSignUpFunction`.
pub fn resource_name(function: &str) -> String {
    let capitalize = |word: &str| {
        let mut chars = word.chars();
        chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
    };
    format!("{}Function", function.split('-').map(capitalize).collect::<String>())
}

enum ActionError {
    File(InvalidJourney),
    Step(String),
}

fn action(journey: &Path, step: &StepFile) -> Result<Action, ActionError> {
    let wrong = |reason: &str| ActionError::Step(reason.to_owned());
    let suspensions = [("suspend", &step.suspend), ("reinstate", &step.reinstate)];
    for (name, suspension) in suspensions.iter().filter_map(|(name, suspension)| Some((name, suspension.as_ref()?))) {
        if suspension.sub.trim().is_empty() {
            return Err(ActionError::Step(format!("{name}.sub: is empty")));
        }
        if suspension.duration.is_some_and(|duration| !duration.is_positive()) {
            return Err(ActionError::Step(format!("{name}.for: expected a duration above zero")));
        }
    }
    if step.times == Some(0) || step.send.as_ref().is_some_and(Vec::is_empty) {
        return Err(wrong("send: nothing is sent"));
    }
    if step.after.is_negative() {
        return Err(wrong("after: time runs forward only"));
    }
    if step.reinstate.as_ref().is_some_and(|suspension| suspension.duration.is_some()) {
        return Err(wrong("reinstate.for: a suspension is lifted for good"));
    }
    if step.times.is_some() && step.send.is_none() {
        return Err(wrong("times: goes with send"));
    }
    if !step.patch.is_null() && step.invoke.is_none() {
        return Err(wrong("patch: goes with invoke"));
    }
    match (&step.invoke, &step.send, &step.suspend, &step.reinstate) {
        (Some(event), None, None, None) => {
            let path = journey.parent().unwrap_or(Path::new("")).join(event);
            let function = function_of(&path).ok_or_else(|| {
                ActionError::Step(format!("invoke: {event} lies in no folder of a function"))
            })?;
            if !path.is_file() {
                return Err(ActionError::Step(format!(
                    "invoke: no file {event}, seen from the journey's folder"
                )));
            }
            let mut event: Value = read_json(&path).map_err(ActionError::File)?;
            merge(&mut event, &step.patch);
            let says_groups = step.patch.pointer("/request/groupConfiguration").is_some();
            Ok(Action::Invoke { function, event, says_groups })
        }
        (None, Some(messages), None, None) => {
            Ok(Action::Send { messages: messages.clone(), times: step.times.unwrap_or(1) })
        }
        (None, None, Some(suspension), None) => Ok(Action::Suspend(suspension.clone())),
        (None, None, None, Some(suspension)) => Ok(Action::Reinstate(suspension.clone())),
        _ => Err(wrong("expected exactly one of invoke, send, suspend, reinstate")),
    }
}

/// The function whose event a file holds: the name of its folder.
fn function_of(path: &Path) -> Option<String> {
    let path = std::path::absolute(path).ok()?;
    let folder = path.parent()?.file_name()?.to_str()?;
    FUNCTIONS.contains(&folder).then(|| folder.to_owned())
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

/// JSON merge patch (RFC 7396): null takes a field away.
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
    fn a_patch_changes_what_it_names() {
        let mut event = json!({"request": {"userAttributes": {"sub": "1", "name": "Ana"}}, "version": "1"});
        merge(&mut event, &json!({"request": {"userAttributes": {"sub": "2", "name": null}}}));
        assert_eq!(event, json!({"request": {"userAttributes": {"sub": "2"}}, "version": "1"}));
        merge(&mut event, &Value::Null);
        assert_eq!(event["version"], "1");
    }
}
