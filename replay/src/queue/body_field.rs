//! Reads single fields of a message body, as tolerantly as the workers read it. Pure.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields of a JSON object in their order. A name that a string of Rust cannot hold, because it has
/// half of a surrogate pair, is left out with its value.
pub struct Fields<'a>(pub Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let RawFields(fields) = RawFields::deserialize(deserializer)?;
        let fields = fields.into_iter();
        Ok(Self(
            fields
                .filter_map(|(name, value)| Some((serde_json::from_str(name.get()).ok()?, value)))
                .collect(),
        ))
    }
}

/// All fields of a JSON object in their order, with their names as they are written.
pub struct RawFields<'a>(pub Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for RawFields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = RawFields<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry::<&RawValue, &RawValue>()? {
                    fields.push(field);
                }
                Ok(RawFields(fields))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// A place in a JSON document: names of fields and positions in lists (from 0), joined by dots. A dot in
/// a name is written as `\.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Vec<String>);

impl Path {
    /// `None` if a part is empty.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = vec![String::new()];
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '.' => parts.push(String::new()),
                c => {
                    let is_escape = c == '\\' && chars.peek() == Some(&'.');
                    let c = if is_escape { chars.next().unwrap_or(c) } else { c };
                    parts.last_mut()?.push(c);
                }
            }
        }
        parts.iter().all(|part| !part.is_empty()).then_some(Self(parts))
    }

    /// The value at this place. If an object has a field twice, the last one counts.
    pub fn find<'a>(&self, json: &'a str) -> Option<&'a RawValue> {
        let mut value = serde_json::from_str::<&RawValue>(json).ok()?;
        for part in &self.0 {
            value = match value.get().as_bytes().first()? {
                b'{' => {
                    let Fields(fields) = serde_json::from_str(value.get()).ok()?;
                    fields.into_iter().rev().find(|(name, _)| name == part)?.1
                }
                b'[' => {
                    let values: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
                    *values.get(part.parse::<usize>().ok()?)?
                }
                _ => return None,
            };
        }
        Some(value)
    }
}

/// True if a JSON value is this text: a string of these characters, or a number, `true`, `false` or
/// `null`. Numbers are compared by their value, so that 42 equals 42.0.
pub fn is_text(value: &RawValue, text: &str) -> bool {
    match value.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(value.get()).is_ok_and(|value| value == text),
        Some(b'{' | b'[') => false,
        _ => value.get() == text || are_equal_numbers(value.get(), text),
    }
}

fn are_equal_numbers(a: &str, b: &str) -> bool {
    // Above 2^53, different integers have the same floating-point number.
    let exact = |text: &str| {
        text.parse::<f64>().ok().filter(|number| number.abs() < 9_007_199_254_740_992.0 && !number.is_nan())
    };
    matches!((exact(a), exact(b)), (Some(a), Some(b)) if a.total_cmp(&b).is_eq())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"type": "order.placed", "a.b": 1, "x\ud83d": 2, "note": "\ud83d", "data": {"order_id": 42,
        "big": 9007199254740993, "lines": [{"sku": "A-1"}, {"sku": "B-2"}], "paid": true, "gift": null, "twice": 1, "twice": 2}}"#;

    #[test]
    fn field_is_found_by_its_path() {
        for (path, text, expected) in [
            ("type", "order.placed", true),
            ("type", "order", false),
            ("data.order_id", "42", true),
            ("data.order_id", "42.0", true),
            ("data.order_id", "042", true),
            ("data.order_id", "43", false),
            ("data.big", "9007199254740993", true),
            ("data.big", "9007199254740992", false),
            ("data.lines.1.sku", "B-2", true),
            ("data.lines.2.sku", "B-2", false),
            ("data.lines.sku", "B-2", false),
            ("data.paid", "true", true),
            ("data.gift", "null", true),
            ("data.twice", "2", true),
            ("data.twice", "1", false),
            ("data", "{}", false),
            (r"a\.b", "1", true),
            ("a.b", "1", false),
            ("note", "\u{fffd}", false),
        ] {
            let value = Path::parse(path).unwrap().find(BODY);
            assert_eq!(value.is_some_and(|value| is_text(value, text)), expected, "{path}={text}");
        }
        for (path, expected) in [("data.gift", true), ("note", true), ("data.none", false), ("type.x", false)]
        {
            assert_eq!(Path::parse(path).unwrap().find(BODY).is_some(), expected, "{path}");
        }
        for path in ["", ".", "a.", ".a", "a..b"] {
            assert_eq!(Path::parse(path), None, "{path}");
        }
        let path = Path::parse("type").unwrap();
        assert!(["", "{", "[1]", "\"type\"", "7"].iter().all(|body| path.find(body).is_none()));
    }
}
