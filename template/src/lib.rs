//! A reader for `template.yaml`, for tests, tasks and the sandbox.
//!
//! Short forms become long forms: `!Ref X` becomes `{"Ref": "X"}`, and `!GetAtt A.B` becomes
//! `{"Fn::GetAtt": "A.B"}`. [`stack`] evaluates what follows from parameters.

pub mod stack;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput, Tag};
use serde_json::{Map, Value, json};

/// Why a template cannot be read. One sentence without the name of the file.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidTemplate(String);

fn invalid(problem: impl Into<String>) -> InvalidTemplate {
    InvalidTemplate(problem.into())
}

/// A parsed template.
#[derive(Debug)]
pub struct Template(Value);

impl Template {
    /// The `template.yaml` of this repository. Panics if it is not a valid template.
    #[expect(clippy::panic, reason = "for tests and tasks, which read the template that is next to them")]
    pub fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
        let template = std::fs::read_to_string(&path)
            .map_err(|error| invalid(error.to_string()))
            .and_then(|text| Self::parse(&text));
        template.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// `template.yaml` in the current folder or above it.
    pub fn find() -> Option<PathBuf> {
        let here = std::env::current_dir().ok()?;
        here.ancestors().map(|folder| folder.join("template.yaml")).find(|path| path.is_file())
    }

    /// Parses a template.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        let mut events = Parser::new_from_str(text);
        while !matches!(event(&mut events)?, Event::DocumentStart(_)) {}
        let template = value(&mut events)?;
        if (event(&mut events)?, event(&mut events)?) != (Event::DocumentEnd, Event::StreamEnd) {
            return Err(invalid("the file has a second document"));
        }
        for section in ["Parameters", "Resources"] {
            if !template[section].is_object() {
                return Err(invalid(format!("the section {section} is missing")));
            }
        }
        Ok(Self(template))
    }

    /// The parameters by name.
    pub fn parameters(&self) -> &Map<String, Value> {
        self.objects("Parameters")
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
        let resources = self.objects("Resources").iter();
        let of_type = resources.filter(move |(_, resource)| resource["Type"] == resource_type);
        of_type.map(|(name, resource)| (name.as_str(), resource))
    }

    /// The functions by the name of their binary: logical ID and properties.
    pub fn functions(&self) -> BTreeMap<&str, (&str, &Value)> {
        let functions = self.of_type("AWS::Serverless::Function");
        let by_binary = functions.filter_map(|(name, function)| {
            let binary = function.pointer("/Metadata/BuildProperties/Binary").and_then(Value::as_str);
            Some((binary?, (name, &function["Properties"])))
        });
        by_binary.collect()
    }

    /// The entries of a section.
    fn objects(&self, section: &str) -> &Map<String, Value> {
        static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
        self.0[section].as_object().unwrap_or(&NONE)
    }
}

type Events<'a> = Parser<'a, StrInput<'a>>;

/// Reads the next value of the document.
fn value(events: &mut Events<'_>) -> Result<Value, InvalidTemplate> {
    match event(events)? {
        Event::Scalar(text, style, _, tag) => match tag {
            Some(tag) => short_form(Some(&tag), json!(text)),
            None if style == ScalarStyle::Plain => Ok(plain(&text)),
            None => Ok(json!(text)),
        },
        Event::SequenceStart(_, tag) => {
            let mut values = Vec::new();
            while !is_end(events) {
                values.push(value(events)?);
            }
            short_form(tag.as_deref(), Value::Array(values))
        }
        Event::MappingStart(_, tag) => {
            let mut values = Map::new();
            while !is_end(events) {
                let Event::Scalar(name, ..) = event(events)? else {
                    return Err(invalid("a key is not a string"));
                };
                if values.insert(name.to_string(), value(events)?).is_some() {
                    return Err(invalid(format!("the key {name} occurs twice")));
                }
            }
            short_form(tag.as_deref(), Value::Object(values))
        }
        other => Err(invalid(format!("{other:?} in a template"))),
    }
}

fn event<'a>(events: &mut Events<'a>) -> Result<Event<'a>, InvalidTemplate> {
    match events.next() {
        Some(Ok((event, _))) => Ok(event),
        Some(Err(error)) => Err(invalid(format!("invalid YAML: {error}"))),
        None => Err(invalid("the file ends too early")),
    }
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

fn short_form(tag: Option<&Tag>, value: Value) -> Result<Value, InvalidTemplate> {
    match tag.map(|tag| (tag.handle.as_str(), tag.suffix.as_str())) {
        None => Ok(value),
        Some(("!", name @ ("Ref" | "Condition"))) => Ok(json!({ name: value })),
        Some(("!", function)) => Ok(json!({ format!("Fn::{function}"): value })),
        Some((handle, suffix)) => Err(invalid(format!("the tag {handle}{suffix} is unknown"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_templates_are_errors() {
        for (text, problem) in [
            ("", "the file ends too early"),
            ("a: [", "invalid YAML"),
            ("Parameters: {}", "the section Resources is missing"),
            ("Parameters: {}\nParameters: {}", "the key Parameters occurs twice"),
        ] {
            let error = Template::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(problem), "{text}: {error}");
        }
    }
}
