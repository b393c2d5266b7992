//! The events of a batch that are written, and the notices that follow. Pure.

use std::collections::BTreeMap;

use shared::events::{Resource, UrgentReason};
use shared::grant::GrantChange;

use crate::invalidation_policy::PolicyRule;

/// An accepted message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedChange {
    /// Index in the batch.
    pub message: usize,
    pub change: GrantChange,
}

/// The event that wins among those of a batch about one user and resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedWrite {
    pub change: GrantChange,
    /// Indexes of the messages about this user and resource.
    pub messages: Vec<usize>,
    /// True if one of the messages is a revocation, even if another event wins.
    pub has_revocation: bool,
}

/// What the write of a [`PlannedWrite`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The user has at least the permissions of before.
    NothingLost,
    /// The user may have lost permissions.
    Reduced,
    /// Nothing: the table has the same event, or one that wins. An earlier invocation may have written
    /// it and ended before its notice.
    Outdated,
}

/// The notice about a user's pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserNotice {
    /// Indexes of the messages that the notice belongs to.
    pub messages: Vec<usize>,
    pub reason: Option<UrgentReason>,
}

/// The notice about a permission of which nothing was lost, by the rule of `permission.granted`. `None`
/// if there is none.
fn reason_of_grant(rule: PolicyRule) -> Option<Option<UrgentReason>> {
    match rule {
        PolicyRule::Always => Some(Some(UrgentReason::Policy)),
        PolicyRule::Budget => Some(None),
        PolicyRule::Never => None,
    }
}

/// The writes for a batch: one for each user and resource.
pub fn plan(changes: Vec<AcceptedChange>) -> Vec<PlannedWrite> {
    let mut writes: BTreeMap<(String, Resource), PlannedWrite> = BTreeMap::new();
    for AcceptedChange { message, change } in changes {
        let is_revocation = change.grant.is_revoked();
        let write = writes.entry((change.sub.clone(), change.resource.clone()));
        let write = write.or_insert_with(|| PlannedWrite {
            change: change.clone(),
            messages: Vec::new(),
            has_revocation: false,
        });
        if change.grant.cmp_event(&write.change.grant).is_gt() {
            write.change = change;
        }
        write.messages.push(message);
        write.has_revocation |= is_revocation;
    }
    writes.into_values().collect()
}

/// One notice for each user of the writes. It is urgent if the user may have lost a permission. That
/// is not known of an outdated event, so it counts as a loss. If nothing was lost, `rule` decides.
pub fn notices_by_user(done: Vec<(PlannedWrite, Written)>, rule: PolicyRule) -> BTreeMap<String, UserNotice> {
    let mut notices: BTreeMap<String, UserNotice> = BTreeMap::new();
    for (PlannedWrite { change, messages, has_revocation }, written) in done {
        let reason = if has_revocation || written != Written::NothingLost {
            Some(UrgentReason::PermissionRevoked)
        } else {
            let Some(reason) = reason_of_grant(rule) else { continue };
            reason
        };
        let notice = notices.entry(change.sub).or_default();
        notice.messages.extend(messages);
        // A loss is the stronger reason. Both are urgent.
        if notice.reason != Some(UrgentReason::PermissionRevoked) {
            notice.reason = reason.or(notice.reason);
        }
    }
    notices
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::events::Event;

    use super::*;

    fn change(message: usize, sub: &str, resource: &str, kind: &str, second: i64) -> AcceptedChange {
        let data = match kind {
            "granted" => json!({"resource": resource, "permissions": ["read"], "granted_by": "ana"}),
            _ => json!({"resource": resource, "revoked_by": "ana"}),
        };
        let body = json!({
            "specversion": "1.0", "id": format!("{second}"), "source": "/shop",
            "type": format!("permission.{kind}"), "subject": sub, "data": data,
            "time": format!("2026-03-02T10:00:{second:02}Z"),
        });
        let change = GrantChange::of(&Event::parse(&body.to_string()).unwrap()).unwrap();
        AcceptedChange { message, change }
    }

    #[test]
    fn one_event_of_each_user_and_resource_is_written() {
        let changes = vec![
            change(0, "ben", "orders/ana", "granted", 1),
            change(1, "ben", "orders/ana", "granted", 3),
            change(2, "ben", "orders/ana", "revoked", 2),
            change(3, "ben", "orders/eva", "granted", 1),
            change(4, "eva", "orders/ana", "revoked", 1),
            change(5, "eva", "orders/ana", "revoked", 1),
        ];
        let planned: Vec<_> = plan(changes)
            .into_iter()
            .map(|write| {
                let PlannedWrite { change, messages, has_revocation } = write;
                let second = change.grant.changed_at.as_second() % 60;
                (change.sub, change.resource.to_string(), second, messages, has_revocation)
            })
            .collect();
        assert_eq!(
            planned,
            [
                ("ben".to_owned(), "orders/ana".to_owned(), 3, vec![0, 1, 2], true),
                ("ben".to_owned(), "orders/eva".to_owned(), 1, vec![3], false),
                ("eva".to_owned(), "orders/ana".to_owned(), 1, vec![4, 5], true),
            ]
        );
    }

    #[test]
    fn notice_is_urgent_unless_the_user_certainly_lost_nothing() {
        let urgent = Some(UrgentReason::PermissionRevoked);
        let notice = |kind, written, rule| {
            let planned = plan(vec![change(0, "ben", "orders/ana", kind, 1)]);
            let done = planned.into_iter().map(|planned| (planned, written)).collect();
            notices_by_user(done, rule).remove("ben")
        };
        for (kind, written) in [
            ("granted", Written::Reduced),
            ("granted", Written::Outdated),
            ("revoked", Written::NothingLost),
            ("revoked", Written::Reduced),
            ("revoked", Written::Outdated),
        ] {
            for rule in [PolicyRule::Always, PolicyRule::Budget, PolicyRule::Never] {
                let expected = UserNotice { messages: vec![0], reason: urgent };
                assert_eq!(notice(kind, written, rule), Some(expected), "{kind} {written:?} {rule:?}");
            }
        }
        for (rule, expected) in [
            (PolicyRule::Always, Some(Some(UrgentReason::Policy))),
            (PolicyRule::Budget, Some(None)),
            (PolicyRule::Never, None),
        ] {
            let reason = notice("granted", Written::NothingLost, rule).map(|notice| notice.reason);
            assert_eq!(reason, expected, "{rule:?}");
        }
    }

    #[test]
    fn user_has_one_notice_and_the_urgent_reason_wins() {
        let planned = plan(vec![
            change(0, "ben", "orders/ana", "granted", 1),
            change(1, "ben", "orders/eva", "revoked", 1),
            change(2, "ben", "orders/joe", "granted", 1),
        ]);
        let done = planned.into_iter().map(|planned| (planned, Written::NothingLost)).collect();
        let notices = notices_by_user(done, PolicyRule::Budget);
        let reason = Some(UrgentReason::PermissionRevoked);
        assert_eq!(
            notices.into_iter().collect::<Vec<_>>(),
            [("ben".to_owned(), UserNotice { messages: vec![0, 1, 2], reason })]
        );
    }
}
