//! template.yaml agrees with the code: a new binary or variable that it lacks fails here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sandbox::journey::format::VARIABLES;
use sandbox::costs::assumptions;
use serde_json::{Value, json};
use shared::config::Environment;
use shared::function_context::FunctionContext;
use xtask::template::Template;
use triggers::pre_token_generation::claims::TokenClaims;
use triggers::pre_token_generation::groups::GroupRules;
use triggers::sign_in::OnStoreError;
use triggers::{custom_message, post_confirmation, pre_authentication, pre_sign_up, pre_token_generation};
use workers::{cache_invalidation, group_membership, user_stats};

use crate::support::rig;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

const TRIGGERS: [&str; 5] =
    ["pre-sign-up", "post-confirmation", "pre-authentication", "pre-token-generation", "custom-message"];

/// Worker, its queue and dead-letter queue in the template.
const WORKERS: [(&str, &str, &str); 3] = [
    ("user-stats", "UserEventsQueue", "UserEventsDeadLetterQueue"),
    ("cache-invalidation", "CacheInvalidationsQueue", "CacheInvalidationsDeadLetterQueue"),
    ("group-membership", "GroupMembershipsQueue", "GroupMembershipsDeadLetterQueue"),
];

/// `pre-sign-up` → `PreSignUp`.
fn pascal(name: &str) -> String {
    let words = name.split('-').map(|word| format!("{}{}", word[..1].to_uppercase(), &word[1..]));
    words.collect()
}

fn seconds(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("seconds: {value}"))
}

#[test]
fn every_binary_is_a_function_under_the_same_name() {
    let template = Template::read();
    let functions = template.functions();
    let mut binaries = names_in(&root().join("triggers/src/bin"));
    binaries.append(&mut names_in(&root().join("workers/src/bin")));
    let expected: BTreeSet<String> = functions.keys().map(|binary| (*binary).to_owned()).collect();
    assert_eq!(binaries, expected);
    for (binary, (name, properties)) in functions {
        assert_eq!(name, format!("{}FunctionContext", pascal(binary)));
        assert_eq!(properties["FunctionName"]["Fn::Sub"], format!("${{AWS::StackName}}-{binary}"));
        assert!(!names_in(&root().join("events").join(binary)).is_empty(), "fixtures of {binary}");
    }
    let globals = &template.section("Globals")["FunctionContext"];
    assert_eq!((&globals["Runtime"], &globals["Handler"]), (&json!("provided.al2023"), &json!("bootstrap")));
    let method = |(_, function): (&str, &Value)| function["Metadata"]["BuildMethod"].clone();
    assert!(
        template.of_type("AWS::Serverless::FunctionContext").map(method).all(|method| method == "rust-cargolambda")
    );
}

#[test]
fn the_model_of_scale_has_the_sizes_of_the_template() {
    let template = Template::read();
    let globals = &template.section("Globals")["FunctionContext"];
    assert_eq!(globals["MemorySize"].as_f64(), Some(assumptions::TRIGGER_MEGABYTES));
    for trigger in ["PreAuthenticationFunction", "PreTokenGenerationFunction"] {
        assert!(template.properties(trigger)["MemorySize"].is_null(), "{trigger}");
    }
    let (user_stats, invalidation) = ("UserStatsFunction", "CacheInvalidationFunction");
    for worker in [user_stats, invalidation] {
        let memory = template.properties(worker)["MemorySize"].as_f64();
        assert_eq!(memory, Some(assumptions::WORKER_MEGABYTES), "{worker}");
    }
    let stats = &template.properties(user_stats)["Events"]["UserEvents"]["Properties"];
    let changes = &template.properties(invalidation)["Events"]["CacheInvalidations"]["Properties"];
    let concurrency = &changes["ScalingConfig"]["MaximumConcurrency"];
    for (value, constant) in [
        (&stats["BatchSize"], assumptions::USER_STATS_BATCH),
        (&stats["MaximumBatchingWindowInSeconds"], assumptions::USER_STATS_WINDOW_SECONDS),
        (&changes["BatchSize"], assumptions::INVALIDATION_BATCH),
        (&changes["MaximumBatchingWindowInSeconds"], assumptions::INVALIDATION_WINDOW_SECONDS),
        (concurrency, assumptions::INVALIDATION_CONCURRENCY),
        (&template.parameters()["EventRetentionDays"]["Default"], assumptions::RETENTION_DAYS),
    ] {
        assert_eq!(value.as_f64(), Some(constant), "{value}");
    }
    assert_eq!(WORKERS.len() as f64, assumptions::QUEUES);
}

