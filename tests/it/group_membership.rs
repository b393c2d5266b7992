//! Tests of group-membership.

use sandbox::aws::Fault;
use serde_json::{Value, json};
use tests::fixtures;

use crate::support::{ANA, GroupMembership, TestStack, Variables, batch, event, test_stack};

const POOL: &str = "eu-central-1_EXAMPLE01";
const BEN: &str = "e58b1d74-92c6-4f0a-8a3d-6f41c7b09e25";

/// Rules that manage the groups of these tests. The worker does not apply their conditions.
const RULES: Variables<'static> = &[(
    "GROUP_RULES",
    r#"[{"attribute": "custom:department", "equals": "Engineering", "group": "Developer"},
        {"attribute": "custom:department", "equals": "Sales", "group": "Commerce"},
        {"attribute": "custom:department", "equals": "Nobody", "group": "Unknown"},
        {"attribute": "custom:department", "equals": "Nobody", "group": "Missing"}]"#,
)];
const CREATING: Variables<'static> = &[RULES[0], ("CREATE_GROUPS", "true")];

fn worker_of(stack: &TestStack) -> GroupMembership {
    stack.group_membership(RULES)
}

/// A message of pre-token-generation, `seconds_before` nine o'clock.
fn mapped(seconds_before: u32, username: &str, add: &[&str], remove: &[&str]) -> Value {
    let data = json!({"user_pool_id": POOL, "username": username, "add": add, "remove": remove});
    let mut event = event("user.groups_mapped", &format!("g{seconds_before}"), username, data);
    event["time"] = json!(format!("2026-03-02T08:59:{:02}Z", 60 - seconds_before));
    event["source"] = json!(format!("/cognito/{POOL}"));
    event
}

/// The message with another time.
fn dated(time: &str, mut message: Value) -> Value {
    message["time"] = json!(time);
    message
}

/// An account whose user pool has the groups Developer and Commerce. Ana is in `groups`.
async fn stack_with_ana(groups: &[&str]) -> TestStack {
    let stack = test_stack().await;
    let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
    let all = ["Developer".to_owned(), "Commerce".to_owned()];
    stack.account.backend().user_pools().put_user(POOL, "another-user", &all).await;
    stack.account.backend().user_pools().put_user(POOL, ANA, &groups).await;
    stack
}

async fn groups_of(stack: &TestStack, username: &str) -> Vec<String> {
    let mut groups = stack.account.backend().user_pools().groups().await.remove(username).unwrap_or_default();
    groups.sort();
    groups
}

#[tokio::test]
async fn groups_are_added_and_removed_and_a_second_delivery_changes_nothing() {
    let stack = stack_with_ana(&["Developer", "Staff"]).await;
    let worker = worker_of(&stack);
    let batch = batch(&[mapped(10, ANA, &["Commerce"], &["Developer"])]);
    for _ in 0..2 {
        assert_eq!(worker.handle(&batch).await, [] as [&str; 0]);
        assert_eq!(groups_of(&stack, ANA).await, ["Commerce", "Staff"]);
    }
    assert_eq!(stack.account.counts("MembershipsFailed").len(), 0);
}

#[tokio::test]
async fn later_of_two_messages_about_a_user_wins() {
    let stack = stack_with_ana(&["Developer"]).await;
    stack.account.backend().user_pools().put_user(POOL, BEN, &["Developer".to_owned()]).await;
    let worker = worker_of(&stack);
    let event = serde_json::from_value(fixtures::json("group-membership/changes-of-two-users")).unwrap();
    assert_eq!(worker.handle(&event).await, [] as [&str; 0]);
    assert_eq!(
        (groups_of(&stack, ANA).await, groups_of(&stack, BEN).await),
        (vec!["Commerce".into()], vec!["Commerce".into()])
    );
    assert_eq!(stack.account.calls.operations().len(), 4, "one call for each user and group");
}

#[tokio::test]
async fn late_message_removes_from_a_group_but_does_not_add() {
    let stack = stack_with_ana(&["Developer"]).await;
    let worker = worker_of(&stack);
    let late = batch(&[
        dated("2026-03-02T08:44:59Z", mapped(10, ANA, &["Commerce"], &[])),
        dated("2026-03-01T10:00:00Z", mapped(9, ANA, &[], &["Developer"])),
    ]);
    assert_eq!(worker.handle(&late).await, [] as [&str; 0]);
    assert_eq!(groups_of(&stack, ANA).await, [] as [&str; 0], "a removal is valid for a day");
    assert_eq!(stack.account.counts("MembershipsSkipped"), [("outdated".to_owned(), 1)].into());
    let mut forged = mapped(8, ANA, &["Developer"], &[]);
    forged["source"] = json!("/shop");
    worker.handle(&batch(&[forged])).await;
    assert_eq!(stack.dead_letters(&stack.account.group_memberships).await[0].1, "invalid_data");
}

