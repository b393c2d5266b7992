//! The five triggers with mutated fixtures. For any event, a trigger answers or refuses with one of its
//! constant sentences, and changes only `response`.
//!
//! The suite runs 2,048 cases for each trigger. To run more, use `PROPTEST_CASES=28000 cargo test
//! --release -p tests --test it fuzz`. It runs eight times as many cases for each trigger, more than a
//! million events in total. Some mutations break the JSON.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use sandbox::aws::SandboxAccount;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use shared::function_id::FunctionId;
use tests::fixtures;
use triggers::{TriggerError, TriggerEvent};

/// Cases after which the account is replaced, because its table and queues grow.
const CASES_PER_ACCOUNT: usize = 250;

const GROUP_RULES: &str = r#"[
    {"attribute": "custom:department", "equals": "Engineering", "group": "Developer", "precedence": 2,
     "role_arn": "arn:aws:iam::123456789012:role/developer"},
    {"attribute": "custom:roles", "contains": "admin", "group": "Admin", "privileged": true, "provider": "Corporate",
     "role_arn": null},
    {"attribute": "custom:roles", "contains": "EDITOR", "ignore_case": true, "separator": ";", "group": "Editor"},
    {"always": true, "group": "Members"}]"#;

/// The sentences that a user may read.
const SENTENCES: [&str; 3] = [
    "Sign-up is not possible with this email address",
    "Sign-in is not possible, please contact support",
    "Something went wrong, please try again",
];

