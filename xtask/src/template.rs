//! The page of permissions that follows from `template.yaml`.

use std::fmt::Write;

use serde_json::Value;

use crate::table_access::{get_att, unwrapped, write_table_access};

pub use ::template::Template;
pub use ::template::stack::Stack;

/// The text of `docs/permissions.md`.
pub fn permissions(template: &Template) -> String {
    let mut page = String::from(PERMISSIONS_HEAD);
    for (binary, (_, properties)) in template.functions() {
        let role = get_att(&properties["Role"]).trim_end_matches(".Arn");
        let _ = write!(page, "\n## {binary}\n\n{TABLE_HEAD}");
        for policy in template.properties(role)["Policies"].as_array().into_iter().flatten() {
            for statement in policy["PolicyDocument"]["Statement"].as_array().into_iter().flatten() {
                row(&mut page, statement);
            }
        }
    }
    let _ = write!(page, "\n## All functions, if Tracing is Active\n\n{TABLE_HEAD}");
    for (_, policy) in template.of_type("AWS::IAM::ManagedPolicy") {
        for statement in policy["Properties"]["PolicyDocument"]["Statement"].as_array().into_iter().flatten()
        {
            row(&mut page, statement);
        }
    }
    page.push_str(USERS_HEAD);
    for (name, role) in template.of_type("AWS::IAM::Role") {
        let role = &role["Properties"];
        if role.pointer("/AssumeRolePolicyDocument/Statement/0/Principal/Federated").is_some() {
            let _ = write!(page, "\n### {name}\n\n{TABLE_HEAD}");
            for policy in role["Policies"].as_array().into_iter().flatten() {
                for statement in policy["PolicyDocument"]["Statement"].as_array().into_iter().flatten() {
                    row(&mut page, statement);
                }
            }
        }
    }
    write_table_access(template, &mut page);
    page.push_str("\n## Queue policies\n");
    for (name, policy) in template.of_type("AWS::SQS::QueuePolicy") {
        let _ = write!(page, "\n### {}\n\n{POLICY_HEAD}", name.trim_end_matches("Policy"));
        for statement in policy["Properties"]["PolicyDocument"]["Statement"].as_array().into_iter().flatten()
        {
            queue_row(&mut page, statement);
        }
    }
    page
}

const PERMISSIONS_HEAD: &str = "\
# Permissions

This page lists what each function may do, and who may send to the queues and receive from them.
read-api exists only in a stack with the read API (`CreateReadApi`), and account-activity only with `AccountEvents=true`.
user-pool-watch exists only with `AttachTriggers=true` and `Monitoring=true`.
`cargo xtask permissions` generates it from `template.yaml`.
Each function has its own role with one policy.
`${X}` is a parameter or a resource of the template, and `${Id}` is the ID of the user pool or of the distribution.
A name after *if* is a condition of the template.

IAM can restrict access to partition keys (`dynamodb:LeadingKeys`), but not to sort keys.
`WARM_UP` is the key of an item that does not exist.
A function reads it at startup to open the connection to DynamoDB.
";
const USERS_HEAD: &str = "
## Signed-in users, if IdentityPool is true

A group that a parameter names gets such a role, unless another parameter states a role of its own.
Only the identity pool of the stack can assume it, and only for signed-in users.
";
const TABLE_HEAD: &str = "| Statement | Actions | Resources | Conditions |\n|---|---|---|---|\n";
const POLICY_HEAD: &str =
    "| Statement | Effect | Principals | Actions | Conditions |\n|---|---|---|---|---|\n";

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
        principal => {
            let kinds = principal.as_object().into_iter().flat_map(|kinds| kinds.values());
            kinds.map(code).collect::<Vec<_>>().join(", ")
        }
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
