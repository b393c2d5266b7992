//! The journeys in `events/journeys/`. The expected sums are calculated by hand.

use sandbox::journey::format::{Action, Journey, Variables, read as read_journey, read_variables};
use sandbox::journey::outcome::Outcome;
use sandbox::journey::player;
use sandbox::journey::view::ViewOutcome;
use serde_json::{Value, json};
use tests::fixtures;

use crate::support::ANA;

const ALL: [&str; 8] = [
    "account-changes",
    "burst-of-orders",
    "denied-domain",
    "inactive-users-orders",
    "one-of-two-users-orders",
    "shared-orders",
    "sign-up-to-first-purchase",
    "suspended-while-signed-in",
];

fn read(name: &str) -> Journey {
    read_journey(&fixtures::folder().join(format!("journeys/{name}.json"))).unwrap()
}

fn defaults() -> Variables {
    read_variables(&fixtures::folder().join("environment.json")).unwrap()
}

async fn play(name: &str) -> Outcome {
    tests::log::watch();
    player::play(&read(name), &defaults()).await.unwrap()
}

fn outcome_of<'a>(outcome: &'a Outcome, step: &str) -> &'a str {
    &outcome.steps.iter().find(|s| s.name == step).unwrap_or_else(|| panic!("no step {step}")).outcome
}

fn picked(stats: &Value, names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| stats[*name].clone()).collect()
}

#[test]
fn journeys_are_all_tested() {
    let files = std::fs::read_dir(fixtures::folder().join("journeys")).unwrap();
    let mut names: Vec<String> =
        files.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, ALL);
}

/// No trigger reports these changes, only CloudTrail.
#[tokio::test]
async fn account_that_is_deleted_leaves_only_the_marker() {
    const IDA: &str = "c8f2a1d4-7b36-4e95-a0c3-2d9e5f61b784";
    let mut journey = read("account-changes");
    let outcome = player::play(&journey, &defaults()).await.unwrap();
    let names: Vec<&String> = outcome.users[IDA].as_object().unwrap().keys().collect();
    assert_eq!(names, ["erasedAt", "expiresAt", "version"]);
    assert_eq!(outcome.dead_letters, []);
    assert_eq!(
        outcome_of(&outcome, "She deletes her account"),
        "1 CloudTrail event sent to account-activities"
    );
    // Before the deletion: one MFA change, one password, and three failed sign-ins, each delivered twice.
    let deletion = journey.steps.iter().position(|step| step.name == "She deletes her account").unwrap();
    journey.steps.truncate(deletion);
    let outcome = player::play(&journey, &defaults()).await.unwrap();
    let names = ["isMfaEnabled", "passwordChanges", "signInsFailed", "signIns"];
    assert_eq!(picked(&outcome.users[IDA], &names), [json!(true), json!(1), json!(3), json!(1)]);
}

#[tokio::test]
async fn first_purchase_is_counted_and_shown() {
    let outcome = play("sign-up-to-first-purchase").await;
    let ana = &outcome.users[ANA];
    let names =
        ["orders", "spent", "activities", "signIns", "tokenRefreshes", "unreadNotifications", "messages"];
    // One order of 49.90, a sign-in on the laptop and one on the phone, two unread notifications, one email.
    let expected =
        [json!(1), json!({"EUR": "49.90"}), json!(0), json!(2), json!(0), json!(2), json!({"sign_up": 1})];
    assert_eq!(picked(ana, &names), expected);
    assert_eq!(ana["recent"].as_array().unwrap().len(), 4);
    // The late notification, and the suspension 21 s after it, although the interval is a minute.
    assert_eq!(outcome.invalidations.len(), 2);
    assert!(outcome.invalidations.iter().all(|call| call.items == [format!("#user:{ANA}")]));
    // The notification 5 s after the order. By the policy, only notifications are worth an invalidation: not
    // the confirmation and the order.
    let skipped = [("client_aware".to_owned(), 1), ("never".to_owned(), 2)];
    assert_eq!(outcome.skipped, skipped.into());
    assert_eq!(outcome.domains["example.com"].sign_ups_allowed, 1);
    assert_eq!(outcome.dead_letters, []);
}

