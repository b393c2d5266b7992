//! Times in the answers: RFC 3339 in UTC, always with milliseconds. Pure.

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// For `serialize_with`.
pub fn required<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}

/// For times that may be missing.
pub fn optional<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| format!("{time:.3}")).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_has_milliseconds() {
        #[derive(Serialize)]
        struct Times {
            #[serde(serialize_with = "required")]
            at: Timestamp,
            #[serde(serialize_with = "optional")]
            end: Option<Timestamp>,
        }
        let at: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let json = serde_json::to_string(&Times { at, end: Some(at) }).unwrap();
        assert_eq!(json, r#"{"at":"2026-03-02T09:00:00.000Z","end":"2026-03-02T09:00:00.000Z"}"#);
    }
}
