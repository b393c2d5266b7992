//! The shapes of Amazon Cognito's API, from tests/shapes/cognito-idp.json: checks values, and makes random
//! ones.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use fastrand::Rng;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A shape of botocore's model.
#[derive(Debug, Deserialize)]
pub struct Shape {
    #[serde(rename = "type")]
    pub kind: String,
    /// The members of a structure, each with the name of its shape.
    #[serde(default)]
    pub members: BTreeMap<String, String>,
    #[serde(default)]
    pub required: Vec<String>,
    #[serde(default, rename = "enum")]
    pub values: Vec<String>,
    pub min: Option<usize>,
    pub max: Option<usize>,
    /// The shape of the elements of a list.
    pub member: Option<String>,
    /// The shapes of a map.
    pub key: Option<String>,
    pub value: Option<String>,
}

static SHAPES: LazyLock<BTreeMap<String, Shape>> = LazyLock::new(|| {
    let file = include_str!("../shapes/cognito-idp.json");
    serde_json::from_str(file).expect("the file of shapes is valid")
});

pub fn shape(name: &str) -> &'static Shape {
    SHAPES.get(name).unwrap_or_else(|| panic!("there is no shape {name}"))
}

/// The paths of all leaves of a shape, in the notation of replay's tables: `[]` is each element of a list of
/// structures, `*` each key of a map.
pub fn paths(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    collect(name, String::new(), &mut found);
    found
}

fn collect(name: &str, path: String, found: &mut Vec<String>) {
    let shape = shape(name);
    match (shape.kind.as_str(), &shape.member) {
        ("structure", _) => {
            for (field, of) in &shape.members {
                let path = if path.is_empty() { field.clone() } else { format!("{path}.{field}") };
                collect(of, path, found);
            }
        }
        ("list", Some(member)) if self::shape(member).kind == "structure" => {
            collect(member, format!("{path}[]"), found);
        }
        ("map", _) => found.push(format!("{path}.*")),
        _ => found.push(path),
    }
}

/// What is wrong with a value, as one sentence. `None` if it has the shape.
pub fn violation(name: &str, value: &Value) -> Option<String> {
    violation_at(name, value, name)
}

fn violation_at(name: &str, value: &Value, path: &str) -> Option<String> {
    let shape = shape(name);
    let wrong = |what: &str| Some(format!("{path}: {what}"));
    match (shape.kind.as_str(), value) {
        ("structure", Value::Object(fields)) => {
            if let Some(missing) = shape.required.iter().find(|field| !fields.contains_key(*field)) {
                return wrong(&format!("{missing} is missing"));
            }
            fields.iter().find_map(|(field, value)| match shape.members.get(field) {
                Some(of) => violation_at(of, value, &format!("{path}.{field}")),
                None => wrong(&format!("{field} is no member")),
            })
        }
        ("list", Value::Array(elements)) => {
            let of = shape.member.as_deref()?;
            elements.iter().find_map(|element| violation_at(of, element, &format!("{path}[]")))
        }
        ("map", Value::Object(fields)) => {
            let of = shape.value.as_deref()?;
            fields.iter().find_map(|(key, value)| violation_at(of, value, &format!("{path}.{key}")))
        }
        ("string", Value::String(text)) => {
            let is_value = shape.values.is_empty() || shape.values.contains(text);
            (!is_value).then(|| format!("{path}: {text} is no value"))
        }
        ("integer", Value::Number(number)) if number.is_i64() || number.is_u64() => {
            let number = usize::try_from(number.as_u64()?).ok()?;
            let is_within =
                shape.min.is_none_or(|min| number >= min) && shape.max.is_none_or(|max| number <= max);
            (!is_within).then(|| format!("{path}: {number} is out of range"))
        }
        ("boolean", Value::Bool(_)) | ("timestamp", Value::Number(_)) => None,
        (kind, _) => wrong(&format!("expected {kind}")),
    }
}

/// A random value of a shape. Optional members are there with this probability.
pub fn random(name: &str, probability: f64, rng: &mut Rng) -> Value {
    let shape = shape(name);
    let count = |rng: &mut Rng| rng.usize(shape.min.unwrap_or(0)..=shape.max.unwrap_or(3).min(4));
    match shape.kind.as_str() {
        "structure" => {
            let is_there =
                |field: &String, rng: &mut Rng| shape.required.contains(field) || rng.f64() < probability;
            let mut fields = Map::new();
            for (field, of) in &shape.members {
                if is_there(field, rng) {
                    fields.insert(field.clone(), random(of, probability, rng));
                }
            }
            Value::Object(fields)
        }
        "list" => {
            let of = shape.member.as_deref().unwrap_or_default();
            let mut elements: Vec<Value> = (0..count(rng)).map(|_| random(of, probability, rng)).collect();
            // AWS keeps each value once, and each attribute by its name.
            let mut seen = Vec::new();
            elements.retain(|element| {
                let key = element.get("Name").unwrap_or(element).clone();
                let is_new = !seen.contains(&key);
                seen.push(key);
                is_new && (!element.is_object() || element.get("Name").is_some())
            });
            Value::Array(elements)
        }
        "map" => {
            let fields = (0..rng.usize(0..4)).map(|_| (text(rng, 1), Value::String(text(rng, 0))));
            Value::Object(fields.collect())
        }
        "boolean" => rng.bool().into(),
        "integer" => rng.usize(shape.min.unwrap_or(0)..=shape.max.unwrap_or(100)).into(),
        "timestamp" => json!(1_772_442_000.0 + f64::from(rng.u32(0..1_000_000)) / 1_000.0),
        "string" if !shape.values.is_empty() => shape.values[rng.usize(0..shape.values.len())].clone().into(),
        "string" if name == "ArnType" => {
            format!("arn:aws:lambda:eu-central-1:123456789012:function:other-{}", rng.u8(0..5)).into()
        }
        "string" => text(rng, shape.min.unwrap_or(1)).into(),
        other => panic!("no random value of type {other}"),
    }
}

/// Letters, digits, and characters that JSON, HTTP or a terminal treat in a special way.
fn text(rng: &mut Rng, min: usize) -> String {
    const CHARACTERS: [char; 20] = [
        'a', 'B', '7', ' ', '"', '\\', '/', '{', '#', '}', '<', '&', '\n', '\u{1f}', 'é', '漢', '🦀',
        '\u{200d}', '%', ':',
    ];
    (0..rng.usize(min..=min.max(12))).map(|_| CHARACTERS[rng.usize(0..CHARACTERS.len())]).collect()
}
