//! The JSON Schema of the events, for producers in other languages.
//!
//! `cargo xtask schema` generates `events/schema/event.json` from the types and their doc comments.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::data::Data;
use super::limits::{MAX_ID_CHARS, MAX_SOURCE_CHARS};
use super::media_type::json_pattern;

/// The schema of a message body, as JSON text.
pub fn event_schema() -> String {
    let mut schema =
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Data>().to_value();
    let attributes = json!({
        "specversion": {"const": "1.0"},
        "id": {
            "type": "string", "minLength": 1, "maxLength": MAX_ID_CHARS,
            "description": "Unique within the source and the subject. A retry must have the same id, so derive it from what happened, for example order-123-placed."
        },
        "source": {
            "type": "string", "minLength": 1, "maxLength": MAX_SOURCE_CHARS,
            "description": "The producer. An event counts once for its source, id and subject. The same source and id with another subject is another event, and counts too."
        },
        "subject": {
            "type": "string", "minLength": 1, "maxLength": 260,
            "description": "The user's sub. For user.sign_up_attempted, the email domain, such as domain:example.com."
        },
        "time": {"type": "string", "format": "date-time", "description": "When it happened. At most 30 days in the past and 15 minutes in the future."},
        "datacontenttype": {
            "type": "string", "pattern": json_pattern(),
            "description": "The media type of data: application/json, or application/ with a subtype that ends in +json. Parameters and case do not matter."
        },
        "traceparent": {"type": "string", "description": "W3C trace context."},
        "clientaware": {
            "type": ["boolean", "string"], "enum": [true, false, "true", "false"],
            "description": "An extension of this project. True if the client that caused the event adds it as the query parameter after to its next reads, so that it sees its own write without an invalidation."
        }
    });
    if let Some(root) = schema.as_object_mut() {
        root.insert("$id".to_owned(), "event.json".into());
        root.insert("title".to_owned(), "A message of cognito-user-events".into());
        root.insert(
            "description".to_owned(),
            "One CloudEvents 1.0 event in JSON, smaller than 64 KiB. Unknown fields are ignored, unknown types are rejected.".into(),
        );
        root.insert("type".to_owned(), "object".into());
        root.insert("properties".to_owned(), attributes);
        root.insert("required".to_owned(), json!(["specversion", "id", "source", "type", "subject", "time"]));
    }
    // `data` is optional if none of its fields is required.
    let optional = optional_data(&schema);
    if let Some(variants) = schema.get_mut("oneOf").and_then(Value::as_array_mut) {
        for variant in variants {
            let event_type =
                variant.pointer("/properties/type/const").and_then(Value::as_str).map(str::to_owned);
            if event_type.is_some_and(|event_type| optional.contains(&event_type)) {
                variant["required"] = json!(["type"]);
            }
        }
    }
    unwrap_descriptions(&mut schema);
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

/// Removes the line breaks of the source code from descriptions. Paragraphs stay.
fn unwrap_descriptions(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "description" => {
                        let paragraphs = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
                        *text = paragraphs.collect::<Vec<_>>().join("\n\n");
                    }
                    value => unwrap_descriptions(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(unwrap_descriptions),
        _ => {}
    }
}

/// The event types whose data has no required field.
fn optional_data(schema: &Value) -> Vec<String> {
    let variants = schema.get("oneOf").and_then(Value::as_array).cloned().unwrap_or_default();
    let without_required = variants.iter().filter_map(|variant| {
        let event_type = variant.pointer("/properties/type/const")?.as_str()?;
        let reference = variant.pointer("/properties/data/$ref")?.as_str()?.trim_start_matches('#');
        let data = schema.pointer(reference)?;
        data.get("required").is_none().then(|| event_type.to_owned())
    });
    without_required.collect()
}
