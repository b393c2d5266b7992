//! Which CloudFront calls to make for a batch of changes. Pure.
//!
//! - A change needs no invalidation if its user's pages were invalidated after it, or have expired.
//! - The remaining changes of a user are coalesced into one invalidation.
//! - If too many users changed, one item purges the pages of all users instead ("purge all").

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use shared::events::View;
use shared::store::CacheMark;
use shared::time::{minus_seconds, plus_seconds};

use super::items::Target;

/// Maximum number of items in one call. CloudFront allows 3,000 items in progress for a
/// distribution, in any number of calls.
pub const MAX_ITEMS: usize = 1_000;
/// Minimum time between two purges of all pages. After each of them, the origin renders every page
/// again.
pub const PURGE_ALL_INTERVAL_SECONDS: i64 = 300;
/// However old the messages are, up to this number of users are invalidated one by one.
const MIN_PURGE_ALL_THRESHOLD: u32 = 100;

/// The settings of the planner.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// INVALIDATION_TARGET.
    pub target: Target,
    /// PURGE_ALL_THRESHOLD: with more users than this in a batch, one item purges the pages of all
    /// users.
    pub purge_all_threshold: u32,
    /// PURGE_ALL_THRESHOLD_HALVING_SECONDS: the message age at which the threshold halves. It
    /// halves again each time that the oldest message has waited this long once more.
    pub purge_all_threshold_halving_seconds: u32,
    /// MAX_CACHE_LIFETIME_SECONDS: older changes need no invalidation, because the pages have
    /// expired.
    pub max_cache_lifetime_seconds: u32,
}

/// A change of a user's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Index of the message in the batch.
    pub message: usize,
    pub sub: String,
    /// The views that changed. At least one.
    pub views: BTreeSet<View>,
    /// When the change was committed to the table.
    pub changed_at: Timestamp,
    pub sent_at: Timestamp,
}

/// When pages were last invalidated, as far as it is known. A missing mark only costs one more
/// invalidation.
#[derive(Clone, Debug, Default)]
pub struct CacheMarks {
    /// The last invalidation of each user, by `sub`.
    pub users: HashMap<String, CacheMark>,
    /// The last purge of all pages.
    pub purge_all: Option<CacheMark>,
}

impl CacheMarks {
    /// Changes of the user up to this time need no invalidation. A user's mark counts only for
    /// cache tags: a path covers one view, so the mark does not cover the user's other
    /// views.
    fn invalidated_until(&self, sub: &str, target: Target) -> Option<Timestamp> {
        let user = self.users.get(sub).filter(|_| target == Target::Tag);
        let marks = user.into_iter().chain(&self.purge_all);
        marks.map(|mark| mark.last_invalidated_at).max()
    }

    /// The time from which all pages may be purged again. `None` if they may be purged now.
    fn next_purge_all(&self, now: Timestamp) -> Option<Timestamp> {
        let mark = self.purge_all.as_ref()?;
        Some(plus_seconds(mark.last_invalidated_at, PURGE_ALL_INTERVAL_SECONDS)).filter(|next| *next > now)
    }
}

/// Why a change needs no invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipReason {
    /// The user's pages were invalidated after the change.
    AlreadyInvalidated,
    /// Pages from before the change have expired.
    Expired,
}

impl SkipReason {
    /// The stable code: the dimension `reason` of InvalidationsSkipped.
    pub fn code(self) -> &'static str {
        match self {
            Self::AlreadyInvalidated => "already_invalidated",
            Self::Expired => "expired",
        }
    }
}

/// One call of CreateInvalidation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidationCall {
    pub items: Vec<String>,
    /// The users whose changes the call covers.
    pub subs: Vec<String>,
    /// Indexes of the messages that the call covers.
    pub messages: Vec<usize>,
    /// Whether the call purges the pages of all users.
    pub is_purge_all: bool,
    /// When the oldest of the changes was committed.
    pub oldest_changed_at: Timestamp,
}

/// What to do about a batch. Each message is in exactly one of the three fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Messages that need no invalidation.
    pub skipped: Vec<(usize, SkipReason)>,
    /// Calls to make, in this order.
    pub calls: Vec<InvalidationCall>,
    /// Messages of too many users, shortly after a purge of all pages. They wait for the next
    /// purge: one by one they would cost a thousand times as much, and CloudFront would hardly be
    /// faster.
    pub deferred: Option<Deferred>,
}

/// Messages that wait for the next purge of all pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deferred {
    pub messages: Vec<usize>,
    /// When all pages may be purged again.
    pub until: Timestamp,
}

