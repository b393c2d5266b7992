//! Profiles for the users of a pool that was there before the triggers: page by page, at a bounded rate, never over a
//! profile that is there. Interrupted, it goes on from its checkpoint; without one it begins anew, which does no harm.

pub mod command;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow, bail};
use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::error::ProvideErrorMetadata;
use aws_sdk_cognitoidentityprovider::types::{AttributeType, UserStatusType, UserType};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::events::{Confirmed, Subject};
use shared::store::{Known, Profile, Store};
use tokio::time::MissedTickBehavior;

use shared::text::{plural, printable};

/// Cognito: ListUsers answers at most 60 users.
const USERS_PER_PAGE: i32 = 60;
/// Profiles written at once.
const WRITES_AT_ONCE: usize = 16;
/// The highest rate, in pages a second.
pub const MAX_RATE: u32 = 100;
/// What Cognito says of users who can sign in, or could after choosing a password.
const WITH_PROFILE: [&str; 4] = ["CONFIRMED", "EXTERNAL_PROVIDER", "RESET_REQUIRED", "FORCE_CHANGE_PASSWORD"];

/// An import.
pub struct Import<'a> {
    /// Where the users are.
    pub cognito: &'a Client,
    /// Where the profiles go.
    pub store: &'a Store,
    /// The user pool.
    pub user_pool_id: &'a str,
    /// Pages asked for in a second, from 1 to [`MAX_RATE`].
    pub rate: u32,
    /// Whether profiles are written, or only counted.
    pub write: bool,
}

/// What an import has come upon so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counts {
    /// Pages gone over.
    pub pages: u64,
    /// Users on them.
    pub users: u64,
    /// Profiles written; where nothing is written, those that would be.
    pub written: u64,
    /// Users who had a profile before.
    pub had_profile: u64,
    /// Users who were erased, and whose marker is still there.
    pub erased: u64,
    /// Users who get no profile, by their status.
    pub left: BTreeMap<String, u64>,
}

/// How far an import is, as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// The user pool.
    pub user_pool_id: String,
    /// The table.
    pub table: String,
    /// Where the next page begins: none before the first one and after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagination_token: Option<String>,
    /// Whether all pages were gone over.
    pub done: bool,
    /// What was come upon so far.
    pub counts: Counts,
}

impl Checkpoint {
    /// Before the first page.
    pub fn start(user_pool_id: &str, table: &str) -> Self {
        Self {
            user_pool_id: user_pool_id.to_owned(),
            table: table.to_owned(),
            pagination_token: None,
            done: false,
            counts: Counts::default(),
        }
    }

    /// Reads the file at `path`; where there is none, it is before the first page. An error where the file is about
    /// another user pool or table.
    pub fn read(path: &Path, user_pool_id: &str, table: &str) -> Result<Self> {
        let name = path.display();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::start(user_pool_id, table)),
            Err(error) => return Err(Error::new(error).context(name.to_string())),
        };
        let found: Self =
            serde_json::from_str(&text).map_err(|_| anyhow!("{name}: is no checkpoint of an import"))?;
        for (what, there, here) in
            [("user pool", &*found.user_pool_id, user_pool_id), ("table", &*found.table, table)]
        {
            if there != here {
                bail!("{name}: is about the {what} {}, not {here}; name another file", printable(there));
            }
        }
        Ok(found)
    }

    /// Writes the file at `path`: it is there whole, or as it was before.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let written = || -> std::io::Result<()> {
            let mut file = std::fs::File::create(&part)?;
            file.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&part, path)
        };
        written().with_context(|| format!("{}: the checkpoint could not be written", path.display()))
    }
}

