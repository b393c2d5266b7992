//! The items of an invalidation: cache tags or paths. Pure. `docs/caching.md` is the contract with
//! the origin.

use std::collections::BTreeSet;

use shared::cache_tags;
use shared::config::{ConfigError, Environment};
use shared::events::View;

/// How a user's cached pages are found: INVALIDATION_TARGET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The cache tag `user:{sub}`, which the origin sends: one item for all pages of a user.
    Tag,
    /// The paths `/users/{sub}/{view}`: one item for each view.
    Path,
}

impl Target {
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        environment.choice("INVALIDATION_TARGET", Self::Tag, &[("tag", Self::Tag), ("path", Self::Path)])
    }

    /// The items that invalidate a user's views.
    pub fn items_for_user(self, sub: &str, views: &BTreeSet<View>) -> Vec<String> {
        match self {
            Self::Tag => vec![format!("#{}", cache_tags::of_user(sub))],
            Self::Path => views
                .iter()
                .map(|view| format!("/users/{}/{}", cache_tags::encode_sub(sub), view.name()))
                .collect(),
        }
    }

    /// The item that purges the pages of all users.
    pub fn item_for_all_users(self) -> String {
        match self {
            Self::Tag => format!("#{}", cache_tags::ALL_USERS),
            Self::Path => "/users/*".to_owned(),
        }
    }

    /// CloudFront: a tag has at most 256 characters, plus the `#` that marks the item as a tag. A
    /// path has at most 4,000 characters.
    pub fn max_item_bytes(self) -> usize {
        match self {
            Self::Tag => 257,
            Self::Path => 4_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_for_a_user_is_plain_ascii() {
        let views = BTreeSet::from([View::Dashboard, View::Orders]);
        let sub = "7d8ca528-4931-4254-9273-ea5ee853f271";
        assert_eq!(Target::Tag.items_for_user(sub, &views), [format!("#user:{sub}")]);
        assert_eq!(
            Target::Path.items_for_user("a b/é*,", &views),
            ["/users/a%20b%2F%C3%A9%2A%2C/dashboard", "/users/a%20b%2F%C3%A9%2A%2C/orders",]
        );
    }
}