#[tokio::test]
async fn unknown_group_is_dead_lettered_or_created() {
    let stack = stack_with_ana(&[]).await;
    let both = batch(&[mapped(10, ANA, &["Developer", "Unknown"], &["Missing"])]);
    assert_eq!(worker_of(&stack).handle(&both).await, [] as [&str; 0]);
    assert_eq!(groups_of(&stack, ANA).await, ["Developer"], "the other changes are made");
    let letters = stack.dead_letters(&stack.account.group_memberships).await;
    assert_eq!((letters.len(), letters[0].1.as_str()), (1, "unknown_group"));

    let creating = stack.group_membership(CREATING);
    assert_eq!(creating.handle(&both).await, [] as [&str; 0]);
    assert_eq!(groups_of(&stack, ANA).await, ["Developer", "Unknown"]);
    assert_eq!(stack.account.count("GroupsCreated"), 1);
    assert_eq!(stack.dead_letters(&stack.account.group_memberships).await.len(), 0);
}

#[tokio::test]
async fn group_that_no_rule_manages_is_dead_lettered_and_stays_as_it_is() {
    for variables in [RULES, CREATING] {
        let stack = stack_with_ana(&["Developer", "Staff"]).await;
        let worker = stack.group_membership(variables);
        let crafted = batch(&[
            mapped(10, ANA, &["Admins"], &[]),
            mapped(9, ANA, &["Commerce", "admins"], &["Developer"]),
            mapped(8, ANA, &[], &["Staff"]),
            mapped(7, ANA, &["Commerce"], &[]),
        ]);
        for _ in 0..2 {
            assert_eq!(worker.handle(&crafted).await, [] as [&str; 0]);
            assert_eq!(groups_of(&stack, ANA).await, ["Commerce", "Staff"], "only managed groups change");
            let letters = stack.dead_letters(&stack.account.group_memberships).await;
            let reasons: Vec<&str> = letters.iter().map(|(_, reason)| reason.as_str()).collect();
            assert_eq!(reasons, ["unmanaged_group"; 3]);
        }
        let failed = stack.account.counts("MembershipsFailed");
        assert_eq!(failed, [("unmanaged_group".to_owned(), 6)].into());
        assert_eq!(stack.account.count("GroupsCreated"), 0);
    }
}

#[tokio::test]
async fn worker_without_rules_changes_no_group() {
    let stack = stack_with_ana(&["Developer"]).await;
    let worker = stack.group_membership(&[("CREATE_GROUPS", "true")]);
    stack.account.calls.clear_operations();
    let event = batch(&[mapped(10, ANA, &["Commerce"], &["Developer"])]);
    assert_eq!(worker.handle(&event).await, [] as [&str; 0]);
    assert_eq!(stack.account.calls.operations(), ["SendMessageBatch"]);
    assert_eq!(stack.dead_letters(&stack.account.group_memberships).await[0].1, "unmanaged_group");
}

/// No call to Cognito is needed to reject a message, so throttling does not keep it on the queue.
#[tokio::test(start_paused = true)]
async fn unmanaged_group_is_rejected_while_cognito_throttles() {
    let stack = stack_with_ana(&[]).await;
    stack.account.faults.inject("AdminAddUserToGroup", Fault::Error("TooManyRequestsException"), 3);
    let event = batch(&[mapped(10, ANA, &["Developer"], &[]), mapped(9, "another-user", &["Staff"], &[])]);
    assert_eq!(worker_of(&stack).handle(&event).await, ["m0"]);
    assert_eq!(stack.dead_letters(&stack.account.group_memberships).await[0].1, "unmanaged_group");
}

#[tokio::test]
async fn unknown_user_pool_is_dead_lettered_even_if_groups_are_created() {
    let stack = test_stack().await;
    let worker = stack.group_membership(CREATING);
    assert_eq!(worker.handle(&batch(&[mapped(10, ANA, &["Developer"], &[])])).await, [] as [&str; 0]);
    assert_eq!(stack.dead_letters(&stack.account.group_memberships).await[0].1, "unknown_group");
}

