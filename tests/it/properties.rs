//! Properties of the invalidation planner, of the domain policy and of attribute values, for any
//! input.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use proptest::prelude::*;
use shared::email_domain::Domain;
use shared::events::{SignUpChannel, SignUpOutcome, View};
use shared::group_rules::values::{Values, is_list};
use shared::store::{CacheMark, Millis, PurgeAllMark};
use shared::time::plus_seconds;
use triggers::pre_sign_up::Policy;
use triggers::pre_sign_up::policy::SignUp;
use workers::cache_invalidation::items::Target;
use workers::cache_invalidation::planner::{CacheMarks, Change, Limits, MAX_ITEMS, plan};

const NOW: i64 = 1_772_442_000;

fn at(second: i64) -> Timestamp {
    plus_seconds(Timestamp::from_second(NOW).expect("a time"), second)
}

fn limits(target: Target, invalidation_interval_seconds: u32) -> Limits {
    Limits {
        target,
        purge_all_threshold: 3_000,
        purge_all_threshold_halving_seconds: 300,
        invalidation_interval_seconds,
        max_cache_lifetime_seconds: 1_800,
    }
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let views = prop::collection::btree_set(prop::sample::select(View::ALL.to_vec()), 1..=3);
    let expire_after = prop_oneof![Just(None), (0..1_900_i64).prop_map(Some)];
    let one = (0..60_u16, views, -2_000..10_i64, expire_after, prop::bool::weighted(0.1));
    prop::collection::vec(one, 0..120).prop_map(|changes| {
        let changes = changes.into_iter().enumerate();
        let change = |(message, (user, views, second, expire_after, is_always))| Change {
            message,
            sub: format!("user-{user}"),
            views,
            changed_at: at(second),
            sent_at: at(second),
            pages_expire_at: Option::map(expire_after, |seconds: i64| at(second + seconds)),
            is_always,
            claims_security: false,
            security_change_at: None,
        };
        changes.map(change).collect()
    })
}

/// True if all pages from before the change have expired. Clocks and whole seconds make a difference of
/// two seconds, and a render takes five.
fn is_expired(change: &Change) -> bool {
    let calculated = change.pages_expire_at.filter(|_| !change.is_always);
    change.changed_at < at(if change.is_always { -1_865 } else { -1_807 })
        || calculated.is_some_and(|expire_at| expire_at < at(-2))
}

/// True if a mark covers the change. An urgent one needs four more seconds.
fn covers(mark: Timestamp, change: &Change) -> bool {
    plus_seconds(change.changed_at, if change.is_always { 4 } else { 0 }) <= mark
}

/// The changes with `sent_at` moved `age` seconds back.
fn aged(changes: &[Change], age: i64) -> Vec<Change> {
    changes.iter().map(|change| Change { sent_at: at(-age), ..change.clone() }).collect()
}

fn marks() -> impl Strategy<Value = CacheMarks> {
    let views = prop::collection::btree_map(
        prop::sample::select(View::ALL.to_vec()),
        (-400..5_i64).prop_map(|second| Millis(at(second))),
        0..3,
    );
    let all = prop::option::of((-400..5_i64).prop_map(at));
    let mark = move || {
        (all.clone(), views.clone()).prop_map(|(last_invalidated_at, views)| CacheMark {
            last_invalidated_at,
            views,
            last_security_change_at: None,
        })
    };
    let purge_all = (-400..5_i64).prop_map(|second| PurgeAllMark { last_invalidated_at: at(second) });
    let users =
        prop::collection::hash_map((0..60_u16).prop_map(|user| format!("user-{user}")), mark(), 0..40);
    (users, prop::option::of(purge_all))
        .prop_map(|(users, purge_all): (HashMap<_, _>, _)| CacheMarks { users, purge_all })
}

