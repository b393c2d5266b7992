//! `replay user suspend` and `reinstate` with `--email`, `--sign-out` and `--enable`.

use std::collections::BTreeMap;

use sandbox::aws::user_pools::NewUser;
use sandbox::aws::{Fault, TABLE};
use sandbox::functions::invoke_trigger;
use serde_json::{Value, json};
use shared::events::Confirmed;
use shared::function_id::FunctionId;
use shared::store::Profile;
use tests::fixtures::event_with;
use triggers::TriggerError;
use triggers::pre_sign_up::DENIED;

use super::loopback_account::LoopbackAccount;
use super::support::{ANA, CommandRun};

const POOL: &str = "eu-central-1_EXAMPLE12";
const KEY: (&str, &str) = ("SUSPENDED_EMAIL_KEY", "0123456789abcdef0123456789abcdef");
/// The hash of ana@example.com with this key.
const PARTITION: &str = "SUSPENDED_EMAIL#0e9166fe256f8cdc412827b7c18d7aea62940e8e6e34abc49621bca671190ebe";
const SUSPEND: [&str; 7] = ["user", "suspend", ANA, "--reason", "fraud", "--email", "--sign-out"];
const REINSTATE: [&str; 7] = ["user", "reinstate", ANA, "--reason", "settled", "--email", "--enable"];

/// An account in which Ana has a profile and an account in the user pool. The username in the
/// profile is now the one of another user.
async fn account_with_ana() -> LoopbackAccount {
    let account = LoopbackAccount::start().await;
    let user = |username, sub, email| {
        let attributes = BTreeMap::from([("sub", sub), ("email", email)]);
        NewUser { username, status: "CONFIRMED", attributes }
    };
    let users = [user("ana-1", ANA, "ana@example.com"), user("ana", "sub-of-ben", "ben@example.com")];
    account.sandbox.backend().user_pools().put_users(POOL, &users).await;
    let confirmed = Confirmed {
        username: "ana".into(),
        email: Some("ana@example.com".into()),
        email_verified: true,
        name: None,
        preferred_username: None,
    };
    let profile = Profile { sub: ANA.into(), confirmed, created_at: account.sandbox.time.now() };
    account.store().write_profile(&profile).await.unwrap();
    account.sandbox.calls.clear_operations();
    account
}

/// Runs a command with the key, the table, the queue and the user pool.
async fn replay(account: &LoopbackAccount, arguments: &[&str]) -> CommandRun {
    let common = ["--table", TABLE, "--queue", "user-events", "--user-pool", POOL];
    account.replay_with(&[KEY], &[arguments, &common].concat()).await
}