#[tokio::test]
async fn deleted_user_is_skipped() {
    let stack = stack_with_ana(&[]).await;
    let worker = worker_of(&stack);
    let gone = batch(&[mapped(10, "gone", &["Developer"], &["Commerce"])]);
    assert_eq!(worker.handle(&gone).await, [] as [&str; 0]);
    assert_eq!(stack.dead_letters(&stack.account.group_memberships).await.len(), 0);
    assert_eq!(stack.account.counts("MembershipsSkipped"), [("user_not_found".to_owned(), 2)].into());
}

#[tokio::test(start_paused = true)]
async fn throttling_by_cognito_delays_the_rest_of_the_batch() {
    let stack = stack_with_ana(&[]).await;
    let throttled = Fault::Error("TooManyRequestsException");
    stack.account.faults.inject("AdminAddUserToGroup", throttled, 3);
    let worker = worker_of(&stack);
    let event = batch(&[mapped(10, ANA, &["Developer"], &[]), mapped(9, "another-user", &[], &["Commerce"])]);
    assert_eq!(worker.handle(&event).await, ["m0", "m1"]);
    let calls = stack.account.calls.operations();
    assert_eq!(
        calls.iter().filter(|call| call.starts_with("Admin")).count(),
        3,
        "calls after the throttled one: {calls:?}"
    );
    let delays = stack.account.calls.visibility_timeouts();
    assert!(delays.len() == 2 && delays.values().all(|seconds| (5..=10).contains(seconds)), "{delays:?}");
    assert_eq!(worker.handle(&event).await, [] as [&str; 0]);
    assert_eq!(groups_of(&stack, ANA).await, ["Developer"]);
}

#[tokio::test(start_paused = true)]
async fn message_fails_without_permission_or_an_answer() {
    for fault in [Fault::Error("AccessDeniedException"), Fault::Error("InternalErrorException"), Fault::Hang]
    {
        let stack = stack_with_ana(&[]).await;
        stack.account.faults.inject("AdminAddUserToGroup", fault.clone(), 10);
        let worker = worker_of(&stack);
        let event = batch(&[mapped(10, ANA, &["Developer"], &[])]);
        assert_eq!(worker.handle(&event).await, ["m0"], "{fault:?}");
        assert_eq!(stack.account.counts("MembershipsFailed"), [("failed".to_owned(), 1)].into());
        assert_eq!(stack.dead_letters(&stack.account.group_memberships).await.len(), 0);
    }
}

#[tokio::test]
async fn no_call_starts_close_to_the_deadline() {
    let stack = stack_with_ana(&[]).await;
    let worker = worker_of(&stack);
    let deadline = shared::time::plus_seconds(stack.account.time.now(), 10);
    let event = batch(&[mapped(10, ANA, &["Developer"], &[])]);
    assert_eq!(worker.handle_until(&event, deadline).await, ["m0"]);
    assert_eq!(groups_of(&stack, ANA).await, [] as [&str; 0]);
}

#[tokio::test]
async fn messages_without_a_usable_request_are_dead_lettered() {
    let stack = stack_with_ana(&[]).await;
    let worker = worker_of(&stack);
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
    let mut reasons: Vec<String> = stack
        .dead_letters(&stack.account.group_memberships)
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
    assert_eq!(groups_of(&stack, ANA).await, ["Developer"], "one bad message does not fail the others");
}

/// Invokes pre-token-generation for Ana with these groups and attributes. Returns its messages.
async fn messages_of_token(
    stack: &TestStack,
    rules: Variables<'_>,
    groups: &[String],
    attribute: (&str, &str),
) -> Vec<Value> {
    let token = fixtures::event_with("pre-token-generation/authentication", |event| {
        event["request"]["groupConfiguration"]["groupsToOverride"] = json!(groups);
        event["request"]["userAttributes"][attribute.0] = attribute.1.into();
    });
    stack.response("pre-token-generation", rules, token).await;
    let messages = stack.take(&stack.account.group_memberships.url).await;
    messages.into_iter().map(|(body, _)| body).collect()
}

#[tokio::test]
async fn group_of_a_rule_ends_up_in_the_user_pool() {
    let sent = ["Engineering", "Staff", "Commerce"];
    let stack = stack_with_ana(&sent).await;
    let attribute = ("custom:department", "Engineering");
    let bodies = messages_of_token(&stack, RULES, &sent.map(str::to_owned), attribute).await;
    let worker = worker_of(&stack);
    for _ in 0..2 {
        assert_eq!(worker.handle(&batch(&bodies)).await, [] as [&str; 0]);
        assert_eq!(groups_of(&stack, ANA).await, ["Developer", "Engineering", "Staff"]);
    }
}

