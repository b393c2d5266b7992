//! The query parameters. Pure.
//!
//! An unknown name is refused, because each query string is a cache key of its own: a viewer could
//! fill the cache with copies of one page.

use std::collections::BTreeMap;

use shared::events::EventReference;
use shared::store::lists::ListPosition;

/// Entries on a page that names no limit.
pub const DEFAULT_LIMIT: usize = 20;
/// Most entries on a page. It keeps an answer far below API Gateway's limits.
pub const MAX_LIMIT: usize = 50;

/// Why the query is refused: one sentence that quotes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidQuery(pub &'static str);

/// A page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The page starts after this position. `None` for the first page.
    pub before: Option<ListPosition>,
    /// From 1 to [`MAX_LIMIT`].
    pub limit: usize,
}

/// Reads the parameters `before` and `limit`.
pub fn page(query: &str) -> Result<Page, InvalidQuery> {
    page_of(&parameters(query, &["before", "limit"])?)
}

/// Reads the parameters `after`, `before` and `limit`.
pub fn own_page(query: &str) -> Result<(Page, Option<EventReference>), InvalidQuery> {
    let parameters = parameters(query, &["after", "before", "limit"])?;
    Ok((page_of(&parameters)?, after_of(&parameters)?))
}

/// Reads the parameter `after`: the event of the caller that the answer must show.
pub fn after(query: &str) -> Result<Option<EventReference>, InvalidQuery> {
    after_of(&parameters(query, &["after"])?)
}

fn page_of(parameters: &Parameters<'_>) -> Result<Page, InvalidQuery> {
    let before = parameters.get("before").map(|before| before.parse());
    let before =
        before.transpose().map_err(|_| InvalidQuery("The parameter before is not a value of next."))?;
    Ok(Page { before, limit: limit(parameters)? })
}

fn after_of(parameters: &Parameters<'_>) -> Result<Option<EventReference>, InvalidQuery> {
    let after = parameters.get("after").map(|after| EventReference::parse(after));
    after.transpose().map_err(|_| {
        InvalidQuery("The parameter after is not the source and the id of an event in base64url.")
    })
}

/// Refuses every parameter.
pub fn none(query: &str) -> Result<(), InvalidQuery> {
    parameters(query, &[]).map(drop)
}

type Parameters<'q> = BTreeMap<&'q str, &'q str>;

/// The parameters by name. Each may be given once, and in one spelling: no valid value needs an
/// encoding.
fn parameters<'q>(query: &'q str, known: &[&str]) -> Result<Parameters<'q>, InvalidQuery> {
    let mut parameters = Parameters::new();
    if query.is_empty() {
        return Ok(parameters);
    }
    if query.contains(['%', '+']) {
        return Err(InvalidQuery("The query string has an encoded character, which no parameter needs."));
    }
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !known.contains(&name) {
            return Err(InvalidQuery("The query string has a parameter that this path does not have."));
        }
        if parameters.insert(name, value).is_some() {
            return Err(InvalidQuery("The query string has a parameter twice."));
        }
    }
    Ok(parameters)
}

/// The parameter `limit`.
fn limit(parameters: &Parameters<'_>) -> Result<usize, InvalidQuery> {
    let Some(limit) = parameters.get("limit") else { return Ok(DEFAULT_LIMIT) };
    let is_number = limit.bytes().all(|byte| byte.is_ascii_digit()) && !limit.starts_with('0');
    let limit = limit.parse().ok().filter(|limit| is_number && (1..=MAX_LIMIT).contains(limit));
    limit.ok_or(InvalidQuery("The parameter limit is not a whole number from 1 to 50."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_has_one_spelling_and_unknown_or_repeated_names_are_refused() {
        let unknown = Err(InvalidQuery("The query string has a parameter that this path does not have."));
        let twice = Err(InvalidQuery("The query string has a parameter twice."));
        let encoded =
            Err(InvalidQuery("The query string has an encoded character, which no parameter needs."));
        for (query, expected) in [
            ("", Ok(&[][..])),
            ("limit=5", Ok(&[("limit", "5")])),
            ("limit", Ok(&[("limit", "")])),
            ("limit=5&before=a", Ok(&[("before", "a"), ("limit", "5")])),
            ("limit=5&limit=5", twice),
            ("limit=%35", encoded),
            ("l%69mit=5", encoded),
            ("limit=+5", encoded),
            ("limit=%ff", encoded),
            ("&", unknown),
            ("limit=5&", unknown),
            ("Limit=5", unknown),
            ("limit=5&utm_source=x", unknown),
            ("=5", unknown),
            ("sub=ana", unknown),
        ] {
            let found = parameters(query, &["limit", "before"]);
            assert_eq!(
                found.map(|found| found.into_iter().collect::<Vec<_>>()),
                expected.map(<[_]>::to_vec),
                "{query}"
            );
        }
        assert_eq!(none(""), Ok(()));
        assert!(none("limit=5").is_err() && none("&").is_err());
    }

    #[test]
    fn page_starts_after_a_position() {
        let position = "1772446500000-a6d1f2c09c1f5e0fb1f0c4d1e6f7a8b9";
        let expected = Page { before: Some(position.parse().unwrap()), limit: 5 };
        assert_eq!(page(&format!("limit=5&before={position}")), Ok(expected));
        assert_eq!(page(""), Ok(Page { before: None, limit: 20 }));
        let invalid = Err(InvalidQuery("The parameter before is not a value of next."));
        let upper = position.to_uppercase();
        for before in ["", "0", "LIST#orders", &position[1..], &upper, "1772446500000-'", "\0"] {
            assert_eq!(page(&format!("before={before}")), invalid, "{before}");
        }
    }

    #[test]
    fn limit_is_a_whole_number_from_1_to_50() {
        for (value, expected) in [
            (None, Some(20)),
            (Some("1"), Some(1)),
            (Some("50"), Some(50)),
            (Some("05"), None),
            (Some("0"), None),
            (Some("51"), None),
            (Some("-1"), None),
            (Some("+1"), None),
            (Some(""), None),
            (Some("1000000000"), None),
            (Some("99999999999999999999999"), None),
            (Some("1.5"), None),
            (Some("1e1"), None),
            (Some(" 1"), None),
            (Some("0x10"), None),
            (Some("١"), None),
        ] {
            let parameters = value.map(|value| ("limit", value)).into_iter().collect();
            assert_eq!(limit(&parameters).ok(), expected, "{value:?}");
        }
    }
}
