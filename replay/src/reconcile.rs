//! Compares a user pool with the table, and repairs the differences.
//!
//! The comparison has three parts: the members of the managed groups, the users of the pool page by page,
//! then the users of the table that are not in the pool. Its results are records of a checkpoint, so that
//! an interrupted run continues. A repair reads the user again first, so that it never writes what the
//! comparison saw some time ago.

pub mod checkpoint;
pub mod command;
pub mod compare;
pub mod find;

pub mod repair;
pub mod report;
pub mod settings;
pub mod state;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A difference between the user pool and the table, or between the user pool and GROUP_RULES.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Difference {
    pub kind: Kind,
    pub sub: String,
    /// The names of the attributes or of the groups, without values. Of an account, its state in the pool:
    /// `disabled` or `enabled`.
    pub fields: Vec<String>,
}

/// What differs. The order is that of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Kind {
    /// A user of the pool has no profile.
    MissingProfile,
    /// Attributes of the profile differ from the user in the pool.
    StaleProfile,
    /// The account is disabled in the pool and not in the statistics, or the other way round.
    AccountState,
    /// GROUP_RULES gives the user groups that the user does not have in the pool.
    MissingGroup,
    /// The user has groups in the pool that GROUP_RULES manages and does not give to the user.
    ExtraGroup,
    /// The table has a profile or statistics of a user that is not in the pool.
    DeletedUser,
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::MissingProfile,
        Self::StaleProfile,
        Self::AccountState,
        Self::MissingGroup,
        Self::ExtraGroup,
        Self::DeletedUser,
    ];

    /// The difference in a few words, for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::MissingProfile => "users without a profile",
            Self::StaleProfile => "profiles with old attributes",
            Self::AccountState => "accounts whose state differs",
            Self::MissingGroup => "users without a group of the rules",
            Self::ExtraGroup => "users in a group against the rules",
            Self::DeletedUser => "users that are not in the pool",
        }
    }
}

/// A user in 16 bytes, for sets of all users of a pool. It is the sub itself if that is a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserId(u128);

impl UserId {
    pub fn of(sub: &str) -> Self {
        let uuid = Uuid::try_parse(sub).ok().filter(|uuid| uuid.hyphenated().to_string() == sub);
        Self(uuid.unwrap_or_else(|| Uuid::new_v5(&Uuid::NAMESPACE_OID, sub.as_bytes())).as_u128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_of_a_user_is_different_for_each_spelling() {
        let subs = [
            "7d8ca528-4931-4254-9273-ea5ee853f271",
            "7D8CA528-4931-4254-9273-EA5EE853F271",
            "7d8ca528493142549273ea5ee853f271",
            "ana",
            "",
        ];
        let ids: std::collections::HashSet<UserId> = subs.iter().map(|sub| UserId::of(sub)).collect();
        assert_eq!(ids.len(), subs.len());
    }
}
