//! Writes profiles for the users of a pool that is older than its triggers.
//!
//! Reads the pool page by page, at a limited rate. Never overwrites a profile. An interrupted
//! import continues from its checkpoint. Without a checkpoint it starts again with the first page,
//! which is safe.

pub mod checkpoint;
pub mod command;

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow};
use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cognitoidentityprovider::operation::list_users::ListUsersError;
use aws_sdk_cognitoidentityprovider::types::{AttributeType, UserStatusType, UserType};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use shared::events::Subject;
use shared::store::{KnownUser, Profile, Store};
use shared::user_attributes;
use tokio::time::MissedTickBehavior;

use crate::aws_error::{Service, aws_error};
use checkpoint::{ImportCheckpoint, ImportCounts};

/// Cognito: ListUsers returns at most 60 users.
const USERS_PER_PAGE: i32 = 60;
/// Maximum number of profiles that are written concurrently.
const CONCURRENT_WRITES: usize = 16;
/// Maximum rate in pages per second.
pub const MAX_RATE: u32 = 100;
/// Statuses of users who can sign in, or could after they choose a password.
const STATUSES_WITH_PROFILE: [&str; 4] =
    ["CONFIRMED", "EXTERNAL_PROVIDER", "RESET_REQUIRED", "FORCE_CHANGE_PASSWORD"];

pub struct UserPoolImport<'a> {
    pub cognito: &'a Client,
    pub store: &'a Store,
    pub user_pool_id: &'a str,
    /// Pages per second, from 1 to [`MAX_RATE`].
    pub rate: u32,
    /// Whether to write the missing profiles. Otherwise they are only counted.
    pub write: bool,
    /// File for the checkpoint.
    pub checkpoint_file: Option<&'a Path>,
}

impl UserPoolImport<'_> {
    /// Processes the pages from `checkpoint` on, and calls `progress` after each page.
    ///
    /// If profiles are written, so is the checkpoint, after each complete page. If a page was
    /// interrupted, the profiles that it wrote count as existing ones in the next run.
    pub async fn run(
        &self,
        mut checkpoint: ImportCheckpoint,
        progress: &mut dyn FnMut(&ImportCounts),
    ) -> Result<ImportCounts> {
        let mut interval = tokio::time::interval(Duration::from_secs(1) / self.rate.clamp(1, MAX_RATE));
        // After a slow page, the next ones are not faster than the rate.
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !checkpoint.done {
            interval.tick().await;
            let (users, next) = self.read_page(checkpoint.pagination_token.as_deref()).await?;
            self.import_page(&users, &mut checkpoint.counts).await?;
            checkpoint.done = next.is_none();
            checkpoint.pagination_token = next;
            if let Some(file) = self.checkpoint_file.filter(|_| self.write) {
                checkpoint.write(file)?;
            }
            progress(&checkpoint.counts);
        }
        Ok(checkpoint.counts)
    }

    /// Reads the users of a page, and the token for the next one.
    async fn read_page(&self, token: Option<&str>) -> Result<(Vec<UserType>, Option<String>)> {
        // Reads all attributes, because Cognito rejects `sub` in a list of attributes.
        let call = self.cognito.list_users().user_pool_id(self.user_pool_id).limit(USERS_PER_PAGE);
        let output = call.set_pagination_token(token.map(str::to_owned)).send().await;
        let output = output.map_err(|error| self.page_error(error, token.is_some()))?;
        let next = output.pagination_token.filter(|token| !token.is_empty());
        Ok((output.users.unwrap_or_default(), next))
    }

    fn page_error<R>(&self, error: SdkError<ListUsersError, R>, has_token: bool) -> anyhow::Error
    where
        R: std::fmt::Debug + 'static,
    {
        match error.code() {
            Some("InvalidParameterException") if has_token => {
                let file = self.checkpoint_file.map(|file| format!("Remove {} and run", file.display()));
                let run = file.unwrap_or_else(|| "Run".to_owned());
                anyhow!(
                    "Cognito no longer accepts the position of the import. {run} the command again: \
                     it overwrites no profile"
                )
            }
            Some("ResourceNotFoundException") => anyhow!(
                "user pool {} does not exist in this account and region. Check --user-pool and --region",
                self.user_pool_id
            ),
            Some("TooManyRequestsException") => {
                anyhow!("Cognito throttles ListUsers. Run the command again with a lower --rate")
            }
            _ => aws_error(Service::Cognito, "ListUsers")(error),
        }
    }

    /// Writes the profiles that do not exist yet, or counts them.
    async fn import_page(&self, users: &[UserType], counts: &mut ImportCounts) -> Result<()> {
        counts.pages += 1;
        counts.users += users.len();
        let mut profiles = Vec::new();
        for user in users {
            match profile_of(user) {
                Ok(profile) => profiles.push(profile),
                Err(reason) => *counts.skipped.entry(reason.to_owned()).or_default() += 1,
            }
        }
        let subs: Vec<&str> = profiles.iter().map(|profile| profile.sub.as_str()).collect();
        let known = self.store.find_known_users(&subs).await?;
        let mut missing = Vec::new();
        for profile in &profiles {
            match known.get(&profile.sub) {
                Some(KnownUser::HasProfile) => counts.had_profile += 1,
                Some(KnownUser::Erased) => counts.erased += 1,
                None => missing.push(profile),
            }
        }
        if !self.write {
            counts.written += missing.len();
            return Ok(());
        }
        let writes = stream::iter(missing).map(|profile| self.store.write_missing_profile(profile));
        let written: Vec<bool> = writes.buffer_unordered(CONCURRENT_WRITES).try_collect().await?;
        for was_missing in written {
            if was_missing {
                counts.written += 1;
            } else {
                counts.had_profile += 1;
            }
        }
        Ok(())
    }
}

