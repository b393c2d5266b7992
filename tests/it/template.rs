//! Compares `template.yaml` with the code: functions, variables, defaults, timeouts, metrics and
//! permissions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use sandbox::costs::{account_events as account_costs, assumptions};
use sandbox::mapped_workers::WorkerSettings;
use scheduled::user_pool_watch;
use serde_json::{Value, json};
use shared::config::Environment;
use shared::events::{Data, DataChanged, Event, Subject, View};
use shared::function_context::FunctionContext;
use shared::function_id::FunctionId;
use shared::metric::Metric;
use shared::store::FollowedAttributes;
use shared::telemetry::{Metrics, NAMESPACE};
use shared::time::Clock;
use triggers::custom_message::templates::Locale;
use triggers::pre_token_generation::claims::TokenClaims;
use triggers::pre_token_generation::groups::GroupRules;
use triggers::sign_in::OnStoreError;
use triggers::{custom_message, post_confirmation, pre_authentication, pre_sign_up, pre_token_generation};
use workers::cache_invalidation::planner;
use workers::{account_activity, cache_invalidation, group_membership, resource_permission, user_stats};
use xtask::table_access::{AccessKind, table_access};
use xtask::template::{Template, permissions};

use crate::support::test_stack;

mod account_events;
mod deployment;
mod edge;
mod edge_model;
mod queues;
mod read_api;
mod user_pool;
mod watch;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

/// Converts `pre-sign-up` to `PreSignUp`.
fn pascal(name: &str) -> String {
    let words = name.split('-').map(|word| format!("{}{}", word[..1].to_uppercase(), &word[1..]));
    words.collect()
}

fn function(binary: &str) -> FunctionId {
    FunctionId::from_name(binary).unwrap_or_else(|| panic!("{binary} is not in FunctionId"))
}

fn seconds(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("not a number of seconds: {value}"))
}

#[test]
fn every_binary_is_a_function_with_the_same_name() {
    let template = Template::read();
    let functions = template.functions();
    let mut binaries = names_in(&root().join("triggers/src/bin"));
    binaries.append(&mut names_in(&root().join("workers/src/bin")));
    binaries.append(&mut names_in(&root().join("api/src/bin")));
    binaries.append(&mut names_in(&root().join("scheduled/src/bin")));
    let expected: BTreeSet<String> = functions.keys().map(|binary| (*binary).to_owned()).collect();
    assert_eq!(binaries, expected);
    let listed: BTreeSet<String> = FunctionId::ALL.map(|function| function.name().to_owned()).into();
    assert_eq!(binaries, listed);
    for (binary, (name, properties)) in functions {
        assert_eq!(name, function(binary).resource_name());
        assert_eq!(properties["FunctionName"]["Fn::Sub"], format!("${{AWS::StackName}}-{binary}"));
        assert!(!names_in(&root().join("events").join(binary)).is_empty(), "events/{binary} has no events");
    }
    let globals = &template.section("Globals")["Function"];
    assert_eq!((&globals["Runtime"], &globals["Handler"]), (&json!("provided.al2023"), &json!("bootstrap")));
    let method = |(_, function): (&str, &Value)| function["Metadata"]["BuildMethod"].clone();
    assert!(
        template.of_type("AWS::Serverless::Function").map(method).all(|method| method == "rust-cargolambda")
    );
}

