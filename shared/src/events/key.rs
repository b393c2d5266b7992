//! The sort key of a stored event, which is also its identity.

/// The sort keys of all stored events start with this.
pub const EVENT_PREFIX: &str = "EVENT#";
/// DynamoDB: a sort key has at most 1,024 bytes.
pub const MAX_KEY_BYTES: usize = 1024;

/// The sort key of the event with this source and id. A `#` in the source is escaped, so that no
/// two events share a key.
pub fn event_key(source: &str, id: &str) -> String {
    format!("{EVENT_PREFIX}{}#{id}", source.replace('%', "%25").replace('#', "%23"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_events_share_a_key() {
        assert_eq!(event_key("/shop", "1"), "EVENT#/shop#1");
        assert_ne!(event_key("a#b", "c"), event_key("a", "b#c"));
        assert_ne!(event_key("a#b", "c"), event_key("a%23b", "c"));
    }
}