/// A change of an event. Places are numbered in document order.
#[derive(Clone, Debug)]
enum Mutation {
    /// Replaces the value at a place.
    Replace(usize, Value),
    /// Removes a place.
    Remove(usize),
    /// Adds a field to the object at a place, or an item to the list.
    Insert(usize, String, Value),
    /// Inserts text in the middle of the text at a place.
    Splice(usize, String),
    /// Replaces some bytes of the document.
    Bytes(usize, usize, &'static str),
}

fn texts() -> impl Strategy<Value = String> {
    let odd = [
        "",
        " ",
        "{####}",
        "{username}",
        "{##Click Here##}",
        "{{",
        "#}",
        "null",
        "true",
        "0",
        "-1",
        "\u{0}",
        "\u{7f}",
        "\r\n",
        "\u{200b}",
        "\u{202e}",
        "\u{ad}",
        "\u{feff}",
        "\u{e000}",
        "é",
        "田中",
        "😀",
        "ana@example.com",
        "ana@evil.test@example.com",
        "\"ana\"@example.com",
        "ana@mailinator.com",
        "@",
        "a@b",
        "https://evil.test",
        "evil.test",
        "<b>",
        "&amp;",
        "'",
        "\"",
        "\\",
        "[a, b]",
        "[\"admin\"]",
        "[user, admin]",
        "[%61dmin, ed%69tor]",
        "[[admin]]",
        "[admin",
        "admin]",
        "%61dmin",
        "user;editor",
        "user,admin",
        "%",
        "%2C",
        "+",
        ", ",
        ";",
        "[",
        "]",
        "$LATEST",
        "admin",
        "Admin",
        "Developer",
        "Engineering",
        "[{\"providerName\":\"Corporate\"}]",
        "[{\"providerName\":7}]",
        "[{}]",
        "PreSignUp_SignUp",
        "PreSignUp_ExternalProvider",
        "TokenGeneration_RefreshTokens",
        "TokenGeneration_ClientCredentials",
        "TokenGeneration_New",
        "CustomMessage_AdminCreateUser",
        "PostConfirmation_ConfirmForgotPassword",
        "PreAuthentication_New",
        "1",
        "2",
        "3",
        "domain:x",
        "unknown",
        "Google_1",
        "_",
        "pt-BR",
        "xx",
        "email",
        "sub",
        "name",
        "response",
        "request",
        "groupsToOverride",
        "claimsAndScopeOverrideDetails",
        "claimsOverrideDetails",
        "userAttributes",
        "version",
        "codeParameter",
    ];
    prop_oneof![
        6 => prop::sample::select(odd.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => (prop::sample::select(vec!["a", "é", "{####}", "a.", "@"]), 1..3_000_usize).prop_map(|(text, times)| text.repeat(times)),
    ]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        texts().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(texts(), inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let bytes = ["", "\"", "{", "}", "[", ",", "\\ud800", "\\u0000", "1e999", "null", "\u{fffd}", " "];
    let one = prop_oneof![
        4 => (any::<usize>(), values()).prop_map(|(place, value)| Mutation::Replace(place, value)),
        2 => any::<usize>().prop_map(Mutation::Remove),
        2 => (any::<usize>(), texts(), values()).prop_map(|(place, name, value)| Mutation::Insert(place, name, value)),
        3 => (any::<usize>(), texts()).prop_map(|(place, text)| Mutation::Splice(place, text)),
        1 => (any::<usize>(), 0..4_usize, prop::sample::select(bytes.to_vec()))
            .prop_map(|(at, length, text)| Mutation::Bytes(at, length, text)),
    ];
    prop::collection::vec(one, 1..6)
}

/// The JSON pointers of all places in a document.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    let escape = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| places(value, &format!("{at}/{}", escape(name)), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| places(item, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

fn mutated(mut event: Value, mutations: &[Mutation]) -> String {
    let mut bytes = Vec::new();
    for mutation in mutations {
        let mut all = Vec::new();
        places(&event, "", &mut all);
        let pointer = |place: usize| all[place % all.len()].clone();
        match mutation {
            Mutation::Replace(place, value) => {
                *event.pointer_mut(&pointer(*place)).unwrap() = value.clone();
            }
            Mutation::Remove(place) => {
                let pointer = pointer(*place);
                let (parent, name) = pointer.rsplit_once('/').unwrap_or(("", ""));
                let name = name.replace("~1", "/").replace("~0", "~");
                if let Some(Value::Object(fields)) = event.pointer_mut(parent) {
                    fields.remove(&name);
                }
            }
            Mutation::Insert(place, name, value) => match event.pointer_mut(&pointer(*place)).unwrap() {
                Value::Object(fields) => drop(fields.insert(name.clone(), value.clone())),
                Value::Array(items) => items.push(value.clone()),
                other => *other = value.clone(),
            },
            Mutation::Splice(place, text) => {
                if let Some(Value::String(old)) = event.pointer_mut(&pointer(*place)) {
                    let middle = (0..=old.len() / 2).rev().find(|index| old.is_char_boundary(*index));
                    old.insert_str(middle.unwrap_or_default(), text);
                }
            }
            Mutation::Bytes(at, length, text) => bytes.push((*at, *length, *text)),
        }
    }
    let mut json = event.to_string();
    for (at, length, text) in bytes {
        let boundary = |index: usize| {
            (0..=index.min(json.len())).rev().find(|i| json.is_char_boundary(*i)).unwrap_or_default()
        };
        let from = boundary(at % (json.len() + 1));
        let to = boundary(from + length).max(from);
        json.replace_range(from..to, text);
    }
    json
}

/// The five triggers on one account.
struct Triggers {
    _account: SandboxAccount,
    pre_sign_up: triggers::pre_sign_up::Deps,
    post_confirmation: triggers::post_confirmation::Deps,
    pre_authentication: triggers::pre_authentication::Deps,
    pre_token_generation: triggers::pre_token_generation::Deps,
    custom_message: triggers::custom_message::Deps,
}

impl Triggers {
    async fn start() -> Self {
        let account = SandboxAccount::start("2026-03-02T09:00:00Z".parse().unwrap()).await.unwrap();
        let variables = BTreeMap::from(
            [
                ("ALLOWED_EMAIL_DOMAINS", "example.com,*.example.com"),
                ("BLOCK_DISPOSABLE_DOMAINS", "true"),
                ("TRUSTED_EMAIL_DOMAINS", "example.org"),
                ("TRUSTED_DOMAINS_SKIP_VERIFICATION", "true"),
                ("PROVIDER_DOMAINS", r#"{"Google": ["example.com"]}"#),
                ("CHECK_ADMIN_CREATED", "true"),
                ("GROUP_RULES", GROUP_RULES),
                ("TRUSTED_ATTRIBUTES", "custom:roles"),
                ("TOKEN_CLAIMS", r#"{"id": {"plan": "free"}, "scopes_to_add": ["orders"]}"#),
                ("PRODUCT_NAME", "Example"),
                ("EMAIL_THROUGH_SES", "true"),
                ("LINK_BASE_URL", "https://www.example.com/account"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let function = |id| account.function(id, &variables);
        Self {
            pre_sign_up: triggers::pre_sign_up::Deps::new(&function(FunctionId::PreSignUp)).unwrap(),
            post_confirmation: triggers::post_confirmation::Deps::new(&function(
                FunctionId::PostConfirmation,
            ))
            .unwrap(),
            pre_authentication: triggers::pre_authentication::Deps::new(&function(
                FunctionId::PreAuthentication,
            ))
            .unwrap(),
            pre_token_generation: triggers::pre_token_generation::Deps::new(&function(
                FunctionId::PreTokenGeneration,
            ))
            .unwrap(),
            custom_message: triggers::custom_message::Deps::new(&function(FunctionId::CustomMessage))
                .unwrap(),
            _account: account,
        }
    }

    async fn handle(&self, function: &str, event: TriggerEvent) -> Result<TriggerEvent, TriggerError> {
        match function {
            "pre-sign-up" => triggers::pre_sign_up::handle(&self.pre_sign_up, event).await,
            "post-confirmation" => triggers::post_confirmation::handle(&self.post_confirmation, event).await,
            "pre-authentication" => {
                triggers::pre_authentication::handle(&self.pre_authentication, event).await
            }
            "pre-token-generation" => {
                triggers::pre_token_generation::handle(&self.pre_token_generation, event).await
            }
            _ => triggers::custom_message::handle(&self.custom_message, event).await,
        }
    }
}

/// The fields of an object with their JSON text, in order. Empty for other JSON.
fn fields(json: &str) -> Vec<(String, String)> {
    struct Fields(Vec<(String, String)>);

    impl<'de> serde::Deserialize<'de> for Fields {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;

            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Fields;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }

                fn visit_map<M: serde::de::MapAccess<'de>>(self, mut map: M) -> Result<Fields, M::Error> {
                    let mut fields = Vec::new();
                    while let Some((raw, value)) = map.next_entry::<Box<RawValue>, Box<RawValue>>()? {
                        // A name that cannot be decoded stays as it is.
                        let name = serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned());
                        fields.push((name, value.get().to_owned()));
                    }
                    Ok(Fields(fields))
                }
            }
            deserializer.deserialize_map(Visitor)
        }
    }

    serde_json::from_str::<Fields>(json).map(|fields| fields.0).unwrap_or_default()
}

/// Checks the answer to any event.
fn check(
    function: &str,
    sent: &str,
    answer: Result<TriggerEvent, TriggerError>,
) -> Result<(), TestCaseError> {
    let answer = match answer {
        Ok(answer) => {
            serde_json::to_string(&answer).map_err(|error| TestCaseError::fail(error.to_string()))?
        }
        Err(error) => {
            prop_assert!(SENTENCES.contains(&error.message), "{:?}", error);
            return Ok(());
        }
    };
    let but_response =
        |json: &str| fields(json).into_iter().filter(|(name, _)| name != "response").collect::<Vec<_>>();
    prop_assert_eq!(but_response(&answer), but_response(sent));
    // White space around the document is not part of it.
    if answer == sent.trim() {
        return Ok(());
    }
    let answered = fields(&answer).into_iter().rev().find(|(name, _)| name == "response");
    let response: Value = answered.and_then(|(_, json)| serde_json::from_str(&json).ok()).unwrap_or_default();
    let response = &response;
    prop_assert!(response.is_object());
    // The tests of undecodable values compare these events with events without the values.
    let Ok(sent) = serde_json::from_str::<Value>(sent) else { return Ok(()) };
    match function {
        "pre-sign-up" => {
            // An attribute that the user does not have is not verified.
            let email = sent["request"]["userAttributes"]["email"].as_str().unwrap_or_default();
            let is_trusted = email.to_lowercase().trim_end_matches('.').ends_with("@example.org");
            prop_assert!(response["autoVerifyEmail"] != true || is_trusted || !email.is_ascii(), "{}", email);
        }
        "pre-token-generation" => check_groups(&sent, response)?,
        "custom-message" => {
            for (name, limit) in [("smsMessage", 140), ("emailSubject", 140), ("emailMessage", 20_000)] {
                let text = response[name].as_str().unwrap_or_default();
                prop_assert!(
                    text.chars().count() <= limit,
                    "{} of {} characters",
                    name,
                    text.chars().count()
                );
                let code = sent["request"]["codeParameter"].as_str().unwrap_or_default();
                prop_assert!(name == "emailSubject" || text.contains(code), "{}", name);
            }
        }
        _ => {}
    }
    Ok(())
}

/// A second reading of the values of an attribute, to compare with the code under test.
fn attribute_values(attribute: &Value, separator: Option<char>) -> Vec<Option<String>> {
    let text = match attribute {
        Value::Null => return Vec::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let list = text.trim();
    let has_brackets = list.len() >= 2 && list.starts_with('[') && list.ends_with(']');
    let brackets = list.matches(['[', ']']).count();
    match serde_json::from_str::<Vec<Value>>(list) {
        Ok(items) if list.contains('"') => {
            return items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
        }
        _ if has_brackets && brackets == 2 && !list.contains('"') => {
            let inner = list[1..list.len() - 1].trim();
            if inner.is_empty() {
                return Vec::new();
            }
            return inner.split(',').map(|value| form_decoded(value.trim())).collect();
        }
        _ => {}
    }
    match separator {
        Some(separator) => text.split(separator).map(|part| Some(part.trim().to_owned())).collect(),
        None => vec![Some(text)],
    }
}

/// Decodes part by part, between the percent signs.
fn form_decoded(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.chars().all(|digit| digit.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

/// An override keeps every group without a rule, and adds only groups of the rules.
fn check_groups(sent: &Value, response: &Value) -> Result<(), TestCaseError> {
    let groups = |value: &Value| -> BTreeSet<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let version = sent["version"].as_str().unwrap_or_default();
    let (first, later) = ("claimsOverrideDetails", "claimsAndScopeOverrideDetails");
    let name = match (sent["response"].get(first).is_some(), sent["response"].get(later).is_some()) {
        (true, false) => first,
        (false, true) => later,
        _ if matches!(version, "1" | "") && !sent["version"].is_number() || sent["version"] == 1 => first,
        _ => later,
    };
    let before = groups(&sent["request"]["groupConfiguration"]["groupsToOverride"]);
    let after = &response[name]["groupOverrideDetails"]["groupsToOverride"];
    let groups_sent = &sent["request"]["groupConfiguration"];
    if after.is_null() && !groups_sent.is_object() && !groups_sent.is_null() {
        return Ok(());
    }
    prop_assert!(after.is_array(), "an override names the groups: {}", response);
    let managed = BTreeSet::from(["Developer", "Admin", "Editor", "Members"].map(str::to_owned));
    let after = groups(after);
    prop_assert!(before.difference(&managed).all(|group| after.contains(group)));
    prop_assert!(after.difference(&before).all(|group| managed.contains(group)));
    // Independent of the code under test: each group if and only if the attributes give it.
    let attributes = &sent["request"]["userAttributes"];
    let department = attribute_values(&attributes["custom:department"], None);
    prop_assert_eq!(after.contains("Developer"), department == [Some("Engineering".to_owned())]);
    let is_admin = attribute_values(&attributes["custom:roles"], None).contains(&Some("admin".to_owned()));
    if after.contains("Admin") {
        let corporate =
            attributes["identities"].as_str().is_some_and(|identities| identities.contains("Corporate"));
        prop_assert!(corporate && is_admin);
    }
    let roles = attribute_values(&attributes["custom:roles"], Some(';'));
    let is_editor = roles.iter().flatten().any(|role| role.to_lowercase() == "editor");
    // Without a profile that can be read, no group is added. In these cases it can be read.
    prop_assert_eq!(after.contains("Editor"), is_editor);
    prop_assert!(after.contains("Members"));
    let roles = response[name]["groupOverrideDetails"]["iamRolesToOverride"].to_string();
    prop_assert_eq!(roles.contains("role/developer"), after.contains("Developer"));
    Ok(())
}

fn fuzz(function: &str) {
    let _silence = tests::log::disable();
    let events: Vec<Value> = fixtures::all()
        .iter()
        .filter(|name| name.starts_with(&format!("{function}/")))
        .map(|name| fixtures::json(name))
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let state = RefCell::new((runtime.block_on(Triggers::start()), 0));
    let default = ProptestConfig::default();
    let config = ProptestConfig { cases: 8 * default.cases, failure_persistence: None, ..default };
    let cases = (prop::sample::select(events), mutations());
    let result = TestRunner::new(config).run(&cases, |(event, mutations)| {
        let sent = mutated(event, &mutations);
        // Lambda passes only JSON to a trigger.
        let Ok(event) = TriggerEvent::from_json(&sent) else { return Ok(()) };
        let (triggers, count) = &mut *state.borrow_mut();
        *count += 1;
        if *count % CASES_PER_ACCOUNT == 0 {
            *triggers = runtime.block_on(Triggers::start());
        }
        check(function, &sent, runtime.block_on(triggers.handle(function, event)))
    });
    let handled = state.borrow().1;
    eprintln!("{function}: {handled} events handled");
    result.unwrap_or_else(|error| panic!("{function}: {error}"));
    assert!(handled > 1_000);
}

#[test]
fn pre_sign_up_survives_mutated_events() {
    fuzz("pre-sign-up");
}

#[test]
fn post_confirmation_survives_mutated_events() {
    fuzz("post-confirmation");
}

#[test]
fn pre_authentication_survives_mutated_events() {
    fuzz("pre-authentication");
}

#[test]
fn pre_token_generation_survives_mutated_events() {
    fuzz("pre-token-generation");
}

#[test]
fn custom_message_survives_mutated_events() {
    fuzz("custom-message");
}

/// Proves that the mutations change the event.
#[test]
fn mutations_change_the_named_place() {
    let event = json!({"request": {"userAttributes": {"email": "ana@example.com"}}, "version": "1"});
    let place = 3; // "", /request, /request/userAttributes, /request/userAttributes/email, /version
    let after = |mutation: Mutation| mutated(event.clone(), &[mutation]);
    assert!(after(Mutation::Replace(place, json!(7))).contains(r#""email":7"#));
    assert!(after(Mutation::Remove(place)).contains(r#""userAttributes":{}"#));
    assert!(after(Mutation::Insert(place - 1, "x".into(), json!(1))).contains(r#""x":1"#));
    assert_eq!(after(Mutation::Splice(place, "@".into())).matches('@').count(), 2);
    assert!(after(Mutation::Bytes(0, 1, "[")).starts_with('['));
}