/// What a function reads, from its own start.
async fn read_by(binary: &str) -> BTreeSet<String> {
    let function: FunctionContext = rig().await.account.function(function_name(binary), &BTreeMap::new());
    match binary {
        "pre-sign-up" => drop(pre_sign_up::Deps::new(&function).unwrap()),
        "post-confirmation" => drop(post_confirmation::Deps::new(&function).unwrap()),
        "pre-authentication" => drop(pre_authentication::Deps::new(&function).unwrap()),
        "pre-token-generation" => drop(pre_token_generation::Deps::new(&function).unwrap()),
        "custom-message" => drop(custom_message::Deps::new(&function).unwrap()),
        "user-stats" => drop(user_stats::Deps::new(&function).unwrap()),
        "cache-invalidation" => drop(cache_invalidation::Deps::new(&function).unwrap()),
        "group-membership" => drop(group_membership::Deps::new(&function).unwrap()),
        other => panic!("{other} is new here"),
    }
    function.environment.asked()
}

fn function_name(binary: &str) -> &'static str {
    let workers = WORKERS.iter().map(|(worker, ..)| *worker);
    TRIGGERS
        .into_iter()
        .chain(workers)
        .find(|name| *name == binary)
        .unwrap_or_else(|| panic!("{binary} is new"))
}

#[tokio::test]
async fn every_function_gets_the_variables_that_it_reads_and_no_others() {
    for (binary, (_, properties)) in Template::read().functions() {
        let given: BTreeSet<String> =
            properties["Environment"]["Variables"].as_object().unwrap().keys().cloned().collect();
        let read = read_by(binary).await;
        assert_eq!(given, read, "{binary}");
        for (variable, readers) in VARIABLES {
            assert_eq!(
                readers.contains(&binary),
                read.contains(variable),
                "{variable} of {binary} in journey.rs"
            );
        }
    }
}

/// A parameter's default is the code's, where the two have the same name.
#[tokio::test]
async fn the_defaults_of_the_parameters_start_every_function() {
    let template = Template::read();
    let account = rig().await.account;
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
        let with_defaults = account.function(function_name(binary), &environment);
        let bare = account.function(function_name(binary), &BTreeMap::new());
        assert_eq!(
            config_of(binary, &with_defaults.environment),
            config_of(binary, &bare.environment),
            "{binary}"
        );
    }
}

fn config_of(binary: &str, environment: &Environment) -> String {
    match binary {
        "pre-sign-up" => format!("{:?}", pre_sign_up::Policy::from_environment(environment)),
        "pre-authentication" => format!("{:?}", OnStoreError::from_environment(environment)),
        "pre-token-generation" => {
            let (rules, claims) =
                (GroupRules::from_environment(environment), TokenClaims::from_environment(environment));
            format!("{:?} {rules:?} {claims:?}", OnStoreError::from_environment(environment))
        }
        "custom-message" => {
            let config = custom_message::Config::from_environment(environment).unwrap();
            format!("{:?}", custom_message::Config { product_name: String::new(), ..config })
        }
        "user-stats" => format!("{:?}", user_stats::Config::from_environment(environment)),
        "cache-invalidation" => {
            let config = cache_invalidation::Config::from_environment(environment).unwrap();
            format!("{:?}", cache_invalidation::Config { distribution_id: String::new(), ..config })
        }
        _ => String::new(),
    }
}

