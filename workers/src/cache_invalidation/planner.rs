//! Which CloudFront calls to make for a batch of changes. Pure.
//!
//! - A change needs no invalidation if its user's pages were invalidated after it, or have expired.
//! - A suspension, reinstatement or erasure that the table confirms is always invalidated, and so are a
//!   loss of permissions and the changes of INVALIDATION_POLICY's rule `always`: they neither wait nor
//!   count for the budget.
//! - Another change waits if its user's pages were invalidated less than INVALIDATION_INTERVAL_SECONDS ago.
//! - The remaining changes of a user are coalesced into one invalidation.
//! - If too many users changed, one item purges the pages of all users instead ("purge all").

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use shared::events::View;
use shared::freshness::RENDER_SECONDS;
use shared::store::{CacheMark, PurgeAllMark};
use shared::time::plus_seconds;

use super::items::Target;

/// Maximum number of items in one call. CloudFront allows 3,000 items in progress for a
/// distribution, in any number of calls.
pub const MAX_ITEMS: usize = 1_000;
/// Minimum time between two purges of all pages. After each of them, the origin renders every page
/// again.
pub const PURGE_ALL_INTERVAL_SECONDS: i64 = 300;
/// Largest useful value of PURGE_ALL_THRESHOLD. Lambda passes at most 6 MB to an invocation, and the
/// SQS record of the shortest notice has 959 bytes. So no batch has many more users than this.
pub const MAX_PURGE_ALL_THRESHOLD: u32 = 6_500;
/// Maximum difference between two clocks: those of two workers, or of SQS and a worker.
pub const CLOCK_SKEW_SECONDS: i64 = 1;
/// Minimum time from an urgent change to the mark that covers it. A page that was rendered right before
/// the change can reach the cache up to RENDER_SECONDS later, after an invalidation for an earlier
/// change. The delivery delay of the queue is as long, so the invalidation for a change itself covers
/// it. A redelivery has a later time, and can cost one more item. A mark is earlier than its
/// invalidation by CLOCK_SKEW_SECONDS.
///
/// Other changes have no such margin. It would cost a second invalidation for most changes that follow
/// each other within seconds, and a render takes a small part of a second.
const URGENT_MARGIN_SECONDS: i64 = RENDER_SECONDS - CLOCK_SKEW_SECONDS;
/// How much later than calculated the last page from before a change can be gone: the clocks of two
/// workers differ, and lifetimes are whole seconds.
const EXPIRY_MARGIN_SECONDS: i64 = CLOCK_SKEW_SECONDS + 1;
/// The same for an urgent change. It must not be skipped because a clock is wrong by a minute.
const URGENT_EXPIRY_MARGIN_SECONDS: i64 = 60;
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
    /// PURGE_ALL_THRESHOLD_HALVING_SECONDS: the message age at which the threshold halves, in
    /// addition to INVALIDATION_INTERVAL_SECONDS. It halves again each time that the oldest message
    /// has waited this long once more.
    pub purge_all_threshold_halving_seconds: u32,
    /// INVALIDATION_INTERVAL_SECONDS: minimum time between two invalidations of a user's pages. 0: no
    /// minimum.
    pub invalidation_interval_seconds: u32,
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
    /// A time at which the change had certainly been committed to the table.
    pub changed_at: Timestamp,
    pub sent_at: Timestamp,
    /// Time at which the last page from before the change has expired, as user-stats calculated it.
    pub pages_expire_at: Option<Timestamp>,
    /// True for a loss of permissions, and for the rule `always` of INVALIDATION_POLICY.
    pub is_always: bool,
    /// True if the sender claims that the user was suspended, reinstated or erased.
    pub claims_security: bool,
    /// The time of the suspension, reinstatement or erasure, if the table confirms it: see
    /// [`super::security`].
    pub security_change_at: Option<Timestamp>,
}

impl Change {
    /// True if the table must confirm a claim of the sender. A claim about pages that need no
    /// invalidation does not matter.
    pub fn needs_confirmation(&self, marks: &CacheMarks, limits: &Limits, now: Timestamp) -> bool {
        self.claims_security && self.stale_views(marks, limits, now).is_ok()
    }

    /// True if the change is invalidated whatever the interval and the budget are.
    fn is_urgent(&self) -> bool {
        self.is_always || self.security_change_at.is_some()
    }

