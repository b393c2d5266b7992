//! The permissions of a caller on a resource. Pure.

use jiff::Timestamp;
use shared::events::Resource;
use shared::grant::Grant;

use crate::claims::Claims;

/// What is done with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Read,
}

impl Action {
    /// The name of the permission in `permission.granted`.
    fn permission(self) -> &'static str {
        match self {
            Self::Read => "read",
        }
    }
}

/// Why a caller may see a resource. Decides how long the answer may be cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It belongs to the caller.
    Own,
    /// The caller is in one of ADMIN_GROUPS.
    Admin,
    /// Its owner granted it to the caller, until this time. `None` if the grant has no end.
    Granted { until: Option<Timestamp> },
}

/// Decides whether the caller may do `action` with `resource` at the time `now`. `None` if not.
/// `grant` is what the table holds about the caller and this resource.
pub fn may(
    claims: &Claims,
    grant: Option<&Grant>,
    action: Action,
    resource: &Resource,
    now: Timestamp,
) -> Option<Access> {
    if resource.owner() == claims.sub {
        return Some(Access::Own);
    }
    if claims.is_admin {
        return Some(Access::Admin);
    }
    let grant = grant.filter(|grant| grant.allows(action.permission(), now))?;
    Some(Access::Granted { until: grant.until })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn caller(sub: &str, is_admin: bool) -> Claims {
        Claims { sub: sub.to_owned(), expires_at: time(NOW + 60), is_admin }
    }

    fn grant(permissions: &[&str], until: Option<i64>, revoked: bool) -> Grant {
        let permissions: Vec<String> = permissions.iter().map(|name| (*name).to_owned()).collect();
        Grant {
            permissions: permissions.into_iter().map(|name| name.try_into().unwrap()).collect(),
            granted_by: Some("ana".to_owned()),
            until: until.map(time),
            changed_at: time(500),
            revoked_at: revoked.then(|| time(600)),
            revoked_by: None,
            event_key: "EVENT#/shop#1".to_owned(),
        }
    }

    #[test]
    fn owner_administrator_and_holder_of_a_grant_in_force_may_read() {
        let resource = Resource::new(Resource::ORDERS, "ana").unwrap();
        let granted = |until: Option<i64>| Some(Access::Granted { until: until.map(time) });
        let (ana, ben, admin) = (caller("ana", false), caller("ben", false), caller("carla", true));
        for (case, claims, grant, expected) in [
            ("owner", &ana, None, Some(Access::Own)),
            ("owner with a revoked grant", &ana, Some(grant(&[], None, true)), Some(Access::Own)),
            ("owner who is an administrator", &caller("ana", true), None, Some(Access::Own)),
            ("administrator", &admin, None, Some(Access::Admin)),
            ("administrator with a grant", &admin, Some(grant(&["read"], None, false)), Some(Access::Admin)),
            ("nobody", &ben, None, None),
            ("sub in capital letters", &caller("ANA", false), None, None),
            ("grant without an end", &ben, Some(grant(&["read"], None, false)), granted(None)),
            ("grant among others", &ben, Some(grant(&["read", "write"], None, false)), granted(None)),
            (
                "grant, a second before its end",
                &ben,
                Some(grant(&["read"], Some(1_001), false)),
                granted(Some(1_001)),
            ),
            ("grant, at its end", &ben, Some(grant(&["read"], Some(NOW), false)), None),
            ("grant, after its end", &ben, Some(grant(&["read"], Some(999), false)), None),
            ("grant of another permission", &ben, Some(grant(&["write"], None, false)), None),
            ("grant of a longer name", &ben, Some(grant(&["read_all"], None, false)), None),
            ("grant without permissions", &ben, Some(grant(&[], None, false)), None),
            ("revoked", &ben, Some(grant(&[], None, true)), None),
            ("revoked, permissions left", &ben, Some(grant(&["read"], Some(2_000), true)), None),
        ] {
            assert_eq!(may(claims, grant.as_ref(), Action::Read, &resource, time(NOW)), expected, "{case}");
        }
    }
}
