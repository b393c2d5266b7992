//! The functions that may read, write and delete items of the table, by partition.

use std::fmt::Write;

use serde_json::Value;
use template::Template;

/// The rights of the functions' roles in the table: one entry for each statement. A managed
/// policy of the template counts for the function `every function`.
pub fn table_access(template: &Template) -> Vec<TableAccess> {
    let of_functions = template.functions().into_iter().flat_map(|(binary, (_, properties))| {
        let role = get_att(&properties["Role"]).trim_end_matches(".Arn");
        let policies = template.properties(role)["Policies"].as_array().into_iter().flatten();
        policies.map(move |policy| (binary, policy))
    });
    let managed = template.of_type("AWS::IAM::ManagedPolicy");
    let managed = managed.map(|(_, policy)| ("every function", &policy["Properties"]));
    let mut access = Vec::new();
    for (binary, policy) in of_functions.chain(managed) {
        for statement in policy["PolicyDocument"]["Statement"].as_array().into_iter().flatten() {
            let (statement, _) = unwrapped(statement);
            let of_table = |action: &String| action == "*" || action.starts_with("dynamodb:");
            let actions: Vec<String> = strings(&statement["Action"]).into_iter().filter(of_table).collect();
            if statement["Effect"] == "Allow" && !actions.is_empty() {
                access.push(TableAccess {
                    function: binary.to_owned(),
                    actions,
                    leading_keys: leading_keys(&statement["Condition"]),
                });
            }
        }
    }
    access
}

/// Writes the table of partitions with the functions that may access them.
pub(crate) fn write_table_access(template: &Template, page: &mut String) {
    page.push_str(TABLE_ACCESS_HEAD);
    let access = table_access(template);
    for (name, key) in PARTITIONS {
        let functions = |kind: AccessKind| {
            let allowed = access.iter().filter(|access| access.allows(kind, key));
            let mut names: Vec<&str> = allowed.map(|access| access.function.as_str()).collect();
            names.dedup();
            if names.is_empty() { "**none**".to_owned() } else { names.join(", ") }
        };
        let [read, write, delete] = [AccessKind::Read, AccessKind::Write, AccessKind::Delete].map(functions);
        let _ = writeln!(page, "| `{name}` | {read} | {write} | {delete} |");
    }
}

/// What one statement of a role allows in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableAccess {
    /// The name of the function's binary.
    pub function: String,
    /// The actions of DynamoDB, such as `dynamodb:PutItem`.
    pub actions: Vec<String>,
    /// The partition keys that the statement is limited to, with `*` for any text. `None` if it has
    /// no such limit.
    pub leading_keys: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKind {
    Read,
    /// Create or change an item.
    Write,
    Delete,
}

impl TableAccess {
    /// Whether the statement allows a kind of access to items with this partition key. Unknown
    /// actions count as every kind.
    pub fn allows(&self, kind: AccessKind, partition_key: &str) -> bool {
        use AccessKind::{Delete, Read, Write};
        let kinds = |action: &str| match action.trim_start_matches("dynamodb:") {
            "GetItem" | "BatchGetItem" | "Query" | "Scan" | "ConditionCheckItem" => vec![Read],
            "PutItem" | "UpdateItem" => vec![Write],
            "DeleteItem" => vec![Delete],
            "BatchWriteItem" => vec![Write, Delete],
            _ => vec![Read, Write, Delete],
        };
        let includes_key = |keys: &Vec<String>| keys.iter().any(|key| matches_pattern(key, partition_key));
        self.actions.iter().any(|action| kinds(action).contains(&kind))
            && self.leading_keys.as_ref().is_none_or(includes_key)
    }
}

/// True if IAM's StringLike matches: `*` is any text, `?` is any character.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let mut rests = text.char_indices().map(|(start, _)| &text[start..]).chain([""]);
            rests.any(|rest| matches_pattern(&pattern[1..], rest))
        }
        Some(expected) => {
            let is_equal = |found: &char| expected == '?' || *found == expected;
            let found = text.chars().next().filter(is_equal);
            found.is_some_and(|found| {
                matches_pattern(&pattern[expected.len_utf8()..], &text[found.len_utf8()..])
            })
        }
    }
}

