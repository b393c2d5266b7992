//! The cache tags of a user's answers. The read API sends them, and cache-invalidation invalidates
//! them. `docs/caching.md` is the contract. Pure.

use std::fmt::Display;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The tag of the answers of all users.
pub const ALL_USERS: &str = "users";

/// Characters that are percent-encoded in tags and paths: all except letters, digits and `-_.~`. A
/// comma would end a tag, and CloudFront accepts only ASCII. A UUID stays as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A sub as it is written in tags and paths.
pub fn encode_sub(sub: &str) -> impl Display {
    utf8_percent_encode(sub, ENCODED)
}

/// The tag of a user's answers.
pub fn of_user(sub: &str) -> String {
    format!("user:{}", encode_sub(sub))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_of_a_user_is_plain_ascii() {
        let sub = "7d8ca528-4931-4254-9273-ea5ee853f271";
        assert_eq!(of_user(sub), format!("user:{sub}"));
        assert_eq!(of_user("a b/é*,"), "user:a%20b%2F%C3%A9%2A%2C");
    }
}