/// Addresses with unusual local parts and domains.
fn addresses() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "ana",
        "@",
        "@",
        ".",
        "example.com",
        "evil",
        "test",
        "\"",
        "(",
        ")",
        " ",
        "\t",
        "%",
        "!",
        "=?",
        "[",
        "]",
        "<",
        "\u{200b}",
        "\u{202e}",
        "＠",
        "．",
        "bücher",
        "xn--",
        "é",
        "EXAMPLE.COM",
        "mail.example.com",
        "-",
        "\0",
        "127.0.0.1",
        ",",
        ";",
        "+tag",
    ]);
    prop_oneof![
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat()),
        "[a-z.]{0,10}@[a-z.]{0,12}",
        any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn messages_are_skipped_or_wait_or_are_in_exactly_one_call(
        changes in changes(), marks in marks(), by_tag in any::<bool>(), purge_all_threshold in 1..80_u32,
        age in 0..2_000_i64, interval in prop_oneof![Just(0), 1..300_u32],
    ) {
        let target = if by_tag { Target::Tag } else { Target::Path };
        let limits = Limits { purge_all_threshold, ..limits(target, interval) };
        let plan = plan(&aged(&changes, age), &marks, &limits, at(0));

        let skipped = plan.skipped.iter().map(|(message, _)| *message);
        let called = plan.calls.iter().flat_map(|call| call.messages.iter().copied());
        let deferred = plan.deferred.iter().flat_map(|deferred| deferred.messages.iter().copied());
        let waiting = plan.waiting.iter().map(|waiting| waiting.message);
        let mut messages: Vec<usize> = skipped.chain(called).chain(deferred).chain(waiting).collect();
        messages.sort_unstable();
        prop_assert_eq!(messages, (0..changes.len()).collect::<Vec<_>>());

        let items: Vec<&String> = plan.calls.iter().flat_map(|call| &call.items).collect();
        prop_assert_eq!(items.iter().collect::<BTreeSet<_>>().len(), items.len(), "no item is charged twice");
        prop_assert!(plan.calls.iter().all(|call| (1..=MAX_ITEMS).contains(&call.items.len())));
        let purges = plan.calls.iter().filter(|call| call.is_purge_all).count();
        let soon = marks.purge_all.as_ref().is_some_and(|mark| mark.last_invalidated_at > at(-300));
        let ordinary = plan.calls.iter().filter(|call| !call.is_urgent).count();
        prop_assert!(purges == 0 || (ordinary == 1 && !soon));
        for waiting in &plan.waiting {
            prop_assert!(waiting.until > at(0) && waiting.until <= at(i64::from(interval) + 1));
        }
        let single = plan.calls.iter().filter(|call| !call.is_purge_all && !call.is_urgent);
        for message in single.flat_map(|call| &call.messages) {
            let change = &changes[*message];
            for view in &change.views {
                let mark = marks.users.get(&change.sub).and_then(|mark| mark.invalidated_until(*view));
                let Some(mark) = mark.filter(|mark| interval > 0 && !covers(*mark, change)) else { continue };
                // A mark is a second earlier than its call. A mark in the future is wrong.
                let called = plus_seconds(mark, 1);
                prop_assert!(called > at(1) || called <= at(-i64::from(interval)));
            }
        }
        prop_assert!(plan.deferred.is_none_or(|deferred| soon && deferred.until > at(0) && ordinary == 0));
    }

    #[test]
    fn changes_that_are_not_skipped_are_invalidated(changes in changes(), marks in marks(), by_tag in any::<bool>()) {
        let target = if by_tag { Target::Tag } else { Target::Path };
        let plan = plan(&changes, &marks, &limits(target, 0), at(0));
        let skipped: BTreeSet<usize> = plan.skipped.iter().map(|(message, _)| *message).collect();
        let items: BTreeSet<&String> = plan.calls.iter().flat_map(|call| &call.items).collect();
        for change in &changes {
            let is_evicted = |view: &View| {
                let user = marks.users.get(&change.sub).and_then(|mark| mark.invalidated_until(*view));
                let purged = marks.purge_all.as_ref().map(|mark| mark.last_invalidated_at);
                [user, purged].into_iter().flatten().any(|until| covers(until, change))
            };
            if skipped.contains(&change.message) {
                prop_assert!(change.views.iter().all(is_evicted) || is_expired(change));
            } else {
                let left: BTreeSet<View> = change.views.iter().copied().filter(|view| !is_evicted(view)).collect();
                prop_assert!(target.items_for_user(&change.sub, &left).iter().all(|item| items.contains(item)));
            }
        }
    }

    #[test]
    fn allowed_address_has_a_domain_of_the_list(address in addresses()) {
        let policy = Policy::from_environment(
            &[("ALLOWED_EMAIL_DOMAINS", "example.com,*.example.com"), ("BLOCKED_EMAIL_DOMAINS", "evil.example.com")]
                .into_iter()
                .collect(),
        );
        let sign_up =
            SignUp { channel: SignUpChannel::SelfService, email: Some(&address), user_name: "user" };
        let decision = policy.expect("a policy").decide(&sign_up);
        if decision.outcome != SignUpOutcome::Denied {
            let domain = Domain::of_address(&address).expect("an allowed address is one").to_string();
            prop_assert!(domain == "example.com" || domain.ends_with(".example.com"));
            prop_assert_ne!(&domain, "evil.example.com");
            prop_assert_eq!(address.matches('@').count(), 1);
            prop_assert_eq!(&decision.domain, "example.com", "counted under a domain of the list");
        }
    }

    #[test]
    fn spellings_of_an_address_have_the_same_domain(local in "[a-z]{1,8}", domain in "[a-z]{1,8}\\.(com|test)") {
        let plain = Domain::of_address(&format!("{local}@{domain}"));
        prop_assert!(plain.is_ok());
        for spelling in [domain.to_uppercase(), format!("{domain}."), domain.replace('.', "。")] {
            prop_assert_eq!(&Domain::of_address(&format!("{local}@{spelling}")), &plain);
        }
    }
}

