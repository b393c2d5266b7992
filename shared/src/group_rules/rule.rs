//! One rule of GROUP_RULES: its fields, its checks and its condition. Pure.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

use super::values::{Values, is_list};
use crate::config::quotable;

/// Cognito: maximum length of an attribute, in characters.
const MAX_VALUE_CHARS: usize = 2_048;
/// Cognito: maximum length of a group name, in characters.
const MAX_GROUP_CHARS: usize = 128;

/// A rule as GROUP_RULES states it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleFields {
    #[serde(default)]
    attribute: Option<String>,
    #[serde(default)]
    equals: Option<String>,
    #[serde(default)]
    one_of: Option<Vec<String>>,
    #[serde(default)]
    contains: Option<String>,
    /// Splits an attribute that is not a list, for `contains`.
    #[serde(default)]
    separator: Option<char>,
    #[serde(default)]
    ignore_case: bool,
    /// The rule applies to every user.
    #[serde(default)]
    always: bool,
    #[serde(default)]
    provider: Option<String>,
    pub(super) group: String,
    /// `Some(None)` is an explicit null, for a group without a role.
    #[serde(default, deserialize_with = "some_if_present")]
    role_arn: Option<Option<String>>,
    #[serde(default)]
    precedence: Option<u32>,
    #[serde(default)]
    privileged: bool,
}

/// A valid rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub condition: Condition,
    /// Restricts the rule to users who are linked to this identity provider.
    pub provider: Option<String>,
    /// The group of the users that match.
    pub group: String,
    /// The IAM role of the group. Cognito does not send which role belongs to which group, so a
    /// role that no rule names stays when its group is removed. A privileged rule therefore has to
    /// state it, with null for a group without a role.
    pub role: Option<String>,
    /// Among the matching rules with a role, the role with the lowest precedence becomes the
    /// preferred role.
    pub precedence: Option<u32>,
    /// The group grants elevated rights.
    pub privileged: bool,
}

/// Which users a rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Every user.
    Always,
    Attribute(AttributeCondition),
}

/// A condition on the values of one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeCondition {
    /// The user attribute, such as `custom:department`.
    pub attribute: String,
    expected: Expected,
    ignore_case: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expected {
    /// The attribute has exactly one value, and it is one of these.
    OneOf(Vec<String>),
    /// One of the attribute's values is this. A separator splits an attribute that is not a list.
    Contains { value: String, separator: Option<char> },
}

/// Why a rule is invalid. The error text follows "rule 2 for group `Admins`".
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidRule {
    #[error("needs exactly one of `equals`, `one_of`, `contains` and `always`")]
    ConditionCount,
    #[error(
        "has `always` and a field of a condition on an attribute. Remove `always`, or the fields `attribute`, \
         `separator` and `ignore_case`"
    )]
    AlwaysWithAttribute,
    #[error("has an invalid `group`. Use 1 to 128 characters without white space")]
    GroupName,
    #[error("names no attribute. Set `attribute`")]
    NoAttribute,
    #[error("can never match: `{0}` is not the name of an attribute. Remove the white space")]
    AttributeName(String),
    #[error("can never match, because `identities` is a list of objects. Use `provider` instead")]
    Identities,
    #[error("can never match: `{0}` is not the name of an identity provider. Correct or remove `provider`")]
    ProviderName(String),
    #[error("can never match, because it names no value. Set a value in `equals`, `one_of` or `contains`")]
    NoValue,
    #[error("can never match: the value `{0}` begins or ends with white space. Remove the white space")]
    WhiteSpace(String),
    #[error("can never match: `{0}` is read as a list, not as a value. Name one value, in `contains`")]
    List(String),
    #[error("can never match: a value has more than {MAX_VALUE_CHARS} characters. Use a shorter one")]
    TooLong,
    #[error("has a `separator`, which only `contains` uses. Remove it")]
    UnusedSeparator,
    #[error("can never match: the value `{value}` contains the separator `{separator}`. Name one value")]
    SeparatorInValue { value: String, separator: char },
    #[error("is privileged and has no `role_arn`. Set it to the group's IAM role, or to null if it has none")]
    NoRole,
    #[error(
        "gives one of ADMIN_GROUPS, whose members read the data of every user. Set `privileged` to true, and \
         `role_arn` to the group's IAM role, or to null if it has none"
    )]
    AdminGroup,
    #[error("has a `role_arn` that is not an ARN. Use an ARN such as arn:aws:iam::123456789012:role/name")]
    RoleArn,
    #[error(
        "gives a privileged group or role, but `{0}` is not in TRUSTED_ATTRIBUTES. Add it there if users \
         cannot write it (see SECURITY.md)"
    )]
    UntrustedAttribute(String),
    #[error(
        "gives a privileged group or role, and has a `separator`. A single value with the name `x, Admins` \
         would then grant rights: remove `separator`, and store a list"
    )]
    PrivilegedSeparator,
    #[error(
        "gives a privileged group or role to every user. Replace `always` by a condition on an attribute"
    )]
    PrivilegedAlways,
}

/// Distinguishes null (`Some(None)`) from a missing field (`None`, serde's default).
fn some_if_present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// The form in which values are compared if a rule ignores case: Unicode's lower case, without the
/// rules of a language. `ß` and `ss` stay different.
fn fold_case(value: &str) -> Cow<'_, str> {
    if value.chars().any(|c| !c.is_ascii() || c.is_ascii_uppercase()) {
        Cow::Owned(value.to_lowercase())
    } else {
        Cow::Borrowed(value)
    }
}

