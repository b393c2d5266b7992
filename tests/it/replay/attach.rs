//! `replay attach` and `replay detach`, against a stand-in for Cognito that resets what an update does not
//! have, as AWS does.

use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::process::{Command, Stdio};
#[cfg(unix)]
use std::sync::{Arc, OnceLock};

use clap::Parser;
use replay::cli::Cli;
use serde_json::{Value, json};
use tests::stack_account::{Function, Incident, STACK, StackAccount, UserPool, function_arn, policy};

use super::json::document;
use super::support::{CommandRun, command, run};

const POOL: &str = "eu-central-1_EXAMPLE12";

/// A stack with an existing user pool that calls no function of the stack.
pub struct ExistingPool {
    pub account: StackAccount,
    endpoint: String,
    folder: tempfile::TempDir,
}

impl ExistingPool {
    pub async fn start() -> Self {
        Self::with_parameters(&[("ExistingUserPoolId", POOL)]).await
    }

    async fn with_parameters(parameters: &[(&str, &str)]) -> Self {
        let account = StackAccount::new(parameters, None);
        if !parameters.is_empty() {
            account.change_user_pool(|pool| *pool = UserPool::without_triggers(POOL));
        }
        let endpoint = format!("http://{}", tests::lambda::serve_aws(account.clone()).await);
        Self { account, endpoint, folder: tempfile::tempdir().unwrap() }
    }

    /// The same stack with these settings of the pool.
    pub async fn with_pool(pool: UserPool) -> Self {
        let existing = Self::start().await;
        existing.account.change_user_pool(|current| *current = pool);
        existing
    }

    /// Runs `replay` in the folder of the backups, with STACK_NAME.
    pub async fn replay(&self, arguments: &[&str]) -> CommandRun {
        let mut command = command(&self.endpoint, arguments);
        command.env("STACK_NAME", STACK).env("COLUMNS", "100").current_dir(self.folder.path());
        run(command).await
    }

