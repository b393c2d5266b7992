//! Reduces a batch of messages to the changes to make: for each user and group, the latest request
//! wins. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

/// A user of a user pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct User {
    pub user_pool_id: String,
    pub username: String,
}

/// The request of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipRequest {
    /// Index of the message in the batch.
    pub message: usize,
    /// When pre-token-generation mapped the groups.
    pub requested_at: Timestamp,
    pub user: User,
    pub add: BTreeSet<String>,
    pub remove: BTreeSet<String>,
}

/// What to do about a group. Ordered: if two requests have the same time, the removal wins, because
/// a group can grant rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Add the user to the group.
    Add,
    /// Remove the user from the group.
    Remove,
}

/// One change to make in the user pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipChange {
    pub user: User,
    pub group: String,
    pub action: Action,
    pub requested_at: Timestamp,
    /// Indexes of all messages about this user and group, outdated ones included. This change
    /// settles them.
    pub messages: Vec<usize>,
}

/// The changes, at most one for each user and group, sorted by user.
pub fn plan(requests: &[MembershipRequest]) -> Vec<MembershipChange> {
    let mut changes: BTreeMap<(&User, &String), MembershipChange> = BTreeMap::new();
    for MembershipRequest { message, requested_at, user, add, remove } in requests {
        let add = add.iter().map(|group| (group, Action::Add));
        let remove = remove.iter().map(|group| (group, Action::Remove));
        for (group, action) in add.chain(remove) {
            let change = changes.entry((user, group)).or_insert_with(|| MembershipChange {
                user: user.clone(),
                group: group.clone(),
                action,
                requested_at: *requested_at,
                messages: Vec::new(),
            });
            (change.requested_at, change.action) =
                (*requested_at, action).max((change.requested_at, change.action));
            change.messages.push(*message);
        }
    }
    changes.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(
        message: usize,
        second: i64,
        username: &str,
        add: &[&str],
        remove: &[&str],
    ) -> MembershipRequest {
        let groups = |groups: &[&str]| groups.iter().map(|group| (*group).to_owned()).collect();
        MembershipRequest {
            message,
            requested_at: Timestamp::from_second(second).unwrap(),
            user: User { user_pool_id: "pool".into(), username: username.into() },
            add: groups(add),
            remove: groups(remove),
        }
    }

    fn planned(requests: &[MembershipRequest]) -> Vec<(String, String, Action, Vec<usize>)> {
        let changes = plan(requests).into_iter();
        changes.map(|change| (change.user.username, change.group, change.action, change.messages)).collect()
    }

    #[test]
    fn latest_request_about_a_user_and_group_wins_in_any_order() {
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
    fn removal_wins_over_an_addition_at_the_same_time() {
        for (first, second) in [(0, 1), (1, 0)] {
            let mut requests = vec![request(0, 10, "ana", &["Admin"], &[]); 2];
            requests[second] = request(1, 10, "ana", &[], &["Admin"]);
            requests[first].message = 0;
            assert_eq!(planned(&requests)[0].2, Action::Remove);
        }
    }
}