    /// The views whose pages must be invalidated. The error is why none must be.
    pub fn stale_views(
        &self,
        marks: &CacheMarks,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<BTreeSet<View>, SkipReason> {
        let longest =
            plus_seconds(self.changed_at, RENDER_SECONDS + i64::from(limits.max_cache_lifetime_seconds));
        // An urgent change does not rely on the lifetime that the origin chose.
        let may_be_urgent = self.claims_security || self.is_always;
        let chosen = self.pages_expire_at.filter(|_| !may_be_urgent);
        let expire_at = chosen.map_or(longest, |at| at.min(longest));
        let margin = if may_be_urgent { URGENT_EXPIRY_MARGIN_SECONDS } else { EXPIRY_MARGIN_SECONDS };
        if plus_seconds(expire_at, margin) < now {
            return Err(SkipReason::Expired);
        }
        let margin = if may_be_urgent { URGENT_MARGIN_SECONDS } else { 0 };
        let covered_from = plus_seconds(self.changed_at, margin);
        let is_stale =
            |view: &View| marks.invalidated_until(&self.sub, *view).is_none_or(|until| until < covered_from);
        let views: BTreeSet<View> = self.views.iter().copied().filter(is_stale).collect();
        if views.is_empty() { Err(SkipReason::AlreadyInvalidated) } else { Ok(views) }
    }
}

/// When pages were last invalidated, as far as it is known. A missing mark only costs one more
/// invalidation.
#[derive(Clone, Debug, Default)]
pub struct CacheMarks {
    /// The last invalidation of each user, by `sub`.
    pub users: HashMap<String, CacheMark>,
    /// The last purge of all pages.
    pub purge_all: Option<PurgeAllMark>,
}

impl CacheMarks {
    /// The time from which on a user's view shows no page that was in the cache before: the later one
    /// of the last invalidation of the user and the last purge of all pages.
    fn invalidated_until(&self, sub: &str, view: View) -> Option<Timestamp> {
        let user = self.users.get(sub).and_then(|mark| mark.invalidated_until(view));
        user.max(self.purge_all.as_ref().map(|mark| mark.last_invalidated_at))
    }

    /// The time from which a user's view may be invalidated again. `None` if it may be invalidated
    /// now. A time further ahead than the interval is wrong and is ignored: the changes would wait
    /// until SQS dead-letters them.
    fn next_invalidation(&self, sub: &str, view: View, limits: &Limits, now: Timestamp) -> Option<Timestamp> {
        let interval = i64::from(limits.invalidation_interval_seconds);
        if interval == 0 {
            return None;
        }
        let last = self.users.get(sub)?.invalidated_until(view)?;
        // A mark is earlier than its call by the difference of two clocks.
        let next = plus_seconds(last, CLOCK_SKEW_SECONDS + interval);
        Some(next).filter(|next| *next > now && *next <= plus_seconds(now, interval + CLOCK_SKEW_SECONDS))
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
    pub users: Vec<InvalidatedUser>,
    /// Indexes of the messages that the call covers.
    pub messages: Vec<usize>,
    /// Whether the call purges the pages of all users.
    pub is_purge_all: bool,
    /// True if the call is for urgent changes, and made even if the budget is spent.
    pub is_urgent: bool,
    /// When the oldest of the changes was committed.
    pub oldest_changed_at: Timestamp,
}

/// A user of an [`InvalidationCall`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidatedUser {
    pub sub: String,
    /// The views that the call covers. With a tag, these are all.
    pub views: BTreeSet<View>,
    /// The confirmed suspension, reinstatement or erasure for which the call is made.
    pub security_change_at: Option<Timestamp>,
}

/// What to do about a batch. Each message is in exactly one of the four fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Messages that need no invalidation.
    pub skipped: Vec<(usize, SkipReason)>,
    /// Messages about pages that were invalidated a short time ago.
    pub waiting: Vec<Waiting>,
    /// Calls to make, in this order.
    pub calls: Vec<InvalidationCall>,
    /// Messages of too many users, shortly after a purge of all pages. They wait for the next
    /// purge: one by one they would cost a thousand times as much, and CloudFront would hardly be
    /// faster.
    pub deferred: Option<Deferred>,
}

