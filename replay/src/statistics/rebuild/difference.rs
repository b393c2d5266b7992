//! Compares stored statistics with rebuilt ones, figure by figure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use shared::events::Money;

/// A figure whose stored value and rebuilt value differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Difference {
    /// Name of the attribute. If the attribute is a map, followed by a dot and the key:
    /// `spent.EUR`.
    pub name: String,
    /// The stored value.
    pub stored: Option<Value>,
    /// The value that the stored events give.
    pub rebuilt: Option<Value>,
}

/// The figures that differ, for the attributes with the given names and in their order. A missing
/// counter equals 0, and a missing map or list equals an empty one.
pub fn differences(stored: &Value, rebuilt: &Value, names: &[&str]) -> Vec<Difference> {
    let mut differences = Vec::new();
    for name in names {
        let (stored, rebuilt) = (figures(stored, name), figures(rebuilt, name));
        let names: BTreeSet<&String> = stored.keys().chain(rebuilt.keys()).collect();
        let differing = names.into_iter().filter(|name| stored.get(*name) != rebuilt.get(*name));
        differences.extend(differing.map(|name| Difference {
            name: name.clone(),
            stored: stored.get(name).cloned(),
            rebuilt: rebuilt.get(name).cloned(),
        }));
    }
    differences
}

/// The figures of an attribute: one for each key of a map, otherwise one. None for a value that
/// equals a missing one.
fn figures(attributes: &Value, name: &str) -> BTreeMap<String, Value> {
    match attributes.get(name) {
        Some(Value::Object(fields)) => {
            let fields = fields.iter().filter(|(_, value)| **value != 0);
            fields.map(|(key, value)| (format!("{name}.{key}"), value.clone())).collect()
        }
        Some(Value::Array(list)) if list.is_empty() => BTreeMap::new(),
        Some(value) if value.is_null() || (*value == 0 && !is_time(name)) => BTreeMap::new(),
        Some(value) => BTreeMap::from([(name.to_owned(), value.clone())]),
        None => BTreeMap::new(),
    }
}

/// True if a figure is a time, in milliseconds.
pub fn is_time(name: &str) -> bool {
    name.ends_with("At") && !name.contains('.')
}

impl Difference {
    /// Whether the figure would fall: a counter or a sum gets smaller, a last time gets earlier, a
    /// first time gets later, or a time disappears. A stored value that is not a figure cannot
    /// fall.
    ///
    /// Events expire after EVENT_RETENTION_DAYS, and the table does not record which ones expired.
    /// An expired event and an event that never existed (the counter was raised by hand or by a
    /// bug) leave the same figures, so the operator has to decide. An expired event always shows in
    /// a figure that falls: it raised a counter, or it was the user's first activity, so that the
    /// first time gets later.
    pub fn falls(&self) -> bool {
        if is_time(&self.name) { self.time_falls() } else { self.sum_falls() }
    }

    fn time_falls(&self) -> bool {
        let integer = |value: &Option<Value>| value.as_ref().and_then(Value::as_i64);
        match (integer(&self.stored), integer(&self.rebuilt)) {
            (Some(stored), Some(rebuilt)) if self.name.starts_with("last") => rebuilt < stored,
            (Some(stored), Some(rebuilt)) => rebuilt > stored,
            (stored, None) => stored.is_some() || self.is_stored_number(),
            (None, Some(_)) => self.is_stored_number(),
        }
    }

    fn sum_falls(&self) -> bool {
        match (sum(self.stored.as_ref()), sum(self.rebuilt.as_ref())) {
            (Some(stored), Some(rebuilt)) => rebuilt < stored,
            _ => self.is_stored_number(),
        }
    }

    /// A stored number that cannot be compared counts as one that falls.
    fn is_stored_number(&self) -> bool {
        matches!(self.stored, Some(Value::Number(_)))
    }
}

