//! `replay user list`, `create`, `password`, `group`, and `erase --account`, on a user pool with the
//! trigger pre-sign-up.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::result::ConnectorError;
use sandbox::aws::user_pools::NewUser;
use sandbox::aws::{Answer, AwsBackend, Fault, SandboxAccount, TABLE};
use sandbox::functions::invoke_trigger;
use serde_json::{Value, json};
use shared::function_id::FunctionId;
use shared::suspension_change::SuspensionChange;
use tests::fixtures::event_with;
use winterbaume_core::{MockRequest, MockResponse};

use super::json::document;
use super::loopback_account::{LoopbackAccount, order_event};
use super::support::{ANA, CommandRun, command, run};
use crate::support::empty_profile;

const POOL: &str = "eu-central-1_EXAMPLE12";
const BEN: &str = "e58b1d74-92c6-4f0a-8a3d-6f41c7b09e25";
const RULES: &str = r#"[{"attribute": "custom:department", "equals": "Engineering", "group": "Developer"}]"#;
const PASSWORD: &str = "Correct-Horse-7";

/// The account with pre-sign-up, and a stack with group rules. Keeps the requests to Cognito.
#[derive(Clone)]
struct Backend {
    sandbox: Arc<SandboxAccount>,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
    check_admin_created: bool,
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Backend")
    }
}

impl AwsBackend for Backend {
    async fn answer(&self, request: MockRequest) -> Result<Answer, ConnectorError> {
        let complete = |response| Ok(Answer { response, is_cut_off: false });
        let body = String::from_utf8_lossy(&request.body).into_owned();
        if body.contains("Action=DescribeStacks") {
            return complete(MockResponse::xml(200, describe_stacks()));
        }
        let target = request.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let Some(operation) =
            target.and_then(|target| target.strip_prefix("AWSCognitoIdentityProviderService."))
        else {
            return self.sandbox.backend().answer(request).await;
        };
        let input: Value = serde_json::from_str(&body).unwrap();
        self.requests.lock().unwrap().push((operation.to_owned(), input.clone()));
        if operation == "AdminCreateUser" {
            let event = event_with("pre-sign-up/admin-create-user", |event| {
                for attribute in input["UserAttributes"].as_array().unwrap() {
                    event["request"]["userAttributes"][attribute["Name"].as_str().unwrap()] =
                        attribute["Value"].clone();
                }
            });
            let variables = [
                ("CHECK_ADMIN_CREATED", self.check_admin_created.to_string()),
                ("BLOCKED_EMAIL_DOMAINS", "denied.test".to_owned()),
            ];
            let variables = variables.map(|(name, value)| (name.to_owned(), value)).into();
            let answer =
                invoke_trigger(&self.sandbox, FunctionId::PreSignUp, &variables, event).await.unwrap();
            if let Err(denial) = answer {
                let message = format!("PreSignUp failed with error {}.", denial.message);
                let error = json!({"__type": "UserLambdaValidationException", "message": message});
                return complete(MockResponse::json(400, error.to_string()));
            }
        }
        self.sandbox.backend().answer(request).await
    }
}

/// CloudFormation's answer to DescribeStacks.
fn describe_stacks() -> String {
    let rules = RULES.replace('"', "&quot;");
    format!(
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>shop</StackName>\
         <CreationTime>2026-01-01T00:00:00Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus><Parameters>\
         <member><ParameterKey>GroupRules</ParameterKey><ParameterValue>{rules}</ParameterValue></member>\
         </Parameters></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
    )
}

struct Stack {
    account: LoopbackAccount,
    backend: Backend,
    endpoint: String,
}

impl Stack {
    /// A pool with Ana and Ben. Ana has a profile and an order. Ben's account is disabled, and he is
    /// in the group Staff.
    async fn start() -> Self {
        Self::with_check(false).await
    }