/// A message that waits until its pages may be invalidated again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub message: usize,
    pub until: Timestamp,
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
    let mut users: BTreeMap<&str, UserChanges> = BTreeMap::new();
    let urgent: BTreeSet<&str> = changes
        .iter()
        .filter(|change| change.is_urgent() && change.stale_views(marks, limits, now).is_ok())
        .map(|change| change.sub.as_str())
        .collect();
    let mut urgent_users: BTreeMap<&str, UserChanges> = BTreeMap::new();
    let mut waiting = Vec::new();
    for change in changes {
        let views = match change.stale_views(marks, limits, now) {
            Ok(views) => views,
            Err(reason) => {
                skipped.push((change.message, reason));
                continue;
            }
        };
        if urgent.contains(change.sub.as_str()) {
            add_change(&mut urgent_users, change, View::ALL.into());
            continue;
        }
        // All views of the change are free then. If one of them is invalidated meanwhile, that covers
        // the change. So a change waits once.
        let next = |view: &View| marks.next_invalidation(&change.sub, *view, limits, now);
        if let Some(until) = views.iter().filter_map(next).max() {
            waiting.push((change, until));
            continue;
        }
        add_change(&mut users, change, views);
    }
    let mut calls = calls_for_users(urgent_users, limits.target);
    calls.iter_mut().for_each(|call| call.is_urgent = true);
    let next_purge_all = marks.next_purge_all(now);
    // Old messages lower the threshold only if all pages may be purged now. Otherwise the lower
    // threshold would make them wait even longer. The age of a message that is skipped or waits says
    // nothing about the backlog.
    let threshold = if next_purge_all.is_some() {
        limits.purge_all_threshold
    } else {
        let oldest_sent_at = users.values().map(|user| user.oldest_sent_at).min();
        lowered_threshold(limits, now, oldest_sent_at.unwrap_or(now))
    };
    let too_many_users = users.len() as u64 > u64::from(threshold);
    if too_many_users && next_purge_all.is_none() {
        // The purge covers the changes that wait, too.
        for (change, _) in waiting {
            add_change(&mut users, change, BTreeSet::new());
        }
        calls.push(purge_all(users, limits.target, now));
        return Plan { skipped, calls, ..Plan::default() };
    }
    let waiting = waiting.into_iter();
    let waiting = waiting.map(|(change, until)| Waiting { message: change.message, until }).collect();
    match next_purge_all {
        Some(until) if too_many_users => {
            let messages = users.into_values().flat_map(|user| user.messages).collect();
            Plan { skipped, waiting, calls, deferred: Some(Deferred { messages, until }) }
        }
        _ => {
            calls.extend(calls_for_users(users, limits.target));
            Plan { skipped, waiting, calls, deferred: None }
        }
    }
}

/// Adds a change that makes `views` stale to those of its user.
fn add_change<'a>(users: &mut BTreeMap<&'a str, UserChanges>, change: &'a Change, views: BTreeSet<View>) {
    let user = users.entry(&change.sub).or_insert_with(|| UserChanges {
        views: BTreeSet::new(),
        messages: Vec::new(),
        oldest_changed_at: change.changed_at,
        oldest_sent_at: change.sent_at,
        security_change_at: None,
    });
    user.views.extend(views);
    user.messages.push(change.message);
    user.oldest_changed_at = user.oldest_changed_at.min(change.changed_at);
    user.oldest_sent_at = user.oldest_sent_at.min(change.sent_at);
    user.security_change_at = user.security_change_at.max(change.security_change_at);
}

/// One call that purges the pages of all users.
fn purge_all(users: BTreeMap<&str, UserChanges>, target: Target, now: Timestamp) -> InvalidationCall {
    let user = |sub: &&str| InvalidatedUser {
        sub: (*sub).to_owned(),
        views: View::ALL.into(),
        security_change_at: None,
    };
    InvalidationCall {
        items: vec![target.item_for_all_users()],
        users: users.keys().map(user).collect(),
        oldest_changed_at: users.values().map(|user| user.oldest_changed_at).min().unwrap_or(now),
        messages: users.into_values().flat_map(|user| user.messages).collect(),
        is_purge_all: true,
        is_urgent: false,
    }
}

/// The changes of one user in a batch.
struct UserChanges {
    views: BTreeSet<View>,
    messages: Vec<usize>,
    oldest_changed_at: Timestamp,
    oldest_sent_at: Timestamp,
    security_change_at: Option<Timestamp>,
}

