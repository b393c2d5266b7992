//! Tests of account-activity.

use std::collections::BTreeSet;

use aws_lambda_events::sqs::SqsEvent;
use aws_sdk_cognitoidentityprovider::types::SoftwareTokenMfaSettingsType;
use sandbox::aws::Fault;
use sandbox::aws::user_pools::NewUser;
use serde_json::{Value, json};
use tests::fixtures;
use workers::account_activity::translate::IgnoreReason;

use crate::support::{ANA, TestStack, Variables, batch, empty_profile, event, order, test_stack};
use crate::user_stats::statistics_bytes;

const POOL: &str = "eu-central-1_EXAMPLE01";
const BEN: &str = "e58b1d74-92c6-4f0a-8a3d-6f41c7b09e25";

/// EventBridge's event about a call at nine o'clock that names the user pool.
pub fn call(name: &str, id: &str, sub: &str) -> Value {
    json!({
        "version": "0",
        "id": format!("eventbridge-{id}"),
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.cognito-idp",
        "account": "123456789012",
        "time": "2026-03-02T09:00:00Z",
        "region": "eu-central-1",
        "resources": [],
        "detail": {
            "eventVersion": "1.11",
            "eventTime": "2026-03-02T09:00:00Z",
            "eventSource": "cognito-idp.amazonaws.com",
            "eventName": name,
            "awsRegion": "eu-central-1",
            "sourceIPAddress": "198.51.100.7",
            "requestParameters": {"userPoolId": POOL, "username": "HIDDEN_DUE_TO_SECURITY_REASONS"},
            "responseElements": null,
            "additionalEventData": {"sub": sub},
            "eventID": id,
            "eventType": "AwsApiCall",
        },
    })
}

/// A call with an access token, which names no user pool.
fn token_call(name: &str, id: &str, sub: &str) -> Value {
    let mut call = call(name, id, sub);
    call["detail"]["requestParameters"] = json!({"accessToken": "HIDDEN_DUE_TO_SECURITY_REASONS"});
    call
}

/// A sign-in with a wrong password, `minute` minutes after nine o'clock.
fn failed_sign_in(id: &str, sub: &str, address: &str, minute: u32) -> Value {
    let mut call = call("InitiateAuth", id, sub);
    call["detail"]["eventTime"] = json!(format!("2026-03-02T09:{minute:02}:00Z"));
    call["detail"]["requestParameters"] =
        json!({"authFlow": "USER_SRP_AUTH", "clientId": "1example23456789"});
    call["detail"]["errorCode"] = json!("NotAuthorizedException");
    call["detail"]["errorMessage"] = json!("Incorrect username or password.");
    call["detail"]["sourceIPAddress"] = json!(address);
    call
}

/// Puts a user into the pool whose username is not the sub.
async fn put_user(stack: &TestStack, username: &str, status: &str, attributes: &[(&str, &str)]) {
    let attributes = attributes.iter().copied().collect();
    let user = NewUser { username, status, attributes };
    stack.account.backend().user_pools().put_users(POOL, &[user]).await;
}

/// An account in which Ana is in the pool and has a profile with an old address and an old name.
async fn stack_with_ana() -> TestStack {
    let stack = test_stack().await;
    put_ana(&stack, &[("email", "ana@example.com"), ("email_verified", "true"), ("name", "Ana Example")])
        .await;
    let mut profile = empty_profile(ANA, stack.account.time.now());
    profile.confirmed.email = Some("ana.old@example.com".to_owned());
    profile.confirmed.email_verified = true;
    profile.confirmed.name = Some("Ana Silva".to_owned());
    profile.confirmed.preferred_username = Some("silva".to_owned());
    stack.store().write_profile(&profile).await.unwrap();
    stack
}

async fn put_ana(stack: &TestStack, attributes: &[(&str, &str)]) {
    let attributes: Vec<(&str, &str)> =
        [("sub", ANA)].into_iter().chain(attributes.iter().copied()).collect();
    put_user(stack, "ana", "CONFIRMED", &attributes).await;
}

async fn set_mfa(stack: &TestStack, is_enabled: bool) {
    let settings = SoftwareTokenMfaSettingsType::builder().enabled(is_enabled).build();
    let call = stack.account.cognito().admin_set_user_mfa_preference().user_pool_id(POOL).username("ana");
    call.software_token_mfa_settings(settings).send().await.unwrap();
}

async fn stats(stack: &TestStack, sub: &str) -> Value {
    stack.item(&format!("USER#{sub}"), "STATS").await
}

/// The types of the stored events of a user.
async fn stored_types(stack: &TestStack, sub: &str) -> Vec<String> {
    let items = stack.account.items().await.unwrap().into_iter();
    let events = items
        .filter(|((partition, sort), _)| *partition == format!("USER#{sub}") && sort.starts_with("EVENT#"));
    events.map(|(_, item)| item["type"].as_str().unwrap().to_owned()).collect()
}

