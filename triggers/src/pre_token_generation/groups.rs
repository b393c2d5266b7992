//! Which groups follow from a user's attributes. Pure.
//!
//! A group that a rule names is managed by the rules: it is in the token exactly where a rule gives it. All
//! other groups stay as Cognito sent them.

use std::collections::{BTreeSet, HashSet};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use shared::config::{ConfigError, Environment, Object};

use crate::TriggerEvent;

/// GROUP_RULES: one rule. Exactly one of `equals`, `one_of` and `contains` says when it gives its group.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The attribute to look at, such as `custom:department`.
    pub attribute: String,
    /// The attribute is this.
    #[serde(default)]
    pub equals: Option<String>,
    /// The attribute is one of these.
    #[serde(default)]
    pub one_of: Option<Vec<String>>,
    /// The attribute is a list (`a,b`, `[a, b]` or a JSON list) with this in it.
    #[serde(default)]
    pub contains: Option<String>,
    /// Only for users of this identity provider.
    #[serde(default)]
    pub provider: Option<String>,
    /// The group that follows.
    pub group: String,
    /// The IAM role of the group. Cognito does not say which role belongs to which group: a role that no rule names
    /// stays when its group goes. A privileged group must say it, with null where it has none.
    #[serde(default, deserialize_with = "stated")]
    pub role_arn: Option<Option<String>>,
    /// The precedence of the group: of the roles of several groups, that of the lowest is preferred.
    #[serde(default)]
    pub precedence: Option<u32>,
    /// A group with power: the attribute must be in TRUSTED_ATTRIBUTES, because users can rewrite attributes
    /// that the app client may write.
    #[serde(default)]
    pub privileged: bool,
}

/// All rules.
#[derive(Clone, Debug, Default)]
pub struct GroupRules(Vec<Rule>);

/// Groups and roles as Cognito sends them, and as an override gives them back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupConfiguration {
    /// The groups.
    pub groups_to_override: Vec<String>,
    /// The roles of the groups.
    pub iam_roles_to_override: Vec<String>,
    /// The role that is assumed where none is asked for.
    pub preferred_role: Option<String>,
}

/// What the rules make of a user's groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MappedGroups {
    /// The groups in the token.
    pub groups: Vec<String>,
    /// The override, where it differs from what Cognito sent.
    pub configuration: Option<GroupConfiguration>,
    /// Groups that the user pool does not have the user in yet.
    pub add: BTreeSet<String>,
    /// Groups that the user pool still has the user in.
    pub remove: BTreeSet<String>,
}

