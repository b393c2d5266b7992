//! A reader for `template.yaml`, and the page of permissions that follows from it.
//!
//! Short forms become long forms: `!Ref X` becomes `{"Ref": "X"}`, and `!GetAtt A.B` becomes
//! `{"Fn::GetAtt": "A.B"}`. Nothing else is evaluated.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput, Tag};
use serde_json::{Map, Value, json};

/// The parsed `template.yaml`.
pub struct Template(Value);

impl Template {
    /// Reads and parses `template.yaml`. Panics if it is not a valid template.
    pub fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
        let text = std::fs::read_to_string(path).expect("template.yaml");
        let mut events = Parser::new_from_str(&text);
        while !matches!(event(&mut events), Event::DocumentStart(_)) {}
        let template = value(&mut events);
        assert_eq!((event(&mut events), event(&mut events)), (Event::DocumentEnd, Event::StreamEnd));
        Self(template)
    }

    /// The parameters by name.
    pub fn parameters(&self) -> &Map<String, Value> {
        self.0["Parameters"].as_object().expect("parameters")
    }

    /// A top-level section, such as `Globals` or `Metadata`.
    pub fn section(&self, name: &str) -> &Value {
        &self.0[name]
    }

    /// The properties of a resource.
    pub fn properties(&self, resource: &str) -> &Value {
        &self.0["Resources"][resource]["Properties"]
    }

    /// The resources of a type: logical ID and resource.
    pub fn of_type<'a>(&'a self, resource_type: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let resources = self.0["Resources"].as_object().expect("resources");
        let of_type = resources.iter().filter(move |(_, resource)| resource["Type"] == resource_type);
        of_type.map(|(name, resource)| (name.as_str(), resource))
    }

    /// The functions by the name of their binary: logical ID and properties.
    pub fn functions(&self) -> BTreeMap<&str, (&str, &Value)> {
        let functions = self.of_type("AWS::Serverless::Function");
        let by_binary = functions.map(|(name, function)| {
            let binary = function.pointer("/Metadata/BuildProperties/Binary").and_then(Value::as_str);
            (binary.expect("a binary"), (name, &function["Properties"]))
        });
        by_binary.collect()
    }

    /// The text of `docs/permissions.md`.
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
        let _ = write!(page, "\n## All functions, if Tracing is Active\n\n{TABLE_HEAD}");
        for (_, policy) in self.of_type("AWS::IAM::ManagedPolicy") {
            for statement in
                policy["Properties"]["PolicyDocument"]["Statement"].as_array().into_iter().flatten()
            {
                row(&mut page, statement);
            }
        }
        page.push_str("\n## Queue policies\n");
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

This page lists what each function may do, and who may send to the queues and receive from them.
`cargo xtask permissions` generates it from `template.yaml`.
Each function has its own role with one policy.
`${X}` is a parameter or a resource of the template, and `${Id}` is the ID of the user pool or of the distribution.
A name after *if* is a condition of the template.

IAM can restrict access to partition keys (`dynamodb:LeadingKeys`), but not to sort keys.
`WARM_UP` is the key of an item that does not exist.
A function reads it at startup to open the connection to DynamoDB.
";
const TABLE_HEAD: &str = "| Statement | Actions | Resources | Conditions |\n|---|---|---|---|\n";
const POLICY_HEAD: &str =
    "| Statement | Effect | Principals | Actions | Conditions |\n|---|---|---|---|---|\n";

/// The statement, and the template's condition if it is inside an `Fn::If`.
fn unwrapped(statement: &Value) -> (&Value, Option<&str>) {
    match statement["Fn::If"].as_array() {
        Some(parts) => (&parts[1], parts[0].as_str()),
        None => (statement, None),
    }
}

fn row(page: &mut String, statement: &Value) {
    let (statement, condition) = unwrapped(statement);
    let mut limits = conditions(&statement["Condition"]);
    limits.extend(condition.map(|condition| format!("only if `{condition}`")));
    let _ = writeln!(
        page,
        "| {} | {} | {} | {} |",
        statement["Sid"].as_str().unwrap_or_default(),
        code(&statement["Action"]),
        code(&statement["Resource"]),
        limits.join("; ")
    );
}

fn queue_row(page: &mut String, statement: &Value) {
    let (statement, condition) = unwrapped(statement);
    let mut limits = conditions(&statement["Condition"]);
    limits.extend(condition.map(|condition| format!("only if `{condition}`")));
    let principals = match &statement["Principal"] {
        Value::String(all_principals) => format!("`{all_principals}`"),
        principal => code(&principal["AWS"]),
    };
    let _ = writeln!(
        page,
        "| {} | {} | {principals} | {} | {} |",
        statement["Sid"].as_str().unwrap_or_default(),
        statement["Effect"].as_str().unwrap_or_default(),
        code(&statement["Action"]),
        limits.join("; ")
    );
}

fn conditions(condition: &Value) -> Vec<String> {
    if let Some(parts) = condition["Fn::If"].as_array() {
        let name = parts[0].as_str().unwrap_or_default();
        let branch = |limits: Vec<String>| match limits.is_empty() {
            true => "none".to_owned(),
            false => limits.join("; "),
        };
        return vec![format!(
            "{} if `{name}`, else {}",
            branch(conditions(&parts[1])),
            branch(conditions(&parts[2]))
        )];
    }
    let operators = condition.as_object().into_iter().flatten();
    let limits = operators.flat_map(|(operator, keys)| {
        keys.as_object()
            .into_iter()
            .flatten()
            .map(move |(key, values)| format!("`{key}` {operator} {}", code(values)))
    });
    limits.collect()
}

/// The value, or the list of values, in code font.
fn code(value: &Value) -> String {
    match value {
        Value::Array(values) => {
            let mut texts: Vec<String> = values.iter().map(code).filter(|text| !text.is_empty()).collect();
            texts.dedup();
            texts.join(", ")
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
        let condition = parts[0].as_str().unwrap_or_default();
        return match (code(&parts[1]), code(&parts[2])) {
            (then, other) if other.is_empty() => format!("{then} if `{condition}`"),
            (then, other) if then == other => then,
            (then, other) => format!("{then} if `{condition}`, else {other}"),
        };
    }
    match (&value["Fn::Split"], &value["Fn::Join"]) {
        (Value::Array(parts), _) | (_, Value::Array(parts)) => code(&parts[1]),
        _ => value.to_string(),
    }
}

fn get_att(value: &Value) -> &str {
    value["Fn::GetAtt"].as_str().expect("Fn::GetAtt")
}

type Events<'a> = Parser<'a, StrInput<'a>>;

/// Reads the next value of the document.
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
                let Event::Scalar(name, ..) = event(events) else { panic!("a key that is not a string") };
                let before = values.insert(name.to_string(), value(events));
                assert_eq!(before, None, "the key {name} occurs twice");
            }
            short_form(tag.as_deref(), Value::Object(values))
        }
        other => panic!("{other:?} in a template"),
    }
}

fn event<'a>(events: &mut Events<'a>) -> Event<'a> {
    events.next().expect("unexpected end of the template").expect("invalid YAML").0
}

/// Returns true if the sequence or mapping ends here, and skips the end.
fn is_end(events: &mut Events<'_>) -> bool {
    let is_end = matches!(events.peek(), Some(Ok((Event::SequenceEnd | Event::MappingEnd, _))));
    if is_end {
        events.next();
    }
    is_end
}

/// The value of a scalar without quotes. JSON and YAML have the same format for the numbers,
/// booleans and nulls that occur in the template.
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