fn ignored(stack: &TestStack, reason: &str) -> u64 {
    stack.account.counts("AccountEventsIgnored").get(reason).copied().unwrap_or_default()
}

fn lookups(stack: &TestStack) -> usize {
    let is_lookup = |operation: &&String| ["AdminGetUser", "ListUsers"].contains(&operation.as_str());
    stack.account.calls.operations().iter().filter(is_lookup).count()
}

#[tokio::test]
async fn every_call_of_the_fixtures_becomes_one_event_however_often_it_is_delivered() {
    for (fixture, expected) in [
        ("admin-add-user-to-group", "user.group_changed"),
        ("admin-delete-user-attributes", "profile.updated"),
        ("admin-disable-user", "user.disabled"),
        ("admin-enable-user", "user.enabled"),
        ("admin-initiate-auth", "user.sign_in_failed"),
        ("admin-remove-user-from-group", "user.group_changed"),
        ("admin-respond-to-auth-challenge", "user.sign_in_failed"),
        ("admin-set-user-mfa-preference", "user.mfa_disabled"),
        ("admin-set-user-password", "user.password_changed"),
        ("admin-set-user-settings", "user.mfa_disabled"),
        ("admin-update-user-attributes", "profile.updated"),
        ("admin-user-global-sign-out", "user.signed_out"),
        ("change-password", "user.password_changed"),
        ("delete-user-attributes", "profile.updated"),
        ("global-sign-out", "user.signed_out"),
        ("initiate-auth", "user.sign_in_failed"),
        ("respond-to-auth-challenge", "user.sign_in_failed"),
        ("set-user-mfa-preference", "user.mfa_disabled"),
        ("set-user-settings", "user.mfa_disabled"),
        ("update-user-attributes", "profile.updated"),
        ("verify-user-attribute", "profile.updated"),
    ] {
        let stack = stack_with_ana().await;
        let batch: SqsEvent =
            serde_json::from_value(fixtures::json(&format!("account-activity/{fixture}"))).unwrap();
        stack.account_activity(&[]).handle_twice(&batch).await;
        assert_eq!(stored_types(&stack, ANA).await, [expected], "{fixture}");
        assert_eq!(stats(&stack, ANA).await["version"], 1, "{fixture}");
        assert_eq!(stack.account.count("AccountEventsIgnored"), 0, "{fixture}");
    }
}

#[tokio::test]
async fn deleted_account_leaves_only_the_marker() {
    for fixture in ["delete-user", "admin-delete-user"] {
        let stack = stack_with_ana().await;
        stack.user_stats(&[]).handle_twice(&batch(&[order("1", ANA, "1.00")])).await;
        stack.notices().await;
        let batch: SqsEvent =
            serde_json::from_value(fixtures::json(&format!("account-activity/{fixture}"))).unwrap();
        stack.account_activity(&[]).handle_twice(&batch).await;
        let items = stack.account.items().await.unwrap();
        assert_eq!(items.len(), 1, "{items:?}");
        assert!(stats(&stack, ANA).await["erasedAt"].is_i64(), "{items:?}");
        let notices = stack.notices().await;
        assert_eq!(notices[0]["data"]["reason"], "erased");
        assert_eq!(notices[0]["source"], "/account-activity");
        assert_eq!(lookups(&stack), 0, "a deleted user is in no pool");
    }
}

#[tokio::test]
async fn deleted_account_stays_and_is_marked_if_its_data_is_kept() {
    let stack = stack_with_ana().await;
    let worker = stack.account_activity(&[("ACCOUNT_DELETION", "keep")]);
    worker.handle_twice(&batch(&[call("AdminDeleteUser", "1", ANA)])).await;
    let stats = stats(&stack, ANA).await;
    assert_eq!((&stats["deletedAt"], &stats["version"]), (&json!(1_772_442_000_000_i64), &json!(1)));
    assert_eq!(stack.item(&format!("USER#{ANA}"), "PROFILE").await["name"], "Ana Silva");
    // The claim of the notice is confirmed by `deletedAt`, so the pages are invalidated at once.
    let notices = stack.notices().await;
    assert_eq!(notices[0]["data"]["views"], json!(["dashboard", "orders", "profile"]));
    let spent = &[("MONTHLY_ITEM_BUDGET", "0")];
    stack.cache_invalidation(spent).handle(&batch(&notices)).await;
    assert_eq!(stack.account.calls.invalidations().len(), 1);
}

