//! Resources and permissions: what a user may do with something that belongs to another user.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::de::{Deserializer, Error, Unexpected};
use serde::{Deserialize, Serialize};

#[cfg(any(feature = "schema", test))]
use super::subject::MAX_USER_CHARS;
use super::subject::Subject;

/// Maximum length of the kind of a resource, and of a permission.
const MAX_NAME_CHARS: usize = 32;
/// Maximum number of permissions of one grant.
pub const MAX_PERMISSIONS: usize = 10;
/// Maximum length of the name of the person or service that grants or revokes.
pub const MAX_ACTOR_CHARS: usize = 128;

/// Something of one user that other users may get access to: `orders/{sub of the owner}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Resource {
    kind: String,
    owner: String,
}

/// A permission on a resource, such as `read`: 1 to 32 lower-case letters and underscores.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Permission(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a kind of 1 to 32 lower-case letters or underscores, a slash, and the sub of the owner")]
pub struct InvalidResource;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 32 lower-case letters or underscores")]
pub struct InvalidPermission;

impl Resource {
    /// The kind of all orders of a user.
    pub const ORDERS: &str = "orders";

    /// The resource of the kind `kind` that belongs to the user `owner`.
    pub fn new(kind: &str, owner: &str) -> Result<Self, InvalidResource> {
        let is_user = |owner: &str| matches!(owner.parse(), Ok(Subject::User(_)));
        if !is_name(kind) || !is_user(owner) {
            return Err(InvalidResource);
        }
        Ok(Self { kind: kind.to_owned(), owner: owner.to_owned() })
    }

    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Sub of the user who owns the resource.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    #[cfg(feature = "schema")]
    pub(super) fn pattern() -> String {
        let controls = r"\u0000-\u001f\u007f-\u009f";
        format!("^[a-z_]{{1,{MAX_NAME_CHARS}}}/[^{controls}]{{1,{MAX_USER_CHARS}}}$")
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.owner)
    }
}

impl FromStr for Resource {
    type Err = InvalidResource;

    fn from_str(text: &str) -> Result<Self, InvalidResource> {
        let (kind, owner) = text.split_once('/').ok_or(InvalidResource)?;
        Self::new(kind, owner)
    }
}

impl TryFrom<String> for Resource {
    type Error = InvalidResource;

    fn try_from(text: String) -> Result<Self, InvalidResource> {
        text.parse()
    }
}

impl From<Resource> for String {
    fn from(resource: Resource) -> Self {
        resource.to_string()
    }
}

impl Permission {
    /// To see a resource.
    pub const READ: &str = "read";

    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[cfg(feature = "schema")]
    pub(super) fn schema() -> serde_json::Value {
        serde_json::json!({"type": "string", "pattern": format!("^[a-z_]{{1,{MAX_NAME_CHARS}}}$")})
    }
}

impl FromStr for Permission {
    type Err = InvalidPermission;

    fn from_str(text: &str) -> Result<Self, InvalidPermission> {
        if is_name(text) { Ok(Self(text.to_owned())) } else { Err(InvalidPermission) }
    }
}

impl TryFrom<String> for Permission {
    type Error = InvalidPermission;

    fn try_from(text: String) -> Result<Self, InvalidPermission> {
        text.parse()
    }
}

impl From<Permission> for String {
    fn from(permission: Permission) -> Self {
        permission.0
    }
}

fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    (1..=MAX_NAME_CHARS).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// 1 to 10 permissions, for `#[serde(deserialize_with)]`.
pub(super) fn permissions<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeSet<Permission>, D::Error> {
    let permissions = BTreeSet::deserialize(deserializer)?;
    if !(1..=MAX_PERMISSIONS).contains(&permissions.len()) {
        return Err(D::Error::invalid_value(Unexpected::Seq, &"1 to 10 permissions"));
    }
    Ok(permissions)
}

/// The name of a person or a service, for `#[serde(deserialize_with)]`.
pub(super) fn actor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let fits = (1..=MAX_ACTOR_CHARS).contains(&name.chars().count());
    if !fits || name.chars().any(char::is_control) {
        let expected = "1 to 128 characters without control characters";
        return Err(D::Error::invalid_value(Unexpected::Other("text"), &expected));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_is_a_kind_and_the_sub_of_its_owner() {
        for (text, kind, owner) in [
            ("orders/7d8ca528-4931-4254-9273-ea5ee853f271", "orders", "7d8ca528-4931-4254-9273-ea5ee853f271"),
            ("shared_files/username:domain:a", "shared_files", "username:domain:a"),
            ("orders/a/b#c", "orders", "a/b#c"),
        ] {
            let resource: Resource = text.parse().unwrap();
            assert_eq!((resource.kind(), resource.owner()), (kind, owner));
            assert_eq!(resource.to_string(), text);
            assert_eq!(Resource::new(kind, owner), Ok(resource));
        }
        let long = |owner: usize| format!("orders/{}", "é".repeat(owner));
        assert!(long(MAX_USER_CHARS).parse::<Resource>().is_ok());
        for text in [
            "",
            "orders",
            "orders/",
            "/ana",
            "Orders/ana",
            "or-ders/ana",
            " orders/ana",
            "orders#x/ana",
            "orders/domain:example.com",
            "orders/unknown",
            "orders/a\nb",
            &format!("{}/ana", "a".repeat(33)),
            &long(MAX_USER_CHARS + 1),
        ] {
            assert_eq!(text.parse::<Resource>(), Err(InvalidResource), "{text:?}");
        }
    }

    #[test]
    fn permission_is_a_lower_case_name() {
        for text in ["read", "read_orders", "_", &"a".repeat(32)] {
            assert_eq!(text.parse::<Permission>().unwrap().as_str(), text);
        }
        for text in ["", "Read", "read ", "read-orders", "lésen", "read2", &"a".repeat(33)] {
            assert_eq!(text.parse::<Permission>(), Err(InvalidPermission), "{text:?}");
        }
    }
}