/// A counter or a decimal as a sum. A missing value is 0. `None` if the value is neither.
fn sum(value: Option<&Value>) -> Option<Money> {
    match value {
        None => Some(Money::default()),
        Some(Value::Number(number)) => Money::parse(&number.to_string()),
        Some(Value::String(decimal)) => Money::parse(decimal),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn falling(differences: &[Difference]) -> Vec<&str> {
        differences.iter().filter(|found| found.falls()).map(|found| found.name.as_str()).collect()
    }

    #[test]
    fn figure_falls_if_it_counts_less_than_before() {
        for (name, stored, rebuilt, expected) in [
            ("orders", json!(3), json!(2), &["orders"][..]),
            ("orders", json!(3), Value::Null, &["orders"]),
            ("orders", json!(2), json!(3), &[]),
            ("orders", Value::Null, json!(3), &[]),
            ("orders", json!("many"), json!(3), &[]),
            ("unreadNotifications", json!(1), json!(-1), &["unreadNotifications"]),
            ("unreadNotifications", Value::Null, json!(-1), &["unreadNotifications"]),
            ("unreadNotifications", json!(-2), json!(-1), &[]),
            ("unreadNotifications", json!(-2), json!(0), &[]),
            ("messages", json!({"sign_up": 2, "x": 1}), json!({"sign_up": 1, "x": 1}), &["messages.sign_up"]),
            ("messages", json!({"sign_up": 2}), Value::Null, &["messages.sign_up"]),
            ("messages", json!({"sign_up": 2}), json!({"sign_up": 2, "x": 1}), &[]),
            ("spent", json!({"EUR": "10.00"}), json!({"EUR": "9.90"}), &["spent.EUR"]),
            ("spent", json!({"EUR": "9.90"}), json!({"EUR": "10.00"}), &[]),
            ("spent", json!({"EUR": "9.9"}), json!({"EUR": "9.90"}), &[]),
            ("spent", json!({"EUR": "1"}), json!({"USD": "1.00"}), &["spent.EUR"]),
            ("spent", json!({"EUR": "-1.00"}), Value::Null, &[]),
            ("spent", json!({"EUR": "nothing"}), json!({"EUR": "1.00"}), &[]),
            ("firstSeenAt", json!(1_000), json!(2_000), &["firstSeenAt"]),
            ("firstSeenAt", json!(2_000), json!(1_000), &[]),
            ("firstSeenAt", Value::Null, json!(1_000), &[]),
            ("confirmedAt", json!(1_000), Value::Null, &["confirmedAt"]),
            ("confirmedAt", json!("soon"), Value::Null, &[]),
            ("lastSeenAt", json!(2_000), json!(1_000), &["lastSeenAt"]),
            ("lastSeenAt", json!(2_000), Value::Null, &["lastSeenAt"]),
            ("lastSeenAt", json!(1_000), json!(2_000), &[]),
            ("recent", json!([{"at": 1}]), Value::Null, &[]),
        ] {
            let found = differences(&json!({name: stored}), &json!({name: rebuilt}), &[name]);
            assert!(!found.is_empty(), "{name}");
            assert_eq!(falling(&found), expected, "{found:?}");
        }
    }

    #[test]
    fn missing_value_equals_zero_or_empty() {
        let names = ["orders", "messages", "spent", "recent", "lastSeenAt"];
        let zeros = json!({"orders": 0, "messages": {"x": 0}, "spent": {}, "recent": []});
        let others = json!({"lastChangedAt": 7, "ordersOfNewRelease": 3});
        for (stored, rebuilt) in [(&Value::Null, &zeros), (&zeros, &json!({})), (&others, &json!({}))] {
            assert_eq!(differences(stored, rebuilt, &names).len(), 0, "{stored}");
        }
        let in_1970 = differences(&json!({"lastSeenAt": 0}), &json!({}), &names);
        assert_eq!(falling(&in_1970), ["lastSeenAt"], "a time of 0 is a time");
    }
}