#[tokio::test]
async fn calls_that_arrive_after_the_deletion_change_nothing() {
    let stack = stack_with_ana().await;
    let worker = stack.account_activity(&[]);
    let late = [
        call("AdminUpdateUserAttributes", "2", ANA),
        call("AdminSetUserMFAPreference", "3", ANA),
        call("AdminDisableUser", "4", ANA),
        failed_sign_in("5", ANA, "198.51.100.7", 0),
    ];
    let deletion = call("AdminDeleteUser", "1", ANA);
    // In one batch, in whatever order.
    let together: Vec<Value> = late.iter().cloned().chain([deletion.clone()]).collect();
    for bodies in [&[deletion][..], &late, &together] {
        worker.handle_twice(&batch(bodies)).await;
        let items = stack.account.items().await.unwrap();
        assert_eq!(items.len(), 1, "{items:?}");
        assert!(stats(&stack, ANA).await["erasedAt"].is_i64());
    }
    assert_eq!(lookups(&stack), 0);
}

#[tokio::test]
async fn profile_follows_the_user_pool_and_loses_what_the_user_no_longer_has() {
    let stack = stack_with_ana().await;
    let worker = stack.account_activity(&[]);
    worker.handle_twice(&batch(&[token_call("UpdateUserAttributes", "1", ANA)])).await;
    let profile = stack.item(&format!("USER#{ANA}"), "PROFILE").await;
    assert_eq!((&profile["email"], &profile["name"]), (&json!("ana@example.com"), &json!("Ana Example")));
    assert_eq!(profile.get("preferredUsername"), None);
    assert_eq!((&profile["isBanned"], &profile["cognitoId"]), (&json!(false), &json!(ANA)));
    let event = stack.item(&format!("USER#{ANA}"), &format!("EVENT#/cognito/{POOL}/cloudtrail#1")).await;
    let body: Value = serde_json::from_str(event["event"].as_str().unwrap()).unwrap();
    assert_eq!(body["data"], json!({"changed": ["email", "name", "preferredUsername"], "by": "user"}));
    assert!(!body.to_string().contains("example.com"), "no value is in the event: {body}");
    assert_eq!(stack.notices().await[0]["data"]["views"], json!(["dashboard", "profile"]));

    worker.handle_twice(&batch(&[token_call("VerifyUserAttribute", "2", ANA)])).await;
    assert_eq!(ignored(&stack, "unchanged"), 2);
    assert_eq!(stored_types(&stack, ANA).await, ["profile.updated"]);
    assert_eq!(stack.notices().await, [] as [Value; 0]);
}

#[tokio::test]
async fn unverified_address_does_not_replace_a_verified_one() {
    let stack = stack_with_ana().await;
    put_ana(&stack, &[("email", "b@example.com"), ("email_verified", "false"), ("name", "Ana Silva")]).await;
    stack.account_activity(&[]).handle_twice(&batch(&[token_call("UpdateUserAttributes", "1", ANA)])).await;
    let profile = stack.item(&format!("USER#{ANA}"), "PROFILE").await;
    assert_eq!(
        (&profile["email"], &profile["isEmailVerified"]),
        (&json!("ana.old@example.com"), &json!(true))
    );
}

/// The second delivery finds the profile up to date. The first one did not send the notice.
#[tokio::test]
async fn notice_of_a_refreshed_profile_is_sent_after_a_failure_between_commit_and_notice() {
    let stack = stack_with_ana().await;
    let worker = stack.account_activity(&[]);
    let batch = batch(&[token_call("UpdateUserAttributes", "1", ANA)]);
    stack.account.faults.inject("SendMessageBatch", Fault::Error("AccessDenied"), 9);
    assert_eq!(worker.handle(&batch).await, ["m0"]);
    stack.account.faults.clear();
    assert_eq!(stored_types(&stack, ANA).await, ["profile.updated"]);
    assert_eq!(worker.handle(&batch).await, [] as [&str; 0]);
    assert_eq!(stack.notices().await.len(), 1);
}

/// The profile is written in the transaction of the event. So another writer makes both wait.
#[tokio::test]
async fn profile_and_event_are_committed_together_or_not_at_all() {
    let stack = stack_with_ana().await;
    let worker = stack.account_activity(&[]);
    let batch = batch(&[token_call("UpdateUserAttributes", "1", ANA)]);
    let conflict = Fault::Cancelled(&["None", "None", "ConditionalCheckFailed"]);
    stack.account.faults.inject("TransactWriteItems", conflict, 8);
    assert_eq!(worker.handle(&batch).await, ["m0"]);
    assert_eq!(stack.item(&format!("USER#{ANA}"), "PROFILE").await["name"], "Ana Silva");
    assert_eq!(stored_types(&stack, ANA).await, [] as [&str; 0]);
    assert_eq!(worker.handle(&batch).await, [] as [&str; 0]);
    assert_eq!(stack.item(&format!("USER#{ANA}"), "PROFILE").await["name"], "Ana Example");
}

