//! Which notice user-stats publishes after a commit, and why. Pure.
//!
//! A notice is the event `user.data_changed`. It reports to cache-invalidation that a user's cached
//! pages are stale. The decision has two parts:
//!
//! 1. [`record_change`] runs before the commit. It decides if the change needs a notice, and returns
//!    the new times of STATS. The commit writes them with the statistics.
//! 2. [`after_commit`] runs after the commit.
//!
//! If the worker crashes between the commit and the notice, SQS redelivers the messages. All their
//! events are duplicates by then, but the times are in STATS: `last_notice_at` is the time of the
//! latest commit that needs a notice, so `after_commit` publishes it then.
//!
//! An invalidation costs as much as thousands of renders, so a change of an ordinary type needs no
//! notice if
//!
//! - INVALIDATION_POLICY says `never`
//! - its client reads its own write, or it follows such a change within FRESHNESS_TARGET_SECONDS.
//!   The acting device has the change, or a page that lives for seconds. Other devices wait for the
//!   end of their pages
//! - all pages from before the change are gone before an invalidation could remove them
//! - the user is inactive

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use shared::aws::WORKER_CALL_SETTLED_SECONDS;
use shared::events::{Data, Event, UrgentReason, View};
use shared::freshness::{CacheLifetime, FRESHNESS_TARGET_SECONDS, OriginLifetime};
use shared::statistics::changed_views;
use shared::store::StatsMetadata;
use shared::time::{plus, plus_millisecond, plus_seconds};

use super::inactive::InactiveUserRule;
use crate::invalidation_policy::{InvalidationPolicy, PolicyRule};

/// The settings that decide about a notice.
#[derive(Clone, Debug)]
pub struct NoticeRules {
    pub policy: InvalidationPolicy,
    pub lifetime: CacheLifetime,
    /// `None` if every user counts as active.
    pub inactive_user: Option<InactiveUserRule>,
}

/// The decision about the change of a commit. Ordered: of several commits, the highest one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// No view changed.
    #[default]
    Unneeded,
    Skipped(SkipReason),
    Needed,
}

/// Why a change needs no notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipReason {
    /// The user has no live token, and so no cached page.
    Inactive,
    /// INVALIDATION_POLICY has the rule `never` for the types of the events.
    Never,
    /// The client reads its own write, or the change follows such a write.
    ClientAware,
    /// All pages from before the change are gone within FRESHNESS_TARGET_SECONDS.
    ExpiresSoon,
}

impl SkipReason {
    pub const ALL: [Self; 4] = [Self::Inactive, Self::Never, Self::ClientAware, Self::ExpiresSoon];

    /// The stable code: the dimension `reason` of InvalidationsSkipped.
    pub fn code(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Never => "never",
            Self::ClientAware => "client_aware",
            Self::ExpiresSoon => "expires_soon",
        }
    }
}

/// The notice to publish after a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// No view changed, or the user is erased and has no page. The worker publishes the notice of an
    /// erasure itself.
    Unneeded,
    /// A view changed, but no invalidation is worth its price.
    Skipped(SkipReason),
    /// Pages that were cached before `changed_at` are stale.
    Needed {
        views: BTreeSet<View>,
        changed_at: Timestamp,
        reason: Option<UrgentReason>,
        pages_expire_at: Option<Timestamp>,
    },
}

/// The metadata of STATS after a commit of `events` at `now`, and the decision about the change.
/// `last_token_issued_at` includes the tokens of these events.
pub fn record_change(
    metadata: &StatsMetadata,
    events: &[&Event],
    last_token_issued_at: Option<Timestamp>,
    rules: &NoticeRules,
    now: Timestamp,
) -> (StatsMetadata, Decision) {
    let mut metadata = metadata.clone();
    let changes = events.iter().filter(|event| !changed_views(&event.data).is_empty());
    let changes: Vec<&Event> = changes.copied().collect();
    if changes.is_empty() {
        return (metadata, Decision::Unneeded);
    }
    // Later than all recorded times, so that the times follow the order of the commits even if the
    // clocks of two workers differ.
    let recorded = [metadata.last_changed_at, metadata.last_skipped_at].into_iter().flatten();
    let changed_at = recorded.map(plus_millisecond).fold(now, Timestamp::max);
    // Pages from before an earlier change can outlive those from after it.
    let expires_at = rules.lifetime.last_page_expires_at(metadata.last_changed_at, changed_at);
    metadata.pages_expire_at = metadata.pages_expire_at.max(Some(expires_at));
    metadata.last_changed_at = Some(changed_at);
    if changes.iter().any(|event| event.client_aware) {
        metadata.last_client_aware_at = Some(changed_at);
    }
    let decision = decide(&metadata, &changes, last_token_issued_at, rules, (changed_at, now));
    match decision {
        Decision::Needed => metadata.last_notice_at = Some(changed_at),
        Decision::Skipped(SkipReason::Inactive) => metadata.last_skipped_at = Some(changed_at),
        Decision::Skipped(_) | Decision::Unneeded => {}
    }
    (metadata, decision)
}

