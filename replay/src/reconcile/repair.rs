//! Repairs differences. Reads each user again, and changes only what still differs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, anyhow};
use aws_sdk_cognitoidentityprovider::types::UserType;
use jiff::Timestamp;
use shared::backoff::ConflictRetry;
use shared::events::{ChangedBy, Data, Empty, Event, OPERATOR_SOURCE, ProfileUpdated, Subject};
use shared::group_rules::rule::Rule;
use shared::queues::Queue;
use shared::statistics::{Statistics, UserStats};
use shared::store::{Commit, CommitError, Consistency, Partition, Store, StoredAccount};
use shared::time::Clock;
use uuid::Uuid;

use super::checkpoint::Log;
use super::compare::{compare, is_kept, profile_changes};
use super::state::Record;
use super::{Difference, Kind};
use crate::aws_error::describe;
use crate::pace::Pace;
use crate::progress::Progress;
use crate::user::erase::erase;
use crate::user::import::profile_of;
use crate::user::pool::UserPool;
use crate::user::pool_account::PoolAccount;

/// Namespace of the ids of the events about the state of an account.
const STATE_EVENTS: Uuid = Uuid::from_u128(0x6c1f_0f2e_93d4_4a0b_8a52_7d1e_5b0c_94a7);

pub struct Repair<'a> {
    pub pool: &'a UserPool,
    pub store: &'a Store,
    pub pace: &'a Pace,
    pub clock: &'a Clock,
    pub rules: Option<&'a [Rule]>,
    pub managed_groups: &'a [String],
    /// For `profile.updated`. `None` if the queue is not known: cached pages then show the old values until
    /// they expire.
    pub user_events: Option<&'a Queue>,
    /// For erasures.
    pub cache_invalidations: Option<&'a Queue>,
    /// EVENT_RETENTION_DAYS.
    pub event_retention_days: u32,
    /// True if users that are not in the pool are marked as deleted and not erased.
    pub keeps_deleted_users: bool,
}