/// The expectations of the steps are checked by the player. Here, that the journeys have them, and what
/// their output shows.
#[tokio::test]
async fn dashboard_is_a_hit_until_its_user_changes() {
    let shown = |outcome: &Outcome| -> Vec<String> {
        outcome.steps.iter().filter(|step| step.view.is_some()).map(|step| step.outcome.clone()).collect()
    };
    let purchase = play("sign-up-to-first-purchase").await;
    let expected = [
        "Miss: 0 orders",
        "Hit: 0 orders",
        // The phone, before the order.
        "Miss: 0 orders",
        "Miss: 0 orders, change pending",
        "Miss: 1 order, spent 49.90 EUR",
        "Hit: 1 order, spent 49.90 EUR",
        "Miss: 1 order, spent 49.90 EUR, 1 unread notification",
        // The phone: no invalidation removes its page, which lives for 60 s.
        "Hit: 0 orders",
        "Miss: 1 order, spent 49.90 EUR, 1 unread notification",
        "Miss: 1 order, spent 49.90 EUR, 1 unread notification",
        "Miss: 1 order, spent 49.90 EUR, 2 unread notifications",
        "Error 403: Access is not possible",
    ];
    assert_eq!(shown(&purchase), expected);
    let two = play("one-of-two-users-orders").await;
    let views: Vec<&ViewOutcome> = two.steps.iter().filter_map(|step| step.view.as_ref()).collect();
    let caches: Vec<&str> = views.iter().map(|view| view.cache.as_str()).collect();
    assert_eq!(caches, ["Miss", "Miss", "Hit", "Hit", "Hit", "Miss", "Hit", "Miss", "RefreshHit", "Error"]);
    // Eva's order. The confirmation of both users needs none: their first pages live for 5 s.
    let items = two.invalidations.iter().map(|call| call.items.len()).collect::<Vec<_>>();
    assert_eq!(items, [1]);
    assert_eq!(two.skipped, [("expires_soon".to_owned(), 2)].into());
    assert_eq!((views[6].age, views[9].status), (Some(37), 401));
}

#[tokio::test]
async fn suspended_user_with_a_valid_token_sees_nothing() {
    let outcome = play("suspended-while-signed-in").await;
    let shown = outcome_of(&outcome, "His valid token shows him nothing");
    assert!(shown.starts_with("Error 403: "), "{shown}");
}

#[tokio::test]
async fn journey_fails_with_what_was_found() {
    tests::log::watch();
    let mut journey = read("sign-up-to-first-purchase");
    let view = journey.steps.iter_mut().find(|step| step.name == "She reloads it").unwrap();
    let Action::View(step) = &mut view.action else { panic!("no view") };
    step.expect = serde_json::from_value(json!({"cache": "Miss"})).unwrap();
    let error = player::play(&journey, &defaults()).await.unwrap_err();
    let expected = "step \"She reloads it\": view: expected Miss, but found Hit: 0 orders";
    assert_eq!(format!("{error:#}"), expected);
    journey.steps.retain(|step| matches!(step.action, Action::View(_)));
    let error = player::play(&journey, &defaults()).await.unwrap_err();
    assert!(format!("{error:#}").contains("has no token. Add a step"), "{error:#}");
    let mut journey = read("sign-up-to-first-purchase");
    journey.steps.retain(|step| step.name != "She signs in on her phone");
    let error = player::play(&journey, &defaults()).await.unwrap_err();
    assert!(format!("{error:#}").contains("has no token on device phone. Add a step"), "{error:#}");
}

#[tokio::test]
async fn shared_orders_are_shared_until_the_revocation() {
    const HUGO: &str = "9b2e6f41-0a5d-4c7b-8f13-6e5d4c3b2a19";
    let resource = "orders/3f1d9a52-7c4e-4b8f-9e6a-1d2c3b4a5f60".to_owned();
    let outcome = play("shared-orders").await;
    assert_eq!(outcome.permissions, [(HUGO.to_owned(), [(resource.clone(), vec![])].into())].into());
    let reasons: Vec<_> = outcome
        .dead_letters
        .iter()
        .map(|letter| (letter.queue.as_str(), letter.error_type.as_deref()))
        .collect();
    assert_eq!(
        reasons,
        [("user-events", Some("wrong_queue")); 2],
        "the grant on user-events, delivered twice"
    );
    let times: Vec<String> = outcome
        .invalidations
        .iter()
        .filter(|call| call.items == [format!("#user:{HUGO}")])
        .map(|call| call.at.strftime("%H:%M:%S").to_string())
        .collect();
    // After the grant, the revocation and the old grant, with the batching window of cache-invalidation.
    assert_eq!(times, ["12:02:15", "12:12:15", "12:22:15"]);

    let mut until_the_revocation = read("shared-orders");
    until_the_revocation.steps.truncate(3);
    let outcome = player::play(&until_the_revocation, &defaults()).await.unwrap();
    assert_eq!(outcome.permissions[HUGO][&resource], ["read"]);
}

