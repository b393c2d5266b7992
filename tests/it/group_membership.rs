//! group-membership.

use sandbox::aws::Fault;
use serde_json::{Value, json};
use tests::fixtures;

use crate::support::{ANA, Rig, batch, event, rig};

const POOL: &str = "eu-central-1_EXAMPLE01";
const BEN: &str = "e58b1d74-92c6-4f0a-8a3d-6f41c7b09e25";

/// A message of pre-token-generation, some seconds before nine o'clock.
fn mapped(seconds_before: u32, username: &str, add: &[&str], remove: &[&str]) -> Value {
    let data = json!({"user_pool_id": POOL, "username": username, "add": add, "remove": remove});
    let mut event = event("user.groups_mapped", &format!("g{seconds_before}"), username, data);
    event["time"] = json!(format!("2026-03-02T08:59:{:02}Z", 60 - seconds_before));
    event["source"] = json!(format!("/cognito/{POOL}"));
    event
}

/// The same message of another time.
fn dated(time: &str, mut message: Value) -> Value {
    message["time"] = json!(time);
    message
}

/// Ana, who is in these groups; the pool has Developer and Commerce.
async fn rig_with_ana(groups: &[&str]) -> Rig {
    let rig = rig().await;
    let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
    let all = ["Developer".to_owned(), "Commerce".to_owned()];
    rig.account.http_client().put_user(POOL, "somebody", &all).await;
    rig.account.http_client().put_user(POOL, ANA, &groups).await;
    rig
}

async fn groups_of(rig: &Rig, username: &str) -> Vec<String> {
    let mut groups = rig.account.http_client().groups().await.remove(username).unwrap_or_default();
    groups.sort();
    groups
}

#[tokio::test]
async fn groups_are_added_and_removed_and_twice_is_as_once() {
    let rig = rig_with_ana(&["Developer", "Staff"]).await;
    let worker = rig.group_membership(&[]);
    let batch = batch(&[mapped(10, ANA, &["Commerce"], &["Developer"])]);
    for _ in 0..2 {
        assert_eq!(worker.handle(&batch).await, [] as [&str; 0]);
        assert_eq!(groups_of(&rig, ANA).await, ["Commerce", "Staff"]);
    }
    assert_eq!(rig.account.counts("MembershipsFailed").len(), 0);
}

#[tokio::test]
async fn of_two_messages_about_a_user_the_later_one_holds() {
    let rig = rig_with_ana(&["Developer"]).await;
    rig.account.http_client().put_user(POOL, BEN, &["Developer".to_owned()]).await;
    let worker = rig.group_membership(&[]);
    let event = serde_json::from_value(fixtures::json("group-membership/changes-of-two-users")).unwrap();
    assert_eq!(worker.handle(&event).await, [] as [&str; 0]);
    assert_eq!(
        (groups_of(&rig, ANA).await, groups_of(&rig, BEN).await),
        (vec!["Commerce".into()], vec!["Commerce".into()])
    );
    assert_eq!(rig.account.faults.calls().len(), 4, "one call for each user and group");
}

#[tokio::test]
async fn a_word_that_comes_late_puts_nobody_into_a_group() {
    let rig = rig_with_ana(&["Developer"]).await;
    let worker = rig.group_membership(&[]);
    let late = batch(&[
        dated("2026-03-02T08:44:59Z", mapped(10, ANA, &["Commerce"], &[])),
        dated("2026-03-01T10:00:00Z", mapped(9, ANA, &[], &["Developer"])),
    ]);
    assert_eq!(worker.handle(&late).await, [] as [&str; 0]);
    assert_eq!(groups_of(&rig, ANA).await, [] as [&str; 0], "taking away is never too late within a day");
    assert_eq!(rig.account.counts("MembershipsSkipped"), [("outdated".to_owned(), 1)].into());
    let mut forged = mapped(8, ANA, &["Developer"], &[]);
    forged["source"] = json!("/shop");
    worker.handle(&batch(&[forged])).await;
    assert_eq!(rig.dead_letters(&rig.account.group_memberships).await[0].1, "invalid_data");
}

#[tokio::test]
async fn a_group_that_the_pool_does_not_have_is_parked_or_created() {
    let rig = rig_with_ana(&[]).await;
    let both = batch(&[mapped(10, ANA, &["Developer", "Unheard"], &["NeverThere"])]);
    assert_eq!(rig.group_membership(&[]).handle(&both).await, [] as [&str; 0]);
    assert_eq!(groups_of(&rig, ANA).await, ["Developer"], "what can be done is done");
    let parked = rig.dead_letters(&rig.account.group_memberships).await;
    assert_eq!((parked.len(), parked[0].1.as_str()), (1, "unknown_group"));

    let creating = rig.group_membership(&[("CREATE_GROUPS", "true")]);
    assert_eq!(creating.handle(&both).await, [] as [&str; 0]);
    assert_eq!(groups_of(&rig, ANA).await, ["Developer", "Unheard"]);
    assert_eq!(rig.account.count("GroupsCreated"), 1);
    assert_eq!(rig.dead_letters(&rig.account.group_memberships).await.len(), 0);
}

#[tokio::test]
async fn a_pool_that_is_not_there_is_parked_even_where_groups_are_created() {
    let rig = rig().await;
    let worker = rig.group_membership(&[("CREATE_GROUPS", "true")]);
    assert_eq!(worker.handle(&batch(&[mapped(10, ANA, &["Developer"], &[])])).await, [] as [&str; 0]);
    assert_eq!(rig.dead_letters(&rig.account.group_memberships).await[0].1, "unknown_group");
}