#[tokio::test]
async fn mfa_has_the_state_that_the_user_pool_knows() {
    let stack = stack_with_ana().await;
    let worker = stack.account_activity(&[]);
    for (id, is_enabled) in [("1", true), ("2", false)] {
        set_mfa(&stack, is_enabled).await;
        let mut call = token_call("SetUserMFAPreference", id, ANA);
        call["detail"]["eventTime"] = json!(format!("2026-03-02T08:59:0{id}Z"));
        worker.handle_twice(&batch(&[call])).await;
        assert_eq!(stats(&stack, ANA).await["isMfaEnabled"], json!(is_enabled));
    }
    let recent = stats(&stack, ANA).await["recent"].clone();
    assert_eq!(recent[0]["type"], "user.mfa_disabled");
    assert_eq!(recent[1]["type"], "user.mfa_enabled");
}

#[tokio::test]
async fn mfa_preference_that_is_repeated_stores_no_event() {
    let stack = stack_with_ana().await;
    let worker = stack.account_activity(&[]);
    set_mfa(&stack, true).await;
    for id in ["1", "2", "3"] {
        worker.handle_twice(&batch(&[token_call("SetUserMFAPreference", id, ANA)])).await;
    }
    assert_eq!(stored_types(&stack, ANA).await, ["user.mfa_enabled"]);
    assert_eq!(ignored(&stack, "unchanged"), 4);
}

#[tokio::test]
async fn address_of_a_backend_that_signs_users_in_does_not_count() {
    let stack = stack_with_ana().await;
    let worker = stack.account_activity(&[("FAILED_USERS_PER_ADDRESS", "2")]);
    let failures: Vec<Value> = [ANA, BEN]
        .map(|sub| {
            let mut failure = failed_sign_in(sub, sub, "198.51.100.7", 9);
            failure["detail"]["eventName"] = json!("AdminInitiateAuth");
            failure["detail"]["requestParameters"]["userPoolId"] = json!(POOL);
            failure
        })
        .into();
    worker.handle_twice(&batch(&failures)).await;
    assert_eq!(stored_types(&stack, ANA).await, ["user.sign_in_failed"]);
    assert_eq!(stack.account.count("AddressesWithManyUsers"), 0);
    let partitions = stack.account.items().await.unwrap();
    assert!(partitions.keys().all(|(partition, _)| !partition.starts_with("ADDRESS#")));
}

#[tokio::test]
async fn call_of_another_account_region_or_pool_or_without_a_known_user_is_ignored() {
    let stack = test_stack().await;
    put_user(&stack, "ben", "CONFIRMED", &[("sub", BEN)]).await;
    let worker = stack.account_activity(&[]);
    let with = |pointer: &str, value: Value| {
        let mut call = call("AdminDisableUser", pointer, ANA);
        *call.pointer_mut(pointer).unwrap() = value;
        call
    };
    let unknown = "00000000-0000-4000-8000-000000000000";
    for (call, reason) in [
        (with("/account", json!("000000000000")), "other_account"),
        (with("/region", json!("eu-west-1")), "other_region"),
        (with("/detail/requestParameters/userPoolId", json!("eu-central-1_EXAMPLE02")), "other_user_pool"),
        (with("/detail/additionalEventData", json!(null)), "no_sub"),
        (with("/detail/eventName", json!("AdminCreateUser")), "unknown_event_name"),
        (with("/detail/eventName", json!("InitiateAuth")), "successful_sign_in"),
        (token_call("DeleteUser", "1", unknown), "unknown_user"),
        (token_call("ChangePassword", "2", unknown), "unknown_user"),
        (token_call("UpdateUserAttributes", "3", unknown), "unknown_user"),
        (failed_sign_in("4", unknown, "198.51.100.7", 0), "unknown_user"),
    ] {
        let before = ignored(&stack, reason);
        worker.handle_twice(&batch(&[call])).await;
        assert_eq!(ignored(&stack, reason), before + 2, "{reason}");
    }
    assert_eq!(stack.account.items().await.unwrap(), Default::default(), "nothing is written");
    assert_eq!(stack.dead_letters(&stack.account.account_activities).await, []);
}

#[test]
fn page_explains_every_reason_to_ignore_an_event_and_no_other() {
    let page = include_str!("../../docs/account-events.md");
    let section = page.split("## Ignored events").nth(1).unwrap().split("## ").next().unwrap();
    let codes: BTreeSet<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(code, _)| code)
        .collect();
    assert_eq!(codes, IgnoreReason::ALL.map(IgnoreReason::code).into());
}

