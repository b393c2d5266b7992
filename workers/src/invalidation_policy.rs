//! INVALIDATION_POLICY: which changes are worth an invalidation, by event type. Pure.

use std::collections::BTreeMap;

use shared::config::{ConfigError, Environment};
use shared::events::Data;
use shared::freshness::{CacheLifetime, OriginLifetime};

const NAME: &str = "INVALIDATION_POLICY";

/// The types that change a page and have no security reason. A rule can name them.
const TYPES: [&str; 12] = [
    "activity.recorded",
    "notification.created",
    "notification.read",
    "order.cancelled",
    "order.placed",
    "permission.granted",
    "profile.updated",
    "user.confirmed",
    "user.mfa_disabled",
    "user.mfa_enabled",
    "user.password_changed",
    "user.password_reset",
];
/// Types that are always invalidated. No rule can change that.
const SECURITY_TYPES: [&str; 4] = ["permission.revoked", "user.deleted", "user.reinstated", "user.suspended"];

/// What happens after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyRule {
    /// An invalidation, whatever the other rules, the interval and the budget are.
    Always,
    /// An invalidation, unless the pages expire as early, the client reads its own write, or the
    /// interval or the budget holds it back.
    Budget,
    /// No invalidation. The change shows when the pages expire.
    Never,
}

impl PolicyRule {
    const ALL: [(&str, Self); 3] =
        [("always", Self::Always), ("budget", Self::Budget), ("never", Self::Never)];
}

/// The rules by event type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidationPolicy {
    rules: BTreeMap<&'static str, PolicyRule>,
    /// The rule of a type without a rule of its own.
    others: PolicyRule,
}

impl InvalidationPolicy {
    /// One rule for all types.
    pub const fn of_all_types(rule: PolicyRule) -> Self {
        Self { rules: BTreeMap::new(), others: rule }
    }

    /// Reads rules such as `*=never, profile.updated=always`.
    pub fn from_environment(
        environment: &Environment,
        lifetime: &CacheLifetime,
    ) -> Result<Self, ConfigError> {
        let mut policy = Self::of_all_types(default_rule(lifetime));
        let mut others = None;
        for rule in environment.list(NAME) {
            policy.add(&rule, &mut others).map_err(|reason| ConfigError::new(NAME, reason))?;
        }
        policy.others = others.unwrap_or(policy.others);
        Ok(policy)
    }

    /// Adds a rule. `others` is the rule of `*`, if there was one.
    fn add(&mut self, rule: &str, others: &mut Option<PolicyRule>) -> Result<(), String> {
        let Some((event_type, rule)) = rule.split_once('=').map(|(name, rule)| (name.trim(), rule.trim()))
        else {
            return Err(format!("\"{rule}\" is not a rule such as order.placed=always"));
        };
        let known = PolicyRule::ALL.into_iter().find(|(name, _)| *name == rule);
        let Some((_, rule)) = known else {
            return Err(format!("{event_type}: \"{rule}\" is not one of: always, budget, never"));
        };
        let earlier = match TYPES.into_iter().find(|known| *known == event_type) {
            _ if event_type == "*" => others.replace(rule),
            Some(event_type) => self.rules.insert(event_type, rule),
            None if SECURITY_TYPES.contains(&event_type) => {
                return Err(format!("{event_type} is always invalidated. Remove its rule"));
            }
            None => return Err(format!("\"{event_type}\" is not one of: *, {}", TYPES.join(", "))),
        };
        if earlier.is_some() { Err(format!("{event_type} has two rules. Remove one")) } else { Ok(()) }
    }

    /// The rule for an event.
    pub fn rule(&self, data: &Data) -> PolicyRule {
        self.rule_of_type(data.event_type())
    }

    /// True if some type has this rule.
    pub fn has_rule(&self, rule: PolicyRule) -> bool {
        self.others == rule || self.rules.values().any(|of_type| *of_type == rule)
    }

    /// The rule for the events of a type.
    pub fn rule_of_type(&self, event_type: &str) -> PolicyRule {
        self.rules.get(event_type).copied().unwrap_or(self.others)
    }
}

/// Longest lifetime of pages for which no invalidation is worth its price, in seconds: the pages are
/// gone almost as early as an invalidation works. docs/when-caching-pays.md has the figures.
const SHORT_LIFETIME_SECONDS: u32 = 60;