/// Encodes a value as Cognito does in a list: everything but ASCII letters, digits and `. - * _`.
fn form_encoded(value: &str) -> String {
    let encode = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        b'.' | b'-' | b'*' | b'_' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    value.bytes().map(encode).collect()
}

/// Names of groups, and parts of lists.
fn group_names() -> impl Strategy<Value = String> {
    let pieces = [
        "admin",
        "Domain Admins",
        "team:sre",
        ",",
        ", ",
        "[",
        "]",
        "%",
        "%61",
        "+",
        "\"",
        " ",
        "Köln",
        "\u{0}",
    ];
    let pieces = prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..6);
    prop_oneof![3 => pieces.prop_map(|pieces| pieces.concat()), 1 => any::<String>()]
}

proptest! {
    #[test]
    fn list_of_cognito_has_exactly_the_values_that_were_sent(
        names in prop::collection::vec(group_names(), 2..8),
        other in group_names(),
    ) {
        let encoded: Vec<String> = names.iter().map(|name| form_encoded(name)).collect();
        let attribute = format!("[{}]", encoded.join(", "));
        let values = Values::parse(&attribute);
        for name in &names {
            prop_assert!(values.any(|value| value == name), "{} in {}", name, attribute);
        }
        prop_assert_eq!(values.any(|value| value == other), names.contains(&other), "{} in {}", other, attribute);
        prop_assert!(!values.is_one(|_| true));
    }

    #[test]
    fn attribute_without_fitting_brackets_is_one_value(attribute in group_names(), separator in any::<char>()) {
        let list = attribute.trim();
        let is_in_brackets = list.len() >= 2 && list.starts_with('[') && list.ends_with(']');
        let values = Values::parse(&attribute);
        if !is_in_brackets || list.matches(['[', ']']).count() > 2 && !list.contains('"') {
            prop_assert!(!is_list(&attribute));
            prop_assert!(values.is_one(|value| value == attribute), "{}", attribute);
        }
        if is_list(&attribute) {
            prop_assert!(is_in_brackets);
        } else {
            let parts = Values::split(&attribute, separator);
            prop_assert!(attribute.split(separator).all(|part| parts.any(|value| value == part.trim())));
        }
    }

    #[test]
    fn any_list_is_read_and_broken_encoding_matches_nothing(
        pieces in prop::collection::vec(prop::sample::select(vec!["%", "%4", "%zz", "%ff", "%C3"]), 1..8),
        long in 0..1_024_usize,
    ) {
        let attribute = format!("[{}{}]", "%".repeat(long), pieces.join(","));
        prop_assert!(!Values::parse(&attribute).any(|_| true), "{}", attribute);
    }
}
