//! The media types of `datacontenttype` that this crate reads as JSON. Pure.

/// Whether `data` with this media type is JSON: `application/json`, or `application/` with a subtype
/// that ends in `+json` (RFC 6839). Case and parameters do not matter (RFC 2045).
pub fn is_json_media_type(media_type: &str) -> bool {
    let (essence, parameters) = match media_type.split_once(';') {
        Some((essence, parameters)) => (essence.trim_end_matches([' ', '\t']), parameters),
        None => (media_type, ""),
    };
    let subtype = match essence.split_once('/') {
        Some((name, subtype)) if name.eq_ignore_ascii_case("application") => subtype.to_ascii_lowercase(),
        _ => return false,
    };
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$&^_.+-".contains(c))
    };
    (subtype == "json" || subtype.strip_suffix("+json").is_some_and(is_name))
        && parameters.chars().all(|c| matches!(c, '\t' | ' '..='~'))
}

/// The same rule as a regular expression of JSON Schema, which has no flag for case.
#[cfg(feature = "schema")]
pub fn json_pattern() -> String {
    let any_case =
        |text: &str| -> String { text.chars().map(|c| format!("[{}{c}]", c.to_ascii_uppercase())).collect() };
    let (application, json) = (any_case("application"), any_case("json"));
    format!(r"^{application}/([A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*\+)?{json}([ \t]*;[\t -~]*)?$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_parameters_of_a_media_type_do_not_matter() {
        for media_type in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"utf-8\"; version=1",
            "application/json ; x",
            "application/cloudevents+json",
            "application/vnd.example.order-v2+JSON; charset=utf-8",
        ] {
            assert!(is_json_media_type(media_type), "{media_type}");
        }
        for media_type in [
            "",
            "json",
            "text/json",
            "application/xml",
            "application/jsonp",
            "application/+json",
            "application/a b+json",
            "application/json+xml",
            "application/json, text/plain",
            " application/json",
            "application/json; charset=é",
        ] {
            assert!(!is_json_media_type(media_type), "{media_type}");
        }
    }
}