/// The profile of a user of the pool, or the reason why the user gets none.
///
/// The key of the profile is the one that the triggers use: the `sub`, or the username if Cognito
/// sends no `sub`.
pub fn profile_of(user: &UserType) -> Result<Profile, &str> {
    let status = user.user_status().map_or("no status", UserStatusType::as_str);
    if !STATUSES_WITH_PROFILE.contains(&status) {
        return Err(status);
    }
    let attribute = |name: &str| {
        let attribute = user.attributes().iter().find(|attribute| attribute.name() == name);
        attribute.and_then(AttributeType::value)
    };
    let username = user.username().filter(|name| !name.is_empty()).ok_or("no username")?;
    let created_at = user.user_create_date().and_then(|date| date.to_millis().ok());
    let created_at = created_at.and_then(|millis| Timestamp::from_millisecond(millis).ok());
    let confirmed =
        user_attributes::confirmed(username.to_owned(), |name| attribute(name).map(Cow::Borrowed));
    let sub = attribute("sub").filter(|sub| !sub.is_empty()).unwrap_or(username);
    Ok(Profile {
        sub: Subject::user(sub).to_string(),
        confirmed,
        created_at: created_at.ok_or("no creation date")?,
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_cognitoidentityprovider::primitives::DateTime;

    use shared::events::Confirmed;

    use super::*;

    fn user(status: &str, attributes: &[(&str, &str)]) -> UserType {
        let user = UserType::builder().username("ana").user_status(status.into());
        let user = user.user_create_date(DateTime::from_millis(1_689_980_857_949));
        let attributes = attributes
            .iter()
            .map(|(name, value)| AttributeType::builder().name(*name).value(*value).build().unwrap());
        user.set_attributes(Some(attributes.collect())).build()
    }

    #[test]
    fn profile_has_the_values_of_the_pool() {
        let attributes = [
            ("sub", "7d8c"),
            ("email", "ana@example.com"),
            ("email_verified", "true"),
            ("given_name", "Ana"),
            ("family_name", "Silva"),
            ("preferred_username", "zoe"),
        ];
        let profile = profile_of(&user("CONFIRMED", &attributes)).unwrap();
        let confirmed = Confirmed {
            username: "ana".into(),
            email: Some("ana@example.com".into()),
            email_verified: true,
            name: Some("Ana Silva".into()),
            preferred_username: Some("zoe".into()),
        };
        let created_at = "2023-07-21T23:07:37.949Z".parse().unwrap();
        assert_eq!(profile, Profile { sub: "7d8c".into(), confirmed, created_at });
        let federated = profile_of(&user("EXTERNAL_PROVIDER", &[("email_verified", "false")])).unwrap();
        assert_eq!((federated.sub.as_str(), federated.confirmed.email_verified), ("ana", false));
    }

    #[test]
    fn unconfirmed_users_get_no_profile() {
        for status in ["UNCONFIRMED", "ARCHIVED", "COMPROMISED", "UNKNOWN", "NEW_STATUS"] {
            assert_eq!(profile_of(&user(status, &[("sub", "7d8c")])), Err(status));
        }
        for status in STATUSES_WITH_PROFILE {
            assert!(profile_of(&user(status, &[])).is_ok(), "{status}");
        }
        assert_eq!(profile_of(&UserType::builder().build()), Err("no status"));
        let without_date = UserType::builder().username("ana").user_status("CONFIRMED".into()).build();
        assert_eq!(profile_of(&without_date), Err("no creation date"));
    }
}
