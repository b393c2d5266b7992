//! The sort key of a stored event, which is its identity among the events of its subject.

/// The sort keys of all counted events start with this.
pub const EVENT_PREFIX: &str = "EVENT#";
/// The sort keys of allowed sign-in attempts start with this.
pub const ATTEMPT_PREFIX: &str = "ATTEMPT#";
/// DynamoDB: a sort key has at most 1,024 bytes.
pub const MAX_KEY_BYTES: usize = 1024;

/// The sort key of the event with this source and id. A `#` in the source is escaped, so that no
/// two events share a key.
pub fn event_key(source: &str, id: &str) -> String {
    key(EVENT_PREFIX, source, id)
}

/// The sort key of an allowed sign-in attempt.
pub fn attempt_key(source: &str, id: &str) -> String {
    key(ATTEMPT_PREFIX, source, id)
}

fn key(prefix: &str, source: &str, id: &str) -> String {
    format!("{prefix}{}#{id}", source.replace('%', "%25").replace('#', "%23"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_events_share_a_key() {
        assert_eq!(event_key("/shop", "1"), "EVENT#/shop#1");
        assert_ne!(event_key("a#b", "c"), event_key("a", "b#c"));
        assert_ne!(event_key("a#b", "c"), event_key("a%23b", "c"));
        assert_eq!(attempt_key("a#b", "c"), "ATTEMPT#a%23b#c");
    }
}
