//! Maps a user's attributes to groups.
//!
//! If a rule names a group, the rules manage that group: it is in the token if one of its rules
//! matches, and only then. All other groups stay as Cognito sent them.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use shared::config::{ConfigError, Environment};
use shared::group_rules::matching::matching_rules;
use shared::group_rules::read_trusted;
use shared::group_rules::rule::Rule;

use crate::TriggerEvent;

/// The rules of GROUP_RULES, in their order.
#[derive(Clone, Debug, Default)]
pub struct GroupRules(Vec<Rule>);

/// Groups and roles, in the format of `groupConfiguration` in the request and of
/// `groupOverrideDetails` in the response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupConfiguration {
    pub groups_to_override: Vec<String>,
    /// The IAM roles of the groups.
    pub iam_roles_to_override: Vec<String>,
    /// The role that Cognito uses if the client requests none.
    pub preferred_role: Option<String>,
}

/// Result of applying the rules to a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MappedGroups {
    /// All groups in the token.
    pub groups: Vec<String>,
    /// The override. `None` if it would equal what Cognito sent.
    pub configuration: Option<GroupConfiguration>,
    /// Groups in the token that Cognito did not send.
    pub add: BTreeSet<String>,
    /// Groups that Cognito sent and that the rules removed.
    pub remove: BTreeSet<String>,
}

impl MappedGroups {
    /// Keeps the removals and drops the additions, for a user whose profile could not be read.
    pub fn without_additions(self, sent: &GroupConfiguration) -> Self {
        let Some(new) = self.configuration else { return self };
        let intersect = |new: &[String], sent: &[String]| -> Vec<String> {
            sent.iter().filter(|item| new.contains(item)).cloned().collect()
        };
        let groups = intersect(&new.groups_to_override, &sent.groups_to_override);
        let roles = intersect(&new.iam_roles_to_override, &sent.iam_roles_to_override);
        let preferred_role = sent.preferred_role.clone().filter(|role| {
            roles.contains(role)
                || !sent.iam_roles_to_override.contains(role) && new.preferred_role == sent.preferred_role
        });
        let configuration = GroupConfiguration {
            groups_to_override: groups.clone(),
            iam_roles_to_override: roles,
            preferred_role,
        };
        let configuration = Some(configuration).filter(|new| new != sent);
        Self { groups, configuration, add: BTreeSet::new(), remove: self.remove }
    }

    /// Whether the user's groups in the user pool differ from the mapped ones.
    pub fn changes_membership(&self) -> bool {
        !self.add.is_empty() || !self.remove.is_empty()
    }
}

impl GroupConfiguration {
    /// Reads `groupConfiguration`. Null, missing or malformed lists are empty. An empty preferred role
    /// is none.
    pub fn from_request(request: &Value) -> Self {
        let configuration = request.get("groupConfiguration").unwrap_or(&Value::Null);
        let list = |name: &str| match configuration.get(name) {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        Self {
            groups_to_override: list("groupsToOverride"),
            iam_roles_to_override: list("iamRolesToOverride"),
            preferred_role: configuration
                .get("preferredRole")
                .and_then(Value::as_str)
                .filter(|role| !role.is_empty())
                .map(str::to_owned),
        }
    }
}

impl GroupRules {
    /// Reads GROUP_RULES and TRUSTED_ATTRIBUTES.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        read_trusted(environment).map(Self)
    }

    /// Applies the rules to the user of the event. `sent` is what Cognito sent.
    pub fn map(&self, sent: &GroupConfiguration, event: &TriggerEvent) -> MappedGroups {
        let matching = matching_rules(&self.0, |name| event.attribute(name));
        let is_given = |group: &String| matching.iter().any(|rule| rule.group == *group);
        let is_managed = |group: &String| self.0.iter().any(|rule| rule.group == *group);

        let stays = |group: &&String| !is_managed(group) || is_given(group);
        let mut groups: Vec<String> = sent.groups_to_override.iter().filter(stays).cloned().collect();
        for rule in &matching {
            if !groups.contains(&rule.group) {
                groups.push(rule.group.clone());
            }
        }
        let is_new = |group: &&String| !sent.groups_to_override.contains(group);
        let is_removed = |group: &&String| !groups.contains(group);
        let add = groups.iter().filter(is_new).cloned().collect();
        let remove = sent.groups_to_override.iter().filter(is_removed).cloned().collect();

        let configuration = GroupConfiguration {
            iam_roles_to_override: self.map_roles(sent, &matching),
            preferred_role: self.choose_preferred_role(sent, &matching),
            groups_to_override: groups.clone(),
        };
        MappedGroups { groups, configuration: Some(configuration).filter(|new| new != sent), add, remove }
    }