#[test]
fn cost_model_uses_the_sizes_in_the_template() {
    let template = Template::read();
    let globals = &template.section("Globals")["Function"];
    assert_eq!(globals["MemorySize"].as_f64(), Some(assumptions::TRIGGER_MEGABYTES));
    for trigger in ["PreAuthenticationFunction", "PreTokenGenerationFunction"] {
        assert!(template.properties(trigger)["MemorySize"].is_null(), "{trigger}");
    }
    let (user_stats, invalidation) = ("UserStatsFunction", "CacheInvalidationFunction");
    for worker in [user_stats, invalidation] {
        let memory = template.properties(worker)["MemorySize"].as_f64();
        assert_eq!(memory, Some(assumptions::WORKER_MEGABYTES), "{worker}");
    }
    let activity = template.properties("AccountActivityFunction");
    // Without a MemorySize of its own, it has that of the triggers.
    assert!(activity["MemorySize"].is_null());
    assert_eq!(account_costs::MEGABYTES, assumptions::TRIGGER_MEGABYTES);
    let activities = &activity["Events"]["AccountActivities"]["Properties"];
    let stats = &template.properties(user_stats)["Events"]["UserEvents"]["Properties"];
    let changes = &template.properties(invalidation)["Events"]["CacheInvalidations"]["Properties"];
    let concurrency = &changes["ScalingConfig"]["MaximumConcurrency"];
    for (value, constant) in [
        (&stats["BatchSize"], assumptions::USER_STATS_BATCH),
        (&stats["MaximumBatchingWindowInSeconds"], assumptions::USER_STATS_WINDOW_SECONDS),
        (&activities["BatchSize"], account_costs::BATCH),
        (&activities["MaximumBatchingWindowInSeconds"], account_costs::WINDOW_SECONDS),
        (&template.parameters()["FailedSignInsPerUser"]["MaxValue"], account_costs::STORED_PER_HOUR),
        (&changes["BatchSize"], assumptions::INVALIDATION_BATCH),
        (&changes["MaximumBatchingWindowInSeconds"], assumptions::INVALIDATION_WINDOW_SECONDS),
        (concurrency, assumptions::INVALIDATION_CONCURRENCY),
        (&template.parameters()["EventRetentionDays"]["Default"], assumptions::RETENTION_DAYS),
        (
            &template.parameters()["SignInAttemptRetentionDays"]["Default"],
            assumptions::ATTEMPT_RETENTION_DAYS,
        ),
        (&template.parameters()["MonthlyItemBudget"]["Default"], f64::from(assumptions::MONTHLY_ITEM_BUDGET)),
        (&template.parameters()["PurgeAllThreshold"]["Default"], f64::from(assumptions::PURGE_ALL_THRESHOLD)),
        (
            &template.parameters()["PurgeAllThresholdHalvingSeconds"]["Default"],
            f64::from(assumptions::PURGE_ALL_THRESHOLD_HALVING_SECONDS),
        ),
        (
            &template.parameters()["InvalidationIntervalSeconds"]["Default"],
            f64::from(assumptions::INTERVAL_SECONDS),
        ),
        (
            &template.parameters()["TokenValidityMinutes"]["Default"],
            f64::from(assumptions::TOKEN_VALIDITY_MINUTES),
        ),
        (
            &template.parameters()["CacheLifetimeDivisor"]["Default"],
            f64::from(assumptions::DEFAULT_LIFETIME.divisor),
        ),
        (
            &template.parameters()["MinCacheLifetimeSeconds"]["Default"],
            f64::from(assumptions::DEFAULT_LIFETIME.min_seconds),
        ),
        (
            &template.parameters()["MaxCacheLifetimeSeconds"]["Default"],
            f64::from(assumptions::DEFAULT_LIFETIME.max_seconds),
        ),
        (
            &template.properties("CacheInvalidationsQueue")["DelaySeconds"],
            assumptions::DELIVERY_DELAY_SECONDS as f64,
        ),
    ] {
        assert_eq!(value.as_f64(), Some(constant), "{value}");
    }
    // The queue of account events exists only with AccountEvents=true.
    let by_default = deployment::Deployment::with(&[]).resources();
    let workers = FunctionId::workers().filter(|worker| by_default.contains(worker.resource_name()));
    assert_eq!(workers.count() as f64, assumptions::QUEUES);
}

