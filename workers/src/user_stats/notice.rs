//! Which notice user-stats publishes after a commit, and why. Pure.
//!
//! A notice is the event `user.data_changed`. It reports to cache-invalidation that a user's cached
//! pages are stale. The decision has two parts:
//!
//! 1. [`record_change`] runs before the commit. It returns the new metadata of STATS:
//!    `last_changed_at`, the time of the change, and `last_skipped_at`, the same time if the notice
//!    is skipped because the user is inactive. The commit writes both with the statistics.
//! 2. [`after_commit`] runs after the commit and reads both times.
//!
//! If the worker crashes between the commit and the notice, SQS redelivers the messages. All their
//! events are duplicates by then, but the times are in STATS, so `after_commit` comes to the same
//! decision.

use std::collections::BTreeSet;

use jiff::Timestamp;
use shared::aws::WORKER_CALL_SETTLED_SECONDS;
use shared::events::{Data, Event, SecurityReason, View};
use shared::statistics::changed_views;
use shared::store::StatsMetadata;
use shared::time::{plus_millisecond, plus_seconds};

use super::inactive::InactiveUserRule;

/// The decision after a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// No view changed, or the user is erased and has no page. The worker publishes the notice of an
    /// erasure itself.
    Unneeded,
    /// A view changed, but the user was inactive and has no cached page.
    SkippedInactive,
    /// Pages that were cached before `changed_at` are stale.
    Needed { views: BTreeSet<View>, changed_at: Timestamp, reason: Option<SecurityReason> },
}

/// The metadata of STATS after a commit of `events` at `now`. `last_token_issued_at` includes the
/// tokens of these events. Without a `rule`, no user is inactive.
pub fn record_change(
    metadata: &StatsMetadata,
    events: &[&Event],
    last_token_issued_at: Option<Timestamp>,
    rule: Option<InactiveUserRule>,
    now: Timestamp,
) -> StatsMetadata {
    let mut metadata = metadata.clone();
    if events.iter().all(|event| changed_views(&event.data).is_empty()) {
        return metadata;
    }
    // Later than both recorded times, so that the times follow the order of the commits even if the
    // clocks of two workers differ.
    let recorded = [metadata.last_changed_at, metadata.last_skipped_at].into_iter().flatten();
    let changed_at = recorded.map(plus_millisecond).fold(now, Timestamp::max);
    metadata.last_changed_at = Some(changed_at);
    let is_inactive = rule.is_some_and(|rule| rule.is_inactive(last_token_issued_at, changed_at));
    if is_inactive && !events.iter().any(|event| security_reason(event).is_some()) {
        metadata.last_skipped_at = Some(changed_at);
    }
    metadata
}

/// The notice for `events`, which are all committed: in this invocation or, if they are duplicates,
/// earlier, or dropped because the user is erased. `metadata` and `committed_no_later_than` are those
/// of `Committed` in `commit.rs`.
pub fn after_commit(
    events: &[&Event],
    metadata: &StatsMetadata,
    committed_no_later_than: Option<Timestamp>,
    rule: Option<InactiveUserRule>,
    now: Timestamp,
) -> Notice {
    let StatsMetadata { last_changed_at, last_skipped_at, erased_at, .. } = *metadata;
    let reason = events.iter().find_map(|event| security_reason(event));
    if erased_at.is_some() && reason.is_some() {
        // A suspension outlives the erasure. A token from before the erasure can have filled the cache
        // since.
        return Notice::Needed { views: View::ALL.into(), changed_at: now, reason };
    }
    let Some(recorded_at) = last_changed_at.filter(|_| erased_at.is_none()) else {
        return Notice::Unneeded;
    };
    // `recorded_at` was taken before the transaction was sent. A page that was rendered between the
    // two can show the old state. So the notice has a time at which the commit had certainly
    // happened, even if another worker made it.
    let changed_at = match committed_no_later_than {
        Some(committed_no_later_than) => committed_no_later_than.max(recorded_at),
        None => plus_seconds(recorded_at, WORKER_CALL_SETTLED_SECONDS),
    };

    if reason.is_some() {
        return Notice::Needed { views: View::ALL.into(), changed_at, reason };
    }
    // The event of a token can arrive late. An earlier commit, which did not know of the token, may
    // have skipped a notice that was needed: with that token, the user may have cached a page that
    // shows the state before that commit. STATS does not record which views the commit changed, so
    // the notice names all of them.
    let mut tokens = events.iter().filter(|event| is_token(event));
    if rule.is_some_and(|rule| tokens.any(|token| rule.is_late_token(token.time, last_skipped_at))) {
        return Notice::Needed { views: View::ALL.into(), changed_at, reason: None };
    }
    let views: BTreeSet<View> = events.iter().flat_map(|event| changed_views(&event.data)).copied().collect();
    if views.is_empty() {
        return Notice::Unneeded;
    }
    // `last_changed_at` is the time of the latest commit that changed a view. That commit set
    // `last_skipped_at` to the same time if it skipped its notice. Otherwise `last_skipped_at`
    // stayed earlier or unset. So if it is not earlier, no cached page existed at the latest change.
    // Pages that were cached later show all changes.
    if last_skipped_at >= last_changed_at {
        return Notice::SkippedInactive;
    }
    Notice::Needed { views, changed_at, reason: None }
}