async fn sign_up(account: &LoopbackAccount, email: &str) -> Result<(), TriggerError> {
    let event = event_with("pre-sign-up/sign-up", |event| {
        event["request"]["userAttributes"]["email"] = email.into();
    });
    let variables = [KEY, ("CHECK_SUSPENDED_EMAILS", "true")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let answer = invoke_trigger(&account.sandbox, FunctionId::PreSignUp, &variables, event).await;
    answer.unwrap().map(|_| ())
}

async fn is_enabled(account: &LoopbackAccount, username: &str) -> bool {
    account.sandbox.backend().user_pools().enabled().await[username]
}

fn calls(account: &LoopbackAccount, prefix: &str) -> Vec<String> {
    let calls = account.sandbox.calls.operations();
    calls.into_iter().filter(|call| call.starts_with(prefix)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_user_cannot_sign_up_again_with_another_spelling_until_reinstated() {
    let account = account_with_ana().await;
    let before = account.sandbox.items().await.unwrap();
    let run = replay(&account, &SUSPEND).await;
    assert_eq!(run.code, 0, "{run:?}");
    insta::assert_snapshot!(run.stdout, @r"
    user 7d8ca528-4931-4254-9273-ea5ee853f271
      now   not suspended
      then  suspended without an end, by ben: fraud
      also  suspend the address of the profile, at example.com (before: not suspended)
      also  sign the user out of all devices
      also  disable the account in the user pool (before: enabled)
    Dry run: nothing was changed. Add --yes to suspend the user.
    ");
    assert_eq!(account.sandbox.items().await.unwrap(), before);
    assert_eq!(calls(&account, "Admin"), [] as [&str; 0]);
    assert_eq!(sign_up(&account, "ana@example.com").await, Ok(()));

    let run = replay(&account, &[&SUSPEND[..], &["--yes"]].concat()).await;
    assert!(run.code == 0 && run.stdout.contains("  done  disable the account"), "{run:?}");
    assert!(!format!("{run:?}").contains("ana@"), "no address in the output: {run:?}");
    assert_eq!(calls(&account, "Admin"), ["AdminUserGlobalSignOut", "AdminDisableUser"]);
    assert!(!is_enabled(&account, "ana-1").await && is_enabled(&account, "ana").await);
    let item = account.item(PARTITION, "SUSPENSION").await;
    let names: Vec<&String> = item.as_object().unwrap().keys().collect();
    assert_eq!(names, ["at"], "neither the address nor the sub");

    // The account is deleted. The address is not.
    account.sandbox.backend().user_pools().delete_user(POOL, "ana-1").await;
    for spelling in ["ana@example.com", "ANA+second@Example.com", "ana+@example.com."] {
        assert_eq!(sign_up(&account, spelling).await, Err(DENIED), "{spelling}");
    }
    assert_eq!(sign_up(&account, "carla@example.com").await, Ok(()));

    let reinstate = ["user", "reinstate", ANA, "--reason", "settled", "--email", "Ana+x@example.com"];
    let common = ["--table", TABLE, "--queue", "user-events", "--yes"];
    let run = account.replay_with(&[KEY], &[&reinstate[..], &common].concat()).await;
    assert!(run.code == 0, "{run:?}");
    let expected =
        "  also  end the suspension of the address of --email, at example.com (before: suspended)\n";
    assert!(run.stdout.contains(expected), "{run:?}");
    assert_eq!(account.item(PARTITION, "SUSPENSION").await, Value::Null);
    for spelling in ["ana@example.com", "ANA+second@Example.com"] {
        assert_eq!(sign_up(&account, spelling).await, Ok(()), "{spelling}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reinstatement_enables_the_account_and_ends_the_suspension_of_the_address() {
    let account = account_with_ana().await;
    let until = [&SUSPEND[..], &["--until", "2099-01-01", "--yes"]].concat();
    assert_eq!(replay(&account, &until).await.code, 0);
    let item = account.item(PARTITION, "SUSPENSION").await;
    assert_eq!(
        (&item["until"], &item["expiresAt"]),
        (&json!(4_070_908_800_000_i64), &json!(4_070_908_801_i64))
    );
    assert!(!is_enabled(&account, "ana-1").await);
    account.sandbox.calls.clear_operations();

    let run = replay(&account, &REINSTATE).await;
    insta::assert_snapshot!(run.stdout, @r"
    user 7d8ca528-4931-4254-9273-ea5ee853f271
      now   suspended until 2099-01-01T00:00:00Z, by ben: fraud
      then  not suspended
      also  end the suspension of the address of the profile, at example.com (before: suspended)
      also  enable the account in the user pool (before: disabled)
    Dry run: nothing was changed. Add --yes to reinstate the user.
    ");
    let run = replay(&account, &[&REINSTATE[..], &["--yes"]].concat()).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(calls(&account, "Admin"), ["AdminEnableUser"]);
    assert!(is_enabled(&account, "ana-1").await);
    assert_eq!(account.item(PARTITION, "SUSPENSION").await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_steps_are_named_and_the_command_can_be_repeated() {
    let suspend = [&SUSPEND[..], &["--yes"]].concat();
    for (operation, failed, done) in [
        ("PutItem", "suspend the address of the profile, at example.com", 2),
        ("AdminUserGlobalSignOut", "sign the user out of all devices", 2),
        ("AdminDisableUser", "disable the account in the user pool", 2),
        ("SendMessage", "invalidate the user's cached pages", 3),
    ] {
        let account = account_with_ana().await;
        account.sandbox.faults.inject(operation, Fault::Error("AccessDeniedException"), 100);
        let run = replay(&account, &suspend).await;
        let expected = format!("replay: the user is suspended, but these steps failed: {failed}: ");
        assert!(run.code == 1 && run.stderr.starts_with(&expected), "{operation}: {run:?}");
        assert!(run.stderr.ends_with("Run the command again\n"), "{run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
        assert_eq!(run.stdout.matches("  done  ").count(), done, "{operation}: {run:?}");
        let partition = format!("SUSPENSION#{ANA}");
        assert_eq!(account.item(&partition, "SUSPENSION").await["reason"], "fraud", "in force: {operation}");

        account.sandbox.faults.clear();
        let run = replay(&account, &suspend).await;
        assert!(run.code == 0 && run.stdout.matches("  done  ").count() == 3, "{operation}: {run:?}");
        assert!(!is_enabled(&account, "ana-1").await, "{operation}");
        assert_eq!(sign_up(&account, "ana@example.com").await, Err(DENIED), "{operation}");
    }

    // If the decision is not written, no other step runs.
    let account = account_with_ana().await;
    account.sandbox.faults.inject("TransactWriteItems", Fault::Error("AccessDeniedException"), 100);
    let run = replay(&account, &suspend).await;
    assert!(run.code == 1 && run.stderr.contains("nothing was changed"), "{run:?}");
    assert_eq!(calls(&account, "Admin"), [] as [&str; 0]);
    assert_eq!(account.item(PARTITION, "SUSPENSION").await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_the_profile_and_of_the_pool_are_both_suspended() {
    let account = account_with_ana().await;
    let partition = format!("USER#{ANA}");
    account.set_attributes(&partition, "PROFILE", json!({"email": "ana.old@example.org"})).await;
    let run = replay(&account, &[&SUSPEND[..], &["--yes"]].concat()).await;
    assert_eq!(run.code, 0, "{run:?}");
    for (email, expected) in [
        ("ana@example.com", Err(DENIED)),
        ("Ana.Old+1@example.org", Err(DENIED)),
        ("ana.old@example.com", Ok(())),
    ] {
        assert_eq!(sign_up(&account, email).await, expected, "{email}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_cannot_work_change_nothing() {
    let account = account_with_ana().await;
    let before = account.sandbox.items().await.unwrap();
    let base = ["user", "suspend", ANA, "--reason", "fraud", "--table", TABLE, "--queue", "user-events"];
    let short_key = [(KEY.0, "too short")];
    let other_pool = "eu-central-1_EXAMPLE99";
    for (variables, options, code, expected) in [
        (&[][..], &["--email", "--yes"][..], 2, "Set SUSPENDED_EMAIL_KEY"),
        (&short_key, &["--email", "--yes"], 2, "SUSPENDED_EMAIL_KEY: the key has fewer than 32 characters"),
        (&[KEY], &["--email", "\"zoe\"@example.com", "--yes"], 2, "--email: expected a plain email address"),
        (&[KEY], &["--sign-out", "--yes"], 2, "--user-pool"),
        (&[KEY], &["--user-pool", POOL, "--yes"], 2, "--user-pool has no effect here. Add --sign-out"),
        (
            &[KEY],
            &["--user-pool", other_pool, "--sign-out", "--yes"],
            1,
            "user pool eu-central-1_EXAMPLE99 does",
        ),
        (&[KEY], &["--enable", "--user-pool", POOL], 2, "--enable"),
    ] {
        let run = account.replay_with(variables, &[&base[..], options].concat()).await;
        assert!(run.code == code && run.stderr.contains(expected), "{options:?}: {run:?}");
        assert!(!run.stderr.contains("zoe") && !run.stderr.contains("too short"), "{run:?}");
    }
    let unknown = ["user", "suspend", "unknown-user", "--reason", "x", "--without-profile", "--yes"];
    let run = replay(&account, &[&unknown[..], &["--sign-out"]].concat()).await;
    assert!(run.code == 1 && run.stderr.contains("the user pool has no user with this sub"), "{run:?}");
    let run = replay(&account, &[&unknown[..], &["--email"]].concat()).await;
    assert!(run.code == 1 && run.stderr.contains("Pass --email ADDRESS"), "{run:?}");
    assert_eq!(account.sandbox.items().await.unwrap(), before);
    assert_eq!(calls(&account, "Admin"), [] as [&str; 0]);

    // A dry run without the key says that the address cannot be suspended.
    let run = account.replay(&[&base[..], &["--email"]].concat()).await;
    assert!(run.code == 0 && run.stdout.contains("(before: unknown without SUSPENDED_EMAIL_KEY)"), "{run:?}");
    assert!(run.stdout.contains("Set SUSPENDED_EMAIL_KEY to the key of pre-sign-up"), "{run:?}");
}