#[test]
fn sandbox_runs_workers_with_the_timeouts_and_batch_sizes_in_the_template() {
    let template = Template::read();
    for worker in FunctionId::workers() {
        let WorkerSettings { timeout_seconds, batch_size, window_seconds } = WorkerSettings::of(worker);
        let (_, properties) = template.functions()[worker.name()];
        let [event] = properties["Events"].as_object().unwrap().values().collect::<Vec<_>>()[..] else {
            panic!("{worker} must read exactly one queue")
        };
        let event = &event["Properties"];
        assert_eq!(
            (&properties["Timeout"], &event["BatchSize"]),
            (&json!(timeout_seconds), &json!(batch_size))
        );
        let queue = match worker {
            FunctionId::UserStats => "UserEventsQueue",
            FunctionId::CacheInvalidation => "CacheInvalidationsQueue",
            _ => continue,
        };
        let delay = template.properties(queue)["DelaySeconds"].as_u64().unwrap_or_default();
        let window = seconds(&event["MaximumBatchingWindowInSeconds"]);
        assert_eq!(window_seconds, i64::try_from(delay + window).unwrap());
    }
}

/// The variables that a function reads at startup.
async fn variables_read_by(binary: &str) -> BTreeSet<String> {
    let function = function(binary);
    let context: FunctionContext = test_stack().await.account.function(function, &BTreeMap::new());
    match function {
        FunctionId::PreSignUp => drop(pre_sign_up::Deps::new(&context).unwrap()),
        FunctionId::PostConfirmation => drop(post_confirmation::Deps::new(&context).unwrap()),
        FunctionId::PreAuthentication => drop(pre_authentication::Deps::new(&context).unwrap()),
        FunctionId::PreTokenGeneration => drop(pre_token_generation::Deps::new(&context).unwrap()),
        FunctionId::CustomMessage => drop(custom_message::Deps::new(&context).unwrap()),
        FunctionId::UserStats => drop(user_stats::Deps::new(&context).unwrap()),
        FunctionId::CacheInvalidation => drop(cache_invalidation::Deps::new(&context).unwrap()),
        FunctionId::GroupMembership => drop(group_membership::Deps::new(&context).unwrap()),
        FunctionId::ResourcePermission => drop(resource_permission::Deps::new(&context).unwrap()),
        FunctionId::AccountActivity => drop(account_activity::Deps::new(&context).unwrap()),
        FunctionId::ReadApi => drop(api::Deps::new(&context).unwrap()),
        FunctionId::UserPoolWatch => drop(user_pool_watch::Deps::new(&context).unwrap()),
    }
    context.environment.names_read()
}

#[tokio::test]
async fn functions_get_exactly_the_variables_that_they_read() {
    for (binary, (_, properties)) in Template::read().functions() {
        let given: BTreeSet<String> =
            properties["Environment"]["Variables"].as_object().unwrap().keys().cloned().collect();
        let read = variables_read_by(binary).await;
        assert_eq!(given, read, "{binary}");
        for variable in FunctionId::ALL.iter().flat_map(|function| function.variables()) {
            assert_eq!(
                function(binary).variables().contains(variable),
                read.contains(*variable),
                "{variable} of {binary} in FunctionId::variables"
            );
        }
    }
}

/// A parameter without a default gets a value, so that the function starts.
#[tokio::test]
async fn parameter_defaults_equal_the_defaults_in_the_code() {
    let template = Template::read();
    let account = test_stack().await.account;
    for (binary, (_, properties)) in template.functions() {
        let mut environment: BTreeMap<String, String> = BTreeMap::new();
        for (variable, value) in properties["Environment"]["Variables"].as_object().unwrap() {
            let Some(parameter) = value["Ref"].as_str().and_then(|name| template.parameters().get(name))
            else {
                continue;
            };
            match &parameter["Default"] {
                Value::Null => environment.insert(variable.clone(), "Example".to_owned()),
                Value::String(text) => environment.insert(variable.clone(), text.clone()),
                other => environment.insert(variable.clone(), other.to_string()),
            };
        }
        let with_defaults = account.function(function(binary), &environment);
        let bare = account.function(function(binary), &BTreeMap::new());
        assert_eq!(
            config_of(binary, &with_defaults.environment),
            config_of(binary, &bare.environment),
            "{binary}"
        );
    }
}