impl RuleFields {
    /// Checks the rule, except for what depends on other rules and on TRUSTED_ATTRIBUTES.
    pub(super) fn check(self) -> Result<Rule, InvalidRule> {
        let condition = self.condition()?;
        let is_group = (1..=MAX_GROUP_CHARS).contains(&self.group.chars().count())
            && !self.group.contains(|c: char| c.is_whitespace() || c.is_control());
        if !is_group {
            return Err(InvalidRule::GroupName);
        }
        if let Some(provider) = &self.provider
            && (provider.is_empty() || provider.contains(char::is_whitespace))
        {
            return Err(InvalidRule::ProviderName(provider.clone()));
        }
        if self.privileged && self.role_arn.is_none() {
            return Err(InvalidRule::NoRole);
        }
        let role = self.role_arn.flatten();
        if role.as_ref().is_some_and(|role| !role.starts_with("arn:")) {
            return Err(InvalidRule::RoleArn);
        }
        let Self { provider, group, precedence, privileged, .. } = self;
        Ok(Rule { condition, provider, group, role, precedence, privileged })
    }

    fn condition(&self) -> Result<Condition, InvalidRule> {
        let Self { equals, one_of, contains, separator, ignore_case, always, .. } = self;
        let conditions = [equals.is_some(), one_of.is_some(), contains.is_some()];
        let count = conditions.iter().filter(|condition| **condition).count();
        if *always {
            let has_attribute = self.attribute.is_some() || separator.is_some() || *ignore_case || count > 0;
            return if has_attribute { Err(InvalidRule::AlwaysWithAttribute) } else { Ok(Condition::Always) };
        }
        if count != 1 {
            return Err(InvalidRule::ConditionCount);
        }
        let Some(attribute) = self.attribute.clone().filter(|name| !name.is_empty()) else {
            return Err(InvalidRule::NoAttribute);
        };
        if attribute.contains(char::is_whitespace) {
            return Err(InvalidRule::AttributeName(attribute));
        }
        if attribute == "identities" {
            return Err(InvalidRule::Identities);
        }
        let values: Vec<&String> = equals.iter().chain(contains).chain(one_of.iter().flatten()).collect();
        if values.is_empty() {
            return Err(InvalidRule::NoValue);
        }
        for value in values {
            check_value(value)?;
        }
        let folded =
            |value: &String| if *ignore_case { fold_case(value).into_owned() } else { value.clone() };
        let expected = match contains {
            Some(value) => {
                if let Some(separator) = separator.filter(|separator| value.contains(*separator)) {
                    return Err(InvalidRule::SeparatorInValue {
                        value: quotable(value).to_owned(),
                        separator,
                    });
                }
                Expected::Contains { value: folded(value), separator: *separator }
            }
            None if separator.is_some() => return Err(InvalidRule::UnusedSeparator),
            None => Expected::OneOf(equals.iter().chain(one_of.iter().flatten()).map(folded).collect()),
        };
        Ok(Condition::Attribute(AttributeCondition { attribute, expected, ignore_case: *ignore_case }))
    }
}

/// Refuses a value that no attribute can have.
fn check_value(value: &str) -> Result<(), InvalidRule> {
    if value.trim().is_empty() {
        Err(InvalidRule::NoValue)
    } else if value.trim() != value {
        Err(InvalidRule::WhiteSpace(quotable(value).to_owned()))
    } else if is_list(value) {
        Err(InvalidRule::List(quotable(value).to_owned()))
    } else if value.chars().count() > MAX_VALUE_CHARS {
        Err(InvalidRule::TooLong)
    } else {
        Ok(())
    }
}

impl Rule {
    /// Checks what TRUSTED_ATTRIBUTES demands of a rule that gives a privileged group or role.
    pub(super) fn check_privileged(&self, is_trusted: impl Fn(&String) -> bool) -> Result<(), InvalidRule> {
        let condition = match &self.condition {
            Condition::Always => return Err(InvalidRule::PrivilegedAlways),
            Condition::Attribute(condition) => condition,
        };
        if matches!(condition.expected, Expected::Contains { separator: Some(_), .. }) {
            return Err(InvalidRule::PrivilegedSeparator);
        }
        if !is_trusted(&condition.attribute) {
            return Err(InvalidRule::UntrustedAttribute(condition.attribute.clone()));
        }
        Ok(())
    }

    /// Whether the other rule gives the same group or the same role.
    pub(super) fn shares_group_or_role(&self, other: &Self) -> bool {
        self.group.to_lowercase() == other.group.to_lowercase()
            || self.role.is_some() && self.role == other.role
    }
}

impl AttributeCondition {
    /// Whether an attribute with this text matches.
    pub fn is_met_by(&self, attribute: &str) -> bool {
        let is = |expected: &str, value: &str| {
            if self.ignore_case { fold_case(value) == expected } else { value == expected }
        };
        match &self.expected {
            Expected::OneOf(expected) => {
                Values::parse(attribute).is_one(|value| expected.iter().any(|one| is(one, value)))
            }
            Expected::Contains { value: expected, separator } => {
                let values = match separator {
                    Some(separator) => Values::split(attribute, *separator),
                    None => Values::parse(attribute),
                };
                values.any(|value| is(expected, value))
            }
        }
    }
}