/// The decision about `changes`, which change a view at `changed_at`. `metadata` includes them.
fn decide(
    metadata: &StatsMetadata,
    changes: &[&Event],
    last_token_issued_at: Option<Timestamp>,
    rules: &NoticeRules,
    (changed_at, now): (Timestamp, Timestamp),
) -> Decision {
    if changes.iter().any(|event| security_reason(&event.data).is_some()) {
        return Decision::Needed;
    }
    let has_rule = |rule| changes.iter().any(|event| rules.policy.rule(&event.data) == rule);
    let is_always = has_rule(PolicyRule::Always);
    if !is_always && !has_rule(PolicyRule::Budget) {
        return Decision::Skipped(SkipReason::Never);
    }
    let target = plus_seconds(changed_at, FRESHNESS_TARGET_SECONDS);
    // The acting device has the change. If another change follows, that device has pages from after the
    // first one, which must be gone in time.
    let is_covered = |at: Timestamp| {
        let is_follow_up = at < changed_at;
        plus_seconds(at, FRESHNESS_TARGET_SECONDS) >= changed_at
            && (!is_follow_up || rules.lifetime.last_page_expires_at(Some(at), changed_at) <= target)
    };
    // Another origin may not know `after`.
    let knows_after = rules.lifetime.origin == OriginLifetime::Adaptive;
    if !is_always && knows_after && metadata.last_client_aware_at.is_some_and(is_covered) {
        return Decision::Skipped(SkipReason::ClientAware);
    }
    if !is_always && metadata.pages_expire_at.is_some_and(|at| at <= target) {
        return Decision::Skipped(SkipReason::ExpiresSoon);
    }
    // Not `changed_at`, which is in the future if an earlier commit was made with a wrong clock.
    let is_inactive = |rule: InactiveUserRule| rule.is_inactive(last_token_issued_at, now.min(changed_at));
    if rules.inactive_user.is_some_and(is_inactive) {
        return Decision::Skipped(SkipReason::Inactive);
    }
    Decision::Needed
}

/// What [`after_commit`] knows about the commits of this invocation.
#[derive(Clone, Debug, Default)]
pub struct CommitSummary {
    /// The metadata of STATS after them.
    pub metadata: StatsMetadata,
    /// A time at which the latest commit had certainly happened: the answer to this invocation's
    /// last transaction. `None` if there was no transaction, or if STATS was read again afterwards:
    /// the latest commit may then be another worker's.
    pub committed_no_later_than: Option<Timestamp>,
    /// The highest decision about the changes that this invocation committed.
    pub decision: Decision,
    /// True if some events had been committed before. Their notice may be missing.
    pub has_duplicates: bool,
}