/// Why an event needs a notice even if the user seems inactive: a cached page would undermine it.
fn security_reason(event: &Event) -> Option<SecurityReason> {
    match event.data {
        Data::Suspended(_) => Some(SecurityReason::Suspended),
        Data::Reinstated(_) => Some(SecurityReason::Reinstated),
        Data::Deleted(_) => Some(SecurityReason::Erased),
        _ => None,
    }
}

fn is_token(event: &Event) -> bool {
    matches!(event.data, Data::SignedIn(_) | Data::TokenRefreshed(_))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::time::minus_seconds;

    use super::*;

    const RULE: Option<InactiveUserRule> =
        Some(InactiveUserRule { token_validity_minutes: 60, max_cache_lifetime_seconds: 1800 });

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

    fn token(second: i64) -> Event {
        event("user.token_refreshed", second, json!({"client_id": "client"}))
    }

    fn times(last_changed_at: i64, last_skipped_at: Option<i64>) -> StatsMetadata {
        StatsMetadata {
            version: 1,
            last_changed_at: Some(at(last_changed_at)),
            last_skipped_at: last_skipped_at.map(at),
            erased_at: None,
        }
    }

    #[test]
    fn change_of_an_active_user_needs_a_notice() {
        let order = order();
        let metadata = record_change(&times(-10, None), &[&order], Some(at(-60)), RULE, at(0));
        assert_eq!((metadata.last_changed_at, metadata.last_skipped_at), (Some(at(0)), None));
        let views = BTreeSet::from([View::Dashboard, View::Orders]);
        assert_eq!(
            after_commit(&[&order], &metadata, Some(at(2)), RULE, at(9)),
            Notice::Needed { views, changed_at: at(2), reason: None }
        );
    }

    #[test]
    fn change_of_an_inactive_user_is_skipped_unless_it_is_a_suspension() {
        let (order, suspended) = (order(), event("user.suspended", 0, json!({})));
        let yesterday = Some(minus_seconds(at(0), 24 * 3600));
        let metadata = record_change(&times(-10, None), &[&order], yesterday, RULE, at(0));
        assert_eq!(metadata.last_skipped_at, metadata.last_changed_at);
        assert_eq!(after_commit(&[&order], &metadata, Some(at(2)), RULE, at(9)), Notice::SkippedInactive);
        assert_eq!(record_change(&times(-10, None), &[&order], yesterday, None, at(0)).last_skipped_at, None);

        let metadata = record_change(&times(-10, None), &[&suspended], yesterday, RULE, at(0));
        assert_eq!(metadata.last_skipped_at, None);
        assert_eq!(
            after_commit(&[&suspended], &metadata, Some(at(2)), RULE, at(9)),
            Notice::Needed {
                views: View::ALL.into(),
                changed_at: at(2),
                reason: Some(SecurityReason::Suspended)
            }
        );
    }

    #[test]
    fn recorded_times_grow_even_if_the_clock_runs_behind() {
        let metadata = record_change(&times(10, Some(10)), &[&order()], Some(at(0)), RULE, at(0));
        assert_eq!(metadata.last_changed_at, Some(plus_millisecond(at(10))));
        assert_eq!(metadata.last_skipped_at, Some(at(10)), "the user is active again");
    }

    #[test]
    fn redelivery_repeats_the_decision_with_a_time_after_the_commit() {
        let order = order();
        let views = BTreeSet::from([View::Dashboard, View::Orders]);
        let changed_at = plus_seconds(at(0), WORKER_CALL_SETTLED_SECONDS);
        let notice = after_commit(&[&order], &times(0, Some(-10)), None, RULE, at(9));
        assert_eq!(notice, Notice::Needed { views, changed_at, reason: None });
        assert_eq!(after_commit(&[&order], &times(0, Some(0)), None, RULE, at(9)), Notice::SkippedInactive);
    }

    #[test]
    fn late_token_makes_up_for_a_skipped_notice() {
        let all = Notice::Needed { views: View::ALL.into(), changed_at: at(2), reason: None };
        let after = |token: Event| after_commit(&[&token], &times(0, Some(0)), Some(at(2)), RULE, at(9));
        assert_eq!(after(token(-3600)), all);
        assert_eq!(after(token(-6000)), Notice::Unneeded, "no page of this token was cached at the skip");
        assert_eq!(after(token(60)), Notice::Unneeded, "pages of this token show the change");
    }

    #[test]
    fn erased_user_needs_no_notice() {
        let metadata = StatsMetadata { erased_at: Some(at(0)), ..times(0, None) };
        assert_eq!(after_commit(&[&order()], &metadata, None, RULE, at(9)), Notice::Unneeded);
    }

    #[test]
    fn suspension_of_an_erased_user_needs_a_notice() {
        let metadata = StatsMetadata { erased_at: Some(at(0)), ..StatsMetadata::default() };
        let suspended = event("user.suspended", 0, json!({}));
        assert_eq!(
            after_commit(&[&order(), &suspended], &metadata, None, RULE, at(9)),
            Notice::Needed {
                views: View::ALL.into(),
                changed_at: at(9),
                reason: Some(SecurityReason::Suspended)
            }
        );
    }
}