/// Plans the calls for a batch at `now`.
pub fn plan(changes: &[Change], marks: &CacheMarks, limits: &Limits, now: Timestamp) -> Plan {
    let mut skipped = Vec::new();
    // The age of a skipped message does not count: it says nothing about the backlog.
    let mut oldest_sent_at = now;
    let mut users: BTreeMap<&str, UserChanges> = BTreeMap::new();
    let expired_before = minus_seconds(now, i64::from(limits.max_cache_lifetime_seconds));
    for change in changes {
        if change.changed_at < expired_before {
            skipped.push((change.message, SkipReason::Expired));
        } else if marks
            .invalidated_until(&change.sub, limits.target)
            .is_some_and(|until| change.changed_at <= until)
        {
            skipped.push((change.message, SkipReason::AlreadyInvalidated));
        } else {
            let user = users.entry(&change.sub).or_insert_with(|| UserChanges {
                views: BTreeSet::new(),
                messages: Vec::new(),
                oldest_changed_at: change.changed_at,
            });
            oldest_sent_at = oldest_sent_at.min(change.sent_at);
            user.views.extend(&change.views);
            user.messages.push(change.message);
            user.oldest_changed_at = user.oldest_changed_at.min(change.changed_at);
        }
    }
    let next_purge_all = marks.next_purge_all(now);
    // Old messages lower the threshold only if all pages may be purged now. Otherwise the lower
    // threshold would make them wait even longer.
    let threshold = if next_purge_all.is_some() {
        limits.purge_all_threshold
    } else {
        lowered_threshold(limits, now, oldest_sent_at)
    };
    if users.len() as u64 <= u64::from(threshold) {
        return Plan { skipped, calls: calls_for_users(users, limits.target), deferred: None };
    }
    if let Some(until) = next_purge_all {
        let messages = users.into_values().flat_map(|user| user.messages).collect();
        return Plan { skipped, calls: Vec::new(), deferred: Some(Deferred { messages, until }) };
    }
    let purge_all = InvalidationCall {
        items: vec![limits.target.item_for_all_users()],
        subs: users.keys().map(|sub| (*sub).to_owned()).collect(),
        oldest_changed_at: users.values().map(|user| user.oldest_changed_at).min().unwrap_or(now),
        messages: users.into_values().flat_map(|user| user.messages).collect(),
        is_purge_all: true,
    };
    Plan { skipped, calls: vec![purge_all], deferred: None }
}

/// The changes of one user in a batch.
struct UserChanges {
    views: BTreeSet<View>,
    messages: Vec<usize>,
    oldest_changed_at: Timestamp,
}

fn calls_for_users(users: BTreeMap<&str, UserChanges>, target: Target) -> Vec<InvalidationCall> {
    let mut calls: Vec<InvalidationCall> = Vec::new();
    for (sub, user) in users {
        let items = target.items_for_user(sub, &user.views);
        match calls.last_mut() {
            Some(call) if call.items.len() + items.len() <= MAX_ITEMS => {
                call.items.extend(items);
                call.subs.push(sub.to_owned());
                call.messages.extend(user.messages);
                call.oldest_changed_at = call.oldest_changed_at.min(user.oldest_changed_at);
            }
            _ => calls.push(InvalidationCall {
                items,
                subs: vec![sub.to_owned()],
                messages: user.messages,
                is_purge_all: false,
                oldest_changed_at: user.oldest_changed_at,
            }),
        }
    }
    calls
}

