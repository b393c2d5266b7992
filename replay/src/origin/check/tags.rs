//! The tags of an answer. Pure.
//!
//! Source: Amazon CloudFront Developer Guide, *What you need to know when invalidating tags*.

use shared::cache_tags;

use crate::origin::finding::Finding;

/// CloudFront ignores the tags after this number.
const MAX_TAGS: usize = 50;
const MAX_TAG_CHARACTERS: usize = 256;
const USER_PREFIX: &str = "user:";

/// Checks the values of the tag header. CloudFront does not distinguish upper and lower case.
pub fn check<'a>(values: impl Iterator<Item = &'a str>, sub: Option<&str>) -> Vec<Finding> {
    let tags: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    let tags: Vec<&str> = tags.into_iter().filter(|tag| !tag.is_empty()).collect();
    if tags.is_empty() {
        return vec![Finding::MissingTags];
    }
    let mut found = Vec::new();
    let read = &tags[..tags.len().min(MAX_TAGS)];
    let has = |wanted: &str| read.iter().any(|tag| tag.eq_ignore_ascii_case(wanted));
    let has_user = match sub {
        Some(sub) => has(&cache_tags::of_user(sub)),
        None => read.iter().any(|tag| user_of(tag).is_some()),
    };
    if !has_user {
        found.push(Finding::MissingUserTag { is_sub_known: sub.is_some() });
    }
    if !has(cache_tags::ALL_USERS) {
        found.push(Finding::MissingUsersTag);
    }
    if tags.len() > MAX_TAGS {
        found.push(Finding::TooManyTags { count: tags.len() });
    }
    let longest = tags.iter().map(|tag| tag.chars().count()).max().unwrap_or_default();
    if longest > MAX_TAG_CHARACTERS {
        found.push(Finding::LongTag { characters: longest });
    }
    if tags.iter().any(|tag| !tag.bytes().all(|byte| byte.is_ascii_graphic())) {
        found.push(Finding::InvalidTag);
    } else if tags.iter().filter_map(|tag| user_of(tag)).any(|sub| !is_encoded(sub)) {
        found.push(Finding::UnencodedTag);
    }
    found
}

/// The sub in a user's tag.
fn user_of(tag: &str) -> Option<&str> {
    let prefix = tag.get(..USER_PREFIX.len())?;
    let sub = &tag[USER_PREFIX.len()..];
    (prefix.eq_ignore_ascii_case(USER_PREFIX) && !sub.is_empty()).then_some(sub)
}

/// True if the sub may be written as [`cache_tags::encode_sub`] writes it.
fn is_encoded(sub: &str) -> bool {
    sub.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~%".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_name_the_user_and_all_users() {
        let many = |count: usize, rest: &str| {
            (0..count).map(|number| format!("tag-{number},")).collect::<String>() + rest
        };
        let user = |is_sub_known| Finding::MissingUserTag { is_sub_known };
        let long = format!("user:ana,users,{}", "x".repeat(257));
        for (values, sub, expected) in [
            (&["user:ana,users"][..], Some("ana"), &[][..]),
            (&["user:ana, users"], None, &[]),
            (&["USERS,User:ANA,"], Some("ana"), &[]),
            (&["user:ana", "users"], Some("ana"), &[]),
            (&["user:ana,user:ben,users"], Some("ben"), &[]),
            (&["user:a%20b%C3%A9,users"], Some("a bé"), &[]),
            (&[], None, &[Finding::MissingTags]),
            (&["", " , "], None, &[Finding::MissingTags]),
            (&["users"], None, &[user(false)]),
            (&["user:,users"], None, &[user(false)]),
            (&["user:ben,users"], Some("ana"), &[user(true)]),
            (&["user:ana"], None, &[Finding::MissingUsersTag]),
            (&["user:ana,all-users"], None, &[Finding::MissingUsersTag]),
            (
                &[&many(50, "user:ana,users")],
                None,
                &[user(false), Finding::MissingUsersTag, Finding::TooManyTags { count: 52 }],
            ),
            (&[&many(48, "user:ana,users")], None, &[]),
            (&[&format!("user:ana,users,{}", many(49, ""))], None, &[Finding::TooManyTags { count: 51 }]),
            (&[&long], None, &[Finding::LongTag { characters: 257 }]),
            (&[&long[..long.len() - 1]], None, &[]),
            (&["user:ana users"], None, &[Finding::MissingUsersTag, Finding::InvalidTag]),
            (&["user:é,users"], None, &[Finding::InvalidTag]),
            (&["é"], None, &[user(false), Finding::MissingUsersTag, Finding::InvalidTag]),
            (&["user:ana@example.com,users"], None, &[Finding::UnencodedTag]),
        ] {
            assert_eq!(check(values.iter().copied(), sub), expected, "{values:?} {sub:?}");
        }
    }
}