/// The notice for `events`, which are all committed: in this invocation or, if they are duplicates,
/// earlier, or dropped because the user is erased.
pub fn after_commit(
    events: &[&Event],
    summary: &CommitSummary,
    rules: &NoticeRules,
    now: Timestamp,
) -> Notice {
    let StatsMetadata {
        last_changed_at, last_skipped_at, last_notice_at, pages_expire_at, erased_at, ..
    } = summary.metadata;
    let security = events.iter().find_map(|event| security_reason(&event.data));
    if erased_at.is_some() && security.is_some() {
        // A suspension outlives the erasure. A token from before the erasure can have filled the cache
        // since.
        let views = View::ALL.into();
        return Notice::Needed { views, changed_at: now, reason: security, pages_expire_at: None };
    }
    let Some(recorded_at) = last_changed_at.filter(|_| erased_at.is_none()) else {
        return Notice::Unneeded;
    };
    // `recorded_at` was taken before the transaction was sent. A page that was rendered between the
    // two can show the old state. So the notice has a time at which the commit had certainly
    // happened, even if another worker made it.
    let changed_at = match summary.committed_no_later_than {
        Some(committed_no_later_than) => committed_no_later_than.max(recorded_at),
        None => plus_seconds(recorded_at, WORKER_CALL_SETTLED_SECONDS),
    };
    // The pages were rendered until then, too.
    let later = |delay: SignedDuration| pages_expire_at.map(|at| plus(at, delay));
    let pages_expire_at = later(changed_at.duration_since(recorded_at));
    let all_views = |reason| Notice::Needed { views: View::ALL.into(), changed_at, reason, pages_expire_at };
    if security.is_some() {
        return all_views(security);
    }
    // The event of a token can arrive late. An earlier commit, which did not know of the token, may
    // have skipped a notice that was needed: with that token, the user may have cached a page that
    // shows the state before that commit. STATS does not record which views the commit changed, so
    // the notice names all of them.
    let mut tokens = events.iter().filter(|event| is_token(event));
    let is_late =
        |rule: InactiveUserRule| tokens.any(|token| rule.is_late_token(token.time, last_skipped_at));
    if rules.inactive_user.is_some_and(is_late) {
        // STATS does not record either if the commit had a type with the rule `always`.
        return all_views(rules.policy.has_rule(PolicyRule::Always).then_some(UrgentReason::Policy));
    }
    let views: BTreeSet<View> = events.iter().flat_map(|event| changed_views(&event.data)).copied().collect();
    if views.is_empty() {
        return Notice::Unneeded;
    }
    let is_always = events.iter().any(|event| rules.policy.rule(&event.data) == PolicyRule::Always);
    let reason = is_always.then_some(UrgentReason::Policy);
    match summary.decision {
        Decision::Needed => Notice::Needed { views, changed_at, reason, pages_expire_at },
        // An invocation that crashed, or another worker, committed the duplicates, and STATS does not
        // record which commit it was. If a commit needed a notice, the duplicates can be the ones
        // that owe it. After a commit that skipped its notice because the user had no cached page,
        // no page from before is left.
        _ if summary.has_duplicates && last_notice_at > last_skipped_at => Notice::Needed {
            views,
            changed_at: last_notice_at.map_or(changed_at, |at| plus_seconds(at, WORKER_CALL_SETTLED_SECONDS)),
            reason,
            pages_expire_at: later(SignedDuration::from_secs(WORKER_CALL_SETTLED_SECONDS)),
        },
        Decision::Skipped(reason) => Notice::Skipped(reason),
        Decision::Unneeded => Notice::Unneeded,
    }
}

/// Why an event needs a notice even if the user seems inactive: a cached page would undermine it.
pub fn security_reason(data: &Data) -> Option<UrgentReason> {
    match data {
        Data::Suspended(_) => Some(UrgentReason::Suspended),
        Data::Reinstated(_) => Some(UrgentReason::Reinstated),
        Data::Deleted(_) => Some(UrgentReason::Erased),
        _ => None,
    }
}

