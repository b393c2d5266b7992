//! Conditional requests of viewers: `If-None-Match`. Pure.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue};
use http::{Response, StatusCode};

/// True if the viewer has this version of the answer. Tags are compared without their mark of
/// weakness, as RFC 9110 requires.
pub fn matches(if_none_match: &HeaderValue, response: &Response<Bytes>) -> bool {
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let Some(etag) = response.headers().get(ETAG).map(text) else { return false };
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    text(if_none_match).split(',').any(|tag| tag.trim() == "*" || strong(tag) == strong(&etag))
}

/// The answer 304 in place of `response`.
pub fn not_modified(mut response: Response<Bytes>) -> Response<Bytes> {
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.body_mut() = Bytes::new();
    response.headers_mut().remove(CONTENT_TYPE);
    response.headers_mut().remove(CONTENT_LENGTH);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_are_compared_one_by_one() {
        for (asked, etag, expected) in [
            (r#""a""#, Some(r#""a""#), true),
            (r#"W/"a""#, Some(r#""a""#), true),
            (r#""a""#, Some(r#"W/"a""#), true),
            (r#""b", "a""#, Some(r#""a""#), true),
            ("*", Some(r#""a""#), true),
            (r#""b""#, Some(r#""a""#), false),
            ("a", Some(r#""a""#), false),
            ("*", None, false),
        ] {
            let mut response = Response::new(Bytes::from_static(b"{}"));
            if let Some(etag) = etag {
                response.headers_mut().insert(ETAG, HeaderValue::from_static(etag));
            }
            assert_eq!(matches(&HeaderValue::from_static(asked), &response), expected, "{asked} {etag:?}");
        }
    }
}
