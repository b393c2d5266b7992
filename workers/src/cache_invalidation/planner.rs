//! Which calls to make for a batch of changes. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use shared::events::View;
use shared::store::CacheMark;
use shared::time::{minus_seconds, plus_seconds};

use super::items::Target;

/// Items in one call. CloudFront allows 3,000 in progress for a distribution, in any split.
pub const MAX_ITEMS: usize = 1_000;
/// Everybody's entries are evicted at most this often: each time, all pages are rendered anew.
pub const COLLAPSE_INTERVAL_SECONDS: i64 = 300;
/// However old the messages are, fewer users than this are never collapsed.
const MIN_PURGE_ALL_THRESHOLD: u32 = 100;

/// What the planner keeps to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// INVALIDATION_TARGET.
    pub target: Target,
    /// PURGE_ALL_THRESHOLD: with more users than this in a batch, one item evicts everybody's entries.
    pub collapse_above: u32,
    /// PURGE_ALL_THRESHOLD_HALVING_SECONDS: each time that the oldest message has waited this long, PURGE_ALL_THRESHOLD halves.
    pub max_staleness_seconds: u32,
    /// MAX_CACHE_LIFETIME_SECONDS: what changed longer ago has expired by itself.
    pub max_cache_lifetime_seconds: u32,
}

/// A change of a user's data, in one view at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The message that tells of it.
    pub message: usize,
    /// Whose data.
    pub sub: String,
    /// Which views.
    pub views: BTreeSet<View>,
    /// When it was committed.
    pub changed_at: Timestamp,
    /// When the message was sent.
    pub sent_at: Timestamp,
}

/// What is known to be evicted.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// By user.
    pub users: HashMap<String, CacheMark>,
    /// Of everybody.
    pub collapse: Option<CacheMark>,
}

impl Known {
    /// Up to when the entries of a user are evicted. A path evicts one view, so that there a user's mark says
    /// nothing of the others.
    fn evicted_until(&self, sub: &str, target: Target) -> Option<Timestamp> {
        let user = self.users.get(sub).filter(|_| target == Target::Tag);
        let marks = user.into_iter().chain(&self.collapse);
        marks.map(|mark| mark.last_invalidated_at).max()
    }

    /// From when on everybody's entries may be evicted again, where that is not yet so.
    fn next_collapse(&self, now: Timestamp) -> Option<Timestamp> {
        let mark = self.collapse.as_ref()?;
        Some(plus_seconds(mark.last_invalidated_at, COLLAPSE_INTERVAL_SECONDS)).filter(|next| *next > now)
    }
}

/// Why a change needs no invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipReason {
    /// The user's entries were evicted since.
    AlreadyInvalidated,
    /// The entries have expired since.
    Expired,
}

impl SkipReason {
    /// The word in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::AlreadyInvalidated => "already_invalidated",
            Self::Expired => "expired",
        }
    }
}

/// One CreateInvalidation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The items.
    pub items: Vec<String>,
    /// The users whose entries they evict.
    pub subs: Vec<String>,
    /// The messages that ask for it.
    pub messages: Vec<usize>,
    /// Whether it evicts everybody's entries.
    pub collapse: bool,
    /// When the oldest of the changes was committed.
    pub oldest_change: Timestamp,
}

/// What to do about a batch: each message is in exactly one of the three.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Messages that need no invalidation.
    pub skipped: Vec<(usize, SkipReason)>,
    /// Calls to make, in this order.
    pub calls: Vec<Call>,
    /// Messages of too many users, until everybody's entries may be evicted again. User by user they would cost a
    /// thousand times as much, and CloudFront would hardly be faster.
    pub waiting: Option<Waiting>,
}

/// Messages that wait for the next collapse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The messages.
    pub messages: Vec<usize>,
    /// When it may be made.
    pub until: Timestamp,
}

/// Plans a batch at the time `now`.
pub fn plan(changes: &[Change], known: &Known, limits: &Limits, now: Timestamp) -> Plan {
    let mut skipped = Vec::new();
    // Of the messages that are not skipped: one that is done says nothing of how far behind we are.
    let mut oldest = now;
    let mut users: BTreeMap<&str, User> = BTreeMap::new();
    let expired_before = minus_seconds(now, i64::from(limits.max_cache_lifetime_seconds));
    for change in changes {
        if change.changed_at < expired_before {
            skipped.push((change.message, SkipReason::Expired));
        } else if known
            .evicted_until(&change.sub, limits.target)
            .is_some_and(|until| change.changed_at <= until)
        {
            skipped.push((change.message, SkipReason::AlreadyInvalidated));
        } else {
            let user = users.entry(&change.sub).or_insert_with(|| User {
                views: BTreeSet::new(),
                messages: Vec::new(),
                oldest_change: change.changed_at,
            });
            oldest = oldest.min(change.sent_at);
            user.views.extend(&change.views);
            user.messages.push(change.message);
            user.oldest_change = user.oldest_change.min(change.changed_at);
        }
    }
    let next_collapse = known.next_collapse(now);
    // Age hurries a collapse, and makes nobody wait for one.
    let above =
        if next_collapse.is_some() { limits.collapse_above } else { collapse_above(limits, now, oldest) };
    if users.len() as u64 <= u64::from(above) {
        return Plan { skipped, calls: individual_calls(users, limits.target), waiting: None };
    }
    if let Some(until) = next_collapse {
        let messages = users.into_values().flat_map(|user| user.messages).collect();
        return Plan { skipped, calls: Vec::new(), waiting: Some(Waiting { messages, until }) };
    }
    let collapse = Call {
        items: vec![limits.target.everybody()],
        subs: users.keys().map(|sub| (*sub).to_owned()).collect(),
        oldest_change: users.values().map(|user| user.oldest_change).min().unwrap_or(now),
        messages: users.into_values().flat_map(|user| user.messages).collect(),
        collapse: true,
    };
    Plan { skipped, calls: vec![collapse], waiting: None }
}