    /// The roles that Cognito sent, without those of removed groups, plus those of the matching
    /// rules.
    fn map_roles(&self, sent: &GroupConfiguration, matching: &[&Rule]) -> Vec<String> {
        let is_given = |role: &String| matching.iter().any(|rule| rule.role.as_ref() == Some(role));
        let stays = |role: &&String| !self.is_managed_role(role) || is_given(role);
        let mut roles: Vec<String> = sent.iam_roles_to_override.iter().filter(stays).cloned().collect();
        for role in matching.iter().filter_map(|rule| rule.role.as_ref()) {
            if !roles.contains(role) {
                roles.push(role.clone());
            }
        }
        roles
    }

    /// Changes the preferred role only if Cognito sent none, or sent one that the rules manage. The
    /// precedence of all other roles is unknown here.
    fn choose_preferred_role(&self, sent: &GroupConfiguration, matching: &[&Rule]) -> Option<String> {
        if sent.preferred_role.as_ref().is_some_and(|role| !self.is_managed_role(role)) {
            return sent.preferred_role.clone();
        }
        let with_precedence = matching.iter().filter(|rule| rule.precedence.is_some() && rule.role.is_some());
        let best = with_precedence.min_by_key(|rule| rule.precedence).and_then(|rule| rule.role.clone());
        let still_given = sent
            .preferred_role
            .clone()
            .filter(|role| matching.iter().any(|rule| rule.role.as_ref() == Some(role)));
        best.or(still_given)
    }

