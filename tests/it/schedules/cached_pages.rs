//! How long a page in the cache may hide a change, for each policy.

use std::collections::BTreeSet;

use jiff::Timestamp;
use shared::events::{Data, Event, View};
use shared::freshness::{CacheLifetime, FRESHNESS_TARGET_SECONDS, OriginLifetime, RENDER_SECONDS};
use shared::statistics::changed_views;
use shared::store::Partition;
use shared::time::plus_seconds;
use workers::invalidation_policy::{InvalidationPolicy, PolicyRule};

use super::aws::{ERASED, HistoryEntry};
use super::oracle::{Events, lifetime_seconds};
use super::reader::CachedPage;
use super::schedule::Settings;

/// Maximum time between the time that STATS has for a commit and the commit itself, with the difference of
/// the clocks.
const COMMIT_SECONDS: i64 = 8;

/// The promise for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    /// Pages from before it expire.
    Expiry,
    /// They are gone when all messages about the user are processed, or within
    /// FRESHNESS_TARGET_SECONDS. Not if the budget is spent.
    Budget,
    /// The same, whatever the budget is.
    Always,
}

/// Checks every page against every commit that it does not show.
pub fn check(
    settings: &Settings,
    events: &Events,
    history: &[HistoryEntry],
    pages: &[CachedPage],
) -> Result<(), String> {
    let policy = policy(settings);
    let is_spent =
        history.iter().any(|entry| matches!(entry, HistoryEntry::Counted { metric: "BudgetExhausted", .. }));
    for page in pages {
        let partition = Partition::User(page.sub.clone());
        let no_events = Default::default();
        let of_user = events.get(&partition).unwrap_or(&no_events);
        let key = partition.key();
        let evictions: Vec<Timestamp> = history
            .iter()
            .filter_map(|entry| evicted_at(entry, page))
            .filter(|at| *at >= page.read_at)
            .collect();
        let evicted = evictions.iter().copied().find(|at| *at >= page.stored_at);
        let gone = evicted.map_or(page.expires_at, |at| at.min(page.expires_at));
        for (index, entry) in history.iter().enumerate().skip(page.shown) {
            let HistoryEntry::Commit { partition: of, events: keys, at, .. } = entry else { continue };
            if *of != key {
                continue;
            }
            let is_erasure = keys.iter().any(|key| key == ERASED);
            let changes: Vec<&Event> = keys
                .iter()
                .filter_map(|key| of_user.get(key))
                .filter(|event| !changed_views(&event.data).is_empty())
                .collect();
            let views: BTreeSet<View> =
                changes.iter().flat_map(|event| changed_views(&event.data)).copied().collect();
            if !is_erasure && !views.contains(&page.view) {
                continue;
            }
            let hides = |rule: &str, limit: Timestamp| {
                Err(format!(
                    "{rule}: {page:?} hides the commit {index} at {at} until {gone} instead of {limit}: {history:?}"
                ))
            };
            if page.after.as_ref().is_some_and(|after| keys.contains(after)) {
                return hides("own write", *at);
            }
            let longest = plus_seconds(*at, RENDER_SECONDS + lifetime_seconds(settings));
            if gone > longest {
                return hides("longest lifetime", longest);
            }
            // An invalidation misses a page that is on its way.
            let is_on_its_way = evictions.iter().any(|evicted| evicted >= at && *evicted < page.stored_at);
            let promise = match is_erasure {
                true => Promise::Always,
                false => promise(settings, &policy, &changes, of_user, &key, *at, &history[..=index]),
            };
            let is_limited = match promise {
                Promise::Expiry => false,
                Promise::Budget => !is_spent,
                Promise::Always => !(is_spent && settings.skips_inactive()) || is_erasure,
            };
            if !is_limited || is_on_its_way {
                continue;
            }
            let settled = history[index..].iter().find_map(|entry| match entry {
                HistoryEntry::Settled { sub, at } if *sub == page.sub => Some(*at),
                _ => None,
            });
            let soon = plus_seconds(*at, FRESHNESS_TARGET_SECONDS + COMMIT_SECONDS);
            let limit = settled.map_or(soon, |settled| settled.max(soon));
            if gone > limit {
                return hides(&format!("{promise:?}"), limit);
            }
        }
    }
    Ok(())
}

fn policy(settings: &Settings) -> InvalidationPolicy {
    let rules = settings.adaptive.map_or("", |adaptive| adaptive.policy);
    let lifetime = CacheLifetime {
        origin: if settings.adaptive.is_some() { OriginLifetime::Adaptive } else { OriginLifetime::Fixed },
        divisor: settings.adaptive.map_or(10, |adaptive| adaptive.divisor),
        min_seconds: 5,
        max_seconds: u32::try_from(lifetime_seconds(settings)).unwrap(),
    };
    InvalidationPolicy::from_environment(&[("INVALIDATION_POLICY", rules)].into_iter().collect(), &lifetime)
        .unwrap()
}

/// The promise for a commit of `changes` at a time. `until` is the history up to it.
fn promise(
    settings: &Settings,
    policy: &InvalidationPolicy,
    changes: &[&Event],
    of_user: &std::collections::BTreeMap<String, Event>,
    partition: &str,
    at: Timestamp,
    until: &[HistoryEntry],
) -> Promise {
    let is_real = |event: &&Event| !event.id.contains("Forged");
    let is_security = |event: &&&Event| matches!(event.data, Data::Suspended(_));
    if changes.iter().filter(is_security).any(is_real) {
        return Promise::Always;
    }
    if changes.iter().any(|event| is_security(&event)) {
        return Promise::Budget;
    }
    let has_rule = |rule| changes.iter().any(|event| policy.rule(&event.data) == rule);
    if has_rule(PolicyRule::Always) {
        return Promise::Always;
    }
    let is_client_aware = |entry: &HistoryEntry| match entry {
        HistoryEntry::Commit { partition: of, events, at: committed, .. } => {
            *of == partition
                && plus_seconds(*committed, FRESHNESS_TARGET_SECONDS + COMMIT_SECONDS) >= at
                && events.iter().filter_map(|key| of_user.get(key)).any(|event| event.client_aware)
        }
        _ => false,
    };
    let is_expiring = settings.adaptive.is_some() && until.iter().any(is_client_aware);
    if !has_rule(PolicyRule::Budget) || is_expiring { Promise::Expiry } else { Promise::Budget }
}

/// The time of an invalidation that evicts the page.
fn evicted_at(entry: &HistoryEntry, page: &CachedPage) -> Option<Timestamp> {
    let HistoryEntry::Invalidation { items, at, .. } = entry else { return None };
    let own = [
        "#users".to_owned(),
        "/users/*".to_owned(),
        format!("#user:{}", page.sub),
        format!("/users/{}/{}", page.sub, page.view.name()),
    ];
    items.iter().any(|item| own.contains(item)).then_some(*at)
}
