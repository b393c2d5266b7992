//! The JSON that commands print with `--json`, compared with its schema.
//!
//! After you change a report, run these tests once with `INSTA_UPDATE=always`, which rewrites
//! `docs/replay.schema.json` and `docs/replay-json.md`.

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use replay::cli::Cli;
use replay::json_schema::{json_schema, page, schema_file};
use sandbox::aws::TABLE;
use serde_json::{Value, json};

use super::loopback_account::{LoopbackAccount, order_event, sign_up_event};
use super::support::{ANA, CommandRun};
use crate::support::empty_profile;

/// Commands that print no result, and so have no `--json`.
const WITHOUT_RESULT: [&str; 2] = ["completions", "man"];
/// The document that a run of `command` printed. Panics if it does not match the schema.
pub fn document(command: &str, run: &CommandRun) -> Value {
    let schemas = json_schema();
    let (_, schema) = schemas.iter().find(|(name, _)| *name == command).expect("a command with a schema");
    let document: Value =
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    assert_eq!(violation(&document, schema), None, "{command}: {run:?}");
    document
}

/// Where and why a value does not match a schema. Fields that the schema does not describe and keywords
/// that the function does not know are violations too.
fn violation(value: &Value, schema: &Value) -> Option<String> {
    let found = |problem: &str| Some(format!("{problem}: {value} is not {schema}"));
    let known = [
        "$schema",
        "additionalProperties",
        "anyOf",
        "const",
        "description",
        "enum",
        "format",
        "items",
        "maximum",
        "minimum",
        "oneOf",
        "properties",
        "required",
        "type",
    ];
    let Value::Object(keywords) = schema else { return (*schema != true).then(|| "no schema".to_owned()) };
    if let Some(unknown) = keywords.keys().find(|keyword| !known.contains(&keyword.as_str())) {
        return found(&format!("unknown keyword {unknown}"));
    }
    for alternatives in ["anyOf", "oneOf"] {
        if let Some(schemas) = keywords.get(alternatives).and_then(Value::as_array)
            && !schemas.iter().any(|schema| violation(value, schema).is_none())
        {
            return found(alternatives);
        }
    }
    if keywords.get("const").is_some_and(|expected| expected != value)
        || keywords.get("enum").is_some_and(|values| !values.as_array().unwrap().contains(value))
    {
        return found("value");
    }
    let has_type = |name: &Value| match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    };
    let is_typed = match keywords.get("type") {
        Some(Value::Array(names)) => names.iter().any(has_type),
        Some(name) => has_type(name),
        None => true,
    };
    if !is_typed {
        return found("type");
    }
    if let (Some(minimum), Some(number)) = (keywords.get("minimum").and_then(Value::as_i64), value.as_i64())
        && number < minimum
    {
        return found("minimum");
    }
    if keywords.get("format") == Some(&json!("date-time"))
        && value.as_str().is_some_and(|time| time.parse::<jiff::Timestamp>().is_err())
    {
        return found("time");
    }
    if let (Some(items), Some(values)) = (keywords.get("items"), value.as_array()) {
        return values.iter().find_map(|value| violation(value, items));
    }
    let fields = value.as_object()?;
    let required = keywords.get("required").and_then(Value::as_array).into_iter().flatten();
    if let Some(missing) = required.filter_map(Value::as_str).find(|name| !fields.contains_key(*name)) {
        return found(&format!("missing {missing}"));
    }
    let (properties, others) = (keywords.get("properties"), keywords.get("additionalProperties"));
    fields.iter().find_map(|(name, field)| {
        match properties.and_then(|properties| properties.get(name)).or(others) {
            Some(schema) => violation(field, schema),
            None if properties.is_none() => None,
            None => found(&format!("undescribed {name}")),
        }
    })
}

/// The commands without subcommands, such as `user show`, and whether they have the option.
pub fn commands(parent: &str, command: &clap::Command) -> Vec<(String, bool)> {
    if !command.has_subcommands() {
        let has_option = command.get_arguments().any(|argument| argument.get_long() == Some("json"));
        return vec![(parent.to_owned(), has_option)];
    }
    let name = |child: &clap::Command| format!("{parent} {}", child.get_name()).trim().to_owned();
    command.get_subcommands().flat_map(|child| commands(&name(child), child)).collect()
}

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
}