fn config_of(binary: &str, environment: &Environment) -> String {
    match function(binary) {
        FunctionId::PreSignUp => format!("{:?}", pre_sign_up::Policy::from_environment(environment)),
        FunctionId::PreAuthentication => format!("{:?}", OnStoreError::from_environment(environment)),
        FunctionId::PreTokenGeneration => {
            let (rules, claims) =
                (GroupRules::from_environment(environment), TokenClaims::from_environment(environment));
            format!("{:?} {rules:?} {claims:?}", OnStoreError::from_environment(environment))
        }
        FunctionId::CustomMessage => {
            let config = custom_message::Config::from_environment(environment).unwrap();
            format!("{:?}", custom_message::Config { product_name: String::new(), ..config })
        }
        FunctionId::UserStats => format!("{:?}", user_stats::Config::from_environment(environment)),
        FunctionId::CacheInvalidation => {
            let config = cache_invalidation::Config::from_environment(environment).unwrap();
            format!("{:?}", cache_invalidation::Config { distribution_id: String::new(), ..config })
        }
        FunctionId::AccountActivity => {
            format!("{:?}", account_activity::Config::from_environment(environment))
        }
        FunctionId::GroupMembership => format!("{:?}", shared::group_rules::read(environment)),
        FunctionId::ReadApi => {
            let config = api::Config::from_environment(environment).unwrap();
            format!("{:?}", api::Config { product_name: String::new(), ..config })
        }
        _ => String::new(),
    }
}

#[test]
fn default_locale_can_be_every_locale_and_no_other_value() {
    let template = Template::read();
    let allowed = &template.parameters()["DefaultLocale"]["AllowedValues"];
    assert_eq!(*allowed, json!(Locale::ALL.map(Locale::code)));
}

#[test]
fn parameters_are_used_described_and_grouped() {
    let template = Template::read();
    let interface = &template.section("Metadata")["AWS::CloudFormation::Interface"];
    let groups = interface["ParameterGroups"].as_array().unwrap();
    let grouped: Vec<&str> = groups
        .iter()
        .flat_map(|group| group["Parameters"].as_array().unwrap())
        .filter_map(Value::as_str)
        .collect();
    let names: Vec<&str> = template.parameters().keys().map(String::as_str).collect();
    assert_eq!(grouped.iter().collect::<BTreeSet<_>>(), names.iter().collect::<BTreeSet<_>>());
    assert_eq!(grouped.len(), names.len(), "a parameter is in two groups");
    let text = std::fs::read_to_string(root().join("template.yaml")).unwrap();
    for (name, parameter) in template.parameters() {
        assert!(parameter["Description"].as_str().is_some_and(|text| text.len() <= 400), "{name}");
        let used = [format!("!Ref {name}"), format!("${{{name}}}"), format!("Ref: {name}")];
        assert!(used.iter().any(|used| text.contains(used.as_str())), "{name} is not used");
    }
}

#[test]
fn configuration_page_names_every_parameter() {
    let page = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let template = Template::read();
    let missing: Vec<&String> =
        template.parameters().keys().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/configuration.md does not name {missing:?}");
}

#[test]
fn triggers_have_the_timeout_of_cognito_and_are_attached_to_the_pool() {
    let template = Template::read();
    let functions = template.functions();
    assert_eq!(template.section("Globals")["Function"]["Timeout"], 5);
    let lambda_config = &template.properties("UserPool")["LambdaConfig"]["Fn::If"][1];
    for trigger in FunctionId::triggers().map(FunctionId::name) {
        let (name, properties) = functions[trigger];
        assert!(properties.get("Timeout").is_none() && properties.get("Events").is_none(), "{trigger}");
        let attached = match trigger {
            "pre-token-generation" => &lambda_config["PreTokenGenerationConfig"]["LambdaArn"],
            _ => &lambda_config[pascal(trigger)],
        };
        assert_eq!(attached["Fn::GetAtt"], format!("{name}.Arn"), "{trigger}");
        let permission = template.properties(&format!("{}Permission", pascal(trigger)));
        assert_eq!(permission["FunctionName"]["Ref"], name);
        assert_eq!(permission["Principal"], "cognito-idp.amazonaws.com");
        assert!(permission["SourceArn"].is_object() && permission["SourceAccount"].is_object(), "{trigger}");
    }
}