fn calls_for_users(users: BTreeMap<&str, UserChanges>, target: Target) -> Vec<InvalidationCall> {
    let mut calls: Vec<InvalidationCall> = Vec::new();
    for (sub, user) in users {
        let items = target.items_for_user(sub, &user.views);
        let views = if target == Target::Tag { View::ALL.into() } else { user.views };
        let security_change_at = user.security_change_at;
        let invalidated = InvalidatedUser { sub: sub.to_owned(), views, security_change_at };
        match calls.last_mut() {
            Some(call) if call.items.len() + items.len() <= MAX_ITEMS => {
                call.items.extend(items);
                call.users.push(invalidated);
                call.messages.extend(user.messages);
                call.oldest_changed_at = call.oldest_changed_at.min(user.oldest_changed_at);
            }
            _ => calls.push(InvalidationCall {
                items,
                users: vec![invalidated],
                messages: user.messages,
                is_purge_all: false,
                is_urgent: false,
                oldest_changed_at: user.oldest_changed_at,
            }),
        }
    }
    calls
}

/// PURGE_ALL_THRESHOLD, halved once for each PURGE_ALL_THRESHOLD_HALVING_SECONDS that the oldest
/// message has waited. It may have waited for INVALIDATION_INTERVAL_SECONDS, which is no backlog.
fn lowered_threshold(limits: &Limits, now: Timestamp, oldest_sent_at: Timestamp) -> u32 {
    let age = now.duration_since(oldest_sent_at).as_secs();
    let age = (age - i64::from(limits.invalidation_interval_seconds)).max(0);
    let halving = i64::from(limits.purge_all_threshold_halving_seconds.max(1));
    let halvings = u32::try_from(age / halving).unwrap_or(u32::MAX);
    let lowered = limits.purge_all_threshold.checked_shr(halvings).unwrap_or_default();
    lowered.max(MIN_PURGE_ALL_THRESHOLD.min(limits.purge_all_threshold))
}

#[cfg(test)]
mod tests {
    use shared::store::Millis;

    use super::*;

    const LIMITS: Limits = Limits {
        target: Target::Tag,
        purge_all_threshold: 3000,
        purge_all_threshold_halving_seconds: 300,
        invalidation_interval_seconds: 0,
        max_cache_lifetime_seconds: 1800,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(100_000 + second).unwrap()
    }

    fn change(message: usize, sub: &str, second: i64) -> Change {
        let views = BTreeSet::from([View::Dashboard]);
        Change {
            message,
            sub: sub.to_owned(),
            views,
            changed_at: at(second),
            sent_at: at(second),
            pages_expire_at: None,
            is_always: false,
            claims_security: false,
            security_change_at: None,
        }
    }

    fn mark(second: i64) -> CacheMark {
        CacheMark { last_invalidated_at: Some(at(second)), ..CacheMark::default() }
    }

    fn purge_all_mark(second: i64) -> Option<PurgeAllMark> {
        Some(PurgeAllMark { last_invalidated_at: at(second) })
    }

