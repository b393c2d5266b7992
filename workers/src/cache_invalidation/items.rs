//! What an invalidation names: a cache tag, or paths. Pure.

use std::collections::BTreeSet;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use shared::config::{ConfigError, Environment};
use shared::events::View;

/// What stays as it is in a tag and in a path. The rest is percent-encoded: a comma ends a tag, and CloudFront
/// takes ASCII only. A sub, which is a UUID, never changes.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// How users' entries are found: INVALIDATION_TARGET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// By the tag `user:{sub}` that the origin sends: one item for all of a user's entries.
    Tag,
    /// By the paths `/users/{sub}/{view}`: an item for each view.
    Path,
}

impl Target {
    /// Reads INVALIDATION_TARGET.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        environment.choice("INVALIDATION_TARGET", Self::Tag, &[("tag", Self::Tag), ("path", Self::Path)])
    }

    /// The items that evict a user's views.
    pub fn of_user(self, sub: &str, views: &BTreeSet<View>) -> Vec<String> {
        let sub = utf8_percent_encode(sub, ENCODED);
        match self {
            Self::Tag => vec![format!("#user:{sub}")],
            Self::Path => views.iter().map(|view| format!("/users/{sub}/{}", view.name())).collect(),
        }
    }

    /// CloudFront: a tag has at most 256 characters, which stand after a `#` here; a path 4,000.
    pub fn max_item_bytes(self) -> usize {
        match self {
            Self::Tag => 257,
            Self::Path => 4_000,
        }
    }

    /// The item that evicts every user's views.
    pub fn everybody(self) -> String {
        match self {
            Self::Tag => "#users".to_owned(),
            Self::Path => "/users/*".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_names_one_user_in_plain_ascii() {
        let views = BTreeSet::from([View::Dashboard, View::Orders]);
        let sub = "7d8ca528-4931-4254-9273-ea5ee853f271";
        assert_eq!(Target::Tag.of_user(sub, &views), [format!("#user:{sub}")]);
        assert_eq!(
            Target::Path.of_user("a b/é*,", &views),
            ["/users/a%20b%2F%C3%A9%2A%2C/dashboard", "/users/a%20b%2F%C3%A9%2A%2C/orders",]
        );
    }
}
