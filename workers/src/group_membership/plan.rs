//! What a batch of messages comes down to: of what is said about one user and group, the latest holds. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

/// A user of a pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct User {
    /// The user pool.
    pub user_pool_id: String,
    /// Cognito's username.
    pub username: String,
}

/// What one message asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The message, by its place in the batch.
    pub message: usize,
    /// When pre-token-generation said so.
    pub at: Timestamp,
    /// Whom it is about.
    pub user: User,
    /// Groups that the user should be in.
    pub add: BTreeSet<String>,
    /// Groups that the user should not be in.
    pub remove: BTreeSet<String>,
}

/// What to do about a group. Of two at the same moment, the one that takes power away holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Put the user into it.
    Add,
    /// Take the user out of it.
    Remove,
}

/// One call to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whom it is about.
    pub user: User,
    /// The group.
    pub group: String,
    /// What to do.
    pub action: Action,
    /// When that was said.
    pub at: Timestamp,
    /// The messages that say something about this user and group: done when this is done.
    pub messages: Vec<usize>,
}

/// The changes that follow, one for each user and group, those of a user together.
pub fn plan(requests: &[Request]) -> Vec<Change> {
    let mut changes: BTreeMap<(&User, &String), Change> = BTreeMap::new();
    for Request { message, at, user, add, remove } in requests {
        let add = add.iter().map(|group| (group, Action::Add));
        let remove = remove.iter().map(|group| (group, Action::Remove));
        for (group, action) in add.chain(remove) {
            let change = changes.entry((user, group)).or_insert_with(|| Change {
                user: user.clone(),
                group: group.clone(),
                action,
                at: *at,
                messages: Vec::new(),
            });
            (change.at, change.action) = (*at, action).max((change.at, change.action));

            change.messages.push(*message);
        }
    }
    changes.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(message: usize, second: i64, username: &str, add: &[&str], remove: &[&str]) -> Request {
        let groups = |groups: &[&str]| groups.iter().map(|group| (*group).to_owned()).collect();
        Request {
            message,
            at: Timestamp::from_second(second).unwrap(),
            user: User { user_pool_id: "pool".into(), username: username.into() },
            add: groups(add),
            remove: groups(remove),
        }
    }

    fn planned(requests: &[Request]) -> Vec<(String, String, Action, Vec<usize>)> {
        let changes = plan(requests).into_iter();
        changes.map(|change| (change.user.username, change.group, change.action, change.messages)).collect()
    }

    #[test]
    fn the_latest_word_about_a_user_and_group_holds_in_whatever_order_it_comes() {
        let changed = |order: [usize; 3]| {
            let requests = [
                request(0, 10, "ana", &["Developer"], &[]),
                request(1, 20, "ana", &["Commerce"], &["Developer"]),
                request(2, 15, "ben", &["Developer"], &[]),
            ];
            let mut planned = planned(&order.map(|index| requests[index].clone()));
            planned.iter_mut().for_each(|(.., messages)| messages.sort_unstable());
            planned
        };
        let expected = [
            ("ana".to_owned(), "Commerce".to_owned(), Action::Add, vec![1]),
            ("ana".to_owned(), "Developer".to_owned(), Action::Remove, vec![0, 1]),
            ("ben".to_owned(), "Developer".to_owned(), Action::Add, vec![2]),
        ];
        for order in [[0, 1, 2], [1, 0, 2], [2, 1, 0]] {
            assert_eq!(changed(order), expected, "{order:?}");
        }
    }

    #[test]
    fn at_the_same_moment_taking_away_holds() {
        for (first, second) in [(0, 1), (1, 0)] {
            let mut requests = vec![request(0, 10, "ana", &["Admin"], &[]); 2];
            requests[second] = request(1, 10, "ana", &[], &["Admin"]);
            requests[first].message = 0;
            assert_eq!(planned(&requests)[0].2, Action::Remove);
        }
    }
}
