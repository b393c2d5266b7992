//! Files with the parameters of a stack: `samconfig.toml`, the JSON files of the AWS CLI and of
//! pipelines, and lines `Name=value`. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

/// Parameters by name.
pub type Parameters = BTreeMap<String, String>;

/// Reads parameters from `text`. `is_toml` selects the format of `samconfig.toml`, of which
/// `environment` selects the tables. Errors are one sentence.
pub fn parse(text: &str, is_toml: bool, environment: &str) -> Result<Parameters, String> {
    if is_toml {
        return samconfig(text, environment);
    }
    if text.trim_start().starts_with(['[', '{']) {
        return json(&serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?);
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) =
                line.split_once('=').ok_or("expected lines of the form Name=value, or JSON")?;
            Ok((name.trim().to_owned(), unquote(value.trim())))
        })
        .collect()
}

fn json(document: &Value) -> Result<Parameters, String> {
    match document {
        Value::Array(items) => {
            let mut parameters = Parameters::new();
            for item in items {
                match (item.as_str(), item["ParameterKey"].as_str()) {
                    (Some(text), _) => parameters.extend(overrides(text)?),
                    (None, Some(name)) => {
                        parameters.insert(name.to_owned(), scalar(name, &item["ParameterValue"])?);
                    }
                    (None, None) => {
                        return Err(
                            "expected objects with ParameterKey and ParameterValue in the list".to_owned()
                        );
                    }
                }
            }
            Ok(parameters)
        }
        _ => {
            let values = document.get("Parameters").unwrap_or(document).as_object();
            let values = values.ok_or("expected a JSON object of parameters in the field Parameters")?;
            values.iter().map(|(name, value)| Ok((name.clone(), scalar(name, value)?))).collect()
        }
    }
}

fn scalar(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Null => Err(format!("{name}: has no value. Write it as a string in ParameterValue")),
        Value::Array(_) | Value::Object(_) => {
            Err(format!("{name}: expected a string. Write JSON into the string"))
        }
    }
}

/// Reads `parameter_overrides` of `sam deploy`. Only this key is read, so everything else that TOML
/// allows may be in the file.
fn samconfig(text: &str, environment: &str) -> Result<Parameters, String> {
    let tables = [format!("[{environment}.deploy.parameters]"), format!("[{environment}.global.parameters]")];
    let values = tables.iter().find_map(|table| {
        let from = text.lines().position(|line| line.trim() == table)?;
        let rest: Vec<&str> = text.lines().skip(from + 1).collect();
        let is_table = |line: &&str| line.starts_with('[') && line.trim_end().ends_with(']');
        let end = rest.iter().position(is_table).unwrap_or(rest.len());
        let start = rest[..end].iter().position(|line| {
            let rest = line.trim_start().strip_prefix("parameter_overrides");
            rest.is_some_and(|rest| rest.trim_start().starts_with('='))
        })?;
        let value = rest[start..].join("\n");
        Some(value.split_once('=')?.1.trim_start().to_owned())
    });
    let values = values.ok_or_else(|| format!("has no parameter_overrides in {}", tables.join(" or ")))?;
    let mut parameters = Parameters::new();
    for text in toml_strings(&values).ok_or("parameter_overrides: expected a string or a list of strings")? {
        parameters.extend(overrides(&text)?);
    }
    Ok(parameters)
}

/// A TOML string, or a list of strings, at the beginning of `text`.
fn toml_strings(text: &str) -> Option<Vec<String>> {
    let Some(mut rest) = text.strip_prefix('[') else {
        return toml_string(text).map(|(string, _)| vec![string]);
    };
    let mut strings = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n', ',']);
        if let Some(comment) = rest.strip_prefix('#') {
            rest = comment.split_once('\n')?.1;
        } else if rest.starts_with(']') {
            return Some(strings);
        } else {
            let (string, after) = toml_string(rest)?;
            strings.push(string);
            rest = after;
        }
    }
}

/// A TOML string at the beginning of `text`, and what follows.
fn toml_string(text: &str) -> Option<(String, &str)> {
    let (quote, body) = ["\"\"\"", "'''", "\"", "'"]
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote).map(|body| (quote, body)))?;
    let body = if quote.len() == 3 { body.strip_prefix('\n').unwrap_or(body) } else { body };
    let mut string = String::new();
    let mut rest = body;
    loop {
        if let Some(after) = rest.strip_prefix(quote) {
            return Some((string, after));
        }
        let mut characters = rest.chars();
        match characters.next()? {
            '\\' if quote.starts_with('"') => match characters.next()? {
                'n' => string.push('\n'),
                't' => string.push('\t'),
                'r' => string.push('\r'),
                'u' => {
                    let code = u32::from_str_radix(characters.as_str().get(..4)?, 16).ok()?;
                    string.push(char::from_u32(code)?);
                    characters = characters.as_str()[4..].chars();
                }
                // A backslash at the end of a line joins the lines.
                '\n' => characters = characters.as_str().trim_start().chars(),
                other => string.push(other),
            },
            other => string.push(other),
        }
        rest = characters.as_str();
    }
}

