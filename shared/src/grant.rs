//! The permissions of a user on a resource of another user, and which of two events about it wins. Pure:
//! no I/O, no clock.
//!
//! SQS keeps no order. So each event replaces everything that earlier events said about the same user
//! and resource, and the event with the later time wins. Any order of deliveries leads to the same
//! grant.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::events::{Data, Event, Permission, PermissionGranted, PermissionRevoked, Resource};
use crate::time::millis;

/// Seconds for which a grant stays in the table after its last change, so that an older event cannot
/// restore it. Events are accepted for 30 days.
const MARKER_SECONDS: i64 = 32 * 24 * 3600;

/// The last event about a user and a resource. The attributes of a GRANT item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Empty after a revocation.
    #[serde(default)]
    pub permissions: BTreeSet<Permission>,
    /// The person or service that granted the permissions. `None` after a revocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_by: Option<String>,
    /// End of the permissions. `None` if they have no end.
    #[serde(default, with = "millis::option", skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Time of the event.
    #[serde(with = "millis")]
    pub changed_at: Timestamp,
    /// The same time, if the event is a revocation.
    #[serde(default, with = "millis::option", skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// The person or service that revoked the permissions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_by: Option<String>,
    /// The key of the event: its source and id.
    #[serde(default)]
    pub event_key: String,
}

/// An event about the permissions of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantChange {
    /// The user who gets or loses the permissions.
    pub sub: String,
    pub resource: Resource,
    /// The grant if the event wins.
    pub grant: Grant,
}

impl GrantChange {
    /// `None` for other types of events.
    pub fn of(event: &Event) -> Option<Self> {
        let (changed_at, event_key) = (event.time, event.key());
        let (resource, grant) = match &event.data {
            Data::PermissionGranted(PermissionGranted { resource, permissions, granted_by, expires_at }) => {
                let grant = Grant {
                    permissions: permissions.clone(),
                    granted_by: Some(granted_by.clone()),
                    until: *expires_at,
                    changed_at,
                    revoked_at: None,
                    revoked_by: None,
                    event_key,
                };
                (resource, grant)
            }
            Data::PermissionRevoked(PermissionRevoked { resource, revoked_by }) => {
                let grant = Grant {
                    permissions: BTreeSet::new(),
                    granted_by: None,
                    until: None,
                    changed_at,
                    revoked_at: Some(changed_at),
                    revoked_by: Some(revoked_by.clone()),
                    event_key,
                };
                (resource, grant)
            }
            _ => return None,
        };
        Some(Self { sub: event.subject.as_user()?.to_owned(), resource: resource.clone(), grant })
    }
}

impl Grant {
    /// True if the user may do `permission` at `now`.
    pub fn allows(&self, permission: &str, now: Timestamp) -> bool {
        self.is_in_force(now) && self.permissions.iter().any(|granted| granted.as_str() == permission)
    }

