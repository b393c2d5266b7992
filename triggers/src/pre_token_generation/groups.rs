//! Maps a user's attributes to groups.
//!
//! If a rule names a group, the rules manage that group: it is in the token if one of its rules
//! matches, and only then. All other groups stay as Cognito sent them.

use std::collections::{BTreeSet, HashSet};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use shared::config::{ConfigError, Environment, Object};

use crate::TriggerEvent;

/// One rule of GROUP_RULES. It has exactly one of the conditions `equals`, `one_of` and `contains`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The user attribute, such as `custom:department`.
    pub attribute: String,
    /// Matches if the attribute has this value.
    #[serde(default)]
    pub equals: Option<String>,
    /// Matches if the attribute has one of these values.
    #[serde(default)]
    pub one_of: Option<Vec<String>>,
    /// Matches if the attribute is a list (`a,b`, `[a, b]` or a JSON list) with this item.
    #[serde(default)]
    pub contains: Option<String>,
    /// Matches only users who are linked to this identity provider.
    #[serde(default)]
    pub provider: Option<String>,
    /// The group of the users that match.
    pub group: String,
    /// The IAM role of the group. Cognito does not send which role belongs to which group, so a
    /// role that no rule names stays when its group is removed. The field is therefore required in
    /// a privileged rule: `Some(None)` is an explicit null, for a group without a role.
    #[serde(default, deserialize_with = "some_if_present")]
    pub role_arn: Option<Option<String>>,
    /// Among the matching rules with a role, the role with the lowest precedence becomes the
    /// preferred role.
    #[serde(default)]
    pub precedence: Option<u32>,
    /// The group grants elevated rights. The attribute must be in TRUSTED_ATTRIBUTES, because users
    /// can change every attribute that an app client may write.
    #[serde(default)]
    pub privileged: bool,
}

#[derive(Clone, Debug, Default)]
pub struct GroupRules(Vec<Rule>);

/// Why a rule is invalid. The error text follows "rule 2 for group `Admins`".
#[derive(Debug, thiserror::Error)]
enum InvalidRule {
    #[error("needs exactly one of `equals`, `one_of` and `contains`")]
    ConditionCount,
    #[error("has an invalid `group`. Use 1 to 128 characters without white space")]
    GroupName,
    #[error("names no attribute. Set `attribute`")]
    NoAttribute,
    #[error("names no value. Set a value in `equals`, `one_of` or `contains`")]
    NoValue,
    #[error("is privileged and has no `role_arn`. Set it to the group's IAM role, or to null if it has none")]
    NoRole,
    #[error("has a `role_arn` that is not an ARN. Use an ARN such as arn:aws:iam::123456789012:role/name")]
    RoleArn,
    #[error(
        "gives a privileged group or role, but `{attribute}` is not in TRUSTED_ATTRIBUTES. \
         Add it there if no app client can write it"
    )]
    UntrustedAttribute { attribute: String },
}

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
    /// Reads `groupConfiguration`. Null, missing or malformed lists are empty.
    pub fn from_request(request: &Value) -> Self {
        let configuration = request.get("groupConfiguration").unwrap_or(&Value::Null);
        let list = |name: &str| match configuration.get(name) {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        Self {
            groups_to_override: list("groupsToOverride"),
            iam_roles_to_override: list("iamRolesToOverride"),
            preferred_role: configuration.get("preferredRole").and_then(Value::as_str).map(str::to_owned),
        }
    }
}