#[test]
fn workers_read_their_queue_and_report_each_failed_message() {
    let template = Template::read();
    let functions = template.functions();
    for function in FunctionId::workers() {
        let worker = function.name();
        let queue = pascal(function.queue().unwrap());
        let (queue, dead_letters) = (format!("{queue}Queue"), format!("{queue}DeadLetterQueue"));
        let (queue, dead_letters) = (queue.as_str(), dead_letters.as_str());
        let (_, properties) = functions[worker];
        let events: Vec<&Value> = properties["Events"].as_object().unwrap().values().collect();
        let [event] = events[..] else { panic!("{worker} must read exactly one queue") };
        let event = &event["Properties"];
        assert_eq!(event["Queue"]["Fn::GetAtt"], format!("{queue}.Arn"), "{worker}");
        assert_eq!(event["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]), "{worker}");
        assert!(!event["ScalingConfig"]["MaximumConcurrency"].is_null(), "{worker}");
        // Lambda recommends six times the timeout plus the batching window.
        let window = seconds(&event["MaximumBatchingWindowInSeconds"]);
        let visibility = seconds(&template.properties(queue)["VisibilityTimeout"]);
        assert!(visibility >= 6 * seconds(&properties["Timeout"]) + window, "{worker}");
        let redrive = &template.properties(queue)["RedrivePolicy"];
        assert_eq!(redrive["deadLetterTargetArn"]["Fn::GetAtt"], format!("{dead_letters}.Arn"));
        // Otherwise every queue of the account could use this queue as its dead-letter queue.
        assert_eq!(template.properties(queue)["RedriveAllowPolicy"], json!({"redrivePermission": "denyAll"}));
        let throttled = ["cache-invalidation", "account-activity"].contains(&worker);
        let receives = if throttled { 10 } else { 5 };
        assert_eq!(redrive["maxReceiveCount"], receives);
        // The age of a message includes its time in the source queue.
        let retention = |queue| seconds(&template.properties(queue)["MessageRetentionPeriod"]);
        assert!(retention(dead_letters) > retention(queue), "{worker}");
        let variables = &properties["Environment"]["Variables"];
        assert_eq!(variables["DEAD_LETTER_QUEUE_URL"]["Ref"], dead_letters);
        assert!(variables.as_object().unwrap().values().any(|value| value["Ref"] == queue), "{worker}");
    }
    let invalidations = template.properties("CacheInvalidationsQueue");
    assert_eq!(invalidations["DelaySeconds"], 5);
}

/// A worker starts no new work when less than this time is left: one commit attempt, one CloudFront
/// call or one change of a group, each with its retries.
#[test]
fn worker_timeouts_are_at_least_twice_the_time_that_one_step_needs() {
    let template = Template::read();
    let timeout = |worker: &str| seconds(&template.functions()[worker].1["Timeout"]);
    for (worker, step) in [
        ("user-stats", shared::store::commit::ATTEMPT_SECONDS),
        ("cache-invalidation", cache_invalidation::CALL_SECONDS),
        ("group-membership", group_membership::CHANGE_SECONDS),
        ("resource-permission", resource_permission::WRITE_SECONDS),
        ("account-activity", account_activity::STEP_SECONDS),
    ] {
        assert!(timeout(worker) >= 2 * step.unsigned_abs(), "{worker}");
        // A parameter could be set to a value with which no message ever succeeds.
        assert!(template.functions()[worker].1["Timeout"].is_u64(), "{worker}");
    }
}

#[test]
fn batch_can_exceed_the_largest_purge_all_threshold() {
    let template = Template::read();
    let batch =
        &template.properties("CacheInvalidationFunction")["Events"]["CacheInvalidations"]["Properties"];
    let maximum = &template.parameters()["PurgeAllThreshold"]["MaxValue"];
    assert_eq!(*maximum, planner::MAX_PURGE_ALL_THRESHOLD);
    assert!(batch["BatchSize"].as_u64().unwrap() > maximum.as_u64().unwrap());
    // The record of the smallest notice, with the receipt handle of the SQS API reference, which is
    // shorter than those that SQS returns today.
    let changed = DataChanged {
        views: [View::Orders].into(),
        changed_at: Timestamp::UNIX_EPOCH,
        reason: None,
        pages_expire_at: None,
    };
    let sub = "7d8ca528-4931-4254-9273-ea5ee853f271".to_owned();
    let source = workers::user_stats::SOURCE;
    let notice = Event::new(source, Subject::User(sub), Timestamp::UNIX_EPOCH, Data::DataChanged(changed));
    let mut record = tests::fixtures::json("cache-invalidation/changes-of-two-users")["Records"][0].clone();
    record["body"] = json!(notice.to_json());
    record["receiptHandle"] = json!("x".repeat(184));
    let bytes = record.to_string().len();
    let max_records = 6 * 1024 * 1024 / bytes;
    let possible =
        planner::MAX_PURGE_ALL_THRESHOLD as usize + 1..planner::MAX_PURGE_ALL_THRESHOLD as usize + 100;
    assert!(possible.contains(&max_records), "{max_records} records of {bytes} bytes");
}

#[test]
fn policies_have_no_wildcard_except_for_tracing() {
    let page = permissions(&Template::read());
    let heads = ["| Statement", "| Partition", "| `"];
    let is_statement =
        |line: &&str| line.starts_with("| ") && !heads.iter().any(|head| line.starts_with(head));
    for line in page.lines().filter(is_statement) {
        let cells: Vec<&str> = line.split(" | ").collect();
        assert!(!cells[1].contains('*'), "{line}");
        assert!(!cells[2].contains('*') || cells[0] == "| Trace" || cells[1] == "Deny", "{line}");
    }
}

/// The table has a partition for suspensions so that IAM can protect it.
#[test]
fn no_function_can_write_or_delete_a_suspension() {
    use AccessKind::{Delete, Read, Write};
    let access = table_access(&Template::read());
    let may = |kind: AccessKind, key: &str| -> BTreeSet<&str> {
        let allowed = access.iter().filter(|access| access.allows(kind, key));
        allowed.map(|access| access.function.as_str()).collect()
    };
    let key = "SUSPENSION#7d8ca528-4931-4254-9273-ea5ee853f271";
    assert_eq!(may(Write, key), BTreeSet::new());
    assert_eq!(may(Delete, key), BTreeSet::new());
    let readers = ["cache-invalidation", "pre-authentication", "pre-token-generation", "read-api"];
    assert_eq!(may(Read, key), readers.into());
    let key = "SUSPENDED_EMAIL#0e9166fe256f8cdc412827b7c18d7aea62940e8e6e34abc49621bca671190ebe";
    assert_eq!((may(Write, key), may(Delete, key)), (BTreeSet::new(), BTreeSet::new()));
    assert_eq!(may(Read, key), ["pre-sign-up"].into());
    let writers = ["account-activity", "post-confirmation", "pre-token-generation", "user-stats"];
    assert_eq!(may(Write, "USER#a"), writers.into());
    assert_eq!(may(Delete, "USER#a"), ["account-activity", "user-stats"].into());
    assert_eq!(may(Write, "CACHE#a"), ["cache-invalidation"].into());
    assert!(access.iter().all(|access| access.leading_keys.is_some()), "{access:?}");
}

/// Events on user-events grant nothing: only the worker of resource-permissions has the right.
#[test]
fn no_function_but_resource_permission_can_write_grants() {
    use AccessKind::{Delete, Read, Write};
    let access = table_access(&Template::read());
    let may = |kind: AccessKind, key: &str| -> BTreeSet<&str> {
        let allowed = access.iter().filter(|access| access.allows(kind, key));
        allowed.map(|access| access.function.as_str()).collect()
    };
    let key = "GRANT#7d8ca528-4931-4254-9273-ea5ee853f271";
    assert_eq!(may(Write, key), ["resource-permission"].into());
    assert_eq!(may(Delete, key), BTreeSet::new());
    assert!(may(Read, key).is_subset(&["read-api"].into()), "{:?}", may(Read, key));
    // Nor has the worker any other right in the table.
    for key in
        ["USER#a", "SUSPENSION#a", "SUSPENDED_EMAIL#a", "CACHE#a", "DOMAIN#a#0", "LEDGER#${Id}", "ADDRESS#a"]
    {
        for kind in [Read, Write, Delete] {
            assert!(!may(kind, key).contains("resource-permission"), "{kind:?} {key}");
        }
    }
}

/// The metrics of the functions that `value` refers to, each with the names of its dimensions.
fn own_metrics<'a>(value: &'a Value, found: &mut Vec<(&'a str, BTreeSet<&'a str>)>) {
    if value["Namespace"] == NAMESPACE {
        let dimensions = value["Dimensions"].as_array().unwrap().iter();
        let names = dimensions.map(|dimension| dimension["Name"].as_str().unwrap()).collect();
        found.push((value["MetricName"].as_str().unwrap(), names));
    }
    match value {
        Value::Object(fields) => fields.values().for_each(|field| own_metrics(field, found)),
        Value::Array(items) => items.iter().for_each(|item| own_metrics(item, found)),
        _ => {}
    }
}

/// The dimension sets of a metric, counted with and without a reason.
fn written_dimensions(metric: Metric) -> Vec<BTreeSet<String>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let log = lines.clone();
    let metrics = Metrics::new("stack-function", Clock::system(), move |line| {
        log.lock().unwrap().push(serde_json::from_str::<Value>(line).unwrap());
    })
    .in_stack(Some("stack"));
    metrics.count(&[(metric, 1)]);
    metrics.count_by(Some(("reason", "code")), &[(metric, 1)]);
    let lines = lines.lock().unwrap();
    let sets = lines.iter().map(|line| line["_aws"]["CloudWatchMetrics"][0]["Dimensions"].clone());
    sets.flat_map(|sets| serde_json::from_value::<Vec<BTreeSet<String>>>(sets).unwrap()).collect()
}

