//! The JSON that commands print with `--json`: the schema and the page in `docs/`, generated from the
//! types and their doc comments.

use std::fmt::Write;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::doctor::report::DoctorReport;
use crate::origin::check::report::OriginReport;
use crate::queue::inspect::report::InspectReport;
use crate::queue::list::report::QueuesReport;
use crate::queue::move_task::report::{CancelReport, MoveTaskReport, MoveTasksReport};
use crate::queue::recover::report::RecoverReport;
use crate::queue::redrive::report::RedriveReport;
use crate::queue::save::report::SaveReport;
use crate::queue::send::report::SendReport;
use crate::reconcile::report::ReconcileReport;
use crate::statistics::backfill::command::BackfillReport;
use crate::statistics::rebuild::report::RebuildReport;
use crate::status::report::StatusReport;
use crate::user::create::CreateReport;
use crate::user::erase::command::EraseReport;
use crate::user::group::command::{GroupListReport, MembershipReport};
use crate::user::import::command::ImportReport;
use crate::user::list::UserListReport;
use crate::user::password::command::PasswordReport;
use crate::user::show::report::ShowReport;
use crate::user::suspension::report::SuspensionReport;
use crate::user_pool::report::PoolChangeReport;

/// Keyword of JSON Schema for a reference text.
const DESCRIPTION: &str = "description";

/// The commands that print JSON, in the order of the help, each with the schema of its document.
pub fn json_schema() -> Vec<(&'static str, Value)> {
    vec![
        ("status", schema_of::<StatusReport>()),
        ("doctor", schema_of::<DoctorReport>()),
        ("attach", schema_of::<PoolChangeReport>()),
        ("detach", schema_of::<PoolChangeReport>()),
        ("queues", schema_of::<QueuesReport>()),
        ("inspect", schema_of::<InspectReport>()),
        ("redrive", schema_of::<RedriveReport>()),
        ("move-task list", schema_of::<MoveTasksReport>()),
        ("move-task follow", schema_of::<MoveTaskReport>()),
        ("move-task cancel", schema_of::<CancelReport>()),
        ("save", schema_of::<SaveReport>()),
        ("send", schema_of::<SendReport>()),
        ("recover", schema_of::<RecoverReport>()),
        ("user show", schema_of::<ShowReport>()),
        ("user list", schema_of::<UserListReport>()),
        ("user create", schema_of::<CreateReport>()),
        ("user password", schema_of::<PasswordReport>()),
        ("user group list", schema_of::<GroupListReport>()),
        ("user group add", schema_of::<MembershipReport>()),
        ("user group remove", schema_of::<MembershipReport>()),
        ("user suspend", schema_of::<SuspensionReport>()),
        ("user reinstate", schema_of::<SuspensionReport>()),
        ("user erase", schema_of::<EraseReport>()),
        ("user import", schema_of::<ImportReport>()),
        ("users", schema_of::<UserListReport>()),
        ("reconcile", schema_of::<ReconcileReport>()),
        ("statistics rebuild", schema_of::<RebuildReport>()),
        ("statistics backfill", schema_of::<BackfillReport>()),
        ("origin check", schema_of::<OriginReport>()),
    ]
}

/// The text of `docs/replay.schema.json`: one definition for each command, whose name has a hyphen in
/// place of the space: `#/$defs/user-show`.
pub fn schema_file() -> String {
    let definitions: Map<String, Value> =
        json_schema().into_iter().map(|(command, schema)| (command.replace(' ', "-"), schema)).collect();
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "replay.schema.json",
        "title": "Output of replay with --json",
        DESCRIPTION: "Each command prints one document. $defs has the schema of each command, such as #/$defs/user-show.",
        "$defs": definitions,
    });
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

fn schema_of<T: JsonSchema>() -> Value {
    // Without references, a definition can be copied out of the file.
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let settings = settings.with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    tidy(&mut schema);
    schema
}

/// Removes what does not concern readers: the dialect, names of Rust types, and the line breaks of the
/// source code in descriptions.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(keywords) => {
            for name in ["$schema", "title"] {
                if keywords.get(name).is_some_and(Value::is_string) {
                    keywords.remove(name);
                }
            }
            let is_integer = |format: &str| format.starts_with("uint") || format.starts_with("int");
            if keywords.get("format").and_then(Value::as_str).is_some_and(is_integer) {
                keywords.remove("format");
            }
            if let Some(Value::String(text)) = keywords.get_mut(DESCRIPTION) {
                *text = text.replace("\n\n", "\u{0}").replace('\n', " ").replace('\u{0}', "\n\n");
            }
            keywords.values_mut().for_each(tidy);
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Everything in `docs/replay-json.md` before the sections of the commands.
const PAGE_HEAD: &str = "\
# JSON output of replay

Every command that prints a result has the option `--json`, with which it prints one JSON document.
This page and [replay.schema.json](replay.schema.json) are generated from the code.
In the schema, `#/$defs/user-show` describes the document of `replay user show`.

- Standard output has only the document.
  Progress and errors go to standard error.
- The exit code is the same as without `--json`.
- A command that fails before it has a result prints no document.
  A command of queues that does only a part of its work prints the document and an error.
- A dry run prints the same document with `\"dryRun\": true`.
- Counts are numbers, times are RFC 3339 in UTC, and durations are whole seconds.
- Every field of a document is always there.
  A value that is unknown or missing is `null`.