#[tokio::test]
async fn for_a_user_who_was_deleted_since_nothing_is_left_to_do() {
    let rig = rig_with_ana(&[]).await;
    let worker = rig.group_membership(&[]);
    let gone = batch(&[mapped(10, "gone", &["Developer"], &["Commerce"])]);
    assert_eq!(worker.handle(&gone).await, [] as [&str; 0]);
    assert_eq!(rig.dead_letters(&rig.account.group_memberships).await.len(), 0);
    assert_eq!(rig.account.counts("MembershipsSkipped"), [("user_not_found".to_owned(), 2)].into());
}

#[tokio::test(start_paused = true)]
async fn where_cognito_throttles_the_rest_of_the_batch_comes_again_later() {
    let rig = rig_with_ana(&[]).await;
    let throttled = Fault::Error("TooManyRequestsException");
    rig.account.faults.inject("AdminAddUserToGroup", throttled, 3);
    let worker = rig.group_membership(&[]);
    let event = batch(&[mapped(10, ANA, &["Developer"], &[]), mapped(9, "somebody", &[], &["Commerce"])]);
    assert_eq!(worker.handle(&event).await, ["m0", "m1"]);
    let calls = rig.account.faults.calls();
    assert_eq!(
        calls.iter().filter(|call| call.starts_with("Admin")).count(),
        3,
        "no call after that: {calls:?}"
    );
    let delays = rig.account.http_client().delays();
    assert!(delays.len() == 2 && delays.values().all(|seconds| (5..=10).contains(seconds)), "{delays:?}");
    assert_eq!(worker.handle(&event).await, [] as [&str; 0]);
    assert_eq!(groups_of(&rig, ANA).await, ["Developer"]);
}

#[tokio::test(start_paused = true)]
async fn without_permission_or_an_answer_the_message_comes_again() {
    for fault in [Fault::Error("AccessDeniedException"), Fault::Error("InternalErrorException"), Fault::Hang]
    {
        let rig = rig_with_ana(&[]).await;
        rig.account.faults.inject("AdminAddUserToGroup", fault.clone(), 10);
        let worker = rig.group_membership(&[]);
        let event = batch(&[mapped(10, ANA, &["Developer"], &[])]);
        assert_eq!(worker.handle(&event).await, ["m0"], "{fault:?}");
        assert_eq!(rig.account.counts("MembershipsFailed"), [("failed".to_owned(), 1)].into());
        assert_eq!(rig.dead_letters(&rig.account.group_memberships).await.len(), 0);
    }
}

#[tokio::test]
async fn before_the_deadline_no_call_is_begun() {
    let rig = rig_with_ana(&[]).await;
    let worker = rig.group_membership(&[]);
    let deadline = shared::time::plus_seconds(rig.account.time.now(), 10);
    let event = batch(&[mapped(10, ANA, &["Developer"], &[])]);
    assert_eq!(worker.handle_until(&event, deadline).await, ["m0"]);
    assert_eq!(groups_of(&rig, ANA).await, [] as [&str; 0]);
}

#[tokio::test]
async fn what_says_nothing_or_is_no_business_of_the_queue_is_parked() {
    let rig = rig_with_ana(&[]).await;
    let worker = rig.group_membership(&[]);
    let event = batch(&[
        mapped(10, ANA, &[], &[]),
        mapped(9, ANA, &["Developer"], &["Developer"]),
        mapped(8, "", &["Developer"], &[]),
        crate::support::order("1", ANA, "1.00"),
        json!("not an event"),
        mapped(7, ANA, &["Developer"], &[]),
        dated("2026-03-01T08:59:59Z", mapped(6, ANA, &["Commerce"], &[])),
        dated("2026-03-02T09:15:01Z", mapped(5, ANA, &["Commerce"], &[])),
    ]);
    assert_eq!(worker.handle(&event).await, [] as [&str; 0]);
    let mut reasons: Vec<String> = rig
        .dead_letters(&rig.account.group_memberships)
        .await
        .into_iter()
        .map(|(_, reason)| reason)
        .collect();
    reasons.sort();
    let expected = [
        "in_the_future",
        "invalid_data",
        "invalid_data",
        "invalid_data",
        "not_json",
        "too_old",
        "wrong_queue",
    ];
    assert_eq!(reasons, expected);
    assert_eq!(groups_of(&rig, ANA).await, ["Developer"], "one bad message fails no other");
}

#[tokio::test]
async fn a_group_that_a_rule_gives_is_the_user_s_own_in_the_end() {
    let rig = rig_with_ana(&["Engineering", "Staff", "Commerce"]).await;
    let rules = [(
        "GROUP_RULES",
        r#"[{"attribute": "custom:department", "equals": "Engineering", "group": "Developer"},
            {"attribute": "custom:department", "equals": "Sales", "group": "Commerce"}]"#,
    )];
    let token = fixtures::event_with("pre-token-generation/authentication", |event| {
        event["request"]["groupConfiguration"]["groupsToOverride"] =
            json!(["Engineering", "Staff", "Commerce"]);
    });
    rig.response("pre-token-generation", &rules, token).await;
    let messages = rig.take(&rig.account.group_memberships.url).await;
    let bodies: Vec<Value> = messages.into_iter().map(|(body, _)| body).collect();
    let worker = rig.group_membership(&[]);
    assert_eq!(worker.handle(&batch(&bodies)).await, [] as [&str; 0]);
    assert_eq!(groups_of(&rig, ANA).await, ["Developer", "Engineering", "Staff"]);
}
