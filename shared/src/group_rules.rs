//! GROUP_RULES: the groups that follow from a user's attributes. pre-token-generation applies the
//! rules, and group-membership changes only the groups that they manage. Pure.

use std::collections::{BTreeSet, HashSet};

use crate::config::{ConfigError, Environment, Object};

pub mod matching;
pub mod rule;
pub mod values;

use rule::{InvalidRule, Rule, RuleFields};

/// Reads GROUP_RULES, for functions that only need to know which groups the rules manage.
///
/// Rules are numbered from 1 in error texts.
pub fn read(environment: &Environment) -> Result<Vec<Rule>, ConfigError> {
    let rules: Vec<Object<RuleFields>> = environment.json_list(
        "GROUP_RULES",
        "rule",
        r#"[{"attribute": "custom:department", "equals": "Engineering", "group": "Developer"}]"#,
    )?;
    let rules = rules.into_iter().enumerate().map(|(index, Object(fields))| {
        let group = fields.group.clone();
        fields.check().map_err(|problem| invalid(index, &group, &problem))
    });
    rules.collect()
}

/// Reads GROUP_RULES, TRUSTED_ATTRIBUTES and ADMIN_GROUPS, for the function that applies the rules.
pub fn read_trusted(environment: &Environment) -> Result<Vec<Rule>, ConfigError> {
    let rules = read(environment)?;
    let trusted: HashSet<String> = environment.list("TRUSTED_ATTRIBUTES").into_iter().collect();
    let admin_groups: HashSet<String> = environment.list("ADMIN_GROUPS").into_iter().collect();
    for (index, rule) in rules.iter().enumerate() {
        // Members read the data of every user.
        if admin_groups.contains(&rule.group) && !rule.privileged {
            return Err(invalid(index, &rule.group, &InvalidRule::AdminGroup));
        }
        // Otherwise an untrusted attribute could give a privileged group or role through another
        // rule.
        if rules.iter().any(|other| other.privileged && rule.shares_group_or_role(other)) {
            rule.check_privileged(|attribute| trusted.contains(attribute))
                .map_err(|problem| invalid(index, &rule.group, &problem))?;
        }
    }
    Ok(rules)
}

/// The groups that the rules manage: such a group is in the token if one of its rules matches, and
/// only then.
pub fn managed_groups(rules: &[Rule]) -> BTreeSet<String> {
    rules.iter().map(|rule| rule.group.clone()).collect()
}

fn invalid(index: usize, group: &str, problem: &InvalidRule) -> ConfigError {
    ConfigError::new("GROUP_RULES", format!("rule {} for group `{group}` {problem}", index + 1))
}

#[cfg(test)]
mod tests {
    use super::rule::Condition;
    use super::*;

    fn read_rules(json: &str) -> Result<Vec<Rule>, ConfigError> {
        let variables = [("GROUP_RULES", json), ("TRUSTED_ATTRIBUTES", "custom:roles")];
        read_trusted(&variables.into_iter().collect())
    }