fn is_token(event: &Event) -> bool {
    matches!(event.data, Data::SignedIn(_) | Data::TokenRefreshed(_))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RULES: NoticeRules = NoticeRules {
        policy: InvalidationPolicy::of_all_types(PolicyRule::Budget),
        lifetime: CacheLifetime {
            origin: OriginLifetime::Adaptive,
            divisor: 10,
            min_seconds: 5,
            max_seconds: 1_800,
        },
        inactive_user: Some(InactiveUserRule {
            token_validity_minutes: 60,
            max_cache_lifetime_seconds: 1_800,
        }),
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(100_000 + second).unwrap()
    }

    fn event(event_type: &str, second: i64, data: serde_json::Value) -> Event {
        let body = json!({
            "specversion": "1.0", "id": "1", "source": "/test", "subject": "ana",
            "type": event_type, "time": at(second), "data": data,
        });
        Event::parse(&body.to_string()).unwrap()
    }

    fn order() -> Event {
        event("order.placed", 0, json!({"order_id": "1", "amount": "1.00", "currency": "EUR"}))
    }

    fn client_aware_order() -> Event {
        Event { client_aware: true, ..order() }
    }

    fn token(second: i64) -> Event {
        event("user.token_refreshed", second, json!({"client_id": "client"}))
    }

    fn times(last_changed_at: i64, last_skipped_at: Option<i64>) -> StatsMetadata {
        StatsMetadata {
            version: 1,
            last_changed_at: Some(at(last_changed_at)),
            last_skipped_at: last_skipped_at.map(at),
            ..StatsMetadata::default()
        }
    }

    fn committed(metadata: StatsMetadata, decision: Decision, has_duplicates: bool) -> CommitSummary {
        CommitSummary { metadata, committed_no_later_than: Some(at(2)), decision, has_duplicates }
    }

    fn of_views(views: impl Into<BTreeSet<View>>, changed_at: Timestamp) -> Notice {
        Notice::Needed { views: views.into(), changed_at, reason: None, pages_expire_at: None }
    }

    const ORDER_VIEWS: [View; 2] = [View::Dashboard, View::Orders];

    #[test]
    fn change_of_an_active_user_needs_a_notice() {
        let order = order();
        let (metadata, decision) = record_change(&times(-600, None), &[&order], Some(at(-60)), &RULES, at(0));
        let expected = StatsMetadata {
            last_changed_at: Some(at(0)),
            last_notice_at: Some(at(0)),
            pages_expire_at: Some(at(5 + 60)),
            ..times(0, None)
        };
        assert_eq!((&metadata, decision), (&expected, Decision::Needed));
        let notice = after_commit(&[&order], &committed(metadata, decision, false), &RULES, at(9));
        let Notice::Needed { views, changed_at, reason: None, pages_expire_at } = notice else { panic!() };
        // The commit took two seconds.
        assert_eq!((views, changed_at, pages_expire_at), (ORDER_VIEWS.into(), at(2), Some(at(67))));
    }

    #[test]
    fn decision_depends_on_policy_client_age_and_tokens() {
        let fixed = CacheLifetime { origin: OriginLifetime::Fixed, ..RULES.lifetime };
        let policy = |rules: &str| {
            InvalidationPolicy::from_environment(
                &[("INVALIDATION_POLICY", rules)].into_iter().collect(),
                &RULES.lifetime,
            )
            .unwrap()
        };
        let (adaptive, fixed) = (RULES, NoticeRules { lifetime: fixed, ..RULES });
        let always = NoticeRules { policy: policy("order.placed=always"), ..RULES };
        let never = NoticeRules { policy: policy("order.placed=never"), ..RULES };
        let long_minimum =
            NoticeRules { lifetime: CacheLifetime { min_seconds: 11, ..RULES.lifetime }, ..RULES };
        let no_inactive = NoticeRules { inactive_user: None, ..RULES };
        let skipped = Decision::Skipped;
        let (active, inactive) = (Some(at(-60)), Some(at(-86_400)));
        let (order, aware) = (order(), client_aware_order());
        let suspended = event("user.suspended", 0, json!({}));
        let activity = event("activity.recorded", 0, json!({"description": "a"}));
        // The age of the last change, and of the last client-aware change.
        for (case, rules, events, changed, client_aware, token, expected) in [
            ("no change", &adaptive, &[&token(0)][..], 600, None, active, Decision::Unneeded),
            ("old pages", &adaptive, &[&order], 600, None, active, Decision::Needed),
            (
                "pages that live for 10 s",
                &adaptive,
                &[&order],
                99,
                None,
                active,
                skipped(SkipReason::ExpiresSoon),
            ),
            ("pages that live for 11 s", &adaptive, &[&order], 106, None, active, Decision::Needed),
            ("client-aware", &adaptive, &[&aware], 600, None, active, skipped(SkipReason::ClientAware)),
            (
                "with a client-aware one",
                &adaptive,
                &[&activity, &aware],
                600,
                None,
                active,
                skipped(SkipReason::ClientAware),
            ),
            ("follow-up", &adaptive, &[&order], 15, Some(15), active, skipped(SkipReason::ClientAware)),
            (
                "follow-up, and young pages live for 11 s",
                &long_minimum,
                &[&order],
                15,
                Some(15),
                active,
                Decision::Needed,
            ),
            (
                "client-aware, and young pages live for 11 s",
                &long_minimum,
                &[&aware],
                600,
                None,
                active,
                skipped(SkipReason::ClientAware),
            ),
            ("after the window", &adaptive, &[&order], 16, Some(16), active, Decision::Needed),
            ("no token", &adaptive, &[&order], 600, None, None, Decision::Needed),
            ("inactive", &adaptive, &[&order], 600, None, inactive, skipped(SkipReason::Inactive)),
            ("no user is inactive", &no_inactive, &[&order], 600, None, inactive, Decision::Needed),
            ("origin without after", &fixed, &[&aware], 600, None, active, Decision::Needed),
            ("fixed lifetime", &fixed, &[&order], 1, None, active, Decision::Needed),
            ("always", &always, &[&aware], 1, Some(1), active, Decision::Needed),
            (
                "always, of an inactive user",
                &always,
                &[&order],
                1,
                None,
                inactive,
                skipped(SkipReason::Inactive),
            ),
            ("never", &never, &[&order], 600, None, active, skipped(SkipReason::Never)),
            ("never, with another type", &never, &[&order, &activity], 600, None, active, Decision::Needed),
            ("suspension", &never, &[&order, &suspended], 1, Some(1), inactive, Decision::Needed),
        ] {
            // Pages from before the last change live until 40 s after a client-aware one.
            let pages_expire_at = client_aware.map(|age| at(40 - age));
            let before = StatsMetadata {
                last_client_aware_at: client_aware.map(|age| at(-age)),
                pages_expire_at,
                ..times(-changed, None)
            };
            let (after, decision) = record_change(&before, events, token, rules, at(0));
            assert_eq!(decision, expected, "{case}");
            let needed = (decision == Decision::Needed).then_some(at(0));
            let inactive = (decision == skipped(SkipReason::Inactive)).then_some(at(0));
            assert_eq!((after.last_notice_at, after.last_skipped_at), (needed, inactive), "{case}");
        }
    }

    #[test]
    fn pages_from_before_a_client_aware_change_outlive_those_from_after_it() {
        let (order, aware) = (order(), client_aware_order());
        let (metadata, _) = record_change(&times(-18_000, None), &[&aware], None, &RULES, at(0));
        assert_eq!(metadata.pages_expire_at, Some(at(5 + 1_800)));
        let (metadata, decision) = record_change(&metadata, &[&order], None, &RULES, at(100));
        assert_eq!((metadata.pages_expire_at, decision), (Some(at(5 + 1_800)), Decision::Needed));
        let (metadata, decision) = record_change(&metadata, &[&order], None, &RULES, at(1_795));
        assert_eq!((metadata.pages_expire_at, decision), (Some(at(1_795 + 5 + 169)), Decision::Needed));
        let (_, decision) = record_change(&metadata, &[&order], None, &RULES, at(1_960));
        assert_eq!(decision, Decision::Needed, "9 s are left, and new pages live for 16 s");
        let (_, decision) = record_change(&metadata, &[&order], None, &RULES, at(1_890));
        assert_eq!(decision, Decision::Needed, "new pages live for 9 s, and 79 s are left");
    }

    #[test]
    fn recorded_times_grow_even_if_the_clock_runs_behind() {
        let (metadata, _) = record_change(&times(10, Some(10)), &[&order()], Some(at(0)), &RULES, at(0));
        assert_eq!(metadata.last_changed_at, Some(plus_millisecond(at(10))));
        assert_eq!(metadata.last_skipped_at, Some(at(10)), "the user is active again");
    }

    #[test]
    fn redelivery_publishes_the_notice_that_a_commit_owes() {
        let (order, aware) = (order(), client_aware_order());
        let owed = |last_notice: Option<i64>, last_skipped| StatsMetadata {
            last_notice_at: last_notice.map(at),
            ..times(0, last_skipped)
        };
        let skipped = |reason| Decision::Skipped(reason);
        let client_aware = skipped(SkipReason::ClientAware);
        let settled = |second| of_views(ORDER_VIEWS, plus_seconds(at(second), WORKER_CALL_SETTLED_SECONDS));
        for (case, metadata, decision, has_duplicates, expected) in [
            ("crash before the notice", owed(Some(0), Some(-10)), Decision::Unneeded, true, settled(0)),
            ("client-aware change meanwhile", owed(Some(-3), None), client_aware, true, settled(-3)),
            (
                "no duplicate",
                owed(Some(-3), None),
                client_aware,
                false,
                Notice::Skipped(SkipReason::ClientAware),
            ),
            ("nothing owed", owed(None, None), client_aware, true, Notice::Skipped(SkipReason::ClientAware)),
            ("only duplicates, nothing owed", owed(None, None), Decision::Unneeded, true, Notice::Unneeded),
            (
                "inactive since",
                owed(Some(-3), Some(0)),
                skipped(SkipReason::Inactive),
                true,
                Notice::Skipped(SkipReason::Inactive),
            ),
        ] {
            let summary = committed(metadata, decision, has_duplicates);
            assert_eq!(after_commit(&[&order, &aware], &summary, &RULES, at(9)), expected, "{case}");
        }
    }

    #[test]
    fn change_with_the_rule_always_has_a_reason() {
        let environment = [("INVALIDATION_POLICY", "order.placed=always")].into_iter().collect();
        let rules = NoticeRules {
            policy: InvalidationPolicy::from_environment(&environment, &RULES.lifetime).unwrap(),
            ..RULES
        };
        let summary = committed(times(0, None), Decision::Needed, false);
        let Notice::Needed { reason, .. } = after_commit(&[&order()], &summary, &rules, at(9)) else {
            panic!()
        };
        assert_eq!(reason, Some(UrgentReason::Policy));
    }

    #[test]
    fn late_token_makes_up_for_a_skipped_notice() {
        let after = |token: Event| {
            after_commit(&[&token], &committed(times(0, Some(0)), Decision::Unneeded, false), &RULES, at(9))
        };
        assert_eq!(after(token(-3600)), of_views(View::ALL, at(2)));
        assert_eq!(after(token(-6000)), Notice::Unneeded, "no page of this token was cached at the skip");
        assert_eq!(after(token(60)), Notice::Unneeded, "pages of this token show the change");
        // The skipped change may have had the rule always.
        let environment = [("INVALIDATION_POLICY", "order.placed=always")].into_iter().collect();
        let policy = InvalidationPolicy::from_environment(&environment, &RULES.lifetime).unwrap();
        let summary = committed(times(0, Some(0)), Decision::Unneeded, false);
        let notice = after_commit(&[&token(-3600)], &summary, &NoticeRules { policy, ..RULES }, at(9));
        let Notice::Needed { reason: Some(UrgentReason::Policy), .. } = notice else { panic!("{notice:?}") };
    }

    /// An earlier commit was made with a clock that was ahead by a year.
    #[test]
    fn recorded_time_in_the_future_makes_no_user_inactive() {
        let (order, fixed) = (order(), CacheLifetime { origin: OriginLifetime::Fixed, ..RULES.lifetime });
        let rules = NoticeRules { lifetime: fixed, ..RULES };
        let (metadata, decision) =
            record_change(&times(31_536_000, None), &[&order], Some(at(-60)), &rules, at(0));
        assert_eq!((decision, metadata.last_skipped_at), (Decision::Needed, None));
    }

    #[test]
    fn erased_user_needs_no_notice() {
        let metadata = StatsMetadata { erased_at: Some(at(0)), ..times(0, None) };
        let summary = committed(metadata, Decision::Unneeded, true);
        assert_eq!(after_commit(&[&order()], &summary, &RULES, at(9)), Notice::Unneeded);
    }

    #[test]
    fn suspension_of_an_erased_user_needs_a_notice() {
        let metadata = StatsMetadata { erased_at: Some(at(0)), ..StatsMetadata::default() };
        let suspended = event("user.suspended", 0, json!({}));
        let summary = CommitSummary { metadata, ..CommitSummary::default() };
        let notice = after_commit(&[&order(), &suspended], &summary, &RULES, at(9));
        let Notice::Needed { views, changed_at, reason, pages_expire_at: None } = notice else { panic!() };
        assert_eq!((views, changed_at, reason), (View::ALL.into(), at(9), Some(UrgentReason::Suspended)));
    }
}