#[tokio::test]
async fn user_whom_only_the_pool_knows_is_found_and_a_failed_sign_in_looks_nobody_up() {
    let stack = test_stack().await;
    put_ana(&stack, &[]).await;
    let worker = stack.account_activity(&[]);
    worker.handle_twice(&batch(&[failed_sign_in("1", ANA, "198.51.100.7", 0)])).await;
    assert_eq!((lookups(&stack), ignored(&stack, "unknown_user")), (0, 2));
    worker.handle_twice(&batch(&[token_call("ChangePassword", "2", ANA)])).await;
    assert_eq!(stats(&stack, ANA).await["passwordChanges"], 1);
    assert_eq!(lookups(&stack), 1, "then the table knows the user");
}

/// The user may be of another pool. Only an event about the deletion of a known user makes the others
/// needless.
#[tokio::test]
async fn deletion_of_an_unknown_user_makes_no_other_call_of_the_user_count() {
    for name in ["UpdateUserAttributes", "SetUserMFAPreference", "ChangePassword", "GlobalSignOut"] {
        let stack = test_stack().await;
        put_user(&stack, "ben", "CONFIRMED", &[("sub", BEN)]).await;
        let worker = stack.account_activity(&[]);
        let (other, deletion) = (token_call(name, "1", ANA), token_call("DeleteUser", "2", ANA));
        for bodies in [[other.clone(), deletion.clone()], [deletion, other]] {
            worker.handle_twice(&batch(&bodies)).await;
        }
        assert_eq!(stack.account.items().await.unwrap(), Default::default(), "{name}");
        assert_eq!(ignored(&stack, "unknown_user"), 8, "{name}");
        assert_eq!(stack.notices().await, [] as [Value; 0], "{name}");
    }
}

/// Otherwise more than 20 events would be stored, and no address.
#[tokio::test]
async fn failed_sign_in_of_a_user_unknown_to_the_table_counts_neither_with_a_lookup_nor_waits_for_one() {
    let stack = test_stack().await;
    put_ana(&stack, &[]).await;
    let worker = stack.account_activity(&[]);
    let failures = (0..30).map(|n| failed_sign_in(&format!("f{n}"), ANA, "198.51.100.7", 0));
    let bodies: Vec<Value> = [token_call("ChangePassword", "1", ANA)].into_iter().chain(failures).collect();
    stack.account.faults.inject("AdminGetUser", Fault::Error("TooManyRequestsException"), 9);
    assert_eq!(worker.handle(&batch(&bodies)).await, ["m0"]);
    stack.account.faults.clear();
    assert_eq!(ignored(&stack, "unknown_user"), 30);
    assert_eq!(worker.handle(&batch(&bodies)).await, [] as [&str; 0]);
    assert_eq!(ignored(&stack, "unknown_user"), 60);
    assert_eq!(stored_types(&stack, ANA).await, ["user.password_changed"]);
}

/// ListUsers returns pages, and one without a match may come before the one with the user.
#[tokio::test]
async fn lookup_follows_the_pages_of_the_user_pool_up_to_a_limit() {
    for (empty_pages, is_found) in [(1, true), (4, true), (5, false)] {
        let stack = test_stack().await;
        put_user(&stack, "ana", "EXTERNAL_PROVIDER", &[("sub", ANA)]).await;
        stack.account.faults.inject("ListUsers", Fault::EmptyPage, empty_pages);
        let failed =
            stack.account_activity(&[]).handle(&batch(&[token_call("ChangePassword", "1", ANA)])).await;
        // An unfinished search is no proof that the pool has no such user.
        assert_eq!(failed.is_empty(), is_found, "{empty_pages} empty pages: {failed:?}");
        assert_eq!(ignored(&stack, "unknown_user"), 0);
        assert_eq!(stored_types(&stack, ANA).await.len(), usize::from(is_found));
        let calls = stack.account.calls.operations();
        let pages = calls.iter().filter(|operation| *operation == "ListUsers").count();
        assert_eq!(pages, (empty_pages + 1).min(5));
    }
}

#[tokio::test]
async fn profile_that_is_up_to_date_waits_if_the_table_throttles() {
    let stack = stack_with_ana().await;
    let worker = stack.account_activity(&[]);
    worker.handle_twice(&batch(&[token_call("UpdateUserAttributes", "1", ANA)])).await;
    let batch = batch(&[token_call("VerifyUserAttribute", "2", ANA)]);
    // The first read is that of the accounts.
    stack.account.faults.inject("BatchGetItem", Fault::Served, 1);
    stack.account.faults.inject("BatchGetItem", Fault::Error("ThrottlingException"), 99);
    assert_eq!(worker.handle(&batch).await, ["m0"]);
    assert!(stack.account.calls.visibility_timeouts().contains_key("r0"));
    stack.account.faults.clear();
    assert_eq!(worker.handle(&batch).await, [] as [&str; 0]);
    assert_eq!(ignored(&stack, "unchanged"), 1);
}