    #[test]
    fn rule_for_an_admin_group_must_be_privileged() {
        let read_rules = |group: &str, fields: &str| {
            let json =
                format!(r#"[{{"attribute": "custom:roles", "contains": "x", "group": "{group}"{fields}}}]"#);
            let variables = [
                ("GROUP_RULES", json.as_str()),
                ("TRUSTED_ATTRIBUTES", "custom:roles"),
                ("ADMIN_GROUPS", "Support, Admin"),
            ];
            read_trusted(&variables.into_iter().collect()).map_err(|error| error.to_string())
        };
        let privileged = r#", "privileged": true, "role_arn": null"#;
        for (group, fields, is_accepted) in [
            ("Admin", privileged, true),
            ("Developer", "", true),
            ("Admin", "", false),
            ("Support", r#", "role_arn": "arn:x""#, false),
        ] {
            assert_eq!(read_rules(group, fields).is_ok(), is_accepted, "{group}{fields}");
        }
        let expected = "GROUP_RULES: rule 1 for group `Admin` gives one of ADMIN_GROUPS, whose members read the data \
                        of every user. Set `privileged` to true, and `role_arn` to the group's IAM role, or to null \
                        if it has none";
        assert_eq!(read_rules("Admin", ""), Err(expected.to_owned()));
    }

    /// Whether the condition of a rule with these fields is met by an attribute.
    fn matches(fields: &str, attribute: &str) -> bool {
        let json = format!(r#"[{{"attribute": "custom:groups", "group": "g", {fields}}}]"#);
        let Condition::Attribute(condition) = read_rules(&json).unwrap().remove(0).condition else {
            panic!("{fields}")
        };
        condition.is_met_by(attribute)
    }

    #[test]
    fn rule_matches_the_values_that_cognito_stores() {
        for (fields, attribute, expected) in [
            (r#""contains": "Domain Admins""#, "[Domain+Admins, Domain+Users]", true),
            (r#""contains": "Domain Admins""#, "Domain Admins", true),
            (r#""contains": "Domain Admins""#, "[Domain%2BAdmins, x]", false),
            (r#""contains": "team:sre""#, "[team%3Aplatform, team%3Asre]", true),
            // One value that has a comma is not a list.
            (r#""contains": "Domain Admins""#, "Sales,Domain Admins", false),
            (r#""contains": "Domain Admins""#, "[Sales%2CDomain+Admins, x]", false),
            (r#""contains": "Sales,Domain Admins""#, "Sales,Domain Admins", true),
            (r#""contains": "editor""#, r#"["admin", "editor"]"#, true),
            (r#""contains": "editor""#, r#"["admin, editor"]"#, false),
            (r#""contains": "100""#, "[100, 200]", true),
            // White space belongs to a value.
            (r#""contains": "admin""#, " admin", false),
            (r#""contains": "admin""#, "[+admin, user]", false),
            // Broken lists match nothing.
            (r#""contains": "admin""#, "[admin, user", false),
            (r#""contains": "admin""#, "[x, [admin, y]]", false),
            (r#""contains": "admin""#, "[%61dmin%, user]", false),
            (r#""contains": "100%""#, "[100%, user]", false),
            (r#""contains": "100%""#, "[100%25, user]", true),
            (r#""contains": "100%""#, "100%", true),
            // A separator has to be asked for.
            (r#""contains": "blue""#, "red,blue", false),
            (r#""contains": "blue", "separator": ",""#, "red,blue", true),
            (r#""contains": "blue", "separator": ",""#, "red, blue", true),
            (r#""contains": "blue", "separator": ",""#, "red;blue", false),
            (r#""contains": "blue", "separator": " ""#, "red blue", true),
            (r#""contains": "blue", "separator": ",""#, "[red, blue]", true),
            (r#""contains": "blue", "separator": ",""#, "[red%2Cblue, x]", false),
            // `equals` and `one_of` need exactly one value.
            (r#""equals": "Engineering""#, "Engineering", true),
            (r#""equals": "Engineering""#, "[Engineering]", true),
            (r#""equals": "Engineering""#, "[Engineering, Sales]", false),
            (r#""equals": "Engineering""#, "[Engineering, %zz]", false),
            (r#""equals": "R&D""#, "[R%26D]", true),
            (r#""equals": "R%26D""#, "R%26D", true),
            (r#""one_of": ["Sales", "Marketing"]"#, "Marketing", true),
            (r#""one_of": ["Sales", "Marketing"]"#, "[Sales, Marketing]", false),
            // Case counts unless the rule says otherwise.
            (r#""equals": "engineering""#, "Engineering", false),
            (r#""equals": "engineering", "ignore_case": true"#, "Engineering", true),
            (r#""equals": "ENGINEERING", "ignore_case": true"#, "engineering", true),
            (r#""equals": "engineering", "ignore_case": false"#, "Engineering", false),
            (r#""contains": "köln", "ignore_case": true"#, "[K%C3%96LN, Bonn]", true),
            (r#""contains": "Blue", "ignore_case": true, "separator": ",""#, "RED,BLUE", true),
            (r#""one_of": ["a", "B"], "ignore_case": true"#, "b", true),
            (r#""equals": "straße", "ignore_case": true"#, "STRASSE", false),
            (r#""equals": "engineering", "ignore_case": true"#, "Engineering2", false),
        ] {
            assert_eq!(matches(fields, attribute), expected, "{fields} and {attribute}");
        }
    }

    #[test]
    fn always_needs_no_attribute() {
        let rules = read_rules(r#"[{"always": true, "group": "Members"}]"#).unwrap();
        assert_eq!(rules[0].condition, Condition::Always);
        let rules = read_rules(r#"[{"always": true, "group": "Staff", "provider": "Corporate"}]"#).unwrap();
        assert_eq!(rules[0].provider.as_deref(), Some("Corporate"));
    }

    #[test]
    fn rules_manage_the_groups_that_they_name() {
        let rules: Vec<String> = (0..400)
            .map(|n| format!(r#"{{"attribute": "custom:groups", "contains": "g{n}", "group": "Group{n}"}}"#))
            .chain([r#"{"always": true, "group": "Group7"}"#.to_owned()])
            .collect();
        let rules = read_rules(&format!("[{}]", rules.join(","))).unwrap();
        assert_eq!(managed_groups(&rules).len(), 400);
    }

    #[test]
    fn invalid_rule_stops_startup() {
        for (json, reason) in [
            ("{}", "invalid type"),
            (r#"[{"attribute": "a", "group": "g"}]"#, "exactly one of"),
            (r#"[{"attribute": "a", "equals": "x", "contains": "y", "group": "g"}]"#, "exactly one of"),
            (r#"[{"always": false, "group": "g"}]"#, "exactly one of"),
            (
                r#"[{"attribute": "a", "equals": "x", "group": "g", "grup": "g"}]"#,
                "at rule 1, grup: unknown field",
            ),
            (
                r#"[{"always": true, "group": "g"}, {"always": true, "group": 7}]"#,
                "at rule 2, group: invalid type",
            ),
            (
                r#"[{"always": true, "group": "g"}, {"attribute": "a", "one_of": ["x", 7], "group": "g"}]"#,
                "at rule 2, one_of, item 2: invalid type",
            ),
            (
                r#"[{"attribute": "a", "contains": "x", "group": "g", "separator": ", "}]"#,
                "at rule 1, separator",
            ),
            (r#"[["custom:department", "Engineering", null, null, null, "Admins"]]"#, "expected an object"),
            (r#"[] trailing"#, "trailing"),
            (r#"[{"attribute": "a", "equals": "x", "group": "Two words"}]"#, "has an invalid `group`"),
            (r#"[{"attribute": "a", "equals": "x", "group": ""}]"#, "has an invalid `group`"),
            (
                r#"[{"attribute": "", "equals": "x", "group": "g"}]"#,
                "rule 1 for group `g` names no attribute",
            ),
            (r#"[{"equals": "x", "group": "g"}]"#, "rule 1 for group `g` names no attribute"),
            (r#"[{"attribute": "a", "equals": "x", "group": "g", "role_arn": "admin"}]"#, "is not an ARN"),
            // `always` and a condition.
            (r#"[{"always": true, "attribute": "a", "group": "g"}]"#, "has `always` and a field"),
            (r#"[{"always": true, "equals": "x", "group": "g"}]"#, "has `always` and a field"),
            (r#"[{"always": true, "ignore_case": true, "group": "g"}]"#, "has `always` and a field"),
            (r#"[{"always": true, "separator": ",", "group": "g"}]"#, "has `always` and a field"),
        ] {
            let error = read_rules(json).unwrap_err().to_string();
            assert!(error.starts_with("GROUP_RULES: ") && error.contains(reason), "{error}");
        }
    }

    #[test]
    fn rule_that_can_never_match_stops_startup_with_its_number() {
        let long = "x".repeat(2_049);
        for (fields, reason) in [
            (r#""attribute": "a", "equals": """#, "names no value"),
            (r#""attribute": "a", "contains": """#, "names no value"),
            (r#""attribute": "a", "contains": " ""#, "names no value"),
            (r#""attribute": "a", "one_of": []"#, "names no value"),
            (r#""attribute": "a", "one_of": ["x", ""]"#, "names no value"),
            (r#""attribute": "a", "equals": " x""#, "white space"),
            (r#""attribute": "a", "contains": "x\n""#, "white space"),
            (r#""attribute": "a", "equals": "[x, y]""#, "is read as a list"),
            (r#""attribute": "a", "equals": "[x]""#, "is read as a list"),
            (r#""attribute": "a", "contains": "[\"x\"]""#, "is read as a list"),
            (r#""attribute": "a", "one_of": ["x", "[]"]"#, "is read as a list"),
            (r#""attribute": "a", "contains": "x,y", "separator": ",""#, "contains the separator `,`"),
            (r#""attribute": "a", "equals": "x", "separator": ",""#, "only `contains` uses"),
            (r#""attribute": "a", "one_of": ["x"], "separator": ",""#, "only `contains` uses"),
            (r#""attribute": "custom: a", "equals": "x""#, "is not the name of an attribute"),
            (r#""attribute": "identities", "contains": "Google""#, "Use `provider`"),
            (r#""attribute": "a", "equals": "x", "provider": """#, "is not the name of an identity provider"),
            (r#""always": true, "provider": "My IdP""#, "is not the name of an identity provider"),
            (&format!(r#""attribute": "a", "equals": "{long}""#), "more than 2048 characters"),
        ] {
            let json = format!(r#"[{{"always": true, "group": "f"}}, {{"group": "g", {fields}}}]"#);
            let error = read_rules(&json).unwrap_err().to_string();
            let start = "GROUP_RULES: rule 2 for group `g` ";
            assert!(error.starts_with(start) && error.contains(reason), "{fields}: {error}");
        }
    }

    #[test]
    fn privileged_group_or_role_needs_a_trusted_attribute_and_no_separator() {
        let rule = |fields: &str| {
            format!(r#"{{"attribute": "custom:roles", "contains": "x", "group": "Admin", {fields}}}"#)
        };
        let privileged = rule(r#""privileged": true, "role_arn": "arn:x""#);
        assert!(read_rules(&format!("[{privileged}]")).is_ok());
        for (other, number, reason) in [
            (rule(r#""privileged": true"#), 1, "is privileged and has no `role_arn`"),
            (rule(r#""separator": ",""#), 1, "has a `separator`"),
            (
                rule(r#""separator": ",", "role_arn": "arn:x""#).replace("Admin", "other"),
                1,
                "has a `separator`",
            ),
            (
                r#"{"attribute": "a", "equals": "x", "group": "g", "privileged": true, "role_arn": null}"#
                    .into(),
                1,
                "`a` is not in TRUSTED_ATTRIBUTES",
            ),
            (r#"{"attribute": "a", "equals": "x", "group": "Admin"}"#.into(), 1, "not in TRUSTED_ATTRIBUTES"),
            (r#"{"attribute": "a", "equals": "x", "group": "admin"}"#.into(), 1, "not in TRUSTED_ATTRIBUTES"),
            (
                r#"{"attribute": "a", "equals": "x", "group": "other", "role_arn": "arn:x"}"#.into(),
                1,
                "not in TRUSTED_ATTRIBUTES",
            ),
            (r#"{"always": true, "group": "Admin"}"#.into(), 1, "to every user"),
            (
                r#"{"always": true, "group": "g", "privileged": true, "role_arn": null}"#.into(),
                1,
                "to every user",
            ),
            (r#"{"always": true, "group": "g", "role_arn": "arn:x"}"#.into(), 1, "to every user"),
        ] {
            for (json, number) in [
                (format!("[{other}, {privileged}]"), number),
                (format!("[{privileged}, {other}]"), number + 1),
            ] {
                let error = read_rules(&json).unwrap_err().to_string();
                let start = format!("GROUP_RULES: rule {number} for group ");
                assert!(error.starts_with(&start) && error.contains(reason), "{json}: {error}");
            }
        }
    }
}
