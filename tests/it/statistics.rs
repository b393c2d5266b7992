//! Property tests of the statistics: the order of events does not matter.

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;
use shared::events::{Event, Spent};
use shared::statistics::{DomainStats, MAX_RECENT, Statistics, UserStats};

use crate::support::{ANA, event};

/// Up to 30 events of random types, times and contents.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let one = (0..26_u8, 0..40_i64, 1..100_000_u32, prop::sample::select(vec!["EUR", "JPY", "USD"]));
    prop::collection::vec(one, 0..30).prop_map(|choices| {
        let build = |(index, (kind, second, cents, currency)): (usize, (u8, i64, u32, &str))| {
            let amount = format!("{}.{:02}", cents / 100, cents % 100);
            let order = json!({"order_id": format!("{cents}"), "amount": if cents < 100 { "0.5" } else { &amount }, "currency": currency});
            let by = if cents % 2 == 0 { "user" } else { "administrator" };
            let (event_type, data) = match kind {
                0 | 1 => ("user.confirmed", json!({"username": "ana"})),
                2 => ("user.password_reset", json!({})),
                3 => ("user.sign_in_attempted", json!({"flow": "refresh", "outcome": "denied", "reason": "suspended"})),
                4 => ("user.signed_in", json!({"flow": "password", "client_id": "c"})),
                5 => ("user.token_refreshed", json!({"client_id": "c"})),
                6 => ("user.message_requested", json!({"kind": "sign_up", "channel": "sms", "locale": "en"})),
                7 => ("profile.updated", json!({"changed": ["name"]})),
                8 | 9 => ("order.placed", order),
                10 => ("order.cancelled", order),
                11 => ("activity.recorded", json!({"description": format!("no. {cents}")})),
                12 => ("notification.created", json!({"notification_id": format!("{cents}")})),
                13 => ("notification.read", json!({"notification_id": format!("{cents}")})),
                14 => ("user.suspended", json!({})),
                15 => ("user.password_changed", json!({"by": by})),
                16 => ("user.mfa_enabled", json!({"by": by})),
                17 => ("user.mfa_disabled", json!({"by": by})),
                18 => ("user.disabled", json!({})),
                19 => ("user.enabled", json!({})),
                20 => ("user.signed_out", json!({"by": by})),
                21 => ("user.deleted", json!({})),
                22 => ("user.group_changed", json!({"change": "added"})),
                23 => ("profile.updated", json!({"by": by})),
                _ => ("user.sign_in_failed", json!({})),
            };
            // Failed sign-ins are kept by hour.
            let second = if event_type == "user.sign_in_failed" { second * 900 } else { second };
            let body = event(event_type, &format!("e{index}"), ANA, data);
            let mut event = Event::parse(&body.to_string()).expect("a valid event");
            event.time = Timestamp::from_second(1_772_442_000 + second).expect("a time");
            event
        };
        choices.into_iter().enumerate().map(build).collect()
    })
}

fn statistics_of(events: &[Event]) -> UserStats {
    let mut stats = UserStats::default();
    for event in events {
        stats.apply(event);
    }
    stats
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn statistics_are_the_same_in_every_order(events in events(), seed in any::<u64>()) {
        let mut shuffled = events.clone();
        let mut state = seed | 1;
        for i in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(i, usize::try_from(state >> 33).unwrap() % (i + 1));
        }
        prop_assert_eq!(statistics_of(&events), statistics_of(&shuffled));
    }

    #[test]
    fn statistics_can_be_stored_and_continued_at_any_point(events in events(), at in any::<prop::sample::Index>()) {
        let (before, after) = events.split_at(at.index(events.len() + 1));
        let stored = serde_json::to_string(&statistics_of(before)).unwrap();
        let mut stats: UserStats = serde_json::from_str(&stored).unwrap();
        for event in after {
            stats.apply(event);
        }
        prop_assert_eq!(stats, statistics_of(&events));
    }

    #[test]
    fn repeated_confirmation_changes_nothing(events in events()) {
        let confirmed: Vec<Event> = events.iter().filter(|e| e.data.event_type() == "user.confirmed").cloned().collect();
        prop_assert_eq!(statistics_of(&events), statistics_of(&[events, confirmed].concat()));
    }

    #[test]
    fn counts_match_the_events(events in events()) {
        let stats = statistics_of(&events);
        let count = |event_type: &str| events.iter().filter(|event| event.data.event_type() == event_type).count();
        prop_assert_eq!(stats.orders as usize, count("order.placed"));
        prop_assert_eq!(stats.sign_ins as usize, count("user.signed_in"));
        prop_assert!(stats.recent.len() <= MAX_RECENT);
        prop_assert!(stats.recent.is_sorted_by(|a, b| a.at >= b.at));
        prop_assert_eq!(stats.spent == Spent::default(), count("order.placed") + count("order.cancelled") == 0);
    }
}

#[test]
fn sign_ups_are_counted_by_outcome() {
    let mut stats = DomainStats::default();
    for (id, outcome) in [("1", "allowed"), ("2", "denied"), ("3", "auto_confirmed")] {
        let data = json!({"outcome": outcome, "reason": "x", "channel": "self"});
        let body = event("user.sign_up_attempted", id, "domain:example.com", data);
        stats.apply(&Event::parse(&body.to_string()).unwrap());
    }
    assert_eq!(stats, DomainStats { sign_ups: 3, sign_ups_allowed: 2, sign_ups_denied: 1 });
}
