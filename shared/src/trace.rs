//! The trace context of an invocation. Pure.

/// A part of the X-Ray header `Root=1-<8>-<24>;Parent=<16>;Sampled=1`.
pub fn part_of<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
}

/// The W3C trace context of an X-Ray header.
pub fn traceparent(header: &str) -> Option<String> {
    let root = part_of(header, "Root")?.strip_prefix("1-")?.replace('-', "");
    let parent = part_of(header, "Parent")?;
    let is_hex =
        |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let sampled = if part_of(header, "Sampled") == Some("1") { "01" } else { "00" };
    (is_hex(&root, 32) && is_hex(parent, 16)).then(|| format!("00-{root}-{parent}-{sampled}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_context_is_built_from_the_x_ray_header() {
        assert_eq!(
            traceparent("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1")
                .as_deref(),
            Some("00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01")
        );
        assert_eq!(traceparent("Root=1-5759e988-bd862e3fe1be46a994272793"), None);
        assert_eq!(traceparent("anything"), None);
    }
}