/// Distinguishes null (`Some(None)`) from a missing field (`None`, serde's default).
fn some_if_present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Rule {
    fn role(&self) -> Option<&String> {
        self.role_arn.as_ref()?.as_ref()
    }

    /// Any user can enter someone else's email address or phone number, so these count only if
    /// verified.
    fn is_verified(&self, event: &TriggerEvent) -> bool {
        match self.attribute.as_str() {
            "email" | "phone_number" => {
                event.attribute(&format!("{}_verified", self.attribute)).is_some_and(|value| value == "true")
            }
            _ => true,
        }
    }

    fn matches(&self, event: &TriggerEvent, providers: &[String]) -> bool {
        let is_provider = self.provider.as_ref().is_none_or(|provider| providers.contains(provider));
        if !is_provider || !self.is_verified(event) {
            return false;
        }
        let Some(value) = event.attribute(&self.attribute) else { return false };
        self.equals.as_deref() == Some(&value)
            || self.one_of.as_ref().is_some_and(|values| values.iter().any(|one| *one == value))
            || self.contains.as_ref().is_some_and(|item| split_list(&value).contains(item))
    }

    /// Checks the rule. `is_privileged` is also true if another rule makes this rule's group or
    /// role privileged.
    fn check(&self, is_privileged: bool, trusted_attributes: &HashSet<String>) -> Result<(), InvalidRule> {
        let conditions = [self.equals.is_some(), self.one_of.is_some(), self.contains.is_some()];
        if conditions.iter().filter(|condition| **condition).count() != 1 {
            return Err(InvalidRule::ConditionCount);
        }
        // Cognito: 1 to 128 characters, no white space.
        let is_group = (1..=128).contains(&self.group.chars().count())
            && !self.group.contains(|c: char| c.is_whitespace() || c.is_control());
        if !is_group {
            return Err(InvalidRule::GroupName);
        }
        if self.attribute.is_empty() {
            return Err(InvalidRule::NoAttribute);
        }
        let has_value = self.equals.as_deref() != Some("")
            && self.contains.as_deref() != Some("")
            && self.one_of.as_ref().is_none_or(|values| !values.is_empty());
        if !has_value {
            return Err(InvalidRule::NoValue);
        }
        if self.privileged && self.role_arn.is_none() {
            return Err(InvalidRule::NoRole);
        }
        if self.role().is_some_and(|role| !role.starts_with("arn:")) {
            return Err(InvalidRule::RoleArn);
        }
        if is_privileged && !trusted_attributes.contains(&self.attribute) {
            return Err(InvalidRule::UntrustedAttribute { attribute: self.attribute.clone() });
        }
        Ok(())
    }

    fn shares_group_or_role(&self, other: &Self) -> bool {
        self.group.to_lowercase() == other.group.to_lowercase()
            || self.role().is_some() && self.role() == other.role()
    }
}

impl GroupRules {
    /// Reads GROUP_RULES and TRUSTED_ATTRIBUTES.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let rules: Vec<Object<Rule>> = environment.json(
            "GROUP_RULES",
            r#"[{"attribute": "custom:department", "equals": "Engineering", "group": "Developer"}]"#,
        )?;
        let rules: Vec<Rule> = rules.into_iter().map(|Object(rule)| rule).collect();
        let trusted_attributes = environment.list("TRUSTED_ATTRIBUTES").into_iter().collect();
        for (index, rule) in rules.iter().enumerate() {
            // Otherwise an untrusted attribute could give a privileged group or role through
            // another rule.
            let is_privileged =
                rules.iter().any(|other| other.privileged && rule.shares_group_or_role(other));
            rule.check(is_privileged, &trusted_attributes).map_err(|problem| {
                let reason = format!("rule {} for group `{}` {problem}", index + 1, rule.group);
                ConfigError::new("GROUP_RULES", reason)
            })?;
        }
        Ok(Self(rules))
    }

    /// Applies the rules to the user of the event. `sent` is what Cognito sent.
    pub fn map(&self, sent: &GroupConfiguration, event: &TriggerEvent) -> MappedGroups {
        let providers = linked_providers(event);
        let matching: Vec<&Rule> = self.0.iter().filter(|rule| rule.matches(event, &providers)).collect();
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
        let is_given = |role: &String| matching.iter().any(|rule| rule.role() == Some(role));
        let stays = |role: &&String| !self.is_managed_role(role) || is_given(role);
        let mut roles: Vec<String> = sent.iam_roles_to_override.iter().filter(stays).cloned().collect();
        for role in matching.iter().filter_map(|rule| rule.role()) {
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
        let with_precedence =
            matching.iter().filter(|rule| rule.precedence.is_some() && rule.role().is_some());
        let best = with_precedence.min_by_key(|rule| rule.precedence).and_then(|rule| rule.role().cloned());
        let still_given =
            sent.preferred_role.clone().filter(|role| matching.iter().any(|rule| rule.role() == Some(role)));
        best.or(still_given)
    }

    fn is_managed_role(&self, role: &String) -> bool {
        self.0.iter().any(|rule| rule.role() == Some(role))
    }
}

/// The identity providers that the user is linked to. The attribute `identities` is a string with a
/// JSON list.
fn linked_providers(event: &TriggerEvent) -> Vec<String> {
    let identities = event.attribute("identities").and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let Some(Value::Array(identities)) = identities else { return Vec::new() };
    let name = |identity: &Value| identity.get("providerName")?.as_str().map(str::to_owned);
    identities.iter().filter_map(name).collect()
}