impl Repair<'_> {
    /// Repairs the differences of the log, user by user. Adds the failures in words, each with the sub. An
    /// error means that a user could not be read.
    pub async fn run(&self, log: &mut Log, failures: &mut Vec<String>) -> Result<()> {
        let mut by_user: BTreeMap<String, Vec<Difference>> = BTreeMap::new();
        for difference in log.state().differences() {
            by_user.entry(difference.sub.clone()).or_default().push(difference.clone());
        }
        let progress = Progress::new("users repaired", Some(by_user.len()));
        for (index, (sub, differences)) in by_user.into_iter().enumerate() {
            // The time comes before the call: a change in between is newer than what the call returns.
            let read = || async {
                let read_at = self.clock.now();
                Ok((self.pool.find_user(&sub).await?, read_at))
            };
            let (user, read_at) = self.pace.call(read).await?;
            let fresh = match &user {
                Some(user) => self.read_again(user, &sub, read_at, &differences).await?,
                // Whatever differed, the user is gone. The next comparison finds what the table has.
                None => Fresh { read_at, ..Fresh::default() },
            };
            for difference in differences {
                let result = match (&user, difference.kind) {
                    (None, Kind::DeletedUser) => self.delete(&sub, read_at).await,
                    (Some(user), kind) if fresh.kinds.contains(&kind) => {
                        self.repair(user, kind, &fresh).await
                    }
                    _ => Ok(()),
                };
                match result {
                    Ok(()) => log.add(Record::Settled(difference))?,
                    Err(error) => failures.push(format!("{sub}: {}", describe(error.as_ref()))),
                }
            }
            progress.set(index + 1);
        }
        Ok(())
    }

    /// What differs now.
    async fn read_again(
        &self,
        user: &UserType,
        sub: &str,
        read_at: Timestamp,
        found: &[Difference],
    ) -> Result<Fresh> {
        let mut stored = self.store.read_accounts(&[sub], Consistency::Strong).await?;
        let stored = stored.remove(sub).unwrap_or_default();
        let is_about_groups = |each: &Difference| matches!(each.kind, Kind::MissingGroup | Kind::ExtraGroup);
        let groups = match self.rules.filter(|_| found.iter().any(is_about_groups)) {
            Some(rules) => {
                let account = self.account(user)?;
                let all = self.pace.call(|| account.groups()).await?;
                let managed = all.into_iter().filter(|group| self.managed_groups.contains(group));
                Some((managed.collect::<BTreeSet<String>>(), rules))
            }
            None => None,
        };
        let compared = compare(user, &stored, groups.as_ref().map(|(groups, rules)| (groups, *rules)));
        let kinds = compared.differences.iter().map(|difference| difference.kind).collect();
        Ok(Fresh { read_at, stored, kinds, differences: compared.differences })
    }

    fn account(&self, user: &UserType) -> Result<PoolAccount> {
        PoolAccount::of(self.pool.client(), &self.pool.id, user.clone())
    }

    async fn repair(&self, user: &UserType, kind: Kind, fresh: &Fresh) -> Result<()> {
        let Some(difference) = fresh.differences.iter().find(|each| each.kind == kind) else { return Ok(()) };
        let sub = &difference.sub;
        match kind {
            Kind::MissingProfile => {
                let profile = profile_of(user).map_err(|reason| anyhow!("Cognito returned {reason}"))?;
                self.store.write_missing_profile(&profile).await?;
            }
            Kind::StaleProfile => self.update_profile(user, sub, fresh).await?,
            Kind::AccountState => self.record_state(user, sub, fresh.read_at).await?,
            Kind::MissingGroup => {
                let account = self.account(user)?;
                for group in &difference.fields {
                    let added = self.pace.call(|| account.add_to_group(group)).await;
                    added.with_context(|| format!("add to group {group}"))?;
                }
            }
            Kind::ExtraGroup => {
                let account = self.account(user)?;
                for group in &difference.fields {
                    let removed = self.pace.call(|| account.remove_from_group(group)).await;
                    removed.with_context(|| format!("remove from group {group}"))?;
                }
            }
            // The user is in the pool.
            Kind::DeletedUser => {}
        }
        Ok(())
    }

    /// Updates the profile as the triggers do, then publishes `profile.updated`, so that cached pages are
    /// invalidated.
    async fn update_profile(&self, user: &UserType, sub: &str, fresh: &Fresh) -> Result<()> {
        let Some(changes) = profile_changes(user, &fresh.stored) else { return Ok(()) };
        if !self.store.update_profile(sub, &changes).await? {
            return Err(anyhow!("the profile changed at the same time. Run the command again"));
        }
        let Some(queue) = self.user_events else { return Ok(()) };
        let changed = changes.names().into_iter().map(str::to_owned).collect();
        let data = Data::ProfileUpdated(ProfileUpdated { changed, by: Some(ChangedBy::Administrator) });
        let event = Event::new(OPERATOR_SOURCE, Subject::user(sub), self.clock.now(), data);
        queue.send(&event).await.context(
            "the profile is updated, but profile.updated was not published. Cached pages show the old values \
             until they expire",
        )
    }

    /// Commits `user.disabled` or `user.enabled`, as account-activity does.
    ///
    /// The id of the event follows from the account, so that two runs at the same time count once.
    async fn record_state(&self, user: &UserType, sub: &str, read_at: Timestamp) -> Result<()> {
        let data = if user.enabled() { Data::Enabled(Empty {}) } else { Data::Disabled(Empty {}) };
        let changed_at = user.user_last_modified_date().and_then(|date| date.to_millis().ok());
        let changed_at = changed_at.unwrap_or(read_at.as_millisecond());
        let name = format!("{} {sub} {} {changed_at}", self.pool.id, data.event_type());
        let id = Uuid::new_v5(&STATE_EVENTS, name.as_bytes()).to_string();
        let event = Event::new(OPERATOR_SOURCE, Subject::user(sub), read_at, data).with_id(id);
        self.commit(&event).await
    }

    async fn commit(&self, event: &Event) -> Result<()> {
        let body = event.to_json();
        let Some(partition) = Partition::of(event) else { return Ok(()) };
        let mut retry = ConflictRetry::new();
        loop {
            let stored = self.store.read_statistics(&[&partition], Consistency::Strong).await?;
            let stored = stored.into_values().next().unwrap_or_default();
            let metadata = stored.metadata()?;
            if metadata.erased_at.is_some() {
                return Ok(());
            }
            let mut statistics: UserStats = stored.statistics()?;
            statistics.apply(event);
            let commit = Commit {
                partition: &partition,
                read_version: metadata.version,
                statistics: &statistics,
                metadata,
                events: &[(event, body.as_str())],
                event_retention_days: self.event_retention_days,
                profile: None,
            };
            match self.store.commit(commit).await {
                Ok(()) | Err(CommitError::Duplicates(_)) => return Ok(()),
                Err(CommitError::Store(error)) => return Err(error.into()),
                Err(error @ (CommitError::Conflict(_) | CommitError::Throttled(_))) => {
                    retry.wait().await.map_err(|_| error)?;
                }
            }
        }
    }

    /// Erases the user, or commits `user.deleted` if data of deleted users stays. Does nothing if that has
    /// happened since the comparison.
    async fn delete(&self, sub: &str, read_at: Timestamp) -> Result<()> {
        let stored = self.store.read_accounts(&[sub], Consistency::Strong).await?;
        if stored.get(sub).is_some_and(is_kept) {
            return Ok(());
        }
        if self.keeps_deleted_users {
            let data = Data::Deleted(Empty {});
            let name = format!("{} {sub} {}", self.pool.id, data.event_type());
            let id = Uuid::new_v5(&STATE_EVENTS, name.as_bytes()).to_string();
            return self
                .commit(&Event::new(OPERATOR_SOURCE, Subject::user(sub), read_at, data).with_id(id))
                .await;
        }
        let queue =
            self.cache_invalidations.ok_or_else(|| anyhow!("the queue cache-invalidations is not known"))?;
        Ok(erase(self.store, queue, sub, self.clock).await?)
    }
}

/// A user as read right before the repair.
#[derive(Debug, Default)]
struct Fresh {
    read_at: Timestamp,
    stored: StoredAccount,
    kinds: BTreeSet<Kind>,
    differences: Vec<Difference>,
}