#[tokio::test]
async fn denied_domain_is_denied_and_counted() {
    let outcome = play("denied-domain").await;
    let denied = outcome.steps.iter().filter(|step| step.outcome.starts_with("denied")).count();
    assert_eq!(denied, 5);
    let counts = |domain: &str| {
        let stats = &outcome.domains[domain];
        (stats.sign_ups, stats.sign_ups_allowed, stats.sign_ups_denied)
    };
    assert_eq!(counts("spam.test"), (2, 0, 2));
    assert_eq!(counts("other"), (1, 0, 1));
    assert_eq!(counts("invalid"), (1, 0, 1));
    assert_eq!(counts("none"), (1, 0, 1));
    assert_eq!(counts("example.com"), (1, 1, 0));
    assert_eq!(outcome.users, Default::default());
}

#[tokio::test]
async fn suspended_user_is_denied_on_refresh_and_sign_in() {
    let outcome = play("suspended-while-signed-in").await;
    for step in
        ["His refresh is denied", "So is a new sign-in", "and one through managed login", "He tries again"]
    {
        assert!(outcome_of(&outcome, step).starts_with("denied: "), "{step}");
    }
    for step in ["He signs in", "He gets tokens", "He signs in again", "He gets tokens again"] {
        assert!(outcome_of(&outcome, step).starts_with("answered"), "{step}");
    }
    let ben = outcome.users.values().next().unwrap();
    // He tries again within ten minutes.
    assert_eq!(picked(ben, &["signIns", "signInsDenied", "tokenRefreshes"]), [json!(2), json!(3), json!(0)]);
}

#[tokio::test]
async fn duplicate_delivery_of_a_burst_of_orders_counts_once() {
    let mut once = read("burst-of-orders");
    assert_eq!(once.deliveries, 2);
    once.deliveries = 1;
    let (once, twice) = (player::play(&once, &defaults()).await.unwrap(), play("burst-of-orders").await);
    assert_eq!(once.users, twice.users);
    assert_eq!(once.invalidations, twice.invalidations);
    let carla = twice.users.values().next().unwrap();
    // 0.10 + 0.20 + 19.99 + 5.00 + 1000.01 = 1025.30, and 30.00 placed and cancelled; 1200 + 800 yen.
    assert_eq!(carla["spent"], json!({"EUR": "1025.30", "JPY": "2000"}));
    assert_eq!(picked(carla, &["orders", "ordersCancelled"]), [json!(8), json!(1)]);
    let mut reasons: Vec<_> =
        once.dead_letters.iter().map(|letter| letter.error_type.clone().unwrap()).collect();
    reasons.sort();
    assert_eq!(reasons, ["invalid_data", "invalid_data", "not_json", "too_old", "unknown_type"]);
}

#[tokio::test]
async fn orders_of_an_inactive_user_need_no_invalidation() {
    let outcome = play("inactive-users-orders").await;
    let dora = outcome.users.values().next().unwrap();
    // Three orders of 9.99, one of them cancelled.
    assert_eq!(dora["spent"], json!({"EUR": "19.98"}));
    // Two orders while she was away. Her confirmation is her first change, so pages live for 5 s.
    let skipped = [("expires_soon".to_owned(), 1), ("inactive".to_owned(), 2)];
    assert_eq!(outcome.skipped, skipped.into());
    // The order while she was active, the cancellation after she signed in again.
    assert_eq!(outcome.invalidations.len(), 2);
}

#[tokio::test]
async fn outcomes_of_several_journeys_are_added_up() {
    let journeys: Vec<Journey> = ALL.iter().map(|name| read(name)).collect();
    let outcome = player::play_all(&journeys, &defaults()).await.unwrap();
    let spent: Vec<String> = outcome.users.values().map(|user| user["spent"]["EUR"].to_string()).collect();
    assert_eq!(
        spent,
        ["null", "\"19.90\"", "\"1025.30\"", "\"49.90\"", "\"49.90\"", "null", "\"19.98\"", "null"],
        "Ben, Greta, Carla, Ana, Eva, Ida, Dora, Finn"
    );
}

#[tokio::test]
async fn fixtures_are_journeys_of_one_step() {
    for name in fixtures::all() {
        let journey = read_journey(&fixtures::folder().join(&name).with_extension("json")).unwrap();
        let outcome = player::play(&journey, &defaults()).await.unwrap();
        let expected = if name == "pre-sign-up/denied-domain" { "denied" } else { "" };
        assert!(outcome.steps[0].outcome.starts_with(expected), "{name}");
        let answered =
            ["answered", "batch done"].iter().any(|word| outcome.steps[0].outcome.starts_with(word));
        assert_eq!(answered, expected.is_empty(), "{name}");
    }
}
