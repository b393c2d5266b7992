//! The write units of a request to DynamoDB. Pure.
//!
//! DynamoDB charges one unit per started kilobyte of an item, and twice as much in a transaction. An update request does
//! not contain the size of the item. The size of the attributes that the request names is used instead.

use serde_json::Value;

/// Bytes that one write unit covers.
const UNIT_BYTES: usize = 1024;

/// 0 for operations that do not write.
pub fn write_units(operation: &str, request: &Value) -> u64 {
    match operation {
        "PutItem" | "UpdateItem" | "DeleteItem" => units(bytes_written(request)),
        "BatchWriteItem" => {
            let tables = request["RequestItems"].as_object().into_iter().flat_map(|tables| tables.values());
            let writes = tables.filter_map(Value::as_array).flatten().filter_map(only_value);
            writes.map(|write| units(bytes_written(write))).sum()
        }
        "TransactWriteItems" => {
            let writes = request["TransactItems"].as_array().into_iter().flatten().filter_map(only_value);
            writes.map(|write| 2 * units(bytes_written(write))).sum()
        }
        _ => 0,
    }
}

fn units(bytes: usize) -> u64 {
    bytes.div_ceil(UNIT_BYTES).max(1) as u64
}

/// `{…}` of `{"Put": {…}}`.
fn only_value(write: &Value) -> Option<&Value> {
    write.as_object()?.values().next()
}

/// Size of an item. For an update: size of the key, of the new values and of the names of placeholders.
fn bytes_written(write: &Value) -> usize {
    let of = |name: &str| write[name].as_object().into_iter().flatten();
    let item: usize =
        of("Item").chain(of("Key")).map(|(name, value)| name.len() + attribute_bytes(value)).sum();
    if write["UpdateExpression"].is_null() {
        return item;
    }
    let names: usize =
        of("ExpressionAttributeNames").filter_map(|(_, name)| name.as_str()).map(str::len).sum();
    let values: usize = of("ExpressionAttributeValues").map(|(_, value)| attribute_bytes(value)).sum();
    item + names + values
}

/// DynamoDB: text takes its UTF-8 length, a number a byte per two digits and one more, a list or map three bytes and one
/// per element in addition to the elements.
fn attribute_bytes(value: &Value) -> usize {
    let Some((kind, value)) = value.as_object().and_then(|value| value.iter().next()) else { return 0 };
    let text = |value: &Value| value.as_str().map_or(0, str::len);
    let number = |value: &Value| text(value).div_ceil(2) + 1;
    let binary = |value: &Value| text(value) / 4 * 3;
    let sum = |one: &dyn Fn(&Value) -> usize| value.as_array().into_iter().flatten().map(one).sum::<usize>();
    match kind.as_str() {
        "S" => text(value),
        "N" => number(value),
        "B" => binary(value),
        "SS" => sum(&text),
        "NS" => sum(&number),
        "BS" => sum(&binary),
        "L" => 3 + sum(&|element: &Value| 1 + attribute_bytes(element)),
        "M" => {
            let fields = value.as_object().into_iter().flatten();
            3 + fields.map(|(name, value)| 1 + name.len() + attribute_bytes(value)).sum::<usize>()
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn item(bytes: usize) -> Value {
        // "PK", "k" and "body" take seven bytes.
        json!({"PK": {"S": "k"}, "body": {"S": "x".repeat(bytes - 7)}})
    }

    #[test]
    fn started_kilobyte_takes_one_unit_and_two_in_a_transaction() {
        let put = |bytes| json!({"Item": item(bytes)});
        let transaction = json!({"TransactItems": [
            {"Put": put(1024)}, {"Put": put(1025)},
            {"Update": {"Key": {"PK": {"S": "k"}}, "UpdateExpression": "SET a = :a",
                "ExpressionAttributeValues": {":a": {"N": "1"}}}},
        ]});
        let batch = json!({"RequestItems": {"table": [{"PutRequest": put(10)}, {"PutRequest": put(3000)}]}});
        for (operation, request, expected) in [
            ("PutItem", put(7), 1),
            ("PutItem", put(1024), 1),
            ("PutItem", put(1025), 2),
            ("DeleteItem", json!({"Key": {"PK": {"S": "k"}}}), 1),
            ("TransactWriteItems", transaction, 2 + 4 + 2),
            ("BatchWriteItem", batch, 1 + 3),
            ("GetItem", json!({"Key": {"PK": {"S": "k"}}}), 0),
            ("SendMessage", json!({}), 0),
        ] {
            assert_eq!(write_units(operation, &request), expected, "{operation}");
        }
    }

    #[test]
    fn update_has_the_size_of_the_attributes_it_names() {
        let update = json!({
            "Key": {"PK": {"S": "k"}},
            "UpdateExpression": "SET #body = :body",
            "ExpressionAttributeNames": {"#body": "body"},
            "ExpressionAttributeValues": {":body": {"S": "x".repeat(1018)}},
        });
        assert_eq!(bytes_written(&update), 1025);
        assert_eq!(write_units("UpdateItem", &update), 2);
    }

    #[test]
    fn attribute_sizes_follow_the_rules_of_dynamodb() {
        for (value, expected) in [
            (json!({"S": "é"}), 2),
            (json!({"N": "12345"}), 4),
            (json!({"BOOL": true}), 1),
            (json!({"NULL": true}), 1),
            (json!({"B": "AAAA"}), 3),
            (json!({"SS": ["ab", "c"]}), 3),
            (json!({"L": [{"S": "ab"}]}), 6),
            (json!({"M": {"a": {"S": "bc"}}}), 7),
        ] {
            assert_eq!(attribute_bytes(&value), expected, "{value}");
        }
    }
}
