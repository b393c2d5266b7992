//! Items and attribute values of DynamoDB.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

/// An item as the SDK represents it.
pub type Item = HashMap<String, AttributeValue>;

pub(super) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(super) fn string(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// An update expression with its names and values, built attribute by attribute.
///
/// Every name is replaced by a placeholder, because DynamoDB reserves hundreds of words.
#[derive(Default)]
pub(super) struct UpdateExpression {
    set: Vec<String>,
    remove: Vec<String>,
    pub(super) names: HashMap<String, String>,
    pub(super) values: Item,
}

impl UpdateExpression {
    fn placeholders(&mut self, name: &str, value: AttributeValue) -> (String, String) {
        let (key, placeholder) = (format!("#{name}"), format!(":{name}"));
        self.names.insert(key.clone(), name.to_owned());
        self.values.insert(placeholder.clone(), value);
        (key, placeholder)
    }

    pub(super) fn set(&mut self, name: &str, value: AttributeValue) {
        let (key, placeholder) = self.placeholders(name, value);
        self.set.push(format!("{key} = {placeholder}"));
    }

    /// Sets `name` if the item does not have it.
    pub(super) fn set_if_missing(&mut self, name: &str, value: AttributeValue) {
        let (key, placeholder) = self.placeholders(name, value);
        self.set.push(format!("{key} = if_not_exists({key}, {placeholder})"));
    }

    pub(super) fn remove(&mut self, name: &str) {
        let key = format!("#{name}");
        self.names.insert(key.clone(), name.to_owned());
        self.remove.push(key);
    }

    /// The condition that the item still has the version that was read. 0 means that it had none.
    /// Requires that the attribute `version` is set.
    pub(super) fn has_version(&mut self, read_version: u64) -> &'static str {
        if read_version == 0 {
            return "attribute_not_exists(#version)";
        }
        self.values.insert(":readVersion".to_owned(), number(read_version));
        "#version = :readVersion"
    }

    pub(super) fn expression(&self) -> String {
        let clauses = [("SET", &self.set), ("REMOVE", &self.remove)].into_iter();
        let clauses = clauses.filter(|(_, actions)| !actions.is_empty());
        clauses
            .map(|(clause, actions)| format!("{clause} {}", actions.join(", ")))
            .collect::<Vec<_>>()
            .join(" ")
    }
}