/// The second group at the provider makes Cognito store an encoded list.
#[tokio::test]
async fn member_keeps_the_group_when_the_provider_sends_a_second_one() {
    let rules = [(
        "GROUP_RULES",
        r#"[{"attribute": "custom:groups", "contains": "Domain Admins", "group": "Admins"},
            {"attribute": "custom:groups", "contains": "team:sre", "group": "Sre"}]"#,
    )];
    let stack = stack_with_ana(&["Admins"]).await;
    let worker = stack.group_membership(&[rules[0], ("CREATE_GROUPS", "true")]);
    for (attribute, expected) in [
        ("Domain Admins", vec!["Admins"]),
        ("[Domain+Admins, team%3Asre]", vec!["Admins", "Sre"]),
        ("[team%3Asre, Domain+Users]", vec!["Sre"]),
        ("Sales,Domain Admins", vec![]),
    ] {
        let groups = groups_of(&stack, ANA).await;
        let bodies = messages_of_token(&stack, &rules, &groups, ("custom:groups", attribute)).await;
        for _ in 0..2 {
            assert_eq!(worker.handle(&batch(&bodies)).await, [] as [&str; 0]);
            assert_eq!(groups_of(&stack, ANA).await, expected, "{attribute}");
        }
    }
}

/// The next token corrects the pool if an older message adds the user again.
#[tokio::test]
async fn late_addition_is_corrected_by_the_next_token() {
    let stack = stack_with_ana(&["Developer"]).await;
    let worker = worker_of(&stack);
    let department = ("custom:department", "Sales");
    let removal = messages_of_token(&stack, RULES, &groups_of(&stack, ANA).await, department).await;
    assert_eq!(worker.handle(&batch(&removal)).await, [] as [&str; 0]);
    assert_eq!(worker.handle(&batch(&[mapped(30, ANA, &["Developer"], &[])])).await, [] as [&str; 0]);
    assert_eq!(groups_of(&stack, ANA).await, ["Commerce", "Developer"]);
    let correction = messages_of_token(&stack, RULES, &groups_of(&stack, ANA).await, department).await;
    for _ in 0..2 {
        assert_eq!(worker.handle(&batch(&correction)).await, [] as [&str; 0]);
        assert_eq!(groups_of(&stack, ANA).await, ["Commerce"]);
    }
}

/// 400 rules do not fit into the variables of a Lambda function. The code has no limit of its own.
#[tokio::test]
async fn four_hundred_groups_reach_the_token_and_the_user_pool() {
    let rules: Vec<Value> = (0..400)
        .map(|n| json!({"attribute": "custom:groups", "contains": format!("g{n}"), "group": format!("Group{n}")}))
        .collect();
    let rules = json!(rules).to_string();
    let rules = [("GROUP_RULES", rules.as_str())];
    let stack = stack_with_ana(&["Staff"]).await;
    let values: Vec<String> = (0..400).map(|n| format!("g{n}")).collect();
    let attribute = format!("[{}]", values.join(","));
    assert!(attribute.len() <= 2_048, "{}", attribute.len());
    let bodies =
        messages_of_token(&stack, &rules, &["Staff".to_owned()], ("custom:groups", &attribute)).await;
    assert_eq!((bodies.len(), bodies[0]["data"]["add"].as_array().unwrap().len()), (1, 400));
    let signed_in = stack.sent().await.into_iter().find(|event| event["type"] == "user.signed_in").unwrap();
    assert_eq!(signed_in["data"]["groups"].as_array().unwrap().len(), 401);
    let worker = stack.group_membership(&[rules[0], ("CREATE_GROUPS", "true")]);
    for _ in 0..2 {
        assert_eq!(worker.handle(&batch(&bodies)).await, [] as [&str; 0]);
        assert_eq!(groups_of(&stack, ANA).await.len(), 401);
    }
}

/// A dead-letter queue that hangs must not delay the group changes.
#[tokio::test]
async fn groups_are_changed_before_messages_are_dead_lettered() {
    let stack = stack_with_ana(&["Developer"]).await;
    let worker = worker_of(&stack);
    let batch = batch(&[json!("not JSON"), mapped(10, ANA, &["Commerce"], &[])]);
    stack.account.calls.clear_operations();
    assert_eq!(worker.handle(&batch).await, [] as [&str; 0]);
    assert_eq!(stack.account.calls.operations(), ["AdminAddUserToGroup", "SendMessageBatch"]);
}
