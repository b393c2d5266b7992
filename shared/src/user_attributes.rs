//! The attributes of a Cognito user that a profile keeps.

use std::borrow::Cow;

use crate::events::Confirmed;

/// The user's name: the attribute `name`, else `given_name` and `family_name`, else `given_name`. A
/// blank attribute counts as missing.
pub fn display_name<'a>(attribute: impl Fn(&str) -> Option<Cow<'a, str>>) -> Option<String> {
    let attribute = |name: &str| attribute(name).filter(|value| !value.trim().is_empty());
    if let Some(name) = attribute("name") {
        return Some(name.into_owned());
    }
    let given_name = attribute("given_name")?;
    match attribute("family_name") {
        Some(family_name) => Some(format!("{} {}", given_name.trim(), family_name.trim())),
        None => Some(given_name.into_owned()),
    }
}

/// What a confirmation and a profile keep of a user's attributes.
pub fn confirmed<'a>(username: String, attribute: impl Fn(&str) -> Option<Cow<'a, str>>) -> Confirmed {
    let text = |name: &str| attribute(name).map(Cow::into_owned);
    Confirmed {
        username,
        email: text("email"),
        email_verified: attribute("email_verified").is_some_and(|value| value == "true"),
        name: display_name(&attribute),
        preferred_username: text("preferred_username").filter(|name| !name.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_name_is_built_from_the_attributes_that_exist() {
        for (name, given_name, family_name, expected) in [
            (Some("Ana Example"), Some("Ana"), Some("Silva"), Some("Ana Example")),
            (None, Some("Ana"), Some("Silva"), Some("Ana Silva")),
            (Some(" "), Some(" Ana "), Some("Silva"), Some("Ana Silva")),
            (None, Some("Ana"), None, Some("Ana")),
            (None, Some("Ana"), Some(""), Some("Ana")),
            (None, None, Some("Silva"), None),
            (None, None, None, None),
        ] {
            let attribute = |wanted: &str| match wanted {
                "name" => name.map(Cow::Borrowed),
                "given_name" => given_name.map(Cow::Borrowed),
                "family_name" => family_name.map(Cow::Borrowed),
                _ => None,
            };
            assert_eq!(
                display_name(attribute).as_deref(),
                expected,
                "{name:?} {given_name:?} {family_name:?}"
            );
        }
    }
}