/// The values of a condition on the leading keys of the table.
fn leading_keys(condition: &Value) -> Option<Vec<String>> {
    let operators = condition.as_object().into_iter().flatten();
    let operators = operators.filter(|(operator, _)| {
        matches!(operator.as_str(), "ForAllValues:StringLike" | "ForAllValues:StringEquals")
    });
    operators.filter_map(|(_, keys)| keys.get("dynamodb:LeadingKeys")).map(strings).next()
}

/// A text, or a list of texts. `Fn::Sub` counts as its text, and `Fn::If` as both of its values.
fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().flat_map(strings).collect(),
        Value::String(text) => vec![text.clone()],
        Value::Object(_) if value["Ref"] == "AWS::NoValue" => Vec::new(),
        Value::Object(_) => match (&value["Fn::Sub"], value["Fn::If"].as_array()) {
            (Value::String(text), _) => vec![text.clone()],
            (Value::Array(parts), _) => strings(&parts[0]),
            (_, Some(parts)) => parts[1..].iter().flat_map(strings).collect(),
            // An intrinsic that is not evaluated could be any text.
            _ => vec!["*".to_owned()],
        },
        _ => Vec::new(),
    }
}

/// The statement, and the template's condition if it is inside an `Fn::If`.
pub(crate) fn unwrapped(statement: &Value) -> (&Value, Option<&str>) {
    match statement["Fn::If"].as_array() {
        Some(parts) => (&parts[1], parts[0].as_str()),
        None => (statement, None),
    }
}

/// The text of an `Fn::GetAtt`, such as `Role.Arn`.
pub(crate) fn get_att(value: &Value) -> &str {
    value["Fn::GetAtt"].as_str().expect("Fn::GetAtt")
}

/// The kinds of partitions of the table, each with the key of an example.
pub const PARTITIONS: [(&str, &str); 8] = [
    ("USER#{sub}", "USER#example"),
    ("SUSPENSION#{sub}", "SUSPENSION#example"),
    ("SUSPENDED_EMAIL#{hash}", "SUSPENDED_EMAIL#example"),
    ("GRANT#{sub}", "GRANT#example"),
    ("ADDRESS#{ip}", "ADDRESS#192.0.2.1"),
    ("CACHE#{sub}", "CACHE#example"),
    ("DOMAIN#{domain}#{shard}", "DOMAIN#example#0"),
    ("LEDGER#{distribution}", "LEDGER#${Id}"),
];

const TABLE_ACCESS_HEAD: &str = "
## Partitions of the table

This table shows the functions that may read, write and delete items, by the kind of partition.
`BatchWriteItem` counts as writing and deleting.
No function may write a suspension: only operators do, with `replay`.
Only resource-permission may write a grant.

| Partition | Read | Write | Delete |
|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_matches_as_in_iam() {
        for (pattern, text, expected) in [
            ("USER#*", "USER#a", true),
            ("USER#*", "SUSPENSION#a", false),
            ("*", "SUSPENSION#a", true),
            ("S*#*", "SUSPENSION#a", true),
            ("S?SPENSION#a", "SUSPENSION#a", true),
            ("SUSPENSION#", "SUSPENSION#a", false),
            ("LEDGER#${Id}", "LEDGER#${Id}", true),
        ] {
            assert_eq!(matches_pattern(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn access_without_a_limit_or_with_an_unknown_action_reaches_every_partition() {
        let access = |action: &str, keys: Option<&[&str]>| TableAccess {
            function: "example".to_owned(),
            actions: vec![action.to_owned()],
            leading_keys: keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect()),
        };
        let may_write = |access: TableAccess| {
            access.allows(AccessKind::Write, "SUSPENSION#a")
                || access.allows(AccessKind::Delete, "SUSPENSION#a")
        };
        assert!(may_write(access("dynamodb:PutItem", None)));
        assert!(may_write(access("dynamodb:BatchWriteItem", Some(&["USER#*", "SUS*"]))));
        assert!(may_write(access("dynamodb:*", Some(&["SUSPENSION#*"]))));
        assert!(may_write(access("*", None)));
        assert!(!may_write(access("dynamodb:PutItem", Some(&["USER#*"]))));
        assert!(!may_write(access("dynamodb:BatchGetItem", Some(&["SUSPENSION#*"]))));
    }
}