impl Import<'_> {
    /// Goes over the pages from `checkpoint` on, and tells after each what was come upon so far. Where it writes, `file`
    /// holds the checkpoint after each page whose profiles are all written. Users of a page that was cut off count as
    /// having had a profile, where theirs was written before.
    pub async fn run(
        &self,
        checkpoint: Checkpoint,
        file: Option<&Path>,
        progress: &mut dyn FnMut(&Counts),
    ) -> Result<Counts> {
        let mut at = checkpoint;
        let mut pace = tokio::time::interval(Duration::from_secs(1) / self.rate.clamp(1, MAX_RATE));
        // A page that took long is no reason to hurry afterwards.
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !at.done {
            pace.tick().await;
            let (users, next) = self.page(at.pagination_token.as_deref(), file).await?;
            self.take(&users, &mut at.counts).await?;
            at.done = next.is_none();
            at.pagination_token = next;
            if let Some(file) = file.filter(|_| self.write) {
                at.write(file)?;
            }
            progress(&at.counts);
        }
        Ok(at.counts)
    }

    /// The users of a page, and where the next one begins.
    async fn page(
        &self,
        token: Option<&str>,
        file: Option<&Path>,
    ) -> Result<(Vec<UserType>, Option<String>)> {
        // All attributes: Cognito refuses to be asked for `sub` by name.
        let call = self.cognito.list_users().user_pool_id(self.user_pool_id).limit(USERS_PER_PAGE);
        let output = call.set_pagination_token(token.map(str::to_owned)).send().await;
        let output = output.map_err(|error| {
            let again = match file.filter(|_| token.is_some()) {
                Some(file) => format!("remove {} and begin anew", file.display()),
                None => "begin anew".to_owned(),
            };
            match error.code() {
                Some("InvalidParameterException") if token.is_some() => anyhow!(
                    "Cognito no longer takes the place where the import was; {again}: nothing is overwritten"
                ),
                Some("ResourceNotFoundException") => {
                    anyhow!("there is no user pool {} in this account and region", self.user_pool_id)
                }
                Some("TooManyRequestsException") => {
                    anyhow!("Cognito throttles; run it again with a lower --rate")
                }
                _ => anyhow!("users could not be listed: {}", shared::aws::cause(&error)),
            }
        })?;
        let next = output.pagination_token.filter(|token| !token.is_empty());
        Ok((output.users.unwrap_or_default(), next))
    }

    /// Writes the profiles that are missing, or counts them.
    async fn take(&self, users: &[UserType], counts: &mut Counts) -> Result<()> {
        counts.pages += 1;
        let mut profiles = Vec::new();
        for user in users {
            counts.users += 1;
            match profile_of(user) {
                Ok(profile) => profiles.push(profile),
                Err(reason) => *counts.left.entry(reason.to_owned()).or_default() += 1,
            }
        }
        let subs: Vec<&str> = profiles.iter().map(|profile| profile.sub.as_str()).collect();
        let known = self.store.known_users(&subs).await?;
        let mut missing = Vec::new();
        for profile in &profiles {
            match known.get(&profile.sub) {
                Some(Known::Profile) => counts.had_profile += 1,
                Some(Known::Erased) => counts.erased += 1,
                None => missing.push(profile),
            }
        }
        if !self.write {
            counts.written += missing.len() as u64;
            return Ok(());
        }
        let writes = stream::iter(missing).map(|profile| self.store.write_missing_profile(profile));
        let written: Vec<bool> = writes.buffer_unordered(WRITES_AT_ONCE).try_collect().await?;
        for was_missing in written {
            counts.written += u64::from(was_missing);
            counts.had_profile += u64::from(!was_missing);
        }
        Ok(())
    }
}

/// The profile that a user of the pool has from now on, or why there is none. It is stored under the name that the triggers
/// use: the `sub`, or where Cognito sends none, the username.
fn profile_of(user: &UserType) -> Result<Profile, &str> {
    let status = user.user_status().map_or("no status", UserStatusType::as_str);
    if !WITH_PROFILE.contains(&status) {
        return Err(status);
    }
    let attribute = |name: &str| {
        let found = user.attributes().iter().find(|attribute| attribute.name() == name);
        found.and_then(AttributeType::value)
    };
    let username = user.username().filter(|name| !name.is_empty()).ok_or("no username")?;
    let created_at = user.user_create_date().and_then(|date| date.to_millis().ok());
    let created_at = created_at.and_then(|millis| Timestamp::from_millisecond(millis).ok());
    let confirmed = Confirmed {
        username: username.to_owned(),
        email: attribute("email").map(str::to_owned),
        email_verified: attribute("email_verified") == Some("true"),
        name: attribute("name").map(str::to_owned),
    };
    let sub = attribute("sub").filter(|sub| !sub.is_empty()).unwrap_or(username);
    Ok(Profile {
        sub: Subject::user(sub).to_string(),
        confirmed,
        created_at: created_at.ok_or("no date of creation")?,
    })
}

