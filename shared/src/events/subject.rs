//! The subject of an event: a user or an email domain.

use std::fmt;
use std::str::FromStr;

/// The attribute `subject` of CloudEvents.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// A user, by Cognito's `sub`, or by username if Cognito sends no sub.
    User(String),
    /// An email domain, written `domain:example.com`. The subject of a sign-up, because the user
    /// has no sub yet.
    ///
    /// Also `other` (denied and on no list), `none` (no email address) and `invalid` (not an email
    /// address).
    Domain(String),
    /// A user that the user pool does not know. Counted in a metric, never stored.
    Unknown,
}

/// Why a subject is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSubject(pub &'static str);

const UNKNOWN: &str = "unknown";
const DOMAIN_PREFIX: &str = "domain:";
/// The length limit of a Cognito username, plus the prefix that [`Subject::user`] may add.
pub(super) const MAX_USER_CHARS: usize = 128 + "username:".len();
/// The length limit of a domain name.
const MAX_DOMAIN_CHARS: usize = 253;

impl Subject {
    /// The user with this sub or username. A username that looks like another kind of subject gets
    /// the prefix `username:`.
    pub fn user(name: &str) -> Self {
        if name == UNKNOWN || name.starts_with(DOMAIN_PREFIX) {
            return Self::User(format!("username:{name}"));
        }
        Self::User(name.to_owned())
    }

    /// The sub or username. `None` if the subject is not a user.
    pub fn as_user(&self) -> Option<&str> {
        match self {
            Self::User(sub) => Some(sub),
            Self::Domain(_) | Self::Unknown => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(sub) => f.write_str(sub),
            Self::Domain(domain) => write!(f, "{DOMAIN_PREFIX}{domain}"),
            Self::Unknown => f.write_str(UNKNOWN),
        }
    }
}

impl FromStr for Subject {
    type Err = InvalidSubject;

    fn from_str(subject: &str) -> Result<Self, InvalidSubject> {
        let (name, longest) = match subject.strip_prefix(DOMAIN_PREFIX) {
            Some(domain) => (domain, MAX_DOMAIN_CHARS),
            None => (subject, MAX_USER_CHARS),
        };
        if name.chars().count() > longest || name.chars().any(char::is_control) {
            return Err(InvalidSubject(
                "expected a sub of at most 128 characters, or a domain of at most 253",
            ));
        }
        match subject.strip_prefix(DOMAIN_PREFIX) {
            _ if subject.is_empty() => Err(InvalidSubject("is empty")),
            Some("") => Err(InvalidSubject("expected a domain after \"domain:\"")),
            Some(domain) => Ok(Self::Domain(domain.to_owned())),
            None if subject == UNKNOWN => Ok(Self::Unknown),
            None => Ok(Self::User(subject.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subject_survives_formatting_and_parsing() {
        for subject in [
            Subject::user("7d8ca528-4931-4254-9273-ea5ee853f271"),
            Subject::user("unknown"),
            Subject::user("domain:example.com"),
            Subject::Domain("example.com".into()),
            Subject::Unknown,
        ] {
            assert_eq!(subject.to_string().parse(), Ok(subject));
        }
    }

    #[test]
    fn subject_has_limited_length_and_no_control_characters() {
        assert!(format!("domain:{}", "a".repeat(253)).parse::<Subject>().is_ok());
        assert!(format!("domain:{}", "a".repeat(254)).parse::<Subject>().is_err());
        assert!("".parse::<Subject>().is_err());
        assert!("domain:".parse::<Subject>().is_err());
        assert!("a\nb".parse::<Subject>().is_err());
        assert!("a".repeat(200).parse::<Subject>().is_err());
    }
}
