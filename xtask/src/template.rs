//! `template.yaml`, read as it stands there: a short form such as `!Ref X` becomes `{"Ref": "X"}`, and `!GetAtt A.B`
//! becomes `{"Fn::GetAtt": "A.B"}`. And the page that lists its policies.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput, Tag};
use serde_json::{Map, Value, json};

/// The template.
pub struct Template(Value);

impl Template {
    /// Reads `template.yaml`.
    pub fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
        let text = std::fs::read_to_string(path).expect("template.yaml");
        let mut events = Parser::new_from_str(&text);
        while !matches!(event(&mut events), Event::DocumentStart(_)) {}
        let template = value(&mut events);
        assert_eq!((event(&mut events), event(&mut events)), (Event::DocumentEnd, Event::StreamEnd));
        Self(template)
    }

    /// The parameters by their names.
    pub fn parameters(&self) -> &Map<String, Value> {
        self.0["Parameters"].as_object().expect("parameters")
    }

    /// The environment, metadata and rules beside the resources.
    pub fn section(&self, name: &str) -> &Value {
        &self.0[name]
    }

    /// The properties of a resource.
    pub fn properties(&self, resource: &str) -> &Value {
        &self.0["Resources"][resource]["Properties"]
    }

    /// The resources of a type, by their names.
    pub fn of_type<'a>(&'a self, resource_type: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let resources = self.0["Resources"].as_object().expect("resources");
        let of_type = resources.iter().filter(move |(_, resource)| resource["Type"] == resource_type);
        of_type.map(|(name, resource)| (name.as_str(), resource))
    }

    /// The functions, by their binaries: name and properties.
    pub fn functions(&self) -> BTreeMap<&str, (&str, &Value)> {
        let functions = self.of_type("AWS::Serverless::Function");
        let by_binary = functions.map(|(name, function)| {
            let binary = function.pointer("/Metadata/BuildProperties/Binary").and_then(Value::as_str);
            (binary.expect("a binary"), (name, &function["Properties"]))
        });
        by_binary.collect()
    }

    /// `docs/permissions.md`.
    pub fn permissions(&self) -> String {
        let mut page = String::from(PERMISSIONS_HEAD);
        for (binary, (_, properties)) in self.functions() {
            let role = get_att(&properties["Role"]).trim_end_matches(".Arn");
            let _ = write!(page, "\n## {binary}\n\n{TABLE_HEAD}");
            for policy in self.properties(role)["Policies"].as_array().into_iter().flatten() {
                for statement in policy["PolicyDocument"]["Statement"].as_array().into_iter().flatten() {
                    row(&mut page, statement);
                }
            }
        }
        let _ = write!(page, "\n## All functions, where Tracing is Active\n\n{TABLE_HEAD}");
        for (_, policy) in self.of_type("AWS::IAM::ManagedPolicy") {
            for statement in
                policy["Properties"]["PolicyDocument"]["Statement"].as_array().into_iter().flatten()
            {
                row(&mut page, statement);
            }
        }
        page.push_str("\n## Who may use the queues\n");
        for (name, policy) in self.of_type("AWS::SQS::QueuePolicy") {
            let _ = write!(page, "\n### {}\n\n{POLICY_HEAD}", name.trim_end_matches("Policy"));
            for statement in
                policy["Properties"]["PolicyDocument"]["Statement"].as_array().into_iter().flatten()
            {
                queue_row(&mut page, statement);
            }
        }
        page
    }
}

const PERMISSIONS_HEAD: &str = "\
# Permissions

What each function may do, and who may use the queues: from `template.yaml`, printed by `cargo run -p tests --bin permissions`. A function has a role of
its own with this one policy; nothing else is attached to it. `${X}` is a parameter or resource of the template.

IAM knows items by their partition key alone (`dynamodb:LeadingKeys`). `WARM_UP` is an item that is not there: reading it opens the connection.
";
const TABLE_HEAD: &str = "| what for | actions | on | only where |\n|---|---|---|---|\n";
const POLICY_HEAD: &str = "| what for | | whom | actions | only where |\n|---|---|---|---|---|\n";

/// A statement, or one that is there under a condition.
fn unwrapped(statement: &Value) -> (&Value, Option<&str>) {
    match statement["Fn::If"].as_array() {
        Some(parts) => (&parts[1], parts[0].as_str()),
        None => (statement, None),
    }
}

fn row(page: &mut String, statement: &Value) {
    let (statement, condition) = unwrapped(statement);
    let mut limits = conditions(&statement["Condition"]);
    limits.extend(condition.map(|condition| format!("the stack has {condition}")));
    let _ = writeln!(
        page,
        "| {} | {} | {} | {} |",
        statement["Sid"].as_str().unwrap_or_default(),
        words(&statement["Action"]),
        words(&statement["Resource"]),
        limits.join("; ")
    );
}