#[tokio::test]
async fn message_that_is_out_of_time_for_its_commit_and_its_address_counts_once() {
    let stack = stack_with_ana().await;
    let soon = shared::time::plus_seconds(stack.account.time.now(), 4);
    let batch = batch(&[failed_sign_in("1", ANA, "198.51.100.7", 0)]);
    assert_eq!(stack.account_activity(&[]).handle_until(&batch, soon).await, ["m0"]);
    assert_eq!(stack.account.count("MessagesOutOfTime"), 1);
}

/// AdminGetUser does not know the sub of a user of an identity provider. And a username may be the sub of
/// another user.
#[tokio::test]
async fn user_is_the_one_with_the_sub_and_not_one_with_such_a_username() {
    let stack = stack_with_ana().await;
    put_user(&stack, "ana", "EXTERNAL_PROVIDER", &[("sub", ANA), ("name", "Ana Example")]).await;
    put_user(&stack, ANA, "CONFIRMED", &[("sub", "an-impostor"), ("name", "Impostor")]).await;
    stack.account_activity(&[]).handle_twice(&batch(&[token_call("UpdateUserAttributes", "1", ANA)])).await;
    assert_eq!(stack.item(&format!("USER#{ANA}"), "PROFILE").await["name"], "Ana Example");
}

#[tokio::test]
async fn throttled_lookup_makes_only_the_messages_wait_that_need_it() {
    let stack = stack_with_ana().await;
    let worker = stack.account_activity(&[]);
    let batch = batch(&[token_call("UpdateUserAttributes", "1", ANA), call("AdminDisableUser", "2", ANA)]);
    stack.account.faults.inject("AdminGetUser", Fault::Error("TooManyRequestsException"), 9);
    assert_eq!(worker.handle(&batch).await, ["m0"]);
    assert_eq!(stats(&stack, ANA).await["isDisabled"], true);
    let delay = stack.account.calls.visibility_timeouts()["r0"];
    assert!((15..=30).contains(&delay), "{delay}");
    assert_eq!(stack.account.counts("UserLookupsFailed"), [("throttled".to_owned(), 1)].into());
    stack.account.faults.clear();
    worker.handle_twice(&batch).await;
    assert_eq!(stack.item(&format!("USER#{ANA}"), "PROFILE").await["name"], "Ana Example");
}

#[tokio::test]
async fn failed_lookup_keeps_the_message_on_the_queue() {
    for fault in [Fault::Error("AccessDeniedException"), Fault::Refused] {
        let stack = stack_with_ana().await;
        stack.account.faults.inject("AdminGetUser", fault, 9);
        let batch = batch(&[token_call("SetUserMFAPreference", "1", ANA)]);
        assert_eq!(stack.account_activity(&[]).handle(&batch).await, ["m0"]);
        assert_eq!(stack.account.counts("UserLookupsFailed"), [("failed".to_owned(), 1)].into());
    }
}

#[tokio::test]
async fn flood_of_failed_passwords_causes_a_bounded_number_of_writes() {
    let stack = stack_with_ana().await;
    let worker = stack.account_activity(&[]);
    stack.account.calls.clear_operations();
    for batch_number in 0..10 {
        let bodies: Vec<Value> = (0..30)
            .map(|n| failed_sign_in(&format!("{batch_number}-{n}"), ANA, "198.51.100.7", batch_number))
            .collect();
        worker.handle_twice(&batch(&bodies)).await;
    }
    let stats = stats(&stack, ANA).await;
    assert_eq!(stats["signInsFailed"], 20);
    assert_eq!(stats["failuresByHour"], json!({"2026-03-02T09": 20}));
    assert_eq!(stats["lastSignInFailedAt"], 1_772_442_000_000_i64);
    assert_eq!(stats.get("recent"), None, "an attacker must not push the user's activities out");
    assert_eq!(stored_types(&stack, ANA).await.len(), 20);
    assert_eq!(stack.account.count("SignInsFailed"), 20);
    assert_eq!(stack.account.count("UsersWithManyFailures"), 1);
    assert_eq!(stack.account.count("AddressesWithManyUsers"), 0);
    // One transaction, and one address.
    assert_eq!(stack.account.calls.writes().len(), 2);
    assert_eq!(stack.notices().await, [] as [Value; 0]);
}

#[tokio::test]
async fn user_has_many_failures_once_in_an_hour() {
    let stack = stack_with_ana().await;
    let worker = stack.account_activity(&[("FAILED_SIGN_INS_PER_USER", "3")]);
    for minute in 0..6 {
        let failure = failed_sign_in(&format!("f{minute}"), ANA, "198.51.100.7", minute);
        worker.handle_twice(&batch(&[failure])).await;
        assert_eq!(stack.account.count("UsersWithManyFailures"), u64::from(minute >= 2), "{minute}");
    }
}