#[test]
fn every_parameter_is_used_described_and_in_a_group() {
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
fn triggers_answer_within_cognito_s_limit_and_hang_at_the_pool() {
    let template = Template::read();
    let functions = template.functions();
    assert_eq!(template.section("Globals")["FunctionContext"]["Timeout"], 5);
    let lambda_config = &template.properties("UserPool")["LambdaConfig"]["Fn::If"][1];
    for trigger in TRIGGERS {
        let (name, properties) = functions[trigger];
        assert!(properties.get("Timeout").is_none() && properties.get("Events").is_none(), "{trigger}");
        let hung = match trigger {
            "pre-token-generation" => &lambda_config["PreTokenGenerationConfig"]["LambdaArn"],
            _ => &lambda_config[pascal(trigger)],
        };
        assert_eq!(hung["Fn::GetAtt"], format!("{name}.Arn"), "{trigger}");
        let permission = template.properties(&format!("{}Permission", pascal(trigger)));
        assert_eq!(permission["FunctionName"]["Ref"], name);
        assert_eq!(permission["Principal"], "cognito-idp.amazonaws.com");
        assert!(permission["SourceArn"].is_object() && permission["SourceAccount"].is_object(), "{trigger}");
    }
}

#[test]
fn a_worker_reads_its_queue_and_reports_each_message() {
    let template = Template::read();
    let functions = template.functions();
    for (worker, queue, dead_letters) in WORKERS {
        let (_, properties) = functions[worker];
        let events: Vec<&Value> = properties["Events"].as_object().unwrap().values().collect();
        let [event] = events[..] else { panic!("{worker} reads one queue") };
        let event = &event["Properties"];
        assert_eq!(event["Queue"]["Fn::GetAtt"], format!("{queue}.Arn"), "{worker}");
        assert_eq!(event["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]), "{worker}");
        assert!(!event["ScalingConfig"]["MaximumConcurrency"].is_null(), "{worker}");
        // Lambda's advice: six times the time-out, and the batching window.
        let window = seconds(&event["MaximumBatchingWindowInSeconds"]);
        let visibility = seconds(&template.properties(queue)["VisibilityTimeout"]);
        assert!(visibility >= 6 * seconds(&properties["Timeout"]) + window, "{worker}");
        let redrive = &template.properties(queue)["RedrivePolicy"];
        assert_eq!(redrive["deadLetterTargetArn"]["Fn::GetAtt"], format!("{dead_letters}.Arn"));
        // Else any queue of the account could hand its messages on to ours.
        assert_eq!(template.properties(queue)["RedriveAllowPolicy"], json!({"redrivePermission": "denyAll"}));
        let receives = if worker == "cache-invalidation" { 10 } else { 5 };
        assert_eq!(redrive["maxReceiveCount"], receives);
        // The age of a message goes on counting in the dead-letter queue.
        let retention = |queue| seconds(&template.properties(queue)["MessageRetentionPeriod"]);
        assert!(retention(dead_letters) > retention(queue), "{worker}");
        let variables = &properties["Environment"]["Variables"];
        assert_eq!(variables["DEAD_LETTER_QUEUE_URL"]["Ref"], dead_letters);
        assert!(variables.as_object().unwrap().values().any(|value| value["Ref"] == queue), "{worker}");
    }
    let invalidations = template.properties("CacheInvalidationsQueue");
    assert_eq!(invalidations["DelaySeconds"], 5);
}

/// The time-outs leave each worker room for what it must not begin later.
#[test]
fn a_worker_has_time_for_more_than_its_margin() {
    let template = Template::read();
    let timeout = |worker: &str| seconds(&template.functions()[worker].1["Timeout"]);
    assert!(timeout("user-stats") >= 2 * 18);
    assert!(timeout("cache-invalidation") >= 2 * 35);
    assert!(timeout("group-membership") >= 2 * 20);
}

#[test]
fn no_policy_has_a_wildcard_but_for_tracing() {
    let page = Template::read().permissions();
    for line in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what for")) {
        let cells: Vec<&str> = line.split(" | ").collect();
        assert!(!cells[1].contains('*'), "{line}");
        assert!(!cells[2].contains('*') || cells[0] == "| Trace" || cells[1] == "Deny", "{line}");
    }
}

#[test]
fn every_queue_names_who_may_send_to_it() {
    let template = Template::read();
    let queues: BTreeSet<&str> = template.of_type("AWS::SQS::Queue").map(|(name, _)| name).collect();
    let mut guarded = BTreeSet::new();
    for (_, policy) in template.of_type("AWS::SQS::QueuePolicy") {
        let statements = policy["Properties"]["PolicyDocument"]["Statement"].as_array().unwrap();
        let denies = |sid: &str| statements.iter().any(|each| each["Sid"] == sid && each["Effect"] == "Deny");
        assert!(denies("OnlyEncrypted") && denies("OnlyThoseNamed"));
        guarded.insert(policy["Properties"]["Queues"][0]["Ref"].as_str().unwrap());
    }
    assert_eq!(queues, guarded);
}

#[test]
fn the_page_of_permissions_is_that_of_the_template() {
    let page = std::fs::read_to_string(root().join("docs/permissions.md")).unwrap_or_default();
    assert_eq!(
        page,
        Template::read().permissions(),
        "cargo run -p tests --bin permissions > docs/permissions.md"
    );
}

#[test]
fn what_must_survive_the_stack_is_kept() {
    let template = Template::read();
    for (name, resource) in
        ["AWS::Cognito::UserPool", "AWS::DynamoDB::Table"].map(|t| template.of_type(t).next().unwrap())
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