impl MappedGroups {
    /// What is taken away, without what is added: for a user about whom the store could not be asked.
    pub fn without_additions(self, sent: &GroupConfiguration) -> Self {
        let Some(new) = self.configuration else { return self };
        let keep = |list: &[String], of: &[String]| -> Vec<String> {
            of.iter().filter(|item| list.contains(item)).cloned().collect()
        };
        let groups = keep(&new.groups_to_override, &sent.groups_to_override);
        let roles = keep(&new.iam_roles_to_override, &sent.iam_roles_to_override);
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

    /// Whether the user pool should be told.
    pub fn changes_membership(&self) -> bool {
        !self.add.is_empty() || !self.remove.is_empty()
    }
}

impl GroupConfiguration {
    /// Reads `groupConfiguration` tolerantly: null lists are empty.
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

fn stated<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Rule {
    fn role(&self) -> Option<&String> {
        self.role_arn.as_ref()?.as_ref()
    }

    /// An address or a number that was not verified is anybody's.
    fn is_proven(&self, event: &TriggerEvent) -> bool {
        match self.attribute.as_str() {
            "email" | "phone_number" => {
                event.attribute(&format!("{}_verified", self.attribute)).is_some_and(|value| value == "true")
            }
            _ => true,
        }
    }

    fn gives_group(&self, event: &TriggerEvent, providers: &[String]) -> bool {
        let is_provider = self.provider.as_ref().is_none_or(|provider| providers.contains(provider));
        if !is_provider || !self.is_proven(event) {
            return false;
        }
        let Some(value) = event.attribute(&self.attribute) else { return false };
        self.equals.as_deref() == Some(&value)
            || self.one_of.as_ref().is_some_and(|values| values.iter().any(|one| *one == value))
            || self.contains.as_ref().is_some_and(|item| list_items(&value).contains(item))
    }

    fn check(&self, trusted: &HashSet<String>) -> Result<(), String> {
        let conditions = [self.equals.is_some(), self.one_of.is_some(), self.contains.is_some()];
        if conditions.iter().filter(|condition| **condition).count() != 1 {
            return Err(format!(
                "the rule for \"{}\" needs exactly one of equals, one_of, contains",
                self.group
            ));
        }
        // Cognito: 1 to 128 characters, no white space.
        let is_group = (1..=128).contains(&self.group.chars().count())
            && !self.group.contains(|c: char| c.is_whitespace() || c.is_control());
        if !is_group {
            return Err(format!("\"{}\" is no name of a group", self.group));
        }
        let never = self.attribute.is_empty()
            || self.equals.as_deref() == Some("")
            || self.contains.as_deref() == Some("")
            || self.one_of.as_ref().is_some_and(Vec::is_empty);
        if never {
            return Err(format!("the rule for \"{}\" names no attribute or no value", self.group));
        }
        if self.privileged && self.role_arn.is_none() {
            return Err(format!(
                "the privileged group \"{}\" needs role_arn, or null where it has none",
                self.group
            ));
        }
        if self.role().is_some_and(|role| !role.starts_with("arn:")) {
            return Err(format!("the role_arn of \"{}\" is no ARN", self.group));
        }
        if self.privileged && !trusted.contains(&self.attribute) {
            return Err(format!(
                "the privileged group \"{}\" follows from \"{}\", which is not in TRUSTED_ATTRIBUTES",
                self.group, self.attribute
            ));
        }
        Ok(())
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
        let trusted = environment.list("TRUSTED_ATTRIBUTES").into_iter().collect();
        // A group, and a role, is as powerful as its most powerful rule: no other rule may give it away.
        let powerful: Vec<Rule> = rules.iter().filter(|rule| rule.privileged).cloned().collect();
        let inherits = |rule: &Rule| {
            let same_group = |other: &Rule| rule.group.to_lowercase() == other.group.to_lowercase();
            let same_role = |other: &Rule| rule.role().is_some() && rule.role() == other.role();
            powerful.iter().any(|other| same_group(other) || same_role(other))
        };
        let rules: Vec<Rule> = rules
            .into_iter()
            .map(|rule| match inherits(&rule) {
                // The powerful rule has stated the group's role.
                true => Rule { privileged: true, role_arn: rule.role_arn.clone().or(Some(None)), ..rule },
                false => rule,
            })
            .collect();
        let check = powerful.iter().chain(&rules).try_for_each(|rule| rule.check(&trusted));
        check.map_err(|reason| ConfigError::new("GROUP_RULES", reason))?;
        Ok(Self(rules))
    }

    /// What follows for the user whom the event is about.
    pub fn map(&self, sent: &GroupConfiguration, event: &TriggerEvent) -> MappedGroups {
        let providers = providers(event);
        let giving: Vec<&Rule> = self.0.iter().filter(|rule| rule.gives_group(event, &providers)).collect();
        let given = |group: &String| giving.iter().any(|rule| rule.group == *group);
        let managed = |group: &String| self.0.iter().any(|rule| rule.group == *group);

        let stays = |group: &&String| !managed(group) || given(group);
        let mut groups: Vec<String> = sent.groups_to_override.iter().filter(stays).cloned().collect();
        for rule in &giving {
            if !groups.contains(&rule.group) {
                groups.push(rule.group.clone());
            }
        }
        let is_new = |group: &&String| !sent.groups_to_override.contains(group);
        let is_gone = |group: &&String| !groups.contains(group);
        let add = groups.iter().filter(is_new).cloned().collect();
        let remove = sent.groups_to_override.iter().filter(is_gone).cloned().collect();

        let configuration = GroupConfiguration {
            iam_roles_to_override: self.roles(sent, &giving),
            preferred_role: self.preferred_role(sent, &giving),
            groups_to_override: groups.clone(),
        };
        MappedGroups { groups, configuration: Some(configuration).filter(|new| new != sent), add, remove }
    }

    /// The roles that Cognito sent, without those of groups that are gone, with those of groups that are given.
    fn roles(&self, sent: &GroupConfiguration, giving: &[&Rule]) -> Vec<String> {
        let role_is_managed = |role: &String| self.0.iter().any(|rule| rule.role() == Some(role));
        let role_is_given = |role: &String| giving.iter().any(|rule| rule.role() == Some(role));
        let stays = |role: &&String| !role_is_managed(role) || role_is_given(role);
        let mut roles: Vec<String> = sent.iam_roles_to_override.iter().filter(stays).cloned().collect();
        for role in giving.iter().filter_map(|rule| rule.role()) {
            if !roles.contains(role) {
                roles.push(role.clone());
            }
        }
        roles
    }

    /// Changes only where the configured precedences decide: where Cognito sent no preferred role, or one
    /// that the rules manage. The precedence of other groups is unknown here.
    fn preferred_role(&self, sent: &GroupConfiguration, giving: &[&Rule]) -> Option<String> {
        let role_is_managed = |role: &String| self.0.iter().any(|rule| rule.role() == Some(role));
        if sent.preferred_role.as_ref().is_some_and(|role| !role_is_managed(role)) {
            return sent.preferred_role.clone();
        }
        let with_precedence = giving.iter().filter(|rule| rule.precedence.is_some() && rule.role().is_some());
        let best = with_precedence.min_by_key(|rule| rule.precedence).and_then(|rule| rule.role().cloned());
        let still_given =
            sent.preferred_role.clone().filter(|role| giving.iter().any(|rule| rule.role() == Some(role)));
        best.or(still_given)
    }
}

/// The identity providers that the user is linked to: `identities` is a JSON list in a string.
fn providers(event: &TriggerEvent) -> Vec<String> {
    let identities = event.attribute("identities").and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let Some(Value::Array(identities)) = identities else { return Vec::new() };
    let name = |identity: &Value| identity.get("providerName")?.as_str().map(str::to_owned);
    identities.iter().filter_map(name).collect()
}

/// The items of a list in an attribute: identity providers send `[a, b]`, others JSON or commas.
fn list_items(value: &str) -> Vec<String> {
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
    fn a_managed_group_is_in_the_token_exactly_where_a_rule_gives_it() {
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
    fn an_item_is_an_item_of_the_list_as_it_is_written() {
        for (value, items) in [
            ("a, b", vec!["a", "b"]),
            ("[a, b]", vec!["a", "b"]),
            (r#"["a, b", "c"]"#, vec!["a, b", "c"]),
            (r#"["a, b", 7, null]"#, vec!["a, b"]),
            (r#"{"a": "b, admin"}"#, vec![]),
        ] {
            assert_eq!(list_items(value), items, "{value}");
        }
    }

    #[test]
    fn an_address_that_is_not_verified_gives_nothing() {
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
    fn without_the_store_groups_go_and_none_comes() {
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
    fn the_preferred_role_changes_only_where_precedences_decide_it() {
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
    fn a_wrong_rule_fails_the_start() {
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
                "needs role_arn, or null",
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
            (r#"[{"attribute": "a", "equals": "x", "group": "Two words"}]"#, "is no name of a group"),
            (r#"[{"attribute": "a", "equals": "", "group": "g"}]"#, "names no attribute or no value"),
            (r#"[{"attribute": "a", "one_of": [], "group": "g"}]"#, "names no attribute or no value"),
            (r#"[{"attribute": "a", "equals": "x", "group": "g", "role_arn": "admin"}]"#, "is no ARN"),
        ] {
            let error = rules(json).unwrap_err().to_string();
            assert!(error.starts_with("GROUP_RULES: ") && error.contains(reason), "{error}");
        }
    }
}