#[tokio::test]
async fn address_with_many_users_counts_once_and_its_window_is_bounded() {
    let stack = test_stack().await;
    let worker = stack.account_activity(&[]);
    let failure = |n: u32| {
        let mut failure = failed_sign_in(&format!("f{n}"), &format!("user-{n}"), "2001:db8:1:2::1", 9);
        // The attacker has a whole network.
        failure["detail"]["sourceIPAddress"] = json!(format!("2001:db8:1:2::{n:x}"));
        // So the users need not be in the table.
        failure["detail"]["requestParameters"]["userPoolId"] = json!(POOL);
        failure
    };
    for (n, expected) in [(1, 0), (8, 0), (10, 1), (30, 1)] {
        let bodies: Vec<Value> = (0..n).map(failure).collect();
        worker.handle_twice(&batch(&bodies)).await;
        assert_eq!(stack.account.count("AddressesWithManyUsers"), expected, "{n} users");
    }
    let partition = "ADDRESS#2001:db8:1:2::/64";
    let item = stack.item(partition, "FAILURES#2026-03-02T09:00").await;
    assert_eq!(item["users"].as_array().unwrap().len(), 30);
    assert_eq!(item["expiresAt"], 1_772_442_000 + 600 + 24 * 3600);
    assert!(!item.to_string().contains("user-1"), "no sub is in it: {item}");
    // A full window is not written again, neither by a warm function nor by a new one.
    let all: Vec<Value> = (0..200).map(failure).collect();
    for worker in [&worker, &stack.account_activity(&[])] {
        worker.handle_twice(&batch(&all)).await;
        let item = stack.item(partition, "FAILURES#2026-03-02T09:00").await;
        assert_eq!(item["users"].as_array().unwrap().len(), 80);
    }
    let writes = |stack: &TestStack| stack.account.calls.writes().len();
    let before = writes(&stack);
    worker.handle_twice(&batch(&all)).await;
    assert_eq!(writes(&stack), before, "all events are stored, and the window is known to be full");
}

#[tokio::test]
async fn address_is_recorded_again_if_the_write_fails() {
    let stack = stack_with_ana().await;
    let worker = stack.account_activity(&[]);
    let batch = batch(&[failed_sign_in("1", ANA, "198.51.100.7", 0)]);
    stack.account.faults.inject("UpdateItem", Fault::Error("AccessDeniedException"), 1);
    assert_eq!(worker.handle(&batch).await, ["m0"]);
    assert_eq!(worker.handle(&batch).await, [] as [&str; 0]);
    let item = stack.item("ADDRESS#198.51.100.7", "FAILURES#2026-03-02T09:00").await;
    assert_eq!(item["users"].as_array().unwrap().len(), 1);
    assert_eq!(stats(&stack, ANA).await["signInsFailed"], 1);
}

#[tokio::test]
async fn address_is_only_in_the_stored_event_and_in_the_window() {
    let stack = stack_with_ana().await;
    let worker = stack.account_activity(&[]);
    worker.handle_twice(&batch(&[failed_sign_in("1", ANA, "198.51.100.7", 0)])).await;
    let items = stack.account.items().await.unwrap().into_iter();
    let with_address = items.filter(|((partition, _), item)| {
        partition.contains("198.51.100.7") || item.to_string().contains("198.51.100.7")
    });
    let keys: BTreeSet<String> =
        with_address.map(|((partition, sort), _)| format!("{partition} {sort}")).collect();
    let event = format!("USER#{ANA} EVENT#/cognito/{POOL}/cloudtrail#1");
    let window = "ADDRESS#198.51.100.7 FAILURES#2026-03-02T09:00".to_owned();
    assert_eq!(keys, [event, window].into());
}

#[tokio::test]
async fn event_of_256_kilobytes_is_handled() {
    let stack = stack_with_ana().await;
    let mut large = call("AdminDisableUser", "1", ANA);
    large["detail"]["requestParameters"]["clientMetadata"] = json!({"x": "y".repeat(250_000)});
    assert!(large.to_string().len() > 250_000);
    stack.account_activity(&[]).handle_twice(&batch(&[large])).await;
    assert_eq!(stats(&stack, ANA).await["isDisabled"], true);
}

#[tokio::test]
async fn message_that_is_no_record_or_too_old_is_dead_lettered_and_fails_no_other() {
    let stack = stack_with_ana().await;
    let at = |id: &str, time: &str| {
        let mut call = call("AdminEnableUser", id, ANA);
        call["detail"]["eventTime"] = json!(time);
        call
    };
    let bodies = [
        json!("no JSON"),
        json!({"source": "aws.cognito-idp"}),
        order("1", ANA, "1.00"),
        at("2", "2026-01-30T08:59:59Z"),
        at("3", "2026-03-02T09:15:01Z"),
        call("AdminDisableUser", "4", ANA),
    ];
    assert_eq!(stack.account_activity(&[]).handle(&batch(&bodies)).await, [] as [&str; 0]);
    let letters = stack.dead_letters(&stack.account.account_activities).await.into_iter();
    let mut reasons: Vec<String> = letters.map(|(_, reason)| reason).collect();
    reasons.sort();
    assert_eq!(reasons, ["in_the_future", "not_cloudtrail", "not_cloudtrail", "not_cloudtrail", "too_old"]);
    assert_eq!(stored_types(&stack, ANA).await, ["user.disabled"]);
}