fn queue_row(page: &mut String, statement: &Value) {
    let (statement, condition) = unwrapped(statement);
    let mut limits = conditions(&statement["Condition"]);
    limits.extend(condition.map(|condition| format!("the stack has {condition}")));
    let whom = match &statement["Principal"] {
        Value::String(everyone) => format!("`{everyone}`"),
        principal => words(&principal["AWS"]),
    };
    let _ = writeln!(
        page,
        "| {} | {} | {whom} | {} | {} |",
        statement["Sid"].as_str().unwrap_or_default(),
        statement["Effect"].as_str().unwrap_or_default(),
        words(&statement["Action"]),
        limits.join("; ")
    );
}

fn conditions(condition: &Value) -> Vec<String> {
    let operators = condition.as_object().into_iter().flatten();
    let limits = operators.flat_map(|(operator, keys)| {
        keys.as_object()
            .into_iter()
            .flatten()
            .map(move |(key, values)| format!("`{key}` {operator} {}", words(values)))
    });
    limits.collect()
}

/// Values as words, in code font.
fn words(value: &Value) -> String {
    match value {
        Value::Array(values) => {
            let mut words: Vec<String> = values.iter().map(words).filter(|word| !word.is_empty()).collect();
            words.dedup();
            words.join(", ")
        }
        Value::Object(_) => intrinsic(value),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

fn intrinsic(value: &Value) -> String {
    if let Some(name) = value["Ref"].as_str() {
        return if name == "AWS::NoValue" { String::new() } else { format!("`${{{name}}}`") };
    }
    if let Some(attribute) = value["Fn::GetAtt"].as_str() {
        return format!("`${{{}}}`", attribute.trim_end_matches(".Arn"));
    }
    match &value["Fn::Sub"] {
        Value::String(text) => return format!("`{text}`"),
        Value::Array(parts) => return format!("`{}`", parts[0].as_str().unwrap_or_default()),
        _ => {}
    }
    if let Some(parts) = value["Fn::If"].as_array() {
        return match (words(&parts[1]), words(&parts[2])) {
            (then, other) if other.is_empty() => {
                format!("{then} with {}", parts[0].as_str().unwrap_or_default())
            }
            (then, other) if then == other => then,
            (then, other) => format!("{then} with {}, else {other}", parts[0].as_str().unwrap_or_default()),
        };
    }
    match (&value["Fn::Split"], &value["Fn::Join"]) {
        (Value::Array(parts), _) | (_, Value::Array(parts)) => words(&parts[1]),
        _ => value.to_string(),
    }
}

fn get_att(value: &Value) -> &str {
    value["Fn::GetAtt"].as_str().expect("an attribute")
}

type Events<'a> = Parser<'a, StrInput<'a>>;

/// The next value of a document.
fn value(events: &mut Events<'_>) -> Value {
    match event(events) {
        Event::Scalar(text, style, _, tag) => match tag {
            Some(tag) => short_form(Some(&tag), json!(text)),
            None if style == ScalarStyle::Plain => plain(&text),
            None => json!(text),
        },
        Event::SequenceStart(_, tag) => {
            let mut values = Vec::new();
            while !is_end(events) {
                values.push(value(events));
            }
            short_form(tag.as_deref(), Value::Array(values))
        }
        Event::MappingStart(_, tag) => {
            let mut values = Map::new();
            while !is_end(events) {
                let Event::Scalar(name, ..) = event(events) else { panic!("a name that is no text") };
                let before = values.insert(name.to_string(), value(events));
                assert_eq!(before, None, "{name} stands there twice");
            }
            short_form(tag.as_deref(), Value::Object(values))
        }
        other => panic!("{other:?} in a template"),
    }
}

fn event<'a>(events: &mut Events<'a>) -> Event<'a> {
    events.next().expect("more YAML").expect("YAML").0
}

/// Whether a sequence or mapping ends here; goes past the end.
fn is_end(events: &mut Events<'_>) -> bool {
    let is_end = matches!(events.peek(), Some(Ok((Event::SequenceEnd | Event::MappingEnd, _))));
    if is_end {
        events.next();
    }
    is_end
}

/// What a scalar without quotes means. JSON writes what a template has of numbers, booleans and null as YAML does.
fn plain(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_) | Value::Null)) => value,
        _ => json!(text),
    }
}

fn short_form(tag: Option<&Tag>, value: Value) -> Value {
    assert!(tag.is_none_or(|tag| tag.handle == "!"), "{tag:?} in a template");
    match tag.map(|tag| tag.suffix.as_str()) {
        None => value,
        Some(name @ ("Ref" | "Condition")) => json!({ name: value }),
        Some(function) => json!({ format!("Fn::{function}"): value }),
    }
}
