//! A reference to an event: the value of the query parameter `after`, with which a client reads its
//! own write.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::key::{EVENT_PREFIX, MAX_KEY_BYTES, event_key};

/// Names an event among the events of its subject.
///
/// As text it is `{source}#{id}` in base64url without padding (RFC 4648, 5). So no character needs an
/// encoding in a URL, and each event has exactly one spelling. A `%` in the source is written as `%25`
/// and a `#` as `%23`, as in the sort key of the stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventReference {
    event_key: String,
}

/// The text is not a reference. It is not quoted, because a client chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not {{source}}#{{id}} in base64url")]
pub struct InvalidReference;

impl EventReference {
    pub fn new(source: &str, id: &str) -> Self {
        Self { event_key: event_key(source, id) }
    }

    /// The sort key of the stored event.
    pub fn event_key(&self) -> &str {
        &self.event_key
    }

    pub fn parse(text: &str) -> Result<Self, InvalidReference> {
        // Base64 has four characters for three bytes.
        if text.len() > MAX_KEY_BYTES.div_ceil(3) * 4 {
            return Err(InvalidReference);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidReference)?;
        let name = String::from_utf8(bytes).map_err(|_| InvalidReference)?;
        let event_key = format!("{EVENT_PREFIX}{name}");
        let is_reference =
            name.split_once('#').is_some_and(|(source, id)| !source.is_empty() && !id.is_empty());
        if is_reference && event_key.len() <= MAX_KEY_BYTES {
            Ok(Self { event_key })
        } else {
            Err(InvalidReference)
        }
    }
}

impl std::fmt::Display for EventReference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.event_key.strip_prefix(EVENT_PREFIX).unwrap_or_default();
        f.write_str(&URL_SAFE_NO_PAD.encode(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_survives_its_text() {
        for (source, id) in
            [("/shop", "1"), ("a#b", "c"), ("a%23b", "c#d"), ("é", "\u{1f4a1}"), ("/s", "?&=+%")]
        {
            let reference = EventReference::new(source, id);
            let text = reference.to_string();
            assert_eq!(EventReference::parse(&text), Ok(reference), "{source} {id}");
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{text}");
        }
        assert_eq!(
            EventReference::new("/shop/orders", "order-1001-placed").to_string(),
            "L3Nob3Avb3JkZXJzI29yZGVyLTEwMDEtcGxhY2Vk"
        );
    }

    #[test]
    fn text_that_is_no_reference_is_refused() {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        for text in [
            String::new(),
            "#".into(),
            encode("/shop"),
            encode("#1"),
            encode("/shop#"),
            // Padding, the other alphabet, and bits that a second spelling would set.
            format!("{}=", encode("/shop#10")),
            "L3N+".into(),
            "L3NoI2B".into(),
            URL_SAFE_NO_PAD.encode([b'/', b'#', 0xff]),
            encode(&format!("/shop#{}", "x".repeat(1_024))),
            "A".repeat(100_000),
        ] {
            assert_eq!(EventReference::parse(&text), Err(InvalidReference), "{text:.40}");
        }
    }
}