#[test]
fn every_command_with_a_result_prints_json_of_a_documented_shape() {
    let documented: Vec<&str> = json_schema().into_iter().map(|(command, _)| command).collect();
    for (command, has_option) in commands("", &Cli::command()) {
        let is_documented = documented.contains(&command.as_str());
        if WITHOUT_RESULT.contains(&command.as_str()) {
            assert!(!has_option && !is_documented, "{command}");
        } else {
            assert!(has_option && is_documented, "{command}: option {has_option}, schema {is_documented}");
        }
    }
    let commands: Vec<String> =
        commands("", &Cli::command()).into_iter().map(|(command, _)| command).collect();
    for command in documented {
        assert!(commands.iter().any(|name| name == command), "{command} is no command");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the variable of insta for its own snapshots")]
fn schema_and_page_are_up_to_date() {
    let writes = std::env::var("INSTA_UPDATE").is_ok_and(|value| value == "always");
    for (name, text) in [("replay.schema.json", schema_file()), ("replay-json.md", page())] {
        if writes {
            std::fs::write(docs(name), &text).unwrap();
        }
        let stored = std::fs::read_to_string(docs(name)).unwrap_or_default();
        let command = "INSTA_UPDATE=always cargo test -p tests --test it replay::json";
        assert!(stored == text, "docs/{name} is stale: run `{command}`");
    }
}

#[test]
fn wrong_documents_violate_a_schema() {
    let schema = json!({
        "type": "object", "required": ["name"],
        "properties": {
            "name": {"type": "string"}, "at": {"type": ["string", "null"], "format": "date-time"},
            "kind": {"oneOf": [{"const": "a"}, {"const": "b"}]}, "counts": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "by": {"type": "object", "additionalProperties": {"enum": [1, 2]}},
        },
    });
    for (document, is_valid) in [
        (json!({"name": "x", "at": null, "kind": "b", "counts": [0, 7], "by": {"y": 2}}), true),
        (json!({"name": "x", "at": "2026-03-02T09:00:00Z"}), true),
        (json!({}), false),
        (json!([]), false),
        (json!({"name": 1}), false),
        (json!({"name": "x", "other": 1}), false),
        (json!({"name": "x", "at": "yesterday"}), false),
        (json!({"name": "x", "kind": "c"}), false),
        (json!({"name": "x", "counts": [-1]}), false),
        (json!({"name": "x", "counts": [0.5]}), false),
        (json!({"name": "x", "by": {"y": 3}}), false),
    ] {
        assert_eq!(violation(&document, &schema).is_none(), is_valid, "{document}");
    }
    assert!(violation(&json!("x"), &json!({"pattern": "y"})).is_some(), "unknown keywords are not skipped");
}

/// An account in which Ana has a profile and an order, and a domain has a sign-up.
async fn account_with_ana() -> LoopbackAccount {
    let account = LoopbackAccount::start().await;
    account.store().write_profile(&empty_profile(ANA, account.sandbox.time.now())).await.unwrap();
    account.apply([order_event("1", ANA), sign_up_event("2", "example.com", "allowed")]).await;
    account
}

async fn run(account: &LoopbackAccount, arguments: &[&str]) -> CommandRun {
    account.replay(&[arguments, &["--json", "--table", TABLE]].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_user_commands_match_their_schemas() {
    let account = account_with_ana().await;
    let shown = run(&account, &["user", "show", ANA]).await;
    insta::assert_snapshot!("user_show", shown.stdout);
    document("user show", &shown);
    let domain = run(&account, &["user", "show", "--domain", "example.com"]).await;
    insta::assert_snapshot!("user_show_domain", domain.stdout);
    document("user show", &domain);

    let suspend =
        ["user", "suspend", ANA, "--reason", "spam", "--until", "2099-01-01", "--queue", "user-events"];
    let plan = run(&account, &suspend).await;
    insta::assert_snapshot!("user_suspend", plan.stdout);
    document("user suspend", &plan);
    let suspended = document("user suspend", &run(&account, &[&suspend[..], &["--yes"]].concat()).await);
    assert_eq!(
        (&suspended["dryRun"], &suspended["written"], &suspended["published"]),
        (&json!(false), &json!(true), &json!(true))
    );
    let reinstate = ["user", "reinstate", ANA, "--reason", "settled", "--queue", "user-events", "--yes"];
    account.sandbox.faults.inject("SendMessage", sandbox::aws::Fault::Error("AccessDenied"), 1);
    let partly = run(&account, &reinstate).await;
    assert!(partly.code == 1 && partly.stderr.lines().count() == 1, "{partly:?}");
    let reinstated = document("user reinstate", &partly);
    assert_eq!((&reinstated["written"], &reinstated["published"]), (&json!(true), &json!(false)));

    account.sandbox.faults.inject("Scan", sandbox::aws::Fault::Error("AccessDeniedException"), 1);
    let refused = run(&account, &["statistics", "rebuild", "--all"]).await;
    assert!(refused.code == 1 && refused.stderr.lines().count() == 1, "{refused:?}");
    let rebuilt = document("statistics rebuild", &refused);
    assert_eq!((&rebuilt["complete"], &rebuilt["partitions"]), (&json!(false), &json!([])));

    let erase = ["user", "erase", ANA, "--queue", "cache-invalidations"];
    let plan = run(&account, &erase).await;
    insta::assert_snapshot!("user_erase", plan.stdout);
    document("user erase", &plan);
    let erased = document("user erase", &run(&account, &[&erase[..], &["--yes"]].concat()).await);
    assert_eq!((&erased["dryRun"], &erased["erased"]), (&json!(false), &json!(true)));
    let unknown = run(&account, &["user", "erase", "unknown-user", "--queue", "cache-invalidations"]).await;
    assert_eq!((unknown.code, unknown.stdout.as_str()), (1, ""), "{unknown:?}");
}
