//! The settings of the stack that a reconciliation needs: group rules, and how long events stay.

use std::collections::BTreeMap;

use shared::config::Environment;
use shared::group_rules::rule::Rule;
use shared::group_rules::{managed_groups, read_trusted};
use uuid::Uuid;

use crate::account::Account;
use crate::error::{CommandError, Result};
use crate::stack::read_parameters;

/// Variable of the functions with the group rules.
const GROUP_RULES: &str = "GROUP_RULES";
/// Variables of pre-token-generation: what group rules may use and give.
const TRUSTED_ATTRIBUTES: &str = "TRUSTED_ATTRIBUTES";
const ADMIN_GROUPS: &str = "ADMIN_GROUPS";
/// Variable of account-activity: `keep` if the data of deleted users stays.
const ACCOUNT_DELETION: &str = "ACCOUNT_DELETION";
/// EVENT_RETENTION_DAYS by default, as in user-stats.
const EVENT_RETENTION_DAYS: u32 = 90;

/// Settings of a reconciliation.
#[derive(Debug)]
pub struct Settings {
    /// `None` if groups are not compared.
    pub groups: Option<Groups>,
    /// Days for which an event stays in the table.
    pub event_retention_days: u32,
    /// True if the data of users who are deleted from the pool stays: AccountDeletion=keep.
    pub keeps_deleted_users: bool,
}

/// Rules, and the groups that they manage.
#[derive(Debug)]
pub struct Groups {
    pub rules: Vec<Rule>,
    pub managed: Vec<String>,
    /// Changes with the rules.
    pub hash: String,
}

impl Settings {
    /// The rules of `--group-rules`, of the stack, or of the variable GROUP_RULES.
    ///
    /// Groups are not compared if the stack keeps them out of the pool (PersistGroups), or if no rules are
    /// known.
    pub async fn read(account: &Account, group_rules: Option<&str>) -> Result<Self> {
        let parameters = match account.stack_name() {
            Some(stack) => read_parameters(&account.cloudformation(), stack).await?,
            None => BTreeMap::new(),
        };
        let parameter = |name: &str| parameters.get(name).map(String::as_str);
        let groups = match group_rules {
            Some(rules) => Some(("--group-rules".to_owned(), rules)),
            None if parameter("PersistGroups") == Some("false") => None,
            None => match (parameter("GroupRules"), account.stack_name()) {
                (Some(rules), Some(stack)) => Some((format!("--stack {stack}: GroupRules"), rules)),
                (None, Some(_)) => None,
                (_, None) => account.variable(GROUP_RULES).map(|rules| (GROUP_RULES.to_owned(), rules)),
            },
        };
        // The values with which pre-token-generation checks the rules: of the stack, otherwise of the variables.
        let trust = |parameter_name, variable| match account.stack_name() {
            Some(_) => parameter(parameter_name),
            None => account.variable(variable),
        };
        let trust = [
            (TRUSTED_ATTRIBUTES, trust("TrustedAttributes", TRUSTED_ATTRIBUTES).unwrap_or_default()),
            (ADMIN_GROUPS, trust("AdminGroups", ADMIN_GROUPS).unwrap_or_default()),
        ];
        let groups = groups.map(|(place, rules)| Groups::parse(&place, rules, trust)).transpose()?;
        let deletion = match account.stack_name() {
            Some(_) => parameter("AccountDeletion"),
            None => account.variable(ACCOUNT_DELETION),
        };
        let days = parameter("EventRetentionDays").and_then(|days| days.parse().ok());
        Ok(Self {
            groups: groups.filter(|groups| !groups.managed.is_empty()),
            event_retention_days: days.unwrap_or(EVENT_RETENTION_DAYS),
            keeps_deleted_users: deletion == Some("keep"),
        })
    }

    pub fn rules(&self) -> Option<&[Rule]> {
        self.groups.as_ref().map(|groups| groups.rules.as_slice())
    }

    pub fn managed_groups(&self) -> &[String] {
        self.groups.as_ref().map(|groups| groups.managed.as_slice()).unwrap_or_default()
    }
}

impl Groups {
    /// Checks the rules as pre-token-generation does, so that no repair gives a group that it would refuse to
    /// give. `trust` has TRUSTED_ATTRIBUTES and ADMIN_GROUPS.
    fn parse(place: &str, text: &str, trust: [(&str, &str); 2]) -> Result<Self> {
        let environment: Environment = [(GROUP_RULES, text)].into_iter().chain(trust).collect();
        let rules = read_trusted(&environment)
            .map_err(|error| CommandError::invalid_input(format!("{place}: {error}")))?;
        Ok(Self {
            managed: managed_groups(&rules).into_iter().collect(),
            hash: Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).to_string(),
            rules,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_no_token_would_follow_are_refused() {
        let rule = |privileged: bool, group: &str| {
            format!(
                r#"[{{"attribute": "custom:department", "equals": "Board", "group": "{group}",
                    "privileged": {privileged}, "role_arn": null}}]"#
            )
        };
        for (rules, trusted, admins, is_accepted) in [
            (rule(true, "Board"), "custom:department", "", true),
            (rule(true, "Board"), "", "", false),
            (rule(false, "Board"), "", "", true),
            (rule(false, "Admin"), "", "Admin", false),
            (rule(true, "Admin"), "custom:department", "Admin", true),
        ] {
            let trust = [(TRUSTED_ATTRIBUTES, trusted), (ADMIN_GROUPS, admins)];
            let parsed = Groups::parse("--group-rules", &rules, trust);
            assert_eq!(parsed.is_ok(), is_accepted, "{rules} {trusted} {admins}");
        }
    }

    #[test]
    fn hash_changes_with_the_rules() {
        let rules = |group: &str| format!(r#"[{{"always": true, "group": "{group}"}}]"#);
        let parse =
            |text: &str| Groups::parse("--group-rules", text, [(TRUSTED_ATTRIBUTES, ""), (ADMIN_GROUPS, "")]);
        let staff = parse(&rules("Staff")).unwrap();
        assert_eq!(staff.managed, ["Staff"]);
        assert_eq!(staff.hash, parse(&rules("Staff")).unwrap().hash);
        assert_ne!(staff.hash, parse(&rules("Sales")).unwrap().hash);
        let error = parse("[").unwrap_err().to_string();
        assert!(error.starts_with("--group-rules: GROUP_RULES"), "{error}");
    }
}
