//! Numbers in tables and pictures. Pure.

use shared::text::group_digits;

/// At least three significant digits, with thousands separators.
pub(super) fn number(value: f64) -> String {
    let digits = match value {
        0.0 => 0,
        value if value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        value if value >= 0.9995 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    match text.split_once('.') {
        Some((whole, part)) => {
            let part = part.trim_end_matches('0');
            if part.is_empty() { whole.to_owned() } else { format!("{whole}.{part}") }
        }
        None => group_digits(&text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_grouped() {
        for (value, expected) in [
            (0.0, "0"),
            (0.0004, "0"),
            (0.1524, "0.152"),
            (2.0, "2"),
            (9.996, "10"),
            (12.34, "12.3"),
            (99.96, "100"),
            (123.4, "123"),
            (1_000.0, "1,000"),
            (1_234_567.8, "1,234,568"),
        ] {
            assert_eq!(number(value), expected, "{value}");
        }
    }
}