struct User {
    views: BTreeSet<View>,
    messages: Vec<usize>,
    oldest_change: Timestamp,
}

fn individual_calls(users: BTreeMap<&str, User>, target: Target) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    for (sub, user) in users {
        let items = target.of_user(sub, &user.views);
        match calls.last_mut() {
            Some(call) if call.items.len() + items.len() <= MAX_ITEMS => {
                call.items.extend(items);
                call.subs.push(sub.to_owned());
                call.messages.extend(user.messages);
                call.oldest_change = call.oldest_change.min(user.oldest_change);
            }
            _ => calls.push(Call {
                items,
                subs: vec![sub.to_owned()],
                messages: user.messages,
                collapse: false,
                oldest_change: user.oldest_change,
            }),
        }
    }
    calls
}

/// PURGE_ALL_THRESHOLD, halved for each PURGE_ALL_THRESHOLD_HALVING_SECONDS that the oldest message has waited.
fn collapse_above(limits: &Limits, now: Timestamp, oldest: Timestamp) -> u32 {
    let age = now.duration_since(oldest).as_secs().max(0);
    let halvings = u32::try_from(age / i64::from(limits.max_staleness_seconds.max(1))).unwrap_or(u32::MAX);
    let lowered = limits.collapse_above.checked_shr(halvings).unwrap_or_default();
    lowered.max(MIN_PURGE_ALL_THRESHOLD.min(limits.collapse_above))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        target: Target::Tag,
        collapse_above: 3000,
        max_staleness_seconds: 300,
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
    fn changes_of_one_user_are_one_item() {
        let changes = [change(0, "ana", -3), change(1, "ben", -2), change(2, "ana", -1)];
        let plan = plan(&changes, &Known::default(), &LIMITS, at(0));
        assert_eq!(
            plan.calls,
            [Call {
                items: vec!["#user:ana".into(), "#user:ben".into()],
                subs: vec!["ana".into(), "ben".into()],
                messages: vec![0, 2, 1],
                collapse: false,
                oldest_change: at(-3),
            }]
        );
        assert_eq!(plan.skipped, []);
    }

    #[test]
    fn what_is_done_or_has_expired_is_skipped() {
        let known =
            Known { users: HashMap::from([("ana".to_owned(), mark(-10))]), collapse: Some(mark(-20)) };
        let changes = [
            change(0, "ana", -10),
            change(1, "ana", -9),
            change(2, "ben", -20),
            change(3, "ben", -19),
            change(4, "eva", -1801),
        ];
        let plan = plan(&changes, &known, &LIMITS, at(0));
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
    fn a_mark_of_one_view_says_nothing_of_the_others() {
        let known = Known { users: HashMap::from([("ana".to_owned(), mark(-10))]), collapse: None };
        let limits = Limits { target: Target::Path, ..LIMITS };
        assert_eq!(plan(&[change(0, "ana", -20)], &known, &limits, at(0)).skipped, []);
        let known = Known { collapse: Some(mark(-10)), ..known };
        assert_eq!(plan(&[change(0, "ana", -20)], &known, &limits, at(0)).skipped.len(), 1);
    }

    #[test]
    fn a_call_has_at_most_a_thousand_items() {
        let plan = plan(&changes_of(2500), &Known::default(), &LIMITS, at(0));
        let sizes: Vec<usize> = plan.calls.iter().map(|call| call.items.len()).collect();
        assert_eq!(sizes, [1000, 1000, 500]);
    }

    #[test]
    fn too_many_users_collapse_into_one_item_at_most_once_in_five_minutes() {
        let collapses = |users, known: &Known, oldest| {
            let mut changes = changes_of(users);
            changes[0].sent_at = at(oldest);
            let plan = plan(&changes, known, &LIMITS, at(10));
            plan.calls.first().is_some_and(|call| call.collapse)
        };
        let fresh = Known::default();
        assert!(!collapses(3000, &fresh, 10));
        assert!(collapses(3001, &fresh, 10));
        assert!(!collapses(1500, &fresh, -290));
        assert!(collapses(1501, &fresh, -290));
        assert!(!collapses(100, &fresh, -90_000));
        assert!(collapses(101, &fresh, -90_000));
        let since = |second| Known { collapse: Some(mark(second)), ..Known::default() };
        assert!(!collapses(3001, &since(-289), 10));
        assert!(collapses(3001, &since(-290), 10));
    }

    #[test]
    fn too_many_users_after_a_collapse_wait_for_the_next_one() {
        let known = Known { collapse: Some(mark(-289)), ..Known::default() };
        let of = |users| plan(&changes_of(users), &known, &LIMITS, at(10));
        assert_eq!(of(3001).calls, []);
        let waiting = of(3001).waiting.unwrap();
        assert_eq!((waiting.messages.len(), waiting.until), (3001, at(11)));
        assert_eq!((of(3000).calls.len(), of(3000).waiting), (3, None));
        // However old the messages are.
        let mut changes = changes_of(3000);
        changes[7].sent_at = at(-900);
        assert_eq!(plan(&changes, &known, &LIMITS, at(10)).waiting, None);
    }

    #[test]
    fn a_message_that_is_done_hurries_nothing() {
        let known = Known { users: HashMap::from([("ana".to_owned(), mark(0))]), collapse: None };
        let mut changes = changes_of(2000);
        changes.push(Change { sent_at: at(-900), ..change(2000, "ana", 0) });
        let plan = plan(&changes, &known, &LIMITS, at(10));
        assert_eq!((plan.skipped.len(), plan.calls[0].collapse), (1, false));
    }
}
