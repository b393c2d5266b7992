//! Which rules match a user. Pure.

use std::borrow::Cow;

use serde_json::Value;

use super::rule::{Condition, Rule};

/// The rules that match a user, in their order. `attribute` returns the value of an attribute of the
/// user.
pub fn matching_rules<'r, 'u>(
    rules: &'r [Rule],
    attribute: impl Fn(&str) -> Option<Cow<'u, str>>,
) -> Vec<&'r Rule> {
    let providers = linked_providers(&attribute);
    rules.iter().filter(|rule| matches(rule, &attribute, &providers)).collect()
}

fn matches<'u>(rule: &Rule, attribute: &impl Fn(&str) -> Option<Cow<'u, str>>, providers: &[String]) -> bool {
    if rule.provider.as_ref().is_some_and(|provider| !providers.contains(provider)) {
        return false;
    }
    match &rule.condition {
        Condition::Always => true,
        Condition::Attribute(condition) => {
            is_verified(&condition.attribute, attribute)
                && attribute(&condition.attribute).is_some_and(|value| condition.is_met_by(&value))
        }
    }
}

/// Any user can enter someone else's email address or phone number, so these count only if verified.
fn is_verified<'u>(name: &str, attribute: &impl Fn(&str) -> Option<Cow<'u, str>>) -> bool {
    match name {
        "email" | "phone_number" => {
            attribute(&format!("{name}_verified")).is_some_and(|value| value == "true")
        }
        _ => true,
    }
}

/// The identity providers that the user is linked to. The attribute `identities` is a string with a
/// JSON list.
fn linked_providers<'u>(attribute: &impl Fn(&str) -> Option<Cow<'u, str>>) -> Vec<String> {
    let identities = attribute("identities").and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let Some(Value::Array(identities)) = identities else { return Vec::new() };
    let name = |identity: &Value| identity.get("providerName")?.as_str().map(str::to_owned);
    identities.iter().filter_map(name).collect()
}