    async fn with_check(check_admin_created: bool) -> Self {
        let account = LoopbackAccount::start().await;
        let pools = account.sandbox.backend().user_pools();
        pools.put_user(POOL, "ben", &["Staff".to_owned(), "Developer".to_owned()]).await;
        let user = |username, sub, status, email| {
            let attributes = BTreeMap::from([("sub", sub), ("email", email), ("email_verified", "true")]);
            NewUser { username, status, attributes }
        };
        let users = [
            user("ben", BEN, "CONFIRMED", "ben@example.test"),
            user("ana@example.com", ANA, "CONFIRMED", "ana@example.com"),
            user("carla", "sub-of-carla", "EXTERNAL_PROVIDER", "carla@example.org"),
            user("dora", "sub-of-dora", "FORCE_CHANGE_PASSWORD", "not an address"),
        ];
        pools.put_users(POOL, &users).await;
        pools.disable_user(POOL, "ben").await;
        account.store().write_profile(&empty_profile(ANA, account.sandbox.time.now())).await.unwrap();
        account.apply([order_event("1", ANA)]).await;
        account.sandbox.calls.clear_operations();
        let requests = Arc::default();
        let backend = Backend { sandbox: account.sandbox.clone(), requests, check_admin_created };
        let endpoint = format!("http://{}", tests::lambda::serve_aws(backend.clone()).await);
        Self { account, backend, endpoint }
    }

    async fn replay(&self, arguments: &[&str]) -> CommandRun {
        self.replay_with_input(arguments, "").await
    }

    async fn replay_with_input(&self, arguments: &[&str], input: &str) -> CommandRun {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().write_all(input.as_bytes()).unwrap();
        let mut replay = command(&self.endpoint, arguments);
        replay.arg("--user-pool").arg(POOL).stdin(Stdio::from(file.reopen().unwrap()));
        let run = run(replay).await;
        let printed = format!("{run:?}");
        assert!(!printed.contains("@example") && !printed.contains(PASSWORD), "personal data: {printed}");
        run
    }

    /// The requests of the operations that change the pool, with their input.
    fn changes(&self) -> Vec<(String, Value)> {
        let requests = self.backend.requests.lock().unwrap();
        requests.iter().filter(|(operation, _)| operation.starts_with("Admin")).cloned().collect()
    }

    fn change_names(&self) -> Vec<String> {
        let names = self.changes().into_iter().map(|(operation, _)| operation);
        names.filter(|name| name != "AdminListGroupsForUser").collect()
    }

