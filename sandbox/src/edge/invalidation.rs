//! The items of an invalidation, and the cached answers that they name. Pure.
//!
//! Sources: Amazon CloudFront Developer Guide, *What you need to know when invalidating tags* and
//! *What you need to know when invalidating paths*.

use http::HeaderMap;
use http::header::HeaderName;

/// CloudFront reads the first 50 tags of an answer.
const MAX_TAGS: usize = 50;
/// Maximum length of a tag.
const MAX_TAG_CHARS: usize = 256;

/// An item of an invalidation.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// `#tag`: all answers with this tag. In lower case.
    Tag(String),
    /// A path, with the query string if it has one: all answers of this URL, whatever their headers.
    Path(&'a str),
    /// `path*`: all URLs that begin with this text.
    Prefix(&'a str),
}

impl<'a> Item<'a> {
    /// `None`: CloudFront refuses the item.
    pub fn parse(item: &'a str) -> Option<Self> {
        if let Some(tag) = item.strip_prefix('#') {
            return is_tag(tag).then(|| Self::Tag(tag.to_ascii_lowercase()));
        }
        let item = item.strip_prefix('/').map(|_| item)?;
        Some(match item.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix),
            None => Self::Path(item),
        })
    }

    pub fn names(&self, path_and_query: &str, tags: &[String]) -> bool {
        match self {
            Self::Tag(tag) => tags.contains(tag),
            Self::Path(path) => path_and_query == *path,
            Self::Prefix(prefix) => path_and_query.starts_with(prefix),
        }
    }
}

/// The tags of an answer, in lower case, because CloudFront ignores their case.
pub fn tags(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let tags = values.flat_map(|value| value.split(',')).map(str::trim).filter(|tag| !tag.is_empty());
    tags.take(MAX_TAGS).filter(|tag| is_tag(tag)).map(str::to_ascii_lowercase).collect()
}

fn is_tag(tag: &str) -> bool {
    (1..=MAX_TAG_CHARS).contains(&tag.len())
        && tag.bytes().all(|byte| (33..=126).contains(&byte) && byte != b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_names_a_tag_a_url_or_the_start_of_urls() {
        let tags = ["user:ana".to_owned(), "users".to_owned()];
        for (item, path, expected) in [
            ("#user:ana", "/dashboard", true),
            ("#USER:Ana", "/dashboard", true),
            ("#users", "/dashboard", true),
            ("#user", "/dashboard", false),
            ("#user:ben", "/dashboard", false),
            ("#", "/dashboard", false),
            ("/dashboard", "/dashboard", true),
            ("/dashboard", "/dashboard?tab=orders", false),
            ("/dashboard?tab=orders", "/dashboard?tab=orders", true),
            ("/dashboard", "/dashboard/", false),
            ("/Dashboard", "/dashboard", false),
            ("/dashboard*", "/dashboard?tab=orders", true),
            ("/dashboard*", "/dashboards", true),
            ("/users/*", "/users/ana/dashboard", true),
            ("/users/*", "/dashboard", false),
            ("/*", "/dashboard", true),
            // Elsewhere, an asterisk is an ordinary character.
            ("/dash*rd", "/dashboard", false),
            ("dashboard", "/dashboard", false),
        ] {
            let names = Item::parse(item).is_some_and(|item| item.names(path, &tags));
            assert_eq!(names, expected, "{item} {path}");
        }
    }

    #[test]
    fn tags_are_the_first_fifty_valid_parts() {
        let header = HeaderName::from_static("cache-tag");
        let of = |values: &[&str]| {
            let values = values.iter().map(|value| (header.clone(), value.parse().unwrap()));
            tags(&values.collect::<HeaderMap>(), &header)
        };
        assert_eq!(of(&["user:Ana, users,"]), ["user:ana", "users"]);
        assert_eq!(of(&["a", "b"]), ["a", "b"]);
        assert_eq!(of(&["a b,c"]), ["c"]);
        let many: Vec<String> = (0..51).map(|number| format!("t{number}")).collect();
        assert_eq!(of(&[&many.join(",")]).len(), 50);
        assert_eq!(of(&[&"x".repeat(256)]).len(), 1);
        assert_eq!(of(&[&"x".repeat(257)]).len(), 0);
    }
}