- A later version can add fields, and removes none without a line in the changelog.
- No document contains an email address, a password or a code.

In the tables, `a[].b` is the field `b` of each element of the list `a`, and `a.*` is each value of the map `a`.
";

/// The text of `docs/replay-json.md`.
pub fn page() -> String {
    let mut page = PAGE_HEAD.to_owned();
    for (command, schema) in json_schema() {
        // Writing to a string cannot fail.
        let _ = write!(page, "\n## {command}\n");
        let alternatives = schema.get("anyOf").and_then(Value::as_array);
        for document in alternatives.unwrap_or(&vec![schema.clone()]) {
            let description = document.get(DESCRIPTION).and_then(Value::as_str).unwrap_or_default();
            let _ = write!(
                page,
                "\n{}\n\n| Field | Type | Meaning |\n|---|---|---|\n",
                one_line_each(description)
            );
            write_fields(&mut page, "", document);
        }
    }
    page
}

/// One sentence per line, as in all documents.
fn one_line_each(text: &str) -> String {
    text.replace(". ", ".\n")
}

/// A row for each field of an object, and for the fields of the objects in it.
fn write_fields(page: &mut String, parent: &str, object: &Value) {
    for (name, schema) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = format!("{parent}{name}");
        let description = schema.get(DESCRIPTION).and_then(Value::as_str).unwrap_or_default();
        let description = description.replace("\n\n", " ").replace('|', "\\|");
        let _ = writeln!(page, "| `{path}` | {} | {description} |", type_name(schema));
        write_members(page, &path, non_null(schema));
    }
}

/// The fields of the objects in a list, in a map or in an object.
fn write_members(page: &mut String, path: &str, schema: &Value) {
    if let Some(items) = schema.get("items") {
        write_members(page, &format!("{path}[]"), items);
    } else if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        write_members(page, &format!("{path}.*"), values);
    } else {
        write_fields(page, &format!("{path}."), schema);
    }
}

/// The schema of a value that is not null.
fn non_null(schema: &Value) -> &Value {
    let alternatives = schema.get("anyOf").and_then(Value::as_array);
    let is_null = |schema: &&Value| schema.get("type") == Some(&json!("null"));
    alternatives.and_then(|schemas| schemas.iter().find(|schema| !is_null(schema))).unwrap_or(schema)
}

/// The type in a few words: `list of text`, `time or null`.
fn type_name(schema: &Value) -> String {
    if let Some(alternatives) = schema.get("anyOf").and_then(Value::as_array) {
        return alternatives.iter().map(type_name).collect::<Vec<_>>().join(" or ");
    }
    let values = schema.get("enum").or_else(|| schema.get("oneOf")).and_then(Value::as_array);
    if let Some(values) = values {
        let value = |value: &Value| value.get("const").unwrap_or(value).to_string();
        return values.iter().map(|each| format!("`{}`", value(each))).collect::<Vec<_>>().join(", ");
    }
    let names: Vec<String> = match schema.get("type") {
        Some(Value::Array(names)) => names.iter().map(|name| simple_type(name, schema)).collect(),
        Some(name) => vec![simple_type(name, schema)],
        None => vec!["any".to_owned()],
    };
    names.join(" or ")
}

fn simple_type(name: &Value, schema: &Value) -> String {
    let is_time = schema.get("format") == Some(&json!("date-time"));
    match name.as_str().unwrap_or_default() {
        "string" if is_time => "time".to_owned(),
        "string" => "text".to_owned(),
        "integer" => "number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => format!("list of {}", schema.get("items").map_or("any".to_owned(), type_name)),
        "object" => match schema.get("additionalProperties").filter(|values| values.is_object()) {
            Some(values) => format!("map of {}", type_name(values)),
            None => "object".to_owned(),
        },
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_short_names() {
        for (schema, expected) in [
            (json!({"type": "string"}), "text"),
            (json!({"type": ["string", "null"], "format": "date-time"}), "time or null"),
            (json!({"type": "integer", "minimum": 0}), "number"),
            (json!({"type": "array", "items": {"type": "boolean"}}), "list of true or false"),
            (json!({"type": "object", "additionalProperties": {"type": "integer"}}), "map of number"),
            (json!({"type": "object", "properties": {}}), "object"),
            (json!({"anyOf": [{"type": "object"}, {"type": "null"}]}), "object or null"),
            (json!({"type": "string", "enum": ["a", "b"]}), "`\"a\"`, `\"b\"`"),
            (json!({"oneOf": [{"const": "a"}, {"const": "b"}]}), "`\"a\"`, `\"b\"`"),
            (json!({}), "any"),
        ] {
            assert_eq!(type_name(&schema), expected, "{schema}");
        }
    }

    #[test]
    fn every_field_of_every_command_has_a_description() {
        fn check(path: &str, schema: &Value) {
            for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let text = field.get(DESCRIPTION).and_then(Value::as_str).unwrap_or_default();
                assert!(text.ends_with('.') && !text.contains('\n'), "{path}.{name}: {text:?}");
            }
            let members = ["items", "additionalProperties"].into_iter().filter_map(|name| schema.get(name));
            let fields =
                schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::values);
            let alternatives = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
            members.chain(fields).chain(alternatives).for_each(|each| check(path, each));
        }
        for (command, schema) in json_schema() {
            check(command, &schema);
        }
    }
}