    /// The backup files, the oldest first.
    pub fn backups(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// The settings without the time of the last change.
    pub fn settings(&self) -> (Value, Value) {
        let UserPool { settings: mut pool, mfa_config, .. } = self.account.user_pool();
        pool.as_object_mut().unwrap().remove("LastModifiedDate");
        (pool, mfa_config)
    }

    fn set(&self, path: &str, value: Value) {
        self.account.change_user_pool(|pool| {
            *pool.settings.pointer_mut(path).unwrap() = value;
            pool.touch();
        });
    }

    /// Sets the functions that the pool calls.
    fn call(&self, lambda_config: Value) {
        self.set("/LambdaConfig", lambda_config);
    }
}

/// The functions of the stack, as Cognito shows them after an update.
fn attached() -> Value {
    let arn = |name: &str| function_arn(&format!("{STACK}-{name}"));
    json!({
        "PreSignUp": arn("pre-sign-up"), "PostConfirmation": arn("post-confirmation"),
        "PreAuthentication": arn("pre-authentication"), "CustomMessage": arn("custom-message"),
        "PreTokenGeneration": arn("pre-token-generation"),
        "PreTokenGenerationConfig": {"LambdaArn": arn("pre-token-generation"), "LambdaVersion": "V2_0"},
    })
}

/// The settings with other functions.
fn with_functions((mut pool, mfa_config): (Value, Value), lambda_config: Value) -> (Value, Value) {
    pool["LambdaConfig"] = lambda_config;
    (pool, mfa_config)
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn attach_and_detach_change_only_the_triggers() {
    let pool = ExistingPool::start().await;
    pool.call(json!({"UserMigration": function_arn("migration")}));
    let before = pool.settings();
    let plan = pool.replay(&["attach"]).await;
    assert_eq!((plan.code, plan.stderr.as_str()), (0, ""), "{plan:?}");
    insta::assert_snapshot!("attach_plan", plan.stdout);
    assert!(pool.settings() == before && pool.backups().is_empty());
    assert_eq!(pool.account.calls_of("UpdateUserPool"), 0);

    let done = pool.replay(&["attach", "--yes"]).await;
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{done:?}");
    assert!(
        done.stdout.ends_with("Triggers attached. 27 settings were compared: all are as planned.\n"),
        "{done:?}"
    );
    let mut config = attached();
    config["UserMigration"] = function_arn("migration").into();
    assert_eq!(pool.settings(), with_functions(before.clone(), config));
    let [backup] = &pool.backups()[..] else { panic!("one backup") };
    assert!(
        done.stdout.contains(name(backup)) && name(backup).starts_with("user-pool-eu-central-1_EXAMPLE12-2")
    );

    let again = pool.replay(&["attach", "--yes"]).await;
    assert!(
        again.code == 0 && again.stdout.ends_with("Nothing to do: the triggers are attached.\n"),
        "{again:?}"
    );
    let status = pool.replay(&["status"]).await;
    assert!(status.stdout.contains("ok    user pool: calls 5 of 5 functions\n"), "{status:?}");

    let plan = pool.replay(&["detach"]).await;
    insta::assert_snapshot!("detach_plan", plan.stdout);
    let done = pool.replay(&["detach", "--yes", "--backup", "attached.json"]).await;
    assert!(done.code == 0 && done.stdout.contains("Triggers detached."), "{done:?}");
    assert_eq!(pool.settings(), before);
    let status = pool.replay(&["status"]).await;
    assert!(status.stdout.contains("look  user pool: calls 0 of 5 functions"), "{status:?}");
    assert!(status.stdout.contains("replay attach --stack cognito-user-events\n"), "{status:?}");
    assert_eq!(pool.backups().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_attach_and_detach_match_their_schemas() {
    let pool = ExistingPool::start().await;
    let plan = document("attach", &pool.replay(&["attach", "--json"]).await);
    assert_eq!(
        (&plan["dryRun"], &plan["compared"], &plan["unchanged"]),
        (&json!(true), &Value::Null, &json!(20))
    );
    assert_eq!(plan["changes"].as_array().unwrap().len(), 6);
    let done = document("attach", &pool.replay(&["attach", "--yes", "--json", "--backup", "b.json"]).await);
    assert_eq!((&done["dryRun"], &done["backup"]), (&json!(false), &json!("b.json")));
    assert_eq!(done["compared"], json!(26));
    let done = document("detach", &pool.replay(&["detach", "--yes", "--json"]).await);
    assert_eq!(done["compared"], json!(20));
    assert!(done["notes"].as_array().unwrap().len() == 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_of_others_are_kept_or_replaced_by_choice() {
    let pool = ExistingPool::start().await;
    let blue = Function {
        tags: [
            ("aws:cloudformation:stack-name", "blue"),
            ("aws:cloudformation:logical-id", "CustomMessageFunction"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into(),
        ..Function::of_others("other", POOL)
    };
    pool.account.put_function("texts", blue);
    pool.account.put_function("guard", Function::of_others("other", POOL));
    pool.call(json!({"PreSignUp": function_arn("guard"), "CustomMessage": function_arn("texts")}));
    let before = pool.settings();
    let refused = pool.replay(&["attach", "--yes"]).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{refused:?}");
    insta::assert_snapshot!("attach_undecided", refused.stderr);
    for (options, error) in [
        (
            &["--replace", "pre-sign-up"][..],
            "calls other functions: custom-message calls texts of the stack blue",
        ),
        (&["--keep", "post-confirmation"], "--keep post-confirmation: the user pool calls no other function"),
        (&["--keep", "pre-sign-up", "--replace", "pre-sign-up,custom-message"], "both name pre-sign-up"),
        (&["--keep", "user-stats"], "expected pre-sign-up, post-confirmation"),
    ] {
        let refused = pool.replay(&[&["attach", "--yes"], options].concat()).await;
        assert!(refused.code == 2 && refused.stderr.contains(error), "{refused:?}");
    }
    assert_eq!(pool.settings(), before);

    let chosen =
        ["attach", "--yes", "--keep", "pre-sign-up", "--replace", "custom-message", "--backup", "b.json"];
    let done = pool.replay(&chosen).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.stdout.contains("note  pre-sign-up keeps guard: sign-up rules are not applied"), "{done:?}");
    let mut config = attached();
    config["PreSignUp"] = function_arn("guard").into();
    assert_eq!(pool.settings(), with_functions(before.clone(), config));
    let status = pool.replay(&["status"]).await;
    assert!(
        status.stdout.contains("user pool: calls 4 of 5 functions: pre-sign-up calls another function"),
        "{status:?}"
    );

    let plan = pool.replay(&["detach", "--restore", "b.json"]).await;
    assert!(plan.stdout.contains("cognito-user-events-custom-message        texts\n"), "{plan:?}");
    let done = pool.replay(&["detach", "--restore", "b.json", "--yes"]).await;
    assert!(done.code == 0 && done.stdout.contains("Settings restored."), "{done:?}");
    assert_eq!(pool.settings(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn pool_that_somebody_reset_gets_its_settings_back() {
    let pool = ExistingPool::start().await;
    let before = pool.settings();
    assert_eq!(pool.replay(&["attach", "--yes", "--backup", "b.json"]).await.code, 0);
    let healthy = pool.settings();
    // As `update-user-pool --user-pool-id` without any setting does.
    let reset = |pool: &mut UserPool| {
        for field in ["EmailConfiguration", "AutoVerifiedAttributes", "UserPoolTags", "LambdaConfig"] {
            pool.settings.as_object_mut().unwrap().remove(field);
        }
        pool.settings["DeletionProtection"] = "INACTIVE".into();
        pool.touch();
    };
    pool.account.change_user_pool(reset);
    let status = pool.replay(&["status"]).await;
    assert!(status.stdout.contains("look  user pool: calls 0 of 5 functions"), "{status:?}");
    let plan = pool.replay(&["attach", "--restore", "b.json"]).await;
    insta::assert_snapshot!("attach_restore_plan", plan.stdout);
    let done = pool.replay(&["attach", "--restore", "b.json", "--yes"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(pool.settings(), healthy);

    pool.account.change_user_pool(reset);
    // Without a stack, because it may be gone.
    let mut command = command(&pool.endpoint, &["detach", "--restore", "b.json", "--yes"]);
    command.current_dir(pool.folder.path());
    let done = run(command).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(pool.settings(), before);
}

/// A pool with MFA, the settings before its triggers were attached, and the backup `b.json`. MFA is off now.
async fn pool_that_lost_mfa() -> (ExistingPool, (Value, Value)) {
    let pool = ExistingPool::start().await;
    pool.account.change_user_pool(|pool| {
        pool.settings["MfaConfiguration"] = "OPTIONAL".into();
        pool.mfa_config =
            json!({"MfaConfiguration": "OPTIONAL", "SoftwareTokenMfaConfiguration": {"Enabled": true}});
    });
    let before = pool.settings();
    assert_eq!(pool.replay(&["attach", "--yes", "--backup", "b.json"]).await.code, 0);
    assert_eq!(pool.account.calls_of("SetUserPoolMfaConfig"), 0);
    pool.account.change_user_pool(|pool| {
        pool.settings["MfaConfiguration"] = "OFF".into();
        pool.mfa_config = json!({"MfaConfiguration": "OFF"});
        pool.touch();
    });
    (pool, before)
}

#[tokio::test(flavor = "multi_thread")]
async fn mfa_settings_are_restored_too() {
    let (pool, before) = pool_that_lost_mfa().await;
    let done = pool.replay(&["detach", "--yes", "--restore", "b.json"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.stdout.contains("MfaConfig.SoftwareTokenMfaConfiguration.Enabled"), "{done:?}");
    assert_eq!(pool.settings(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn restored_mfa_settings_are_not_taken_for_a_change_of_someone_else() {
    let throttled = ("TooManyRequestsException", "Rate exceeded");
    for (refused, expected) in [
        (
            "UpdateUserPool",
            "replay: the MFA settings are restored, the others are not: LambdaConfig.CustomMessage (not set, now",
        ),
        (
            "SetUserPoolMfaConfig",
            "replay: nothing was changed: Cognito SetUserPoolMfaConfig: TooManyRequests",
        ),
    ] {
        let (pool, before) = pool_that_lost_mfa().await;
        pool.account.at_user_pool_calls(move |operation, _, _| match operation == refused {
            true => Incident::Refused(throttled.0, throttled.1),
            false => Incident::Nothing,
        });
        let failed = pool.replay(&["detach", "--yes", "--restore", "b.json"]).await;
        assert!(failed.code == 1 && failed.stderr.starts_with(expected), "{failed:?}");
        assert!(failed.stderr.contains(&format!("{refused}: {}", throttled.0)), "{failed:?}");
        assert_eq!(pool.settings().1 == before.1, refused == "UpdateUserPool");

        pool.account.at_user_pool_calls(|_, _, _| Incident::Nothing);
        let done = pool.replay(&["detach", "--yes", "--restore", "b.json", "--backup", "c.json"]).await;
        assert_eq!(done.code, 0, "{done:?}");
        assert_eq!(pool.settings(), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn file_with_an_unknown_setting_is_not_restored() {
    let pool = ExistingPool::start().await;
    assert_eq!(pool.replay(&["attach", "--yes", "--backup", "b.json"]).await.code, 0);
    let file = pool.folder.path().join("b.json");
    let mut backup: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    backup["userPool"]["Passkeys"] = json!({"Enabled": true});
    backup["mfaConfig"]["PushMfaConfiguration"] = json!({"Enabled": true});
    std::fs::write(&file, backup.to_string()).unwrap();
    let before = pool.settings();
    for command in ["attach", "detach"] {
        let refused = pool.replay(&[command, "--yes", "--restore", "b.json"]).await;
        let error = "--restore: the file has settings that this version of replay does not know (Passkeys, \
                     MfaConfig.PushMfaConfiguration), so it cannot restore them. Install a newer version";
        assert!(refused.code == 2 && refused.stderr.contains(error), "{refused:?}");
    }
    assert_eq!(pool.settings(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_says_what_it_does_and_what_follows() {
    let pool = ExistingPool::start().await;
    assert_eq!(pool.replay(&["attach", "--yes", "--backup", "b.json"]).await.code, 0);
    let restored = async |options: &[&str], stack: bool| {
        let mut command = command(&pool.endpoint, &[&["detach", "--restore", "b.json"], options].concat());
        command.current_dir(pool.folder.path());
        if stack {
            command.env("STACK_NAME", STACK);
        }
        let run = run(command).await;
        assert_eq!(run.code, 0, "{run:?}");
        run.stdout
    };
    let plans = [restored(&[], true).await, restored(&[], false).await];
    for plan in plans {
        assert!(plan.contains("Suspended users can sign in from now on"), "{plan}");
        assert!(
            plan.ends_with("Dry run: nothing was changed. Add --yes to restore the settings.\n"),
            "{plan}"
        );
    }
    restored(&["--yes"], false).await;
    for (stack, end) in [
        (true, "the settings are those of the file, without the functions of the stack.\n"),
        (false, "the settings are those of the file.\n"),
    ] {
        let nothing = restored(&["--yes"], stack).await;
        assert!(nothing.ends_with(&format!("Nothing to do: {end}")), "{nothing}");
        assert!(!nothing.contains("Suspended"), "{nothing}");
    }
    let plan = pool.replay(&["attach", "--restore", "b.json"]).await;
    assert!(
        plan.stdout.ends_with("Add --yes to restore the settings and attach the triggers.\n"),
        "{plan:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pool_that_must_not_be_changed_is_refused() {
    let set =
        |path: &'static str, value: Value| move |pool: &mut UserPool| pool.settings[path] = value.clone();
    type Change = Box<dyn Fn(&mut UserPool)>;
    let cases: [(&str, Change, &str); 4] = [
        ("a new setting", Box::new(set("Passkeys", json!({"Enabled": true}))), "does not know (Passkeys)"),
        (
            "a new MFA setting",
            Box::new(|pool| pool.mfa_config["PushMfaConfiguration"] = json!({"Enabled": true})),
            "does not know (MfaConfig.PushMfaConfiguration)",
        ),
        ("on the plan Lite", Box::new(set("UserPoolTier", json!("LITE"))), "PreTokenGenerationVersion=V1_0"),
        (
            "of another account",
            Box::new(set(
                "Arn",
                json!("arn:aws:cognito-idp:eu-central-1:000000000000:userpool/eu-central-1_EXAMPLE12"),
            )),
            "the user pool is in eu-central-1:000000000000 (region and account)",
        ),
    ];
    for (case, change, error) in cases {
        let pool = ExistingPool::start().await;
        pool.account.change_user_pool(change);
        let before = pool.settings();
        let refused = pool.replay(&["attach", "--yes"]).await;
        assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{case}: {refused:?}");
        assert!(
            refused.stderr.contains("nothing was changed") && refused.stderr.contains(error),
            "{case}: {refused:?}"
        );
        assert!(pool.settings() == before && pool.backups().is_empty(), "{case}");
    }
    for (parameters, arguments, code, error) in [
        (
            &[][..],
            &["attach"][..],
            1,
            "manages the user pool eu-central-1_EXAMPLE12. Deploy it with AttachTriggers=true",
        ),
        (&[], &["detach"], 1, "Deploy it with AttachTriggers=false"),
        (
            &[("ExistingUserPoolId", POOL)],
            &["attach", "--user-pool", "eu-central-1_OTHER1234"],
            2,
            "Deploy it with ExistingUserPoolId=eu-central-1_OTHER1234",
        ),
        (
            &[("ExistingUserPoolId", "eu-west-1_EXAMPLE12")],
            &["attach"],
            2,
            "the user pool is in eu-west-1, but the region is eu-central-1",
        ),
    ] {
        let pool = ExistingPool::with_parameters(parameters).await;
        let refused = pool.replay(arguments).await;
        assert!(refused.code == code && refused.stderr.contains(error), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pool_that_a_stack_manages_is_refused_until_the_stack_is_gone() {
    let tag = |stack: &str| {
        let tags = json!({"aws:cloudformation:stack-name": stack, "team": "shop"});
        move |pool: &mut UserPool| pool.settings["UserPoolTags"] = tags
    };
    let denied = ("DescribeStackResources", "AccessDenied", "User: ben is not authorized");
    for (managed, tag_of, denies, code) in [
        (Some(("accounts", "CREATE_COMPLETE")), None, false, 1),
        (Some(("accounts", "DELETE_SKIPPED")), Some("accounts"), false, 0),
        (None, Some("accounts"), false, 0),
        (None, Some(STACK), true, 1),
        (None, Some("accounts"), true, 0),
        (None, None, true, 0),
    ] {
        let pool = ExistingPool::start().await;
        if let Some((stack, status)) = managed {
            pool.account.manage_user_pool(stack, status);
        }
        if let Some(stack) = tag_of {
            pool.account.change_user_pool(tag(stack));
        }
        if denies {
            pool.account.refuse(denied.0, denied.1, denied.2);
        }
        let before = pool.settings();
        let run = pool.replay(&["attach", "--yes"]).await;
        assert_eq!(run.code, code, "{managed:?} {tag_of:?} {denies}: {run:?}");
        if code == 1 {
            assert!(run.stderr.contains("CloudFormation manages the user pool, in the stack"), "{run:?}");
            assert_eq!(pool.settings(), before);
        } else {
            // AWS accepts its own tags from no caller, and keeps them.
            assert_eq!(pool.settings(), with_functions(before, attached()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pool_is_not_changed_if_nobody_says_who_manages_it() {
    let pool = ExistingPool::start().await;
    pool.account.refuse("DescribeStackResources", "OptInRequired", "The account is not subscribed");
    let refused = pool.replay(&["attach", "--yes"]).await;
    let error = "replay: nothing was changed: CloudFormation DescribeStackResources: OptInRequired";
    assert!(refused.code == 1 && refused.stderr.starts_with(error), "{refused:?}");
    assert_eq!(pool.account.calls_of("UpdateUserPool"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn stack_that_is_being_deleted_or_deployed_is_detached_and_not_attached() {
    let pool = ExistingPool::start().await;
    assert_eq!(pool.replay(&["attach", "--yes"]).await.code, 0);
    for (status, step) in [
        ("DELETE_IN_PROGRESS", "Deploy a stack that stays"),
        ("DELETE_FAILED", "Deploy a stack that stays"),
        ("UPDATE_IN_PROGRESS", "Wait until its deployment ends"),
        ("ROLLBACK_COMPLETE", "Delete the stack"),
    ] {
        pool.account.set_status(status);
        let refused = pool.replay(&["attach", "--yes"]).await;
        let error = format!("nothing was changed: the stack {STACK} has the status {status}");
        assert!(refused.code == 1 && refused.stderr.contains(&error), "{refused:?}");
        assert!(refused.stderr.contains(step), "{refused:?}");
    }
    let done = pool.replay(&["detach", "--yes"]).await;
    assert!(done.code == 0 && done.stdout.contains("Triggers detached."), "{done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_without_a_stack_refuses_functions_that_are_gone() {
    let pool = ExistingPool::start().await;
    assert_eq!(pool.replay(&["attach", "--yes", "--backup", "before.json"]).await.code, 0);
    assert_eq!(pool.replay(&["detach", "--yes", "--backup", "attached.json"]).await.code, 0);
    assert_eq!(pool.replay(&["attach", "--yes"]).await.code, 0);
    // The pool calls it now, and the file has it too.
    pool.account.delete_function(&format!("{STACK}-pre-sign-up"));
    let restored = async |file: &str| {
        let mut command = command(&pool.endpoint, &["detach", "--yes", "--restore", file]);
        command.current_dir(pool.folder.path());
        run(command).await
    };
    let refused = restored("attached.json").await;
    let error = format!("nothing was changed: the function {STACK}-pre-sign-up does not exist");
    assert!(refused.code == 1 && refused.stderr.contains(&error), "{refused:?}");
    assert!(refused.stderr.contains("Remove it from LambdaConfig in the file"), "{refused:?}");
    let done = restored("before.json").await;
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(pool.settings().0["LambdaConfig"], json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn function_that_only_the_file_has_gives_its_place_to_the_stack() {
    let pool = ExistingPool::start().await;
    pool.account.put_function("guard", Function::of_others("other", POOL));
    pool.call(json!({"PreSignUp": function_arn("guard")}));
    let replace = ["attach", "--yes", "--replace", "pre-sign-up"];
    assert_eq!(pool.replay(&[&replace[..], &["--backup", "b.json"]].concat()).await.code, 0);
    // The function of the stack is there already.
    assert_eq!(pool.replay(&replace).await.code, 0);
    for options in [&[][..], &["--replace", "pre-sign-up"]] {
        pool.call(json!({}));
        let restore = [&["attach", "--yes", "--restore", "b.json"], options].concat();
        let done = pool.replay(&restore).await;
        assert_eq!(done.code, 0, "{done:?}");
        let note =
            "note  pre-sign-up: the function of the stack takes the place of guard, which the file has.";
        assert!(done.stdout.contains(note), "{done:?}");
        assert_eq!(pool.settings().0["LambdaConfig"], attached());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_for_a_deleted_stack_names_the_way_without_it() {
    let pool = ExistingPool::start().await;
    assert_eq!(pool.replay(&["attach", "--yes", "--backup", "b.json"]).await.code, 0);
    let refused = pool.replay(&["detach", "--stack", "gone", "--restore", "b.json"]).await;
    let error = "If the stack is deleted, unset STACK_NAME, leave --stack out, and run `replay detach --user-pool ID \
                 --restore FILE`\n";
    assert!(refused.code == 2 && refused.stderr.ends_with(error), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn restored_feature_plan_must_have_the_event_version() {
    let pool = ExistingPool::start().await;
    assert_eq!(pool.replay(&["attach", "--yes", "--backup", "b.json"]).await.code, 0);
    let file = pool.folder.path().join("b.json");
    let mut backup: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    backup["userPool"]["UserPoolTier"] = "LITE".into();
    std::fs::write(&file, backup.to_string()).unwrap();
    let refused = pool.replay(&["attach", "--yes", "--restore", "b.json"]).await;
    assert!(refused.code == 1 && refused.stderr.contains("PreTokenGenerationVersion=V1_0"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn function_that_the_pool_may_not_invoke_is_refused() {
    let function = format!("{STACK}-pre-authentication");
    let other_pool = Some(policy(&function_arn(&function), "eu-central-1_OTHER1234"));
    for (stored, error, step) in [
        (Some(None), "does not let Cognito invoke it", "add the permission:"),
        (Some(other_pool), "does not let Cognito invoke it", "add the permission:"),
        (None, "does not exist", "see"),
    ] {
        let pool = ExistingPool::start().await;
        match stored {
            None => pool.account.delete_function(&function),
            Some(policy) => {
                pool.account.change_function("pre-authentication", |stored| stored.policy = policy)
            }
        }
        let refused = pool.replay(&["attach", "--yes"]).await;
        assert!(refused.code == 1 && refused.stderr.contains(error), "{refused:?}");
        let step = format!(
            "Wait until the deployment of the stack {STACK} ends. If it has ended, {step} \
             docs/operations.md#detached-triggers\n"
        );
        assert!(refused.stderr.ends_with(&step), "{refused:?}");
        assert!(pool.backups().is_empty() && pool.account.calls_of("UpdateUserPool") == 0);
    }
    // A function of the backup that is gone.
    let pool = ExistingPool::start().await;
    pool.account.put_function("guard", Function::of_others("other", POOL));
    pool.call(json!({"PreSignUp": function_arn("guard")}));
    assert_eq!(pool.replay(&["attach", "--yes", "--replace-all", "--backup", "b.json"]).await.code, 0);
    pool.account.delete_function("guard");
    let refused = pool.replay(&["detach", "--yes", "--restore", "b.json"]).await;
    assert!(refused.code == 1 && refused.stderr.contains("the function guard does not exist"), "{refused:?}");
    assert_eq!(pool.settings().0["LambdaConfig"], attached());
}

/// A pool with something to lose, and what a run of `attach --yes` says.
async fn attach_with(
    hook: impl Fn(&str, usize, &mut UserPool) -> Incident + Send + Sync + 'static,
) -> (ExistingPool, (Value, Value), CommandRun) {
    let pool = ExistingPool::start().await;
    let before = pool.settings();
    pool.account.at_user_pool_calls(hook);
    let done = pool.replay(&["attach", "--yes", "--backup", "b.json"]).await;
    (pool, before, done)
}

#[tokio::test(flavor = "multi_thread")]
async fn setting_that_the_update_changed_is_put_back() {
    let (pool, before, done) = attach_with(|operation, number, pool| {
        if (operation, number) == ("UpdateUserPool", 1) {
            pool.settings["Policies"]["PasswordPolicy"]["MinimumLength"] = json!(8);
            pool.mfa_config["SoftwareTokenMfaConfiguration"] = json!({"Enabled": true});
        }
        Incident::Nothing
    })
    .await;
    assert_eq!(done.code, 1, "{done:?}");
    let error = "the update, or someone else meanwhile, also changed MfaConfig.SoftwareTokenMfaConfiguration.Enabled (not set, now true), \
                 Policies.PasswordPolicy.MinimumLength (12, now 8). The old settings are back: 20 settings are as \
                 before, and LambdaConfig too. So the triggers are as before\n";
    assert!(done.stderr.ends_with(error), "{done:?}");
    assert_eq!(pool.settings(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn throttled_way_back_is_tried_again() {
    let (pool, before, done) = attach_with(|operation, number, pool| match (operation, number) {
        ("UpdateUserPool", 1) => {
            pool.settings["Policies"]["PasswordPolicy"]["MinimumLength"] = json!(8);
            Incident::Nothing
        }
        ("UpdateUserPool", 2) => Incident::Refused("TooManyRequestsException", "Rate exceeded"),
        _ => Incident::Nothing,
    })
    .await;
    assert!(done.code == 1 && done.stderr.contains("The old settings are back"), "{done:?}");
    assert_eq!(pool.settings(), before);
    assert_eq!(pool.account.calls_of("UpdateUserPool"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn setting_that_cannot_be_put_back_is_named() {
    let (pool, before, done) = attach_with(|operation, _, pool| {
        if operation == "UpdateUserPool" {
            pool.settings["Policies"]["PasswordPolicy"]["MinimumLength"] = json!(8);
        }
        Incident::Nothing
    })
    .await;
    assert_eq!(done.code, 1, "{done:?}");
    let error = "the old settings could not be put back: Policies.PasswordPolicy.MinimumLength (12, now 8) differ from \
                 before. The triggers are as before. Run `replay detach --restore b.json`, or set them in the console\n";
    assert!(done.stderr.ends_with(error), "{done:?}");
    assert_eq!(pool.settings().0["LambdaConfig"], before.0["LambdaConfig"]);

    let (_, _, done) = attach_with(|operation, number, pool| match (operation, number) {
        ("UpdateUserPool", 1) => {
            pool.settings["Policies"]["PasswordPolicy"]["MinimumLength"] = json!(8);
            Incident::Nothing
        }
        ("UpdateUserPool", _) => Incident::Refused("TooManyRequestsException", "Rate exceeded"),
        _ => Incident::Nothing,
    })
    .await;
    assert!(done.code == 1 && done.stderr.contains("could not be put back"), "{done:?}");
    assert!(
        done.stderr.contains("Cognito UpdateUserPool: TooManyRequestsException: Rate exceeded"),
        "{done:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn update_that_cognito_refuses_changes_nothing() {
    let sentence = "Role does not have permission to publish with SNS";
    let (pool, before, done) = attach_with(move |operation, _, _| match operation {
        "UpdateUserPool" => Incident::Refused("InvalidSmsRoleAccessPolicyException", sentence),
        _ => Incident::Nothing,
    })
    .await;
    assert_eq!(done.code, 1, "{done:?}");
    let error = format!(
        "replay: nothing was changed: Cognito UpdateUserPool: InvalidSmsRoleAccessPolicyException: {sentence} (Cognito \
         cannot use the role"
    );
    assert!(done.stderr.starts_with(&error), "{done:?}");
    assert!(pool.settings() == before && pool.account.calls_of("UpdateUserPool") == 1);

    // Someone else changes a setting at the same time. It stays.
    let (pool, _, done) = attach_with(|operation, _, pool| match operation {
        "UpdateUserPool" => {
            pool.settings["Name"] = "renamed".into();
            Incident::Refused("ConcurrentModificationException", "Concurrent modification")
        }
        _ => Incident::Nothing,
    })
    .await;
    let error = "nothing was changed, but someone else changed Name (shop, now renamed) meanwhile: Cognito UpdateUserPool";
    assert!(done.code == 1 && done.stderr.contains(error), "{done:?}");
    assert_eq!(pool.settings().0["Name"], "renamed");
}

#[tokio::test(flavor = "multi_thread")]
async fn update_without_an_answer_is_found_by_reading() {
    let (pool, before, done) = attach_with(|operation, _, _| match operation {
        "UpdateUserPool" => Incident::BrokenAnswer,
        _ => Incident::Nothing,
    })
    .await;
    assert!(done.code == 0 && done.stdout.contains("Triggers attached."), "{done:?}");
    assert_eq!(pool.settings(), with_functions(before, attached()));

    // It is not visible: Cognito may still carry it out.
    let (pool, before, done) = attach_with(|operation, _, pool| match operation {
        "UpdateUserPool" => {
            pool.settings["LambdaConfig"] = json!({});
            Incident::BrokenAnswer
        }
        _ => Incident::Nothing,
    })
    .await;
    let error =
        "replay: no change is visible yet. Run the command again to see the settings: Cognito UpdateUserPool";
    assert!(done.code == 1 && done.stderr.starts_with(error), "{done:?}");
    assert_eq!(pool.settings(), before);

    // It was carried out with a loss: the old settings come back.
    let (pool, before, done) = attach_with(|operation, number, pool| match (operation, number) {
        ("UpdateUserPool", 1) => {
            pool.settings.as_object_mut().unwrap().remove("UserPoolTags");
            Incident::BrokenAnswer
        }
        _ => Incident::Nothing,
    })
    .await;
    assert!(
        done.code == 1 && done.stderr.contains("also changed UserPoolTags.team (shop, now not set)"),
        "{done:?}"
    );
    assert_eq!(pool.settings(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn pool_that_changes_after_the_plan_is_left_alone() {
    let rename: fn(&mut UserPool) = |pool| pool.settings["Name"] = "renamed".into();
    for (at, change, what) in [
        (("DescribeUserPool", 1), rename, "Name (shop, now renamed)"),
        (("DescribeUserPool", 1), (|_| ()) as fn(&mut UserPool), "it"),
        // Between the two calls of the last read.
        (("GetUserPoolMfaConfig", 2), rename, "Name (shop, now renamed)"),
    ] {
        let (pool, _, done) = attach_with(move |operation, number, pool| {
            if (operation, number) == at {
                change(pool);
                pool.touch();
            }
            Incident::Nothing
        })
        .await;
        let error = format!(
            "nothing was changed: someone else changes the user pool ({what}). Run the command again"
        );
        assert!(done.code == 1 && done.stderr.contains(&error), "{done:?}");
        assert_eq!(pool.account.calls_of("UpdateUserPool"), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn call_without_permission_is_named_and_nothing_is_changed() {
    for (operation, code) in [
        ("DescribeStacks", "AccessDenied"),
        ("DescribeUserPool", "AccessDeniedException"),
        ("GetUserPoolMfaConfig", "AccessDeniedException"),
        ("GetPolicy", "AccessDeniedException"),
        ("UpdateUserPool", "AccessDeniedException"),
    ] {
        let pool = ExistingPool::start().await;
        let before = pool.settings();
        pool.account.refuse(operation, code, "User: ben is not authorized to perform this call");
        let refused = pool.replay(&["attach", "--yes"]).await;
        assert_eq!(refused.code, 1, "{operation}: {refused:?}");
        assert!(
            refused.stderr.contains(operation) && refused.stderr.contains("docs/replay.md lists"),
            "{refused:?}"
        );
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
        assert_eq!(pool.settings(), before);
    }
    // Whose a function is, is only a part of the sentence.
    let pool = ExistingPool::start().await;
    pool.account.refuse("ListTags", "AccessDeniedException", "User: ben is not authorized");
    pool.call(json!({"PreSignUp": function_arn("blue-pre-sign-up")}));
    let refused = pool.replay(&["attach"]).await;
    assert!(refused.stderr.contains("pre-sign-up calls blue-pre-sign-up of the stack blue"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pool_that_cannot_be_read_after_the_update_is_not_called_unchanged() {
    let (pool, before, done) = attach_with(|operation, number, _| match (operation, number) {
        ("DescribeUserPool", 3..) => {
            Incident::Refused("AccessDeniedException", "User: ben is not authorized")
        }
        _ => Incident::Nothing,
    })
    .await;
    let error = "the update was sent, but the user pool cannot be read. Run the command again: it shows the settings as \
                 they are now. The settings from before are in b.json: Cognito DescribeUserPool";
    assert!(done.code == 1 && done.stderr.contains(error), "{done:?}");
    assert_eq!(pool.settings(), with_functions(before, attached()));
}

/// Runs `attach --yes`, which gets a signal during its update. Returns the exit code, if there is one.
#[cfg(unix)]
async fn attach_with_signal(pool: &ExistingPool, signal: &'static str) -> Option<i32> {
    let process = Arc::new(OnceLock::<u32>::new());
    let known = process.clone();
    pool.account.at_user_pool_calls(move |operation, number, _| {
        if (operation, number) == ("UpdateUserPool", 1) {
            let arguments = ["-s", signal, &known.wait().to_string()].map(str::to_owned);
            assert!(Command::new("kill").args(arguments).status().unwrap().success());
        }
        Incident::Nothing
    });
    let mut attach = command(&pool.endpoint, &["attach", "--yes", "--backup", "b.json"]);
    attach
        .env("STACK_NAME", STACK)
        .current_dir(pool.folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = attach.spawn().unwrap();
    process.set(child.id()).unwrap();
    tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap().code()
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn interrupted_update_is_compared_or_shown_by_the_next_run() {
    let pool = ExistingPool::start().await;
    assert_eq!(attach_with_signal(&pool, "INT").await, Some(0));
    // The plan, before the update, and after it.
    assert_eq!(pool.account.calls_of("DescribeUserPool"), 3);
    assert_eq!(pool.settings().0["LambdaConfig"], attached());

    let pool = ExistingPool::start().await;
    let before = pool.settings();
    assert_eq!(attach_with_signal(&pool, "KILL").await, None);
    let next = pool.replay(&["attach", "--yes"]).await;
    assert!(
        next.code == 0 && next.stdout.ends_with("Nothing to do: the triggers are attached.\n"),
        "{next:?}"
    );
    let restored = pool.replay(&["detach", "--restore", "b.json", "--yes"]).await;
    assert_eq!(restored.code, 0, "{restored:?}");
    assert_eq!(pool.settings(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_file_is_never_overwritten() {
    let pool = ExistingPool::start().await;
    std::fs::write(pool.folder.path().join("b.json"), "precious").unwrap();
    let refused = pool.replay(&["attach", "--yes", "--backup", "b.json"]).await;
    assert!(refused.code == 1 && refused.stderr.contains("b.json: the file exists already"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(pool.folder.path().join("b.json")).unwrap(), "precious");
    assert_eq!(pool.account.calls_of("UpdateUserPool"), 0);
    for (file, error) in [("b.json", "not a file of `replay attach`"), ("missing.json", "No such file")] {
        let refused = pool.replay(&["detach", "--restore", file]).await;
        assert!(refused.code == 2 && refused.stderr.contains(error), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_names_a_command_that_replay_accepts() {
    let pool = ExistingPool::start().await;
    assert_eq!(pool.replay(&["attach", "--yes"]).await.code, 0);
    let [backup] = &pool.backups()[..] else { panic!("one backup") };
    let backup: Value = serde_json::from_slice(&std::fs::read(backup).unwrap()).unwrap();
    let about = backup["about"].as_str().unwrap();
    for (before, expected) in
        [("without the triggers: ", json!({})), ("with the triggers attached: ", attached())]
    {
        let (_, command) = about.split_once(before).unwrap();
        let command = command.split(". ").next().unwrap();
        let words: Vec<&str> = command.split(' ').collect();
        assert!(Cli::try_parse_from(&words).is_ok(), "{command}");
        let restored = pool.replay(&[&words[1..], &["--yes"]].concat()).await;
        assert_eq!(restored.code, 0, "{restored:?}");
        assert_eq!(pool.settings().0["LambdaConfig"], expected);
    }
}
