//! What `replay attach` and `replay detach` print.

use serde::Serialize;
use serde_json::Value;
use shared::text::printable;

use super::display::{is_secret, path, shown};
use super::settings::{PoolSettings, SettingDifference};
use crate::aws_error::sentence::shorten;
use crate::output::{number, wrap};

/// A change of the settings of a user pool.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PoolChangeReport {
    /// True if nothing was changed, because --yes is missing.
    pub dry_run: bool,
    /// Name of the stack. Null for a restore without a stack.
    pub stack: Option<String>,
    /// Id of the user pool.
    pub user_pool: String,
    /// The settings that the command changes. All of them begin with LambdaConfig, except with --restore.
    pub changes: Vec<SettingChange>,
    /// Number of the other settings, which stay as they are.
    pub unchanged: usize,
    /// What else follows from the change, in words.
    pub notes: Vec<String>,
    /// The file with the settings from before the change. Null if nothing was changed.
    pub backup: Option<String>,
    /// Number of settings that were compared after the change. Null if nothing was changed.
    pub compared: Option<usize>,
}

/// A setting that changes.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SettingChange {
    /// Path of the setting, as in the answer of DescribeUserPool.
    pub setting: String,
    /// The value before the command, as text or JSON. Email addresses are masked, and an ExternalId is
    /// hidden. Null if it is not set.
    pub now: Option<String>,
    /// The value after the command. Null if it is not set.
    pub after: Option<String>,
}

impl SettingChange {
    fn new(difference: &SettingDifference) -> Self {
        let text = |value: &Value| match value {
            _ if is_secret(&difference.setting) => "[hidden]".to_owned(),
            Value::String(text) if text.starts_with("arn:") => shorten(text),
            value => shown(Some(value)),
        };
        Self {
            setting: path(&difference.setting),
            now: difference.before.as_ref().map(text),
            after: difference.after.as_ref().map(text),
        }
    }
}

/// The plan of a change from `before` to `target`.
pub fn plan(
    stack: Option<&str>,
    before: &PoolSettings,
    target: &PoolSettings,
    notes: Vec<String>,
) -> PoolChangeReport {
    let differences = before.differences(target);
    let changed = differences.iter().filter(|difference| difference.before.is_some()).count();
    PoolChangeReport {
        dry_run: true,
        stack: stack.map(str::to_owned),
        user_pool: before.text("Id").to_owned(),
        changes: differences.iter().map(SettingChange::new).collect(),
        unchanged: before.count().saturating_sub(changed),
        notes,
        backup: None,
        compared: None,
    }
}

/// The plan as text: a table, the number of other settings, and the notes.
pub fn render(report: &PoolChangeReport, width: usize) -> String {
    let mut out = format!("user pool {}", report.user_pool);
    if let Some(stack) = &report.stack {
        out += &format!(", stack {stack}");
    }
    out.push('\n');
    if report.changes.is_empty() {
        out += &format!("  all {} settings stay as they are\n", number(report.unchanged));
    } else {
        let cell = |value: &Option<String>| shown(value.clone().map(Value::String).as_ref());
        let rows: Vec<[String; 3]> = report
            .changes
            .iter()
            .map(|change| [printable(&change.setting), cell(&change.now), cell(&change.after)])
            .collect();
        out += &table(&rows);
        out += &format!("  {} other settings stay as they are\n", number(report.unchanged));
    }
    for note in &report.notes {
        let note = wrap(note, width.saturating_sub(8), 0).replace('\n', "\n        ");
        out += &format!("  note  {note}\n");
    }
    out
}

fn table(rows: &[[String; 3]]) -> String {
    let head = ["setting", "now", "after"].map(str::to_owned);
    let width = |column: usize| {
        rows.iter().chain([&head]).map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let (first, second) = (width(0), width(1));
    let mut out = String::new();
    for [setting, now, after] in [&head].into_iter().chain(rows) {
        out += &format!("  {setting:first$}  {now:second$}  {after}\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(pool: Value) -> PoolSettings {
        PoolSettings { pool, mfa_config: json!({}) }
    }

    #[test]
    fn plan_shows_changes_and_counts_the_rest() {
        let arn = "arn:aws:lambda:eu-central-1:123456789012:function:shop-pre-sign-up";
        let before = settings(json!({"Id": "x", "Name": "n", "LambdaConfig": {"UserMigration": arn}}));
        let target = before.clone().with_lambda_config(json!({"UserMigration": arn, "PreSignUp": arn}));
        let plan = plan(Some("shop"), &before, &target, vec!["one two three".to_owned()]);
        assert_eq!(plan.changes[0].after.as_deref(), Some(arn));
        let expected = "user pool x, stack shop\n  \
                        setting                 now      after\n  \
                        LambdaConfig.PreSignUp  not set  shop-pre-sign-up\n  \
                        3 other settings stay as they are\n  \
                        note  one two\n        three\n";
        assert_eq!(render(&plan, 16), expected);
    }

    #[test]
    fn plan_has_no_address_and_no_external_id() {
        let before = settings(json!({"Id": "x", "SmsConfiguration": {"ExternalId": "8ac"}}));
        let target = settings(json!({
            "Id": "x", "SmsConfiguration": {"ExternalId": "9bd"}, "UserPoolTags": {"ana@example.com": "owner"},
            "EmailConfiguration": {"SourceArn": "arn:aws:ses:eu-central-1:123456789012:identity/ana@example.com"},
        }));
        let plan = plan(None, &before, &target, Vec::new());
        for text in [render(&plan, 80), serde_json::to_string(&plan).unwrap()] {
            assert!(!text.contains("ana@") && !text.contains("8ac") && !text.contains("9bd"), "{text}");
            assert!(text.contains("identity/[address]") && text.contains("[hidden]"), "{text}");
        }
    }

    #[test]
    fn plan_without_a_change_says_so() {
        let before = settings(json!({"Id": "x"}));
        let plan = plan(None, &before, &before.clone(), Vec::new());
        assert_eq!(render(&plan, 80), "user pool x\n  all 1 settings stay as they are\n");
    }
}
