//! Finds the differences: reads the managed groups, the user pool and the table.

use std::collections::BTreeSet;
use std::io::Write;
use std::slice::from_ref;

use anyhow::Result;
use futures_util::{StreamExt, TryStreamExt, stream};
use shared::group_rules::rule::Rule;
use shared::store::{Consistency, Store};

use super::checkpoint::Log;
use super::compare::{compare, is_kept, sub_of};
use super::state::{Position, Record, UserPage};
use crate::pace::Pace;
use crate::progress::Progress;
use crate::user::pool::{ExpiredPosition, USERS_PER_PAGE, UserPool};

/// Segments of the table that are read concurrently.
const SEGMENTS: i32 = 4;

/// What to compare.
pub struct Finder<'a> {
    pub pool: &'a UserPool,
    pub store: &'a Store,
    pub pace: &'a Pace,
    /// `None` if groups are not compared.
    pub rules: Option<&'a [Rule]>,
    pub managed_groups: &'a [String],
}

/// How a comparison ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Complete,
    /// The table knows no user of the pool. The comparison ended before it would have reported every user
    /// of the table as deleted.
    UnknownPool,
}

impl Finder<'_> {
    /// Continues the comparison of the log. Does nothing if it is complete.
    pub async fn run(&self, log: &mut Log) -> Result<Outcome> {
        if log.state().is_compared {
            return Ok(Outcome::Complete);
        }
        self.read_members(log).await?;
        self.read_users(log).await?;
        if log.state().known == 0 {
            return Ok(Outcome::UnknownPool);
        }
        let candidates = self.read_table(log).await?;
        let candidates = self.without_kept(log, candidates).await?;
        self.confirm_deleted(log, candidates).await?;
        log.add(Record::Compared {})?;
        Ok(Outcome::Complete)
    }

    /// Reads the members of each managed group: one walk per group, not one call per user.
    async fn read_members(&self, log: &mut Log) -> Result<()> {
        let (progress, mut count) = (Progress::new("group members", None), 0);
        for group in self.managed_groups {
            let (mut position, mut may_restart) = (log.state().position_in(group), true);
            if position == Position::First {
                // A group that does not exist has no members.
                let missing = self.pace.call(|| self.pool.missing_group(from_ref(group))).await?;
                if missing.is_some() {
                    log.add(Record::Members { group: group.clone(), subs: Vec::new(), next: None })?;
                    continue;
                }
            }
            while position != Position::End {
                let page = self.pace.call(|| self.pool.members(group, position.token())).await;
                let (users, next) = match page {
                    // The members that were read are still members, or the repair finds out.
                    Err(error) if error.is::<ExpiredPosition>() && may_restart => {
                        may_restart = false;
                        position = Position::First;
                        continue;
                    }
                    page => page?,
                };
                count += users.len();
                let subs = users.iter().filter_map(sub_of).collect();
                log.add(Record::Members { group: group.clone(), subs, next })?;
                position = log.state().position_in(group);
                progress.set(count);
            }
        }
        Ok(())
    }

    /// Reads the users of the pool, and compares each with the table.
    async fn read_users(&self, log: &mut Log) -> Result<()> {
        let (progress, mut may_restart) = (Progress::new("users", None), true);
        while log.state().users != Position::End {
            let token = log.state().users.token();
            let page = self.pace.call(|| self.pool.users(None, token.clone())).await;
            let (users, next) = match page {
                Err(error) if error.is::<ExpiredPosition>() && may_restart => {
                    may_restart = false;
                    let _ = writeln!(
                        anstream::stderr(),
                        "Cognito no longer accepts the position of the checkpoint. Reading the user pool from \
                         the first page again."
                    );
                    log.add(Record::UsersAgain {})?;
                    continue;
                }
                page => page?,
            };
            let mut record = UserPage { next, ..UserPage::default() };
            let subs: Vec<Option<String>> = users.iter().map(sub_of).collect();
            let named: Vec<&str> = subs.iter().flatten().map(String::as_str).collect();
            let stored = self.store.read_accounts(&named, Consistency::Eventual).await?;
            for (user, sub) in users.iter().zip(&subs) {
                let Some(sub) = sub else {
                    *record.skipped.entry("no username".to_owned()).or_default() += 1;
                    continue;
                };
                let stored = stored.get(sub).cloned().unwrap_or_default();
                let groups = log.state().groups_of(sub);
                let compared = compare(user, &stored, self.rules.map(|rules| (&groups, rules)));
                record.known += usize::from(compared.is_known);
                if let Some(reason) = compared.skipped {
                    *record.skipped.entry(reason).or_default() += 1;
                }
                record.differences.extend(compared.differences);
            }
            record.subs = subs.into_iter().flatten().collect();
            log.add(Record::Users(record))?;
            progress.set(log.state().user_count());
        }
        Ok(())
    }

    /// The users of the table that were on no page of the pool.
    async fn read_table(&self, log: &Log) -> Result<BTreeSet<String>> {
        let state = log.state();
        let segments = stream::iter(0..SEGMENTS).map(async |segment| {
            let (mut unseen, mut start) = (Vec::new(), None);
            loop {
                let (users, next) = self.store.scan_users(segment, SEGMENTS, start).await?;
                unseen.extend(users.into_iter().filter(|sub| !state.has_seen(sub)));
                if next.is_none() {
                    return anyhow::Ok(unseen);
                }
                start = next;
            }
        });
        let unseen: Vec<String> =
            segments.buffer_unordered(SEGMENTS.unsigned_abs() as usize).try_concat().await?;
        Ok(unseen.into_iter().collect())
    }

    /// Removes the users whose data stays on purpose, and counts them.
    async fn without_kept(
        &self,
        log: &mut Log,
        mut candidates: BTreeSet<String>,
    ) -> Result<BTreeSet<String>> {
        let subs: Vec<String> = candidates.iter().cloned().collect();
        let mut kept = 0;
        for page in subs.chunks(USERS_PER_PAGE.unsigned_abs() as usize) {
            let page: Vec<&str> = page.iter().map(String::as_str).collect();
            let stored = self.store.read_accounts(&page, Consistency::Eventual).await?;
            for (sub, _) in stored.iter().filter(|(_, stored)| is_kept(stored)) {
                kept += usize::from(candidates.remove(sub));
            }
        }
        log.add(Record::Kept { users: kept })?;
        Ok(candidates)
    }

    /// Asks Cognito for each candidate: the user can be newer than the walk over the pool.
    async fn confirm_deleted(&self, log: &mut Log, candidates: BTreeSet<String>) -> Result<()> {
        let known: BTreeSet<String> =
            log.state().differences().map(|difference| difference.sub.clone()).collect();
        let progress = Progress::new("users looked up", Some(candidates.len()));
        for (index, sub) in candidates.iter().enumerate() {
            if !known.contains(sub) && self.pace.call(|| self.pool.find_user(sub)).await?.is_none() {
                log.add(Record::Deleted { subs: vec![sub.clone()] })?;
            }
            progress.set(index + 1);
        }
        Ok(())
    }
}
