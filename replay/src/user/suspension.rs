//! A user's profile and suspension, as the table holds them.

pub mod command;

use anyhow::Result;
use jiff::Timestamp;
use shared::store::Store;
use shared::suspension::SuspensionStatus;

#[derive(Clone, Debug, PartialEq)]
pub struct StoredStatus {
    /// Also `true` if the suspension is unreadable: then it is unknown whether there is a profile.
    pub has_profile: bool,
    /// `None` if the suspension is unreadable. The triggers then deny every sign-in, until the next
    /// decision replaces it.
    pub suspension: Option<SuspensionStatus>,
}

impl StoredStatus {
    pub async fn read(store: &Store, sub: &str) -> Result<Self> {
        match store.read_profile_state(sub).await {
            Ok(profile) => Ok(Self { has_profile: profile.exists, suspension: Some(profile.suspension) }),
            Err(error) if error.is_unreadable() => Ok(Self { has_profile: true, suspension: None }),
            Err(error) => Err(error.into()),
        }
    }

    /// The suspension in a few words, for example `not suspended`.
    pub fn describe(&self, now: Timestamp) -> String {
        match &self.suspension {
            Some(suspension) => suspension.describe(now),
            None => "suspended: the suspension in the table is unreadable".to_owned(),
        }
    }
}