/// Splits a list in an attribute. Identity providers send `[a, b]`, others send JSON or `a,b`.
fn split_list(value: &str) -> Vec<String> {
    match serde_json::from_str(value) {
        Ok(Value::Array(items)) => {
            return items.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        }
        Ok(Value::Object(_)) => return Vec::new(),
        Ok(_) | Err(_) => {}
    }
    let value = value.trim();
    let inner = value.strip_prefix('[').and_then(|value| value.strip_suffix(']')).unwrap_or(value);
    inner.split(',').map(|item| item.trim().trim_matches('"').to_owned()).collect()
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

    fn rules(json: &str) -> Result<GroupRules, ConfigError> {
        let variables = [("GROUP_RULES", json), ("TRUSTED_ATTRIBUTES", "custom:roles")];
        GroupRules::from_environment(&variables.into_iter().collect())
    }

    fn map(attributes: Value, groups: &[&str], role: Option<&str>) -> MappedGroups {
        let sent = GroupConfiguration {
            groups_to_override: groups.iter().map(|group| (*group).to_owned()).collect(),
            iam_roles_to_override: role.map(str::to_owned).into_iter().collect(),
            preferred_role: role.map(str::to_owned),
        };
        let event = serde_json::json!({"request": {"userAttributes": attributes}});
        rules(RULES).unwrap().map(&sent, &TriggerEvent::from_json(&event.to_string()).unwrap())
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
    fn list_is_split_in_each_format() {
        for (value, items) in [
            ("a, b", vec!["a", "b"]),
            ("[a, b]", vec!["a", "b"]),
            (r#"["a, b", "c"]"#, vec!["a, b", "c"]),
            (r#"["a, b", 7, null]"#, vec!["a, b"]),
            (r#"{"a": "b, admin"}"#, vec![]),
        ] {
            assert_eq!(split_list(value), items, "{value}");
        }
    }

    #[test]
    fn unverified_address_matches_no_rule() {
        let variables =
            [("GROUP_RULES", r#"[{"attribute": "email", "equals": "boss@example.com", "group": "Boss"}]"#)];
        let rules = GroupRules::from_environment(&variables.into_iter().collect()).unwrap();
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
        let mapped = rules(RULES).unwrap().map(&sent, &event).without_additions(&sent);
        let expected = GroupConfiguration { groups_to_override: vec!["Beta".into()], ..Default::default() };
        assert_eq!((mapped.configuration, mapped.groups), (Some(expected), vec!["Beta".to_owned()]));
        assert_eq!((mapped.add.len(), mapped.remove), (0, BTreeSet::from(["Developer".to_owned()])));
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

    #[test]
    fn invalid_rule_stops_startup() {
        for (json, reason) in [
            ("{}", "invalid type"),
            (r#"[{"attribute": "a", "group": "g"}]"#, "exactly one of"),
            (r#"[{"attribute": "a", "equals": "x", "contains": "y", "group": "g"}]"#, "exactly one of"),
            (r#"[{"attribute": "a", "equals": "x", "group": "g", "grup": "g"}]"#, "unknown field"),
            (
                r#"[{"attribute": "a", "equals": "x", "group": "g", "privileged": true, "role_arn": null}]"#,
                "TRUSTED_ATTRIBUTES",
            ),
            (
                r#"[{"attribute": "custom:roles", "equals": "x", "group": "g", "privileged": true}]"#,
                "is privileged and has no `role_arn`",
            ),
            (
                r#"[{"attribute": "custom:roles", "equals": "x", "group": "Admin", "privileged": true, "role_arn": null},
                    {"attribute": "a", "equals": "x", "group": "admin"}]"#,
                "TRUSTED_ATTRIBUTES",
            ),
            (
                r#"[{"attribute": "custom:roles", "equals": "x", "group": "g", "privileged": true, "role_arn": null},
                    {"attribute": "a", "equals": "x", "group": "g"}]"#,
                "TRUSTED_ATTRIBUTES",
            ),
            (
                r#"[{"attribute": "custom:roles", "equals": "x", "group": "g", "privileged": true, "role_arn": "arn:x"},
                    {"attribute": "a", "equals": "x", "group": "other", "role_arn": "arn:x"}]"#,
                "TRUSTED_ATTRIBUTES",
            ),
            (r#"[["custom:department", "Engineering", null, null, null, "Admins"]]"#, "expected an object"),
            (r#"[] trailing"#, "trailing"),
            (r#"[{"attribute": "a", "equals": "x", "group": "Two words"}]"#, "has an invalid `group`"),
            (r#"[{"attribute": "a", "equals": "", "group": "g"}]"#, "names no value"),
            (
                r#"[{"attribute": "", "equals": "x", "group": "g"}]"#,
                "rule 1 for group `g` names no attribute",
            ),
            (r#"[{"attribute": "a", "one_of": [], "group": "g"}]"#, "names no value"),
            (r#"[{"attribute": "a", "equals": "x", "group": "g", "role_arn": "admin"}]"#, "is not an ARN"),
        ] {
            let error = rules(json).unwrap_err().to_string();
            assert!(error.starts_with("GROUP_RULES: ") && error.contains(reason), "{error}");
        }
    }
}