    fn users(subs: &[&str]) -> Vec<InvalidatedUser> {
        let user = |sub: &&str| InvalidatedUser {
            sub: (*sub).to_owned(),
            views: View::ALL.into(),
            security_change_at: None,
        };
        subs.iter().map(user).collect()
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
                users: users(&["ana", "ben"]),
                messages: vec![0, 2, 1],
                is_purge_all: false,
                is_urgent: false,
                oldest_changed_at: at(-3),
            }]
        );
        assert_eq!(plan.skipped, []);
    }

    #[test]
    fn invalidated_and_expired_changes_are_skipped() {
        let marks = CacheMarks {
            users: HashMap::from([("ana".to_owned(), mark(-10))]),
            purge_all: purge_all_mark(-20),
        };
        let changes = [
            change(0, "ana", -10),
            change(1, "ana", -9),
            change(2, "ben", -20),
            change(3, "ben", -19),
            change(4, "eva", -1808),
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
    fn change_is_skipped_when_its_pages_have_expired_unless_it_is_urgent() {
        let of = |pages_expire_at: Option<i64>, urgent: fn(&mut Change)| {
            let mut change = Change { pages_expire_at: pages_expire_at.map(at), ..change(0, "ana", -60) };
            urgent(&mut change);
            plan(&[change], &CacheMarks::default(), &LIMITS, at(0)).skipped.len()
        };
        let cases = [(None, 0), (Some(-3), 1), (Some(-2), 0), (Some(100_000), 0)];
        for (pages_expire_at, skipped) in cases {
            assert_eq!(of(pages_expire_at, |_| ()), skipped, "{pages_expire_at:?}");
            assert_eq!(of(pages_expire_at, |change| change.is_always = true), 0);
            assert_eq!(of(pages_expire_at, |change| change.claims_security = true), 0);
        }
        for (age, skipped) in [(1_807, 0), (1_808, 1)] {
            let old = Change { pages_expire_at: Some(at(100_000)), ..change(0, "ana", -age) };
            let plan = plan(&[old], &CacheMarks::default(), &LIMITS, at(0));
            assert_eq!(plan.skipped.len(), skipped, "no page outlives the longest lifetime: {age}");
        }
    }

    #[test]
    fn invalidation_of_one_path_neither_covers_nor_delays_other_paths() {
        let limits = Limits { target: Target::Path, invalidation_interval_seconds: 60, ..LIMITS };
        let views = BTreeMap::from([(View::Orders, Millis(at(-10)))]);
        let orders = CacheMark { last_invalidated_at: Some(at(-100)), views, ..CacheMark::default() };
        let marks = CacheMarks { users: HashMap::from([("ana".to_owned(), orders)]), purge_all: None };
        let of = |views: &[View], second| {
            let views = views.iter().copied().collect();
            plan(&[Change { views, ..change(0, "ana", second) }], &marks, &limits, at(0))
        };
        assert_eq!(of(&[View::Orders], -10).skipped, [(0, SkipReason::AlreadyInvalidated)]);
        assert_eq!(of(&View::ALL, -100).skipped, [(0, SkipReason::AlreadyInvalidated)]);
        let waits = [Waiting { message: 0, until: at(51) }];
        assert_eq!(of(&[View::Orders], -9).waiting, waits);
        assert_eq!(of(&View::ALL, -9).waiting, waits);
        assert_eq!(of(&[View::Profile], -9).calls[0].items, ["/users/ana/profile"]);
        // The orders are covered, so only the profile is left.
        assert_eq!(of(&[View::Orders, View::Profile], -10).calls[0].items, ["/users/ana/profile"]);
        let purged = CacheMarks { purge_all: purge_all_mark(-9), ..marks.clone() };
        assert_eq!(plan(&[change(0, "ana", -9)], &purged, &limits, at(0)).skipped.len(), 1);
    }

    #[test]
    fn change_waits_until_the_interval_since_the_last_call_is_over() {
        let limits = Limits { invalidation_interval_seconds: 60, ..LIMITS };
        // A call at the second 0 leaves a mark at the second -1.
        for (marked, waits_until) in [
            (-61, None),
            (-60, Some(1)),
            (-2, Some(59)),
            // Another worker's clock is ahead.
            (0, Some(61)),
            // A mark that is wrong.
            (1, None),
            (100_000, None),
        ] {
            let marks =
                CacheMarks { users: HashMap::from([("ana".to_owned(), mark(marked))]), purge_all: None };
            let changes = [change(0, "ana", marked), change(1, "ana", marked + 1), change(2, "ben", 0)];
            let plan = plan(&changes, &marks, &limits, at(0));
            assert_eq!(plan.skipped, [(0, SkipReason::AlreadyInvalidated)], "{marked}");
            let waiting: Vec<Waiting> =
                waits_until.map(|until| Waiting { message: 1, until: at(until) }).into_iter().collect();
            assert_eq!(plan.waiting, waiting, "{marked}");
            let called_for: &[&str] = if waits_until.is_some() { &["ben"] } else { &["ana", "ben"] };
            assert_eq!(plan.calls[0].users, users(called_for), "{marked}");
        }
    }

    #[test]
    fn security_change_has_a_call_of_its_own_and_never_waits() {
        let limits = Limits { invalidation_interval_seconds: 60, target: Target::Path, ..LIMITS };
        let marks = CacheMarks { users: HashMap::from([("ana".to_owned(), mark(-1))]), purge_all: None };
        let confirmed = Change { security_change_at: Some(at(-2)), ..change(1, "ana", 0) };
        let changes = [change(0, "ana", 0), confirmed, change(2, "ben", 0)];
        let plan = plan(&changes, &marks, &limits, at(0));
        assert_eq!(plan.waiting, []);
        let [first, second] = &plan.calls[..] else { panic!("{plan:?}") };
        assert_eq!((first.is_urgent, &first.messages), (true, &vec![0, 1]));
        assert_eq!(first.items.len(), View::ALL.len());
        assert_eq!(first.users[0].security_change_at, Some(at(-2)));
        assert_eq!(first.users[0].views.len(), View::ALL.len());
        assert_eq!((second.is_urgent, &second.messages), (false, &vec![2]));
    }

    #[test]
    fn loss_of_permissions_is_urgent_without_a_confirmation_until_it_is_covered() {
        let limits = Limits { invalidation_interval_seconds: 60, ..LIMITS };
        let lost = |second| Change { is_always: true, ..change(0, "ana", second) };
        let of = |change: Change, marked| {
            let marks =
                CacheMarks { users: HashMap::from([("ana".to_owned(), mark(marked))]), purge_all: None };
            assert!(!change.needs_confirmation(&marks, &limits, at(0)));
            plan(&[change], &marks, &limits, at(0))
        };
        let urgent = of(lost(0), -1);
        assert_eq!((urgent.calls.len(), urgent.calls[0].is_urgent, urgent.waiting.len()), (1, true, 0));
        assert_eq!(urgent.calls[0].users[0].security_change_at, None, "it is no suspension");
        assert_eq!(of(change(0, "ana", 0), -1).waiting.len(), 1);
        assert_eq!(of(lost(-4), -1).calls.len(), 1, "a page that was being rendered reached the cache later");
        assert_eq!(of(lost(-5), -1).skipped, [(0, SkipReason::AlreadyInvalidated)]);
        assert_eq!(of(lost(-1865), -1900).calls.len(), 1, "a clock can be wrong by a minute");
        assert_eq!(of(lost(-1866), -1900).skipped, [(0, SkipReason::Expired)]);
    }

    #[test]
    fn security_change_is_invalidated_although_others_wait_for_the_next_purge_all() {
        let limits = Limits { purge_all_threshold: 2, ..LIMITS };
        let mut changes = changes_of(4);
        changes[0].security_change_at = Some(at(0));
        for (purged, purges) in [(-289, 0), (-290, 1)] {
            let marks = CacheMarks { purge_all: purge_all_mark(purged), ..CacheMarks::default() };
            let plan = plan(&changes, &marks, &limits, at(10));
            assert_eq!((plan.calls.len(), plan.calls[0].is_urgent), (1 + purges, true));
            assert_eq!(plan.calls[0].items, ["#user:user-00000"]);
            assert_eq!(plan.deferred.is_some(), purges == 0);
        }
    }

    #[test]
    fn purge_all_covers_users_who_wait_and_does_not_count_them() {
        let limits = Limits { purge_all_threshold: 2, invalidation_interval_seconds: 60, ..LIMITS };
        let marks =
            CacheMarks { users: HashMap::from([("user-00000".to_owned(), mark(-1))]), purge_all: None };
        let of = |users| plan(&changes_of(users), &marks, &limits, at(10));
        assert_eq!((of(3).calls[0].is_purge_all, of(3).waiting.len()), (false, 1));
        assert_eq!((of(4).calls[0].is_purge_all, of(4).waiting.len()), (true, 0));
        assert_eq!(of(4).calls[0].messages, [0, 1, 2, 3]);
    }

    #[test]
    fn wait_for_the_interval_does_not_lower_the_threshold() {
        let limits = Limits { invalidation_interval_seconds: 600, ..LIMITS };
        let is_purged = |age: i64| {
            let mut changes = changes_of(1501);
            changes[0].sent_at = at(10 - age);
            plan(&changes, &CacheMarks::default(), &limits, at(10)).calls[0].is_purge_all
        };
        assert_eq!((is_purged(899), is_purged(900)), (false, true));
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
        let since = |second| CacheMarks { purge_all: purge_all_mark(second), ..CacheMarks::default() };
        assert!(!has_purge_all(3001, &since(-289), 10));
        assert!(has_purge_all(3001, &since(-290), 10));
    }

    #[test]
    fn too_many_users_shortly_after_a_purge_all_are_deferred() {
        let marks = CacheMarks { purge_all: purge_all_mark(-289), ..CacheMarks::default() };
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