/// Any service that may send to user-events could otherwise disable a user's account in the statistics.
#[tokio::test]
async fn user_events_refuses_the_events_of_cloudtrail() {
    let stack = test_stack().await;
    let by = json!({"by": "user"});
    let types = [
        ("user.password_changed", by.clone()),
        ("user.mfa_enabled", by.clone()),
        ("user.mfa_disabled", by.clone()),
        ("user.signed_out", by),
        ("user.disabled", json!({})),
        ("user.enabled", json!({})),
        ("user.group_changed", json!({"change": "added"})),
        ("user.sign_in_failed", json!({})),
    ];
    let bodies: Vec<Value> = types.iter().map(|(name, data)| event(name, name, ANA, data.clone())).collect();
    assert_eq!(stack.user_stats(&[]).handle(&batch(&bodies)).await, [] as [&str; 0]);
    let letters = stack.dead_letters(&stack.account.user_events).await;
    let reasons: BTreeSet<&str> = letters.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!((letters.len(), reasons), (types.len(), ["wrong_queue"].into()));
    assert_eq!(stack.account.items().await.unwrap(), Default::default());
}

/// DynamoDB charges a write of up to 1 KB as one unit, and twice that in a transaction.
#[tokio::test]
async fn account_events_add_less_than_300_bytes_to_the_statistics() {
    let stack = stack_with_ana().await;
    let worker = stack.account_activity(&[("ACCOUNT_DELETION", "keep")]);
    let mut calls: Vec<Value> = (0..30)
        .map(|n| {
            let mut failure = failed_sign_in(&format!("f{n}"), ANA, "198.51.100.7", 0);
            failure["detail"]["eventTime"] = json!(format!("2026-03-02T0{}:00:00Z", 8 + n % 2));
            failure
        })
        .collect();
    for name in ["AdminSetUserPassword", "AdminDisableUser", "AdminUserGlobalSignOut", "AdminDeleteUser"] {
        calls.push(call(name, name, ANA));
    }
    // Both sizes include the latest activities, whose entries replace each other.
    worker.handle_twice(&batch(&[call("AdminSetUserMFAPreference", "mfa", ANA)])).await;
    worker.handle_twice(&batch(&calls)).await;
    let with_events = stats(&stack, ANA).await;
    let mut without = with_events.clone();
    let fields = without.as_object_mut().unwrap();
    for name in [
        "passwordChanges",
        "lastPasswordChangedAt",
        "isMfaEnabled",
        "mfaChangedAt",
        "isDisabled",
        "disabledChangedAt",
        "lastSignedOutAt",
        "deletedAt",
        "signInsFailed",
        "lastSignInFailedAt",
        "failuresByHour",
    ] {
        assert!(fields.remove(name).is_some(), "{name}: {with_events}");
    }
    let bytes = statistics_bytes(&with_events) - statistics_bytes(&without);
    assert!(bytes < 300, "{bytes} bytes");
}

#[tokio::test]
async fn calls_of_one_user_are_committed_whatever_their_order_is() {
    let dated = |name: &str, id: &str| {
        let mut call = call(name, id, ANA);
        call["detail"]["eventTime"] = json!(format!("2026-03-02T08:59:0{id}Z"));
        call
    };
    let calls = [
        dated("AdminDisableUser", "1"),
        dated("AdminEnableUser", "2"),
        dated("AdminSetUserPassword", "3"),
        dated("AdminUserGlobalSignOut", "4"),
        dated("AdminDisableUser", "5"),
    ];
    let variables: Variables<'_> = &[];
    let mut results = Vec::new();
    for start in 0..calls.len() {
        let stack = stack_with_ana().await;
        let worker = stack.account_activity(variables);
        let mut rotated = calls.clone();
        rotated.rotate_left(start);
        for call in rotated {
            worker.handle_twice(&batch(&[call])).await;
        }
        let mut stats = stats(&stack, ANA).await;
        for own in ["lastChangedAt", "lastNoticeAt", "lastSkippedAt", "pagesExpireAt"] {
            stats.as_object_mut().unwrap().remove(own);
        }
        results.push(stats);
    }
    assert_eq!(results[0]["isDisabled"], true);
    assert!(results.iter().all(|stats| *stats == results[0]), "{results:?}");
}