/// Splits `Name=value Other="a value"` as SAM does. SAM ends a value without quotation marks at a
/// space or a quotation mark, and silently leaves out the rest. Here that is an error.
fn overrides(text: &str) -> Result<Parameters, String> {
    let mut parameters = Parameters::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        // The long form is ParameterKey=Name,ParameterValue=value.
        let pair = rest.strip_prefix("ParameterKey=").unwrap_or(rest);
        let separator = if pair.len() < rest.len() { ",ParameterValue=" } else { "=" };
        let (name, value) = pair
            .split_once(separator)
            .ok_or_else(|| format!("parameter_overrides: expected Name=value at {}", excerpt(rest)))?;
        let end = value_end(value);
        let (value, after) = value.split_at(end);
        if !after.is_empty() && !after.starts_with(char::is_whitespace) {
            return Err(format!(
                "{name}: SAM would cut the value off at {}. Put the value into quotation marks, and a \
                 backslash in front of each quotation mark inside",
                excerpt(after)
            ));
        }
        parameters.insert(name.to_owned(), unquote(value));
        rest = after.trim_start();
    }
    Ok(parameters)
}

/// Where SAM ends a value.
fn value_end(value: &str) -> usize {
    let is_quoted = value.starts_with('"');
    let mut escaped = false;
    for (index, character) in value.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' if is_quoted && index == 0 => {}
            '"' if is_quoted => return index + 1,
            '"' => return index,
            ' ' | '\n' | '\t' if !is_quoted => return index,
            _ => {}
        }
    }
    value.len()
}

/// Removes the quotation marks around a value, and the backslashes that they need.
fn unquote(value: &str) -> String {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    inner.unwrap_or(value).replace("\\ ", " ").replace("\\\"", "\"")
}

fn excerpt(text: &str) -> String {
    text.chars().take(20).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(values: &[(&str, &str)]) -> Result<Parameters, String> {
        Ok(values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn each_format_gives_the_same_parameters() {
        let all = expected(&[("Days", "90"), ("Name", "Example Shop"), ("Rules", "[{\"a\": \"b\"}]")]);
        for (text, is_toml) in [
            (
                r#"[{"ParameterKey": "Name", "ParameterValue": "Example Shop"},
                {"ParameterKey": "Days", "ParameterValue": "90"},
                {"ParameterKey": "Rules", "ParameterValue": "[{\"a\": \"b\"}]"}]"#,
                false,
            ),
            (r#"{"Parameters": {"Name": "Example Shop", "Days": 90, "Rules": "[{\"a\": \"b\"}]"}}"#, false),
            (r#"{"Name": "Example Shop", "Days": "90", "Rules": "[{\"a\": \"b\"}]"}"#, false),
            ("# comment\nName = Example Shop\n\nDays=90\nRules=[{\"a\": \"b\"}]\n", false),
            ("Name=\"Example Shop\"\nDays=90\nRules=\"[{\\\"a\\\": \\\"b\\\"}]\"", false),
            (
                "[other]\nx = 1\n[default.deploy.parameters]\nparameter_overrides = \"Name=\\\"Example Shop\\\" Days=90 \
              Rules=\\\"[{\\\\\\\"a\\\\\\\": \\\\\\\"b\\\\\\\"}]\\\"\"\n[more]\n",
                true,
            ),
            (
                "[default.global.parameters]\nparameter_overrides = [\n  # list\n  'Name=\"Example Shop\"', \"Days=90\",\n  \
              'Rules=\"[{\\\"a\\\": \\\"b\\\"}]\"',\n]\n",
                true,
            ),
            (
                "[default.deploy.parameters]\nparameter_overrides = '''\nParameterKey=Name,ParameterValue=\"Example Shop\"\n\
              Days=90 Rules=\"[{\\\"a\\\": \\\"b\\\"}]\"'''\n",
                true,
            ),
        ] {
            assert_eq!(parse(text, is_toml, "default"), all, "{text}");
        }
    }

    #[test]
    fn errors_name_the_problem() {
        let cut_off = "[default.deploy.parameters]\nparameter_overrides = 'Rules=[{\"a\": 1}]'";
        for (text, is_toml, problem) in [
            (cut_off, true, "Rules: SAM would cut the value off at \"a\": 1}]"),
            ("[other.deploy.parameters]", true, "has no parameter_overrides in [default.deploy.parameters]"),
            ("[default.deploy.parameters]\nparameter_overrides = 7", true, "expected a string or a list"),
            ("[default.deploy.parameters]\nparameter_overrides = \"x", true, "expected a string or a list"),
            ("[7]", false, "expected objects with ParameterKey"),
            ("{\"Rules\": [1]}", false, "Rules: expected a string. Write JSON into the string"),
            ("{\"Parameters\": 7}", false, "expected a JSON object"),
            ("[{\"ParameterKey\": \"A\"}]", false, "A: has no value"),
            ("{", false, "is not JSON"),
            ("anything", false, "expected lines of the form Name=value"),
        ] {
            let error = parse(text, is_toml, "default").unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
