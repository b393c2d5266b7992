//! The answer of a function in a few words, for the list of steps.

use anyhow::Result;
use aws_lambda_events::sqs::SqsBatchResponse;
use scheduled::Failure;
use scheduled::user_pool_watch::Report;
use serde_json::{Value, json};
use shared::text::plural;
use triggers::{TriggerError, TriggerEvent};

/// A trigger's answer in a few words, and its response.
pub fn describe_answer(
    sent: &Value,
    answer: Result<TriggerEvent, TriggerError>,
) -> Result<(String, Option<Value>)> {
    let answer = match answer {
        Ok(answer) => serde_json::to_value(&answer)?,
        Err(error) => return Ok((format!("denied: {}", error.message), None)),
    };
    let (before, after) = (sent.get("response"), answer.get("response").cloned().unwrap_or_default());
    if before == Some(&after) {
        return Ok(("answered, response unchanged".to_owned(), Some(after)));
    }
    let changed = after.as_object().into_iter().flatten();
    let changed = changed.filter(|(name, value)| before.and_then(|before| before.get(*name)) != Some(*value));
    let changed: Vec<String> = changed.map(|(name, value)| describe_change(sent, name, value)).collect();
    Ok((format!("answered: {}", changed.join(", ")), Some(after)))
}

fn describe_change(sent: &Value, name: &str, value: &Value) -> String {
    let words = |list: Option<&Value>| -> Vec<String> {
        let list = list.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    match value {
        Value::String(text) if text.chars().count() > 60 => {
            format!("{name} of {} characters", text.chars().count())
        }
        Value::String(text) => format!("{name} \"{text}\""),
        Value::Object(details) => {
            let before = words(sent.pointer("/request/groupConfiguration/groupsToOverride"));
            let after = words(value.pointer("/groupOverrideDetails/groupsToOverride"));
            let new =
                after.iter().filter(|group| !before.contains(group)).map(|group| format!("group +{group}"));
            let gone =
                before.iter().filter(|group| !after.contains(group)).map(|group| format!("group -{group}"));
            let claims = |token: &str| {
                let claims =
                    details.get(token).and_then(|token| token.get("claimsToAddOrOverride")?.as_object());
                claims.into_iter().flat_map(|claims| claims.keys().cloned()).collect::<Vec<_>>()
            };
            let id = claims("idTokenGeneration").into_iter().map(|claim| format!("ID token claim {claim}"));
            let access = claims("accessTokenGeneration")
                .into_iter()
                .map(|claim| format!("access token claim {claim}"));
            let scopes = |name: &str, sign: &str| {
                let scopes =
                    details.get("accessTokenGeneration").and_then(|token| token.get(name)?.as_array());
                let scopes = scopes.into_iter().flatten().filter_map(Value::as_str);
                scopes.map(|scope| format!("scope {sign}{scope}")).collect::<Vec<_>>()
            };
            let scopes = [scopes("scopesToAdd", "+"), scopes("scopesToSuppress", "-")].concat();
            let changes: Vec<String> = new.chain(gone).chain(id).chain(access).chain(scopes).collect();
            if changes.is_empty() { name.to_owned() } else { changes.join(", ") }
        }
        other => format!("{name} {other}"),
    }
}

/// The read API's response in a few words, and the response with its body as JSON.
pub fn describe_response(response: api::Response) -> Result<(String, Option<Value>)> {
    let cache_control = response.headers.get("Cache-Control").map(String::as_str).unwrap_or_default();
    let text = format!("answered {}, {cache_control}", response.status_code);
    let body: Value = serde_json::from_str(&response.body).unwrap_or_else(|_| response.body.clone().into());
    let mut response = serde_json::to_value(response)?;
    if let Some(response) = response.as_object_mut() {
        response.insert("body".to_owned(), body);
    }
    Ok((text, Some(response)))
}

/// The result of user-pool-watch in a few words, and its answer.
pub fn describe_watch(result: Result<Report, Failure>) -> Result<(String, Option<Value>)> {
    let report = match result {
        Ok(report) => report,
        Err(failure) => return Ok((format!("failed: {failure}"), None)),
    };
    let text = match report.differences.len() {
        0 => "answered: the user pool calls all five functions".to_owned(),
        count => format!("answered: the user pool differs in {}", plural(count, "trigger")),
    };
    Ok((text, Some(serde_json::to_value(report)?)))
}

/// A worker's answer in a few words.
pub fn describe_batch(response: SqsBatchResponse) -> String {
    match response.batch_item_failures.len() {
        0 => "batch done".to_owned(),
        failed => format!("batch done, except {}", json!(failed)),
    }
}