impl Counts {
    /// For people: a line for each number, where `wrote` tells whether profiles were written.
    pub fn text(&self, wrote: bool) -> String {
        let Self { pages, users, written, had_profile, erased, left } = self;
        let mut out = String::new();
        let pages = plural(usize::try_from(*pages).unwrap_or(usize::MAX), "page");
        let what = if wrote { "profiles written" } else { "profiles to be written" };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{users:>7}  users on {pages}\n{written:>7}  {what}");
        for (count, what) in [(had_profile, "had a profile"), (erased, "left: erased")] {
            if *count > 0 {
                let _ = writeln!(out, "{count:>7}  {what}");
            }
        }
        for (status, count) in left {
            let _ = writeln!(out, "{count:>7}  left: {}", printable(status));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_cognitoidentityprovider::primitives::DateTime;

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
    fn a_profile_is_what_the_pool_knows() {
        let attributes =
            [("sub", "7d8c"), ("email", "ana@example.com"), ("email_verified", "true"), ("name", "Ana")];
        let profile = profile_of(&user("CONFIRMED", &attributes)).unwrap();
        let confirmed = Confirmed {
            username: "ana".into(),
            email: Some("ana@example.com".into()),
            email_verified: true,
            name: Some("Ana".into()),
        };
        let created_at = "2023-07-21T23:07:37.949Z".parse().unwrap();
        assert_eq!(profile, Profile { sub: "7d8c".into(), confirmed, created_at });
        let federated = profile_of(&user("EXTERNAL_PROVIDER", &[("email_verified", "false")])).unwrap();
        assert_eq!((federated.sub.as_str(), federated.confirmed.email_verified), ("ana", false));
    }

    #[test]
    fn who_was_never_confirmed_gets_no_profile() {
        for status in ["UNCONFIRMED", "ARCHIVED", "COMPROMISED", "UNKNOWN", "OF_TOMORROW"] {
            assert_eq!(profile_of(&user(status, &[("sub", "7d8c")])), Err(status));
        }
        for status in WITH_PROFILE {
            assert!(profile_of(&user(status, &[])).is_ok(), "{status}");
        }
        assert_eq!(profile_of(&UserType::builder().build()), Err("no status"));
        let without_date = UserType::builder().username("ana").user_status("CONFIRMED".into()).build();
        assert_eq!(profile_of(&without_date), Err("no date of creation"));
    }

    #[test]
    fn a_checkpoint_survives_writing_and_is_of_one_pool_and_table() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("import.json");
        let start = Checkpoint::start("eu-central-1_A", "table");
        assert_eq!(Checkpoint::read(&path, "eu-central-1_A", "table").unwrap(), start);
        let mut later = Checkpoint { pagination_token: Some("next".into()), ..start };
        later.counts.left.insert("UNCONFIRMED".into(), 2);
        later.write(&path).unwrap();
        assert_eq!(Checkpoint::read(&path, "eu-central-1_A", "table").unwrap(), later);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
        for (pool, table, expected) in [
            ("eu-central-1_B", "table", "user pool eu-central-1_A"),
            ("eu-central-1_A", "other", "table table"),
        ] {
            let error = Checkpoint::read(&path, pool, table).unwrap_err().to_string();
            assert!(error.contains("import.json: is about the") && error.contains(expected), "{error}");
        }
        std::fs::write(&path, "{}").unwrap();
        assert!(Checkpoint::read(&path, "eu-central-1_A", "table").is_err());
    }

    #[test]
    fn counts_are_lines() {
        let left = BTreeMap::from([("UNCONFIRMED".to_owned(), 2)]);
        let counts = Counts { pages: 1, users: 9, written: 4, had_profile: 3, erased: 0, left };
        let expected = "      9  users on 1 page\n      4  profiles to be written\n      3  had a profile\n      \
                        2  left: UNCONFIRMED\n";
        assert_eq!(counts.text(false), expected);
    }
}
