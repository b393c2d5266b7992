//! A list of users as CSV (RFC 4180, with line feeds). Pure.

use std::borrow::Cow;

use jiff::Timestamp;

use super::ListedUser;

/// The first line.
pub const HEADER: &str = "sub,status,enabled,created_at,last_seen_at,inactive_days\n";

/// The line of a user.
pub fn line(user: &ListedUser) -> String {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    format!(
        "{},{},{},{},{},{}\n",
        quoted(&user.sub),
        quoted(&user.status),
        user.enabled,
        time(user.created_at),
        time(user.last_seen_at),
        user.inactive_days.map(|days| days.to_string()).unwrap_or_default()
    )
}

/// A value in quotation marks if it would otherwise end early.
fn quoted(value: &str) -> Cow<'_, str> {
    match value.contains([',', '"', '\n', '\r']) {
        true => Cow::Owned(format!("\"{}\"", value.replace('"', "\"\""))),
        false => Cow::Borrowed(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_with_a_comma_is_quoted() {
        for (value, expected) in [
            ("7d8ca528-4931", "7d8ca528-4931"),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("a\nb", "\"a\nb\""),
            ("", ""),
        ] {
            assert_eq!(quoted(value), expected);
        }
    }
}