    fn is_managed_role(&self, role: &String) -> bool {
        self.0.iter().any(|rule| rule.role.as_ref() == Some(role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"[
        {"attribute": "custom:department", "equals": "Engineering", "group": "Developer",
         "role_arn": "arn:aws:iam::123456789012:role/developer", "precedence": 10},
        {"attribute": "custom:department", "one_of": ["Sales", "Marketing"], "group": "Commerce"},
        {"attribute": "custom:roles", "contains": "admin", "group": "Admin", "privileged": true,
         "provider": "Corporate", "role_arn": "arn:aws:iam::123456789012:role/admin", "precedence": 1}
    ]"#;

    fn environment(rules: &str) -> Environment {
        [("GROUP_RULES", rules), ("TRUSTED_ATTRIBUTES", "custom:roles")].into_iter().collect()
    }

    fn rules() -> GroupRules {
        GroupRules::from_environment(&environment(RULES)).unwrap()
    }

    fn map(attributes: Value, groups: &[&str], role: Option<&str>) -> MappedGroups {
        let sent = GroupConfiguration {
            groups_to_override: groups.iter().map(|group| (*group).to_owned()).collect(),
            iam_roles_to_override: role.map(str::to_owned).into_iter().collect(),
            preferred_role: role.map(str::to_owned),
        };
        let event = serde_json::json!({"request": {"userAttributes": attributes}});
        rules().map(&sent, &TriggerEvent::from_json(&event.to_string()).unwrap())
    }

    #[test]
    fn managed_group_is_in_the_token_only_if_a_rule_matches() {
        let table = [
            (serde_json::json!({"custom:department": "Engineering"}), vec!["Beta", "Developer"]),
            (serde_json::json!({"custom:department": "engineering"}), vec!["Beta"]),
            (serde_json::json!({"custom:department": "Sales"}), vec!["Beta", "Commerce"]),
            (serde_json::json!({"custom:roles": "[user, admin]"}), vec!["Beta"]),
            (
                serde_json::json!({"custom:roles": "[user, admin]", "identities": r#"[{"providerName":"Corporate"}]"#}),
                vec!["Beta", "Admin"],
            ),
            (serde_json::json!({}), vec!["Beta"]),
        ];
        for (attributes, expected) in table {
            let mapped = map(attributes.clone(), &["Beta"], None);
            assert_eq!(mapped.groups, expected, "{attributes}");
            assert_eq!(mapped.configuration.is_some(), expected.len() > 1, "{attributes}");
        }
        let mapped = map(serde_json::json!({"custom:department": "Sales"}), &["Developer", "Beta"], None);
        assert_eq!(mapped.groups, ["Beta", "Commerce"]);
        assert_eq!(mapped.add, BTreeSet::from(["Commerce".to_owned()]));
        assert_eq!(mapped.remove, BTreeSet::from(["Developer".to_owned()]));
    }

    #[test]
    fn attribute_with_several_values_gives_a_group_for_each_rule() {
        let rules = GroupRules::from_environment(&environment(
            r#"[{"attribute": "custom:groups", "contains": "Domain Admins", "group": "Admins"},
                {"attribute": "custom:groups", "contains": "team:sre", "group": "Sre"},
                {"always": true, "group": "Members"},
                {"always": true, "provider": "Corporate", "group": "Staff"}]"#,
        ))
        .unwrap();
        let corporate = r#"[{"providerName":"Corporate"}]"#;
        for (attributes, expected) in [
            (
                serde_json::json!({"custom:groups": "[Domain+Admins, team%3Asre]"}),
                vec!["Admins", "Sre", "Members"],
            ),
            (serde_json::json!({"custom:groups": "Sales,Domain Admins"}), vec!["Members"]),
            (
                serde_json::json!({"custom:groups": "team:sre", "identities": corporate}),
                vec!["Sre", "Members", "Staff"],
            ),
            (serde_json::json!({}), vec!["Members"]),
            (Value::Null, vec!["Members"]),
        ] {
            let event = serde_json::json!({"request": {"userAttributes": attributes}}).to_string();
            let event = TriggerEvent::from_json(&event).unwrap();
            assert_eq!(rules.map(&GroupConfiguration::default(), &event).groups, expected, "{attributes}");
        }
    }

    #[test]
    fn four_hundred_groups_are_mapped() {
        let rules: Vec<Value> = (0..400)
            .map(|n| serde_json::json!({"attribute": "custom:groups", "contains": format!("g{n}"), "group": format!("Group{n}")}))
            .collect();
        let rules = GroupRules::from_environment(&environment(&Value::from(rules).to_string())).unwrap();
        let values: Vec<String> = (0..400).step_by(2).map(|n| format!("g{n}")).collect();
        let attributes = serde_json::json!({"custom:groups": format!("[{}]", values.join(", "))});
        let event = serde_json::json!({"request": {"userAttributes": attributes}}).to_string();
        let sent: Vec<String> = (0..400).map(|n| format!("Group{n}")).collect();
        let sent = GroupConfiguration { groups_to_override: sent, ..Default::default() };
        let mapped = rules.map(&sent, &TriggerEvent::from_json(&event).unwrap());
        let even: Vec<String> = (0..400).step_by(2).map(|n| format!("Group{n}")).collect();
        assert_eq!((mapped.groups, mapped.add.len(), mapped.remove.len()), (even, 0, 200));
    }

    #[test]
    fn unverified_address_matches_no_rule() {
        let rules = r#"[{"attribute": "email", "equals": "boss@example.com", "group": "Boss"}]"#;
        let rules = GroupRules::from_environment(&environment(rules)).unwrap();
        for (verified, groups) in [("true", vec!["Boss"]), ("false", vec![])] {
            let attributes = serde_json::json!({"email": "boss@example.com", "email_verified": verified});
            let event = serde_json::json!({"request": {"userAttributes": attributes}}).to_string();
            let mapped = rules.map(&GroupConfiguration::default(), &TriggerEvent::from_json(&event).unwrap());
            assert_eq!(mapped.groups, groups, "{verified}");
        }
    }

    #[test]
    fn unreadable_profile_allows_removals_but_no_additions() {
        let role = "arn:aws:iam::123456789012:role/developer";
        let sent = GroupConfiguration {
            groups_to_override: vec!["Beta".into(), "Developer".into()],
            iam_roles_to_override: vec![role.into()],
            preferred_role: Some(role.into()),
        };
        let sales = serde_json::json!({"request": {"userAttributes": {"custom:department": "Sales"}}});
        let event = TriggerEvent::from_json(&sales.to_string()).unwrap();
        let mapped = rules().map(&sent, &event).without_additions(&sent);
        let expected = GroupConfiguration { groups_to_override: vec!["Beta".into()], ..Default::default() };
        assert_eq!((mapped.configuration, mapped.groups), (Some(expected), vec!["Beta".to_owned()]));
        assert_eq!((mapped.add.len(), mapped.remove), (0, BTreeSet::from(["Developer".to_owned()])));
    }

    #[test]
    fn empty_preferred_role_counts_as_missing() {
        for role in [Value::Null, Value::from("")] {
            let event = serde_json::json!({"request": {
                "userAttributes": {"custom:department": "Engineering"},
                "groupConfiguration": {"groupsToOverride": [], "iamRolesToOverride": [], "preferredRole": role},
            }});
            let event = TriggerEvent::from_json(&event.to_string()).unwrap();
            let sent = GroupConfiguration::from_request(event.request());
            let configuration = rules().map(&sent, &event).configuration.unwrap();
            let developer = "arn:aws:iam::123456789012:role/developer";
            assert_eq!(configuration.preferred_role.as_deref(), Some(developer), "{role}");
        }
    }

    #[test]
    fn preferred_role_changes_only_if_the_rules_know_its_precedence() {
        let (developer, other) =
            ("arn:aws:iam::123456789012:role/developer", "arn:aws:iam::123456789012:role/other");
        let engineer = serde_json::json!({"custom:department": "Engineering"});
        let preferred = |mapped: MappedGroups| mapped.configuration.and_then(|new| new.preferred_role);
        assert_eq!(preferred(map(engineer.clone(), &[], None)).as_deref(), Some(developer));
        assert_eq!(preferred(map(engineer.clone(), &["Other"], Some(other))).as_deref(), Some(other));
        assert_eq!(preferred(map(serde_json::json!({}), &["Developer"], Some(developer))), None);
        assert_eq!(map(engineer, &["Developer"], Some(developer)).configuration, None);
    }
}
