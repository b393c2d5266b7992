//! What a comparison knows so far: built from records, which a checkpoint keeps.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Difference, Kind, UserId};

/// A step of a run. The state is the result of all records in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Record {
    /// What is compared. The first record.
    Start(Start),
    /// A page of the members of a managed group.
    Members { group: String, subs: Vec<String>, next: Option<String> },
    /// A page of the users of the pool.
    Users(UserPage),
    /// Cognito no longer accepted the position in the pool: the users are read from the first page again.
    UsersAgain {},
    /// Number of users that are not in the pool, and whose data stays on purpose.
    Kept { users: usize },
    /// Users of the table that are not in the pool.
    Deleted { subs: Vec<String> },
    /// The comparison is complete.
    Compared {},
    /// A difference that no longer exists.
    Settled(Difference),
}

/// What is compared with what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    pub user_pool_id: String,
    pub table: String,
    /// A hash of the group rules. `None` if groups are not compared.
    pub group_rules: Option<String>,
    /// When the comparison began.
    pub begun_at: Timestamp,
}

/// A page of users with what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserPage {
    pub subs: Vec<String>,
    /// Number of users that the table knows.
    pub known: usize,
    /// Number of users that were not compared, by reason.
    pub skipped: BTreeMap<String, usize>,
    pub differences: Vec<Difference>,
    /// Cognito's token for the next page. `None` on the last one.
    pub next: Option<String>,
}

/// Where a walk over pages continues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Position {
    #[default]
    First,
    After(String),
    End,
}

impl Position {
    fn of(next: Option<String>) -> Self {
        next.map_or(Self::End, Self::After)
    }

    pub fn token(&self) -> Option<String> {
        match self {
            Self::After(token) => Some(token.clone()),
            Self::First | Self::End => None,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct State {
    pub start: Option<Start>,
    /// Members by group, and where reading them continues.
    members: BTreeMap<String, (HashSet<UserId>, Position)>,
    pub users: Position,
    pub pages: usize,
    /// The users of the pool.
    seen: HashSet<UserId>,
    pub known: usize,
    pub skipped: BTreeMap<String, usize>,
    pub kept: usize,
    /// The differences that exist.
    differences: BTreeSet<Difference>,
    /// The differences that were found, those that no longer exist included.
    found: BTreeSet<Difference>,
    pub is_compared: bool,
}

impl State {
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Start(start) => self.start = Some(start),
            Record::Members { group, subs, next } => {
                let (members, position) = self.members.entry(group).or_default();
                members.extend(subs.iter().map(|sub| UserId::of(sub)));
                *position = Position::of(next);
            }
            Record::Users(page) => {
                self.pages += 1;
                self.seen.extend(page.subs.iter().map(|sub| UserId::of(sub)));
                self.known += page.known;
                for (reason, count) in page.skipped {
                    *self.skipped.entry(reason).or_default() += count;
                }
                page.differences.into_iter().for_each(|difference| self.add(difference));
                self.users = Position::of(page.next);
            }
            Record::UsersAgain {} => {
                let Self { start, members, .. } = std::mem::take(self);
                *self = Self { start, members, ..Self::default() };
            }
            Record::Kept { users } => self.kept = users,
            Record::Deleted { subs } => {
                for sub in subs {
                    self.add(Difference { kind: Kind::DeletedUser, sub, fields: Vec::new() });
                }
            }
            Record::Compared {} => self.is_compared = true,
            Record::Settled(difference) => drop(self.differences.remove(&difference)),
        }
    }

    fn add(&mut self, difference: Difference) {
        if self.found.insert(difference.clone()) {
            self.differences.insert(difference);
        }
    }

    /// Number of users of the pool.
    pub fn user_count(&self) -> usize {
        self.seen.len()
    }

    /// True if the user was on a page of the pool.
    pub fn has_seen(&self, sub: &str) -> bool {
        self.seen.contains(&UserId::of(sub))
    }

    pub fn position_in(&self, group: &str) -> Position {
        self.members.get(group).map(|(_, position)| position.clone()).unwrap_or_default()
    }

    /// The groups with the user as a member, of those that were read.
    pub fn groups_of(&self, sub: &str) -> BTreeSet<String> {
        let id = UserId::of(sub);
        let groups = self.members.iter().filter(|(_, (members, _))| members.contains(&id));
        groups.map(|(group, _)| group.clone()).collect()
    }

    /// The differences that exist, by kind and sub.
    pub fn differences(&self) -> impl Iterator<Item = &Difference> {
        self.differences.iter()
    }

    pub fn count(&self, kind: Kind) -> usize {
        self.differences.iter().filter(|difference| difference.kind == kind).count()
    }

    /// The differences that were found, those that no longer exist included, by kind and sub.
    pub fn all_found(&self) -> impl Iterator<Item = &Difference> {
        self.found.iter()
    }

    pub fn found(&self, kind: Kind) -> usize {
        self.found.iter().filter(|difference| difference.kind == kind).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(subs: &[&str], next: Option<&str>) -> Record {
        let subs: Vec<String> = subs.iter().map(|sub| (*sub).to_owned()).collect();
        let difference =
            |sub: &String| Difference { kind: Kind::MissingProfile, sub: sub.clone(), fields: Vec::new() };
        Record::Users(UserPage {
            differences: subs.iter().map(difference).collect(),
            known: 1,
            skipped: BTreeMap::from([("erased".to_owned(), 1)]),
            next: next.map(str::to_owned),
            subs,
        })
    }

    #[test]
    fn users_that_are_read_again_count_once() {
        let mut state = State::default();
        let members = Record::Members { group: "Staff".into(), subs: vec!["ana".into()], next: None };
        for record in [members, page(&["ana"], Some("x")), Record::UsersAgain {}] {
            state.apply(record);
        }
        assert_eq!((state.user_count(), state.users.clone()), (0, Position::First));
        assert_eq!(state.position_in("Staff"), Position::End);
        for record in
            [page(&["ana"], Some("x")), page(&["ben"], None), Record::Deleted { subs: vec!["zoe".into()] }]
        {
            state.apply(record);
        }
        assert_eq!((state.user_count(), state.pages, state.known, &state.users), (2, 2, 2, &Position::End));
        assert_eq!(state.skipped, BTreeMap::from([("erased".to_owned(), 2)]));
        assert_eq!((state.count(Kind::MissingProfile), state.count(Kind::DeletedUser)), (2, 1));
        assert!(state.has_seen("ana") && !state.has_seen("zoe"));
        assert_eq!(state.groups_of("ana"), BTreeSet::from(["Staff".to_owned()]));
        assert_eq!(state.groups_of("ben"), BTreeSet::new());
    }

    #[test]
    fn settled_difference_stays_in_the_count_of_those_that_were_found() {
        let mut state = State::default();
        state.apply(page(&["ana", "ben"], None));
        let settled = state.differences().next().unwrap().clone();
        state.apply(Record::Settled(settled));
        assert_eq!((state.count(Kind::MissingProfile), state.found(Kind::MissingProfile)), (1, 2));
    }
}