/// The rule of a type that INVALIDATION_POLICY does not name. An origin with fixed lifetimes may not know
/// `after`, and then only an invalidation helps the acting device.
fn default_rule(lifetime: &CacheLifetime) -> PolicyRule {
    match lifetime.origin {
        OriginLifetime::Adaptive if lifetime.max_seconds <= SHORT_LIFETIME_SECONDS => PolicyRule::Never,
        OriginLifetime::Adaptive | OriginLifetime::Fixed => PolicyRule::Budget,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::events::Event;
    use shared::statistics::changed_views;

    use super::*;
    use crate::user_stats::notice::security_reason;

    const LIFETIME: CacheLifetime =
        CacheLifetime { origin: OriginLifetime::Fixed, divisor: 10, min_seconds: 5, max_seconds: 60 };

    fn policy(rules: &str) -> Result<InvalidationPolicy, String> {
        let environment = [(NAME, rules)].into_iter().collect();
        InvalidationPolicy::from_environment(&environment, &LIFETIME).map_err(|error| error.to_string())
    }

    #[test]
    fn default_rule_is_never_if_pages_live_for_a_minute_and_their_origin_knows_after() {
        for (origin, max_seconds, expected) in [
            (OriginLifetime::Adaptive, 60, PolicyRule::Never),
            (OriginLifetime::Adaptive, 61, PolicyRule::Budget),
            (OriginLifetime::Fixed, 60, PolicyRule::Budget),
            (OriginLifetime::Fixed, 1_800, PolicyRule::Budget),
        ] {
            let lifetime = CacheLifetime { origin, max_seconds, ..LIFETIME };
            let policy = InvalidationPolicy::from_environment(&Environment::default(), &lifetime).unwrap();
            assert_eq!(policy.rule(&data("order.placed")), expected, "{origin:?} {max_seconds}");
        }
    }

    fn data(event_type: &str) -> Data {
        let data = json!({
            "order_id": "1", "amount": "1.00", "currency": "EUR", "description": "a", "notification_id": "n",
            "views": ["orders"], "changed_at": "2026-03-02T09:00:00Z", "username": "ana", "pool_id": "pool",
            "email": "ana@example.com", "email_verified": true, "resource": "orders/ben",
            "permissions": ["read"], "granted_by": "ben", "by": "user",
        });
        let body = json!({
            "specversion": "1.0", "id": "1", "source": "/test", "subject": "ana", "type": event_type,
            "time": "2026-03-02T09:00:00Z", "data": data,
        });
        Event::parse(&body.to_string()).unwrap().data
    }

    #[test]
    fn rule_of_a_type_wins_against_the_rule_of_all_types() {
        let order = data("order.placed");
        for (rules, expected) in [
            ("", PolicyRule::Budget),
            ("order.placed=always", PolicyRule::Always),
            (" order.placed = never ,", PolicyRule::Never),
            ("*=never", PolicyRule::Never),
            ("*=never, order.placed=budget", PolicyRule::Budget),
            ("order.placed=always,*=never", PolicyRule::Always),
            ("order.cancelled=always", PolicyRule::Budget),
        ] {
            assert_eq!(policy(rules).unwrap().rule(&order), expected, "{rules}");
        }
    }

    #[test]
    fn error_names_the_rule_and_what_is_expected() {
        for (rules, expected) in [
            ("order.placed", "\"order.placed\" is not a rule such as order.placed=always"),
            ("order.placed=often", "order.placed: \"often\" is not one of: always, budget, never"),
            ("user.suspended=never", "user.suspended is always invalidated. Remove its rule"),
            ("permission.revoked=budget", "permission.revoked is always invalidated. Remove its rule"),
            ("*=never,*=always", "* has two rules. Remove one"),
            ("order.placed=never,order.placed=never", "order.placed has two rules. Remove one"),
        ] {
            assert_eq!(policy(rules).unwrap_err(), format!("{NAME}: {expected}"));
        }
        let error = policy("order.shipped=never").unwrap_err();
        assert!(
            error.starts_with("INVALIDATION_POLICY: \"order.shipped\" is not one of: *, activity"),
            "{error}"
        );
    }

    #[test]
    fn rules_cover_every_type_that_changes_a_view() {
        // resource-permission decides about permissions, which are in no statistics.
        for event_type in TYPES.into_iter().filter(|name| *name != "permission.granted") {
            let data = data(event_type);
            assert!(!changed_views(&data).is_empty() && security_reason(&data).is_none(), "{event_type}");
        }
        for event_type in SECURITY_TYPES.into_iter().filter(|name| name.starts_with("user.")) {
            assert!(security_reason(&data(event_type)).is_some(), "{event_type}");
        }
    }
}