/// PURGE_ALL_THRESHOLD, halved once for each PURGE_ALL_THRESHOLD_HALVING_SECONDS that the oldest
/// message has waited.
fn lowered_threshold(limits: &Limits, now: Timestamp, oldest_sent_at: Timestamp) -> u32 {
    let age = now.duration_since(oldest_sent_at).as_secs().max(0);
    let halving = i64::from(limits.purge_all_threshold_halving_seconds.max(1));
    let halvings = u32::try_from(age / halving).unwrap_or(u32::MAX);
    let lowered = limits.purge_all_threshold.checked_shr(halvings).unwrap_or_default();
    lowered.max(MIN_PURGE_ALL_THRESHOLD.min(limits.purge_all_threshold))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        target: Target::Tag,
        purge_all_threshold: 3000,
        purge_all_threshold_halving_seconds: 300,
        max_cache_lifetime_seconds: 1800,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(100_000 + second).unwrap()
    }

    fn change(message: usize, sub: &str, second: i64) -> Change {
        let views = BTreeSet::from([View::Dashboard]);
        Change { message, sub: sub.to_owned(), views, changed_at: at(second), sent_at: at(second) }
    }

    fn mark(second: i64) -> CacheMark {
        CacheMark { last_invalidated_at: at(second) }
    }

    fn changes_of(users: usize) -> Vec<Change> {
        (0..users).map(|user| change(user, &format!("user-{user:05}"), 0)).collect()
    }

    #[test]
    fn changes_of_one_user_become_one_item() {
        let changes = [change(0, "ana", -3), change(1, "ben", -2), change(2, "ana", -1)];
        let plan = plan(&changes, &CacheMarks::default(), &LIMITS, at(0));
        assert_eq!(
            plan.calls,
            [InvalidationCall {
                items: vec!["#user:ana".into(), "#user:ben".into()],
                subs: vec!["ana".into(), "ben".into()],
                messages: vec![0, 2, 1],
                is_purge_all: false,
                oldest_changed_at: at(-3),
            }]
        );
        assert_eq!(plan.skipped, []);
    }

    #[test]
    fn invalidated_and_expired_changes_are_skipped() {
        let marks =
            CacheMarks { users: HashMap::from([("ana".to_owned(), mark(-10))]), purge_all: Some(mark(-20)) };
        let changes = [
            change(0, "ana", -10),
            change(1, "ana", -9),
            change(2, "ben", -20),
            change(3, "ben", -19),
            change(4, "eva", -1801),
        ];
        let plan = plan(&changes, &marks, &LIMITS, at(0));
        assert_eq!(
            plan.skipped,
            [
                (0, SkipReason::AlreadyInvalidated),
                (2, SkipReason::AlreadyInvalidated),
                (4, SkipReason::Expired),
            ]
        );
        assert_eq!(plan.calls[0].messages, [1, 3]);
    }

    #[test]
    fn user_mark_does_not_cover_other_paths() {
        let marks = CacheMarks { users: HashMap::from([("ana".to_owned(), mark(-10))]), purge_all: None };
        let limits = Limits { target: Target::Path, ..LIMITS };
        assert_eq!(plan(&[change(0, "ana", -20)], &marks, &limits, at(0)).skipped, []);
        let marks = CacheMarks { purge_all: Some(mark(-10)), ..marks };
        assert_eq!(plan(&[change(0, "ana", -20)], &marks, &limits, at(0)).skipped.len(), 1);
    }

    #[test]
    fn call_has_at_most_1000_items() {
        let plan = plan(&changes_of(2500), &CacheMarks::default(), &LIMITS, at(0));
        let sizes: Vec<usize> = plan.calls.iter().map(|call| call.items.len()).collect();
        assert_eq!(sizes, [1000, 1000, 500]);
    }

    #[test]
    fn too_many_users_cause_a_purge_all_at_most_once_in_five_minutes() {
        let has_purge_all = |users, marks: &CacheMarks, oldest| {
            let mut changes = changes_of(users);
            changes[0].sent_at = at(oldest);
            let plan = plan(&changes, marks, &LIMITS, at(10));
            plan.calls.first().is_some_and(|call| call.is_purge_all)
        };
        let fresh = CacheMarks::default();
        assert!(!has_purge_all(3000, &fresh, 10));
        assert!(has_purge_all(3001, &fresh, 10));
        assert!(!has_purge_all(1500, &fresh, -290));
        assert!(has_purge_all(1501, &fresh, -290));
        assert!(!has_purge_all(100, &fresh, -90_000));
        assert!(has_purge_all(101, &fresh, -90_000));
        let since = |second| CacheMarks { purge_all: Some(mark(second)), ..CacheMarks::default() };
        assert!(!has_purge_all(3001, &since(-289), 10));
        assert!(has_purge_all(3001, &since(-290), 10));
    }

    #[test]
    fn too_many_users_shortly_after_a_purge_all_are_deferred() {
        let marks = CacheMarks { purge_all: Some(mark(-289)), ..CacheMarks::default() };
        let of = |users| plan(&changes_of(users), &marks, &LIMITS, at(10));
        assert_eq!(of(3001).calls, []);
        let deferred = of(3001).deferred.unwrap();
        assert_eq!((deferred.messages.len(), deferred.until), (3001, at(11)));
        assert_eq!((of(3000).calls.len(), of(3000).deferred), (3, None));
        // The age of the messages makes no difference.
        let mut changes = changes_of(3000);
        changes[7].sent_at = at(-900);
        assert_eq!(plan(&changes, &marks, &LIMITS, at(10)).deferred, None);
    }

    #[test]
    fn age_of_a_skipped_message_does_not_lower_the_threshold() {
        let marks = CacheMarks { users: HashMap::from([("ana".to_owned(), mark(0))]), purge_all: None };
        let mut changes = changes_of(2000);
        changes.push(Change { sent_at: at(-900), ..change(2000, "ana", 0) });
        let plan = plan(&changes, &marks, &LIMITS, at(10));
        assert_eq!((plan.skipped.len(), plan.calls[0].is_purge_all), (1, false));
    }
}