    async fn status(&self, sub: &str) -> Option<String> {
        let run = self.replay(&["user", "list", "--json"]).await;
        let users = document("user list", &run)["users"].clone();
        let user = users.as_array().unwrap().iter().find(|user| user["sub"] == sub)?.clone();
        Some(user["status"].as_str().unwrap().to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_a_pool_are_listed_without_their_addresses() {
    let stack = Stack::start().await;
    let decision = SuspensionChange::suspend(ANA, "spam", None, "ben", stack.account.sandbox.time.now());
    assert!(stack.account.store().write_suspension(ANA, &decision.suspension).await.unwrap());
    let listed = stack.replay(&["user", "list", "--groups", "--table", TABLE]).await;
    assert_eq!(listed.code, 0, "{listed:?}");
    insta::assert_snapshot!("user_list", listed.stdout);
    let subs = async |options: &[&str]| {
        let run = stack.replay(&[&["user", "list", "--json"], options].concat()).await;
        let list = document("user list", &run);
        let subs =
            list["users"].as_array().unwrap().iter().map(|user| user["sub"].as_str().unwrap().to_owned());
        (subs.collect::<Vec<_>>(), list["hasMore"] == true)
    };
    let of = |subs: &[&str]| subs.iter().map(|sub| (*sub).to_owned()).collect::<Vec<_>>();
    assert_eq!(subs(&["--status", "confirmed"]).await, (of(&[ANA, BEN]), false));
    assert_eq!(subs(&["--status", "CONFIRMED", "--disabled"]).await, (of(&[BEN]), false));
    let refused = stack.replay(&["user", "list", "--status", "nobody"]).await;
    assert!(refused.code == 2 && refused.stderr.contains("FORCE_CHANGE_PASSWORD"), "{refused:?}");
    assert_eq!(subs(&["--group", "Staff"]).await, (of(&[BEN]), false));
    assert_eq!(subs(&["--group", "Staff", "--status", "UNCONFIRMED"]).await, (of(&[]), false));
    assert_eq!(subs(&["--limit", "2"]).await, (of(&[ANA, BEN]), true));
    let unknown = stack.replay(&["user", "list", "--group", "Nobody"]).await;
    assert!(unknown.code == 1 && unknown.stderr.contains("its group Nobody does not exist"), "{unknown:?}");
    assert_eq!(stack.change_names(), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn created_user_gets_an_invitation_groups_and_a_profile() {
    let stack = Stack::start().await;
    let create = [
        "user",
        "create",
        "--email",
        "eva@example.com",
        "--group",
        "Staff",
        "--email-verified",
        "--table",
        TABLE,
    ];
    let plan = stack.replay(&create).await;
    assert_eq!(plan.code, 0, "{plan:?}");
    insta::assert_snapshot!(plan.stdout, @r"
    new user in eu-central-1_EXAMPLE12
      address   at example.com, verified
      password  temporary, in a message to the address
      groups    Staff
      profile   yes
    Dry run: nothing was created. Add --yes to create the user.
    ");
    assert_eq!(stack.change_names(), [] as [&str; 0]);
    let plan = document("user create", &stack.replay(&[&create[..], &["--json"]].concat()).await);
    assert_eq!((&plan["dryRun"], &plan["sub"]), (&json!(true), &json!(null)));

    let created = stack.replay(&[&create[..], &["--yes", "--json"]].concat()).await;
    assert_eq!(created.code, 0, "{created:?}");
    let created = document("user create", &created);
    assert_eq!(stack.change_names(), ["AdminCreateUser", "AdminAddUserToGroup"]);
    let (_, request) = &stack.changes()[0];
    assert_eq!(
        (&request["Username"], &request["DesiredDeliveryMediums"]),
        (&json!("eva@example.com"), &json!(["EMAIL"]))
    );
    assert_eq!((request.get("MessageAction"), request.get("TemporaryPassword")), (None, None));
    assert_eq!(request["UserAttributes"][1], json!({"Name": "email_verified", "Value": "true"}));
    let sub = created["sub"].as_str().unwrap();
    let profile = stack.account.item(&format!("USER#{sub}"), "PROFILE").await;
    assert_eq!((&profile["cognitoId"], &profile["isBanned"]), (&json!(sub), &json!(false)));
    assert_eq!(stack.account.sandbox.backend().user_pools().groups().await["eva@example.com"], ["Staff"]);

    let again = stack.replay(&[&create[..], &["--yes"]].concat()).await;
    assert_eq!((again.code, again.stdout.as_str()), (1, ""), "{again:?}");
    let expected = format!("nothing was created: the user pool has a user with this address already: {sub}");
    assert!(again.stderr.contains(&expected), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn created_user_gets_a_permanent_password_from_standard_input() {
    let stack = Stack::start().await;
    let create =
        ["user", "create", "--email", "eva@example.com", "--username", "eva", "--password-stdin", "--yes"];
    let created = stack.replay_with_input(&create, &format!("{PASSWORD}\r\nsecond line\n")).await;
    assert_eq!(created.code, 0, "{created:?}");
    let sub = created.stdout.split("User created: ").nth(1).unwrap().lines().next().unwrap().to_owned();
    assert!(created.stdout.contains("password  permanent, from you"), "{created:?}");
    assert!(created.stdout.contains("Next: replay user import"), "without a table: {created:?}");
    let changes = stack.changes();
    let names: Vec<&str> = changes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["AdminCreateUser", "AdminSetUserPassword"]);
    // Cognito checks the password before it creates the user.
    assert_eq!(
        (&changes[0].1["MessageAction"], &changes[0].1["TemporaryPassword"]),
        (&json!("SUPPRESS"), &json!(PASSWORD))
    );
    assert_eq!((&changes[1].1["Permanent"], &changes[1].1["Password"]), (&json!(true), &json!(PASSWORD)));
    assert_eq!(stack.status(&sub).await.as_deref(), Some("CONFIRMED"));

    for (input, expected) in [("", "there is no password"), ("two words\n", "white space")] {
        let stack = Stack::start().await;
        let run = stack.replay_with_input(&create, input).await;
        assert!(run.code == 2 && run.stderr.contains(expected), "{run:?}");
        assert_eq!(stack.change_names(), [] as [&str; 0]);
    }
    let without_message = ["user", "create", "--email", "fay@example.com", "--no-message", "--yes"];
    let created = stack.replay(&without_message).await;
    assert!(created.code == 0 && created.stdout.contains("temporary, and no one knows it"), "{created:?}");
    assert!(created.stdout.contains("Next: replay user password "), "{created:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn denial_of_pre_sign_up_is_shown_as_it_is() {
    let stack = Stack::with_check(true).await;
    let create = ["user", "create", "--email", "eva@denied.test", "--table", TABLE, "--yes"];
    let denied = stack.replay(&create).await;
    assert_eq!(denied.code, 1, "{denied:?}");
    let expected = "UserLambdaValidationException: PreSignUp failed with error Sign-up is not possible with this \
                    email address (a trigger of the user pool denied it)";
    assert!(denied.stderr.contains(expected) && denied.stderr.lines().count() == 1, "{denied:?}");
    let allowed =
        stack.replay(&["user", "create", "--email", "eva@example.com", "--table", TABLE, "--yes"]).await;
    assert_eq!(allowed.code, 0, "{allowed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_that_fail_after_a_user_was_created_are_named() {
    let stack = Stack::start().await;
    let create = ["user", "create", "--email", "eva@example.com", "--group", "Staff", "--table", TABLE];
    let unknown_group = stack.replay(&[&create[..], &["--group", "Nobody", "--yes"]].concat()).await;
    assert!(
        unknown_group.code == 1 && unknown_group.stderr.contains("no group Nobody. It has: Developer, Staff"),
        "{unknown_group:?}"
    );
    assert_eq!(stack.change_names(), [] as [&str; 0], "the plan finds what would fail");
    stack.account.sandbox.faults.inject("AdminAddUserToGroup", Fault::Error("NotAuthorizedException"), 1);
    stack.account.sandbox.faults.inject("UpdateItem", Fault::Error("AccessDeniedException"), 1);
    let partly = stack.replay(&[&create[..], &["--yes", "--json"]].concat()).await;
    assert!(partly.code == 1 && partly.stderr.lines().count() == 1, "{partly:?}");
    let report = document("user create", &partly);
    let sub = report["sub"].as_str().unwrap();
    assert_eq!(report["failures"].as_array().unwrap().len(), 2, "{report}");
    for expected in [&format!("user {sub} was created, but"), "add to group Staff: ", "write the profile: "] {
        assert!(partly.stderr.contains(expected), "{partly:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn customer_who_cannot_sign_in_is_explained() {
    let stack = Stack::start().await;
    let show = stack.replay(&["user", "show", BEN, "--table", TABLE]).await;
    let account = "  account: CONFIRMED, disabled, created at 2026-01-01T00:00:00Z, example.test\n";
    assert!(show.stdout.contains(account), "{show:?}");
    let reinstate = [
        "user",
        "reinstate",
        BEN,
        "--reason",
        "x",
        "--table",
        TABLE,
        "--queue",
        "user-events",
        "--without-profile",
    ];
    let run = run({
        let mut replay = command(&stack.endpoint, &reinstate);
        replay.stdin(Stdio::null());
        replay
    })
    .await;
    assert!(run.stdout.contains("  note  the user is not suspended. If the user cannot sign in"), "{run:?}");

    let decision =
        SuspensionChange::suspend(ANA, "spam", None, "ben", "2026-03-01T10:00:00Z".parse().unwrap());
    assert!(stack.account.store().write_suspension(ANA, &decision.suspension).await.unwrap());
    let show = stack.replay(&["user", "show", ANA, "--table", TABLE]).await;
    let expected = "suspended without an end, by ben: spam\n  suspended since 2026-03-01T10:00:00Z\n  account: CONFIRMED";
    assert!(show.stdout.contains(expected), "{show:?}");
    let shown =
        document("user show", &stack.replay(&["user", "show", ANA, "--table", TABLE, "--json"]).await);
    assert_eq!(
        (&shown["suspendedSince"], &shown["account"]["enabled"]),
        (&json!("2026-03-01T10:00:00Z"), &json!(true))
    );
    let unknown = stack.replay(&["user", "show", "x", "--table", TABLE]).await;
    assert!(unknown.stdout.contains("  account: none in the user pool\n"), "{unknown:?}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn interrupted_creation_names_the_user_that_was_created() {
    for (operation, expected) in [
        ("AdminCreateUser", "replay: interrupted: the user may be created"),
        ("AdminAddUserToGroup", " was created, but perhaps without password, groups or profile"),
    ] {
        let stack = Stack::start().await;
        stack.account.sandbox.faults.inject(operation, Fault::Hang, 9);
        let create = [
            "user",
            "create",
            "--email",
            "eva@example.com",
            "--group",
            "Staff",
            "--user-pool",
            POOL,
            "--yes",
        ];
        let mut replay = command(&stack.endpoint, &create);
        let child = replay.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while !stack.change_names().contains(&operation.to_owned()) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let kill = ["-s", "INT", &child.id().to_string()].map(str::to_owned);
        assert!(std::process::Command::new("kill").args(kill).status().unwrap().success());
        let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(130) && stderr.contains(expected), "{operation}: {output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn password_is_read_from_standard_input_and_never_shown() {
    let stack = Stack::start().await;
    let password = ["user", "password", ANA];
    let plan = stack.replay(&password).await;
    insta::assert_snapshot!(plan.stdout, @r"
    user 7d8ca528-4931-4254-9273-ea5ee853f271: CONFIRMED, enabled
      then  CONFIRMED: the password is permanent
    Dry run: nothing was changed. Add --yes to set the password.
    ");
    assert_eq!(stack.change_names(), [] as [&str; 0]);
    let set = stack
        .replay_with_input(&[&password[..], &["--temporary", "--yes", "--json"]].concat(), PASSWORD)
        .await;
    assert_eq!(document("user password", &set)["changed"], true, "{set:?}");
    assert_eq!(stack.status(ANA).await.as_deref(), Some("FORCE_CHANGE_PASSWORD"));
    let set = stack.replay_with_input(&[&password[..], &["--yes"]].concat(), &format!("{PASSWORD}\n")).await;
    assert!(set.code == 0 && set.stdout.ends_with("Password set.\n"), "{set:?}");
    assert_eq!(stack.status(ANA).await.as_deref(), Some("CONFIRMED"));
    let federated = stack.replay(&["user", "password", "sub-of-carla"]).await;
    assert!(federated.stdout.contains("note  the user signs in with an identity provider"), "{federated:?}");
    let unknown = stack.replay(&["user", "password", "unknown-sub", "--yes"]).await;
    assert!(unknown.code == 1 && unknown.stderr.contains("has no user with this sub"), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_learns_that_a_managed_group_does_not_stay() {
    let stack = Stack::start().await;
    let groups = stack.replay(&["user", "group", "list", BEN, "--stack", "shop"]).await;
    insta::assert_snapshot!(groups.stdout, @r"
    user e58b1d74-92c6-4f0a-8a3d-6f41c7b09e25
      Developer  (managed by GROUP_RULES)
      Staff
    ");
    document("user group list", &stack.replay(&["user", "group", "list", BEN, "--json"]).await);
    let add = ["user", "group", "add", ANA, "Developer"];
    let plan = stack.replay(&[&add[..], &["--stack", "shop"]].concat()).await;
    insta::assert_snapshot!(plan.stdout, @r"
    user 7d8ca528-4931-4254-9273-ea5ee853f271, group Developer
      now   not a member
      then  a member
      note  GROUP_RULES manages this group. Tokens have it only if a rule matches, and with PersistGroups the user's next token undoes the change. Change the attributes of the user, or the rules
    Dry run: nothing was changed. Add --yes to change the membership.
    ");
    assert_eq!(stack.change_names(), [] as [&str; 0]);
    let plan = stack.replay(&["user", "group", "add", ANA, "Staff"]).await;
    assert!(plan.stdout.contains("note  not known if GROUP_RULES manages this group"), "{plan:?}");

    let add = ["user", "group", "add", ANA, "Staff", "--stack", "shop", "--yes"];
    let added = stack.replay(&add).await;
    assert!(added.code == 0 && !added.stdout.contains("note"), "{added:?}");
    let again = document("user group add", &stack.replay(&[&add[..], &["--json"]].concat()).await);
    assert_eq!((&again["memberBefore"], &again["changed"]), (&json!(true), &json!(false)));
    let remove = ["user", "group", "remove", ANA, "Staff", "--yes", "--json"];
    let removed = document("user group remove", &stack.replay(&remove).await);
    assert_eq!((&removed["memberBefore"], &removed["changed"]), (&json!(true), &json!(true)));
    assert_eq!(stack.change_names(), ["AdminAddUserToGroup", "AdminRemoveUserFromGroup"]);
    assert_eq!(
        stack.account.sandbox.backend().user_pools().groups().await["ana@example.com"],
        [] as [&str; 0]
    );
    let unknown = stack.replay(&["user", "group", "add", ANA, "Nobody", "--yes"]).await;
    assert!(
        unknown.code == 1 && unknown.stderr.contains("has no group Nobody. It has: Developer, Staff"),
        "{unknown:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn second_run_completes_an_erasure_with_its_account() {
    let erase = ["user", "erase", ANA, "--account", "--table", TABLE, "--queue", "cache-invalidations"];
    let with_yes = [&erase[..], &["--yes"]].concat();
    let stack = Stack::start().await;
    let plan = stack.replay(&erase).await;
    assert_eq!(plan.code, 0, "{plan:?}");
    assert!(plan.stdout.contains("\n  account        CONFIRMED, enabled\n"), "{plan:?}");
    assert!(plan.stdout.contains("Add --yes to erase the user's data and the account."), "{plan:?}");
    assert_eq!(stack.change_names(), [] as [&str; 0]);
    for (operation, expected) in [
        ("AdminDisableUser", "nothing was erased. Run the command again"),
        ("AdminUserGlobalSignOut", "nothing was erased, but the account is disabled"),
        ("BatchWriteItem", "erased"),
        ("SendMessage", "the user's data was erased, but the cached pages were not invalidated"),
        ("AdminDeleteUser", "the data was erased, but the account is only disabled"),
    ] {
        let stack = Stack::start().await;
        stack.account.sandbox.faults.inject(operation, Fault::Error("AccessDeniedException"), 1);
        let failed = stack.replay(&with_yes).await;
        assert!(failed.code == 1 && failed.stderr.contains(expected), "{operation}: {failed:?}");
        assert_eq!(failed.stderr.lines().count(), 1, "{failed:?}");
        assert!(stack.status(ANA).await.is_some(), "{operation}: the account is found again");
        let completed = stack.replay(&[&with_yes[..], &["--json"]].concat()).await;
        let report = document("user erase", &completed);
        assert_eq!(
            (completed.code, &report["erased"], &report["accountDeleted"]),
            (0, &json!(true), &json!(true))
        );
        assert_eq!(stack.status(ANA).await, None, "{operation}");
        let keys = stack.account.sandbox.items().await.unwrap().into_keys();
        let of_ana: Vec<_> = keys.filter(|(partition, _)| partition.ends_with(ANA)).collect();
        assert_eq!(of_ana, [(format!("USER#{ANA}"), "STATS".to_owned())], "{operation}: only the marker");
        let third = stack.replay(&with_yes).await;
        assert!(
            third.code == 0 && third.stdout.contains("account        none in the user pool"),
            "{third:?}"
        );
    }
    let unknown = stack.replay(&[
        "user",
        "erase",
        "x",
        "--account",
        "--table",
        TABLE,
        "--queue",
        "cache-invalidations",
    ]);
    let unknown = unknown.await;
    assert!(
        unknown.code == 1 && unknown.stderr.contains("neither the table nor the user pool"),
        "{unknown:?}"
    );
}

/// The commands that call the user pool, with the operation that each calls first.
const POOL_COMMANDS: [(&[&str], &str); 9] = [
    (&["user", "list"], "ListUsers"),
    (&["user", "create", "--email", "eva@example.com", "--yes"], "ListUsers"),
    (&["user", "password", ANA, "--yes"], "ListUsers"),
    (&["user", "group", "list", ANA], "ListUsers"),
    (&["user", "group", "add", ANA, "Staff", "--yes"], "ListUsers"),
    (&["user", "group", "remove", ANA, "Staff", "--yes"], "ListUsers"),
    (
        &["user", "suspend", ANA, "--reason", "x", "--sign-out", "--queue", "user-events", "--yes"],
        "ListUsers",
    ),
    (&["user", "erase", ANA, "--account", "--queue", "cache-invalidations", "--yes"], "ListUsers"),
    (&["user", "import", "--yes"], "ListUsers"),
];

#[tokio::test(flavor = "multi_thread")]
async fn user_commands_change_nothing_if_the_pool_refuses() {
    let stack = Stack::start().await;
    let before = stack.account.sandbox.items().await.unwrap();
    for (arguments, operation) in POOL_COMMANDS {
        for (code, expected) in [
            ("NotAuthorizedException", "NotAuthorizedException"),
            ("AccessDeniedException", "AccessDeniedException"),
            (
                "ResourceNotFoundException",
                "user pool eu-central-1_EXAMPLE12 does not exist in this account and region",
            ),
        ] {
            stack.account.sandbox.faults.inject(operation, Fault::Error(code), usize::MAX);
            let run = stack.replay_without_check(arguments, POOL).await;
            stack.account.sandbox.faults.clear();
            assert!(run.code == 1 && run.stderr.contains(expected), "{arguments:?}: {run:?}");
            assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
        }
        for (pool, expected) in [
            (
                "us-east-1_EXAMPLE12",
                "--user-pool: the user pool is in us-east-1, but the region is eu-central-1",
            ),
            ("", "--user-pool"),
            ("pool", "--user-pool: expected the id of a user pool"),
        ] {
            let run = stack.replay_without_check(arguments, pool).await;
            assert!(run.code == 2 && run.stderr.contains(expected), "{arguments:?}: {run:?}");
        }
    }
    assert_eq!(stack.change_names(), [] as [&str; 0]);
    assert_eq!(stack.account.sandbox.items().await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn user_commands_wait_while_the_pool_throttles() {
    for (arguments, operation) in POOL_COMMANDS {
        let stack = Stack::start().await;
        stack.account.sandbox.faults.inject(operation, Fault::Error("TooManyRequestsException"), 1);
        let run = stack.replay_without_check(arguments, POOL).await;
        assert_eq!(run.code, 0, "{arguments:?}: {run:?}");
    }
}

impl Stack {
    /// Runs a command with a table and a password. The sandbox's errors contain an address.
    async fn replay_without_check(&self, arguments: &[&str], pool: &str) -> CommandRun {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().write_all(PASSWORD.as_bytes()).unwrap();
        let mut replay = command(&self.endpoint, arguments);
        replay
            .args(["--user-pool", pool])
            .env("TABLE_NAME", TABLE)
            .stdin(Stdio::from(file.reopen().unwrap()));
        run(replay).await
    }
}