    /// True from the grant until its end, unless the permissions are revoked.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        let has_ended = self.until.is_some_and(|until| until <= now);
        !self.is_revoked() && !has_ended && !self.permissions.is_empty()
    }

    pub fn is_revoked(&self) -> bool {
        self.revoked_at.is_some()
    }

    /// True if nothing is lost with this grant in place of `previous`: no permission, and no time.
    pub fn covers(&self, previous: &Self) -> bool {
        let ends_earlier = match (self.until, previous.until) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(until), Some(previous)) => until < previous,
        };
        previous.permissions.is_empty()
            || (!self.is_revoked() && !ends_earlier && self.permissions.is_superset(&previous.permissions))
    }

    /// Compares the events of two grants of the same user and resource: the greater one wins. The later
    /// time wins. At equal times a revocation wins, and then the greater key. Equal for two deliveries
    /// of one event.
    ///
    /// [`Store::apply_grant_change`](crate::store::Store::apply_grant_change) has the same rule as a
    /// condition.
    pub fn cmp_event(&self, other: &Self) -> Ordering {
        let order = |grant: &Self| (grant.changed_at, grant.is_revoked());
        order(self).cmp(&order(other)).then_with(|| self.event_key.cmp(&other.event_key))
    }

    /// The time at which DynamoDB may delete the item, in seconds since 1970. `None` while the
    /// permissions have no end. An older event cannot be accepted any more by then.
    pub fn expires_at(&self) -> Option<i64> {
        let marker = self.changed_at.as_second() + MARKER_SECONDS;
        match self.until {
            // Time to live counts whole seconds. Not before the end.
            Some(until) => Some(marker.max(until.as_second() + 1)),
            None => self.is_revoked().then_some(marker),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const DAY: i64 = 24 * 3600;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_772_442_000 + second).unwrap()
    }

    fn change(event_type: &str, id: &str, second: i64, data: Value) -> GrantChange {
        let body = json!({
            "specversion": "1.0", "id": id, "source": "/shop", "type": event_type,
            "subject": "ben", "time": at(second).to_string(), "data": data,
        });
        GrantChange::of(&Event::parse(&body.to_string()).unwrap()).unwrap()
    }

    fn granted(id: &str, second: i64, until: Option<i64>) -> Grant {
        let mut data = json!({"resource": "orders/ana", "permissions": ["read"], "granted_by": "ana"});
        if let Some(until) = until {
            data["expires_at"] = at(until).to_string().into();
        }
        change("permission.granted", id, second, data).grant
    }

    fn revoked(id: &str, second: i64) -> Grant {
        let data = json!({"resource": "orders/ana", "revoked_by": "ana"});
        change("permission.revoked", id, second, data).grant
    }

    #[test]
    fn grant_is_in_force_until_its_end_or_its_revocation() {
        for (grant, now, expected) in [
            (granted("g", 0, None), 0, true),
            (granted("g", 0, None), 1000 * DAY, true),
            // The worker's clock is behind that of the producer.
            (granted("g", 0, None), -60, true),
            (granted("g", 0, Some(60)), 59, true),
            (granted("g", 0, Some(60)), 60, false),
            (revoked("r", 0), 0, false),
            (revoked("r", 0), -60, false),
        ] {
            assert_eq!(grant.is_in_force(at(now)), expected, "{grant:?} {now}");
            assert_eq!(grant.allows(Permission::READ, at(now)), expected, "{grant:?} {now}");
            assert!(!grant.allows("write", at(now)) && !grant.allows("", at(now)));
        }
    }

    #[test]
    fn later_event_wins_and_a_revocation_wins_at_equal_times() {
        // Each one wins against those before it.
        let sorted = [
            granted("z", -1, None),
            granted("a", 0, None),
            granted("b", 0, Some(60)),
            revoked("a", 0),
            revoked("b", 0),
            granted("a", 1, None),
        ];
        for (index, grant) in sorted.iter().enumerate() {
            for (other_index, other) in sorted.iter().enumerate() {
                assert_eq!(grant.cmp_event(other), index.cmp(&other_index), "{grant:?} {other:?}");
            }
        }
    }

    #[test]
    fn grant_covers_another_with_no_more_permissions_and_no_later_end() {
        let with = |grant: Grant, permissions: &[&str]| Grant {
            permissions: permissions.iter().map(|permission| permission.parse().unwrap()).collect(),
            ..grant
        };
        let forever = || granted("g", 0, None);
        for (grant, previous, expected) in [
            (forever(), forever(), true),
            (forever(), granted("g", 0, Some(60)), true),
            (granted("g", 0, Some(60)), granted("g", 0, Some(60)), true),
            (granted("g", 0, Some(60)), granted("g", 0, Some(61)), false),
            (granted("g", 0, Some(60)), forever(), false),
            (with(forever(), &["read", "write"]), forever(), true),
            (with(forever(), &["write"]), forever(), false),
            (forever(), revoked("r", 0), true),
            (revoked("r", 0), forever(), false),
            (revoked("r", 0), revoked("r", 0), true),
        ] {
            assert_eq!(grant.covers(&previous), expected, "{grant:?} {previous:?}");
        }
    }

    #[test]
    fn item_expires_when_no_older_event_is_accepted_any_more() {
        let days = |days: i64| at(days * DAY).as_second();
        for (grant, expected) in [
            (granted("g", 0, None), None),
            (granted("g", 0, Some(DAY)), Some(days(32))),
            (granted("g", 0, Some(40 * DAY)), Some(days(40) + 1)),
            (revoked("r", 0), Some(days(32))),
        ] {
            assert_eq!(grant.expires_at(), expected, "{grant:?}");
        }
        const { assert!(MARKER_SECONDS > crate::events::MAX_AGE_SECONDS + crate::events::MAX_AHEAD_SECONDS) };
    }

    #[test]
    fn change_is_about_the_subject_and_other_events_are_no_change() {
        let data = json!({"resource": "orders/ana", "permissions": ["read"], "granted_by": "support"});
        let change = change("permission.granted", "g", 0, data);
        assert_eq!((change.sub.as_str(), change.resource.to_string()), ("ben", "orders/ana".into()));
        assert_eq!(change.grant.event_key, "EVENT#/shop#g");
        let deleted =
            Event::new("/s", crate::events::Subject::user("ben"), at(0), Data::Deleted(Default::default()));
        assert_eq!(GrantChange::of(&deleted), None);
    }
}