/// An alarm on another metric, or on other dimensions, would never ring.
#[test]
fn alarms_use_only_metrics_and_dimensions_that_the_functions_write() {
    let template = Template::read();
    let mut found = Vec::new();
    own_metrics(template.section("Resources"), &mut found);
    assert!(found.len() >= 6, "{found:?}");
    for (name, dimensions) in found {
        let metric = Metric::ALL.iter().find(|metric| metric.name() == name);
        let metric = *metric.unwrap_or_else(|| panic!("no function writes {name}"));
        let dimensions: BTreeSet<String> = dimensions.into_iter().map(str::to_owned).collect();
        assert!(written_dimensions(metric).contains(&dimensions), "{name} by {dimensions:?}");
    }
}

#[test]
fn permissions_page_matches_the_template() {
    let page = std::fs::read_to_string(root().join("docs/permissions.md")).unwrap_or_default();
    assert_eq!(page, permissions(&Template::read()), "run: cargo xtask permissions");
}

#[test]
fn pre_token_generation_may_update_only_the_attributes_that_follow_the_user_pool() {
    let template = Template::read();
    let role = &template.properties("PreTokenGenerationRole")["Policies"][0]["PolicyDocument"]["Statement"];
    let updates = role.as_array().unwrap().iter().filter(|each| each["Action"] == "dynamodb:UpdateItem");
    let conditions: Vec<&Value> = updates.map(|each| &each["Condition"]).collect();
    let mut attributes = vec!["PK", "SK"];
    attributes.extend(FollowedAttributes::NAMES);
    let expected = json!({
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["USER#*"]},
        "ForAllValues:StringEquals": {"dynamodb:Attributes": attributes},
        "StringEqualsIfExists": {"dynamodb:ReturnValues": "NONE"},
    });
    assert_eq!(conditions, [&expected]);
}

#[test]
fn user_pool_and_table_are_retained() {
    let template = Template::read();
    for (name, resource) in
        ["AWS::Cognito::UserPool", "AWS::DynamoDB::Table"].map(|kind| template.of_type(kind).next().unwrap())
    {
        assert_eq!(
            (&resource["DeletionPolicy"], &resource["UpdateReplacePolicy"]),
            (&json!("Retain"), &json!("Retain")),
            "{name}"
        );
    }
    let client = template.properties("UserPoolClient");
    assert_eq!(client["PreventUserExistenceErrors"], "ENABLED");
}
