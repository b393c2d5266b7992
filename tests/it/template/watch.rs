//! user-pool-watch: when it exists, what it compares, and its alarm.

use serde_json::json;

use super::deployment::Deployment;

const EXISTING: (&str, &str) = ("ExistingUserPoolId", "eu-central-1_EXAMPLE12");
const RESOURCES: [&str; 6] = [
    "UserPoolWatchFunction",
    "UserPoolWatchRole",
    "UserPoolWatchLogGroup",
    "UserPoolWatchRule",
    "UserPoolWatchPermission",
    "TriggerDifferencesAlarm",
];

#[test]
fn watch_exists_while_the_pool_should_call_the_triggers_and_somebody_is_notified() {
    for (values, expected) in [
        (vec![], true),
        (vec![EXISTING], true),
        (vec![("AttachTriggers", "false")], false),
        (vec![EXISTING, ("AttachTriggers", "false")], false),
        (vec![("Monitoring", "false")], false),
    ] {
        let resources = Deployment::with(&values).resources();
        for resource in RESOURCES {
            assert_eq!(resources.contains(resource), expected, "{resource}: {values:?}");
        }
    }
}

#[test]
fn watch_compares_the_pool_with_the_output_of_the_stack() {
    for (values, pool) in [(vec![], "${UserPool}"), (vec![EXISTING], EXISTING.1)] {
        for version in ["V1_0", "V2_0", "V3_0"] {
            let values = [values.as_slice(), &[("PreTokenGenerationVersion", version)]].concat();
            let deployment = Deployment::with(&values);
            let function = deployment.properties("UserPoolWatchFunction").unwrap();
            let variables = &function["Environment"]["Variables"];
            assert_eq!(variables["USER_POOL_ID"], pool);
            assert_eq!(variables["LAMBDA_CONFIG"], deployment.output("LambdaConfig").unwrap());
            let config = variables["LAMBDA_CONFIG"].as_str().unwrap();
            let config = shared::lambda_config::LambdaConfig::of_stack(config).unwrap();
            let function = config.get(shared::function_id::FunctionId::PreTokenGeneration).unwrap();
            assert_eq!(function.event_version.as_deref(), Some(version));
        }
    }
}

/// CloudWatch must get a measurement before it looks again, and the function must end before its next
/// start.
#[test]
fn watch_runs_every_quarter_of_an_hour_and_the_alarm_keeps_its_state_in_between() {
    let deployment = Deployment::with(&[]);
    let rule = deployment.properties("UserPoolWatchRule").unwrap();
    assert_eq!(
        (&rule["ScheduleExpression"], &rule["State"]),
        (&json!("rate(15 minutes)"), &json!("ENABLED"))
    );
    assert_eq!(rule["Targets"], json!([{"Id": "user-pool-watch", "Arn": "${UserPoolWatchFunction.Arn}"}]));
    let permission = deployment.properties("UserPoolWatchPermission").unwrap();
    assert_eq!(permission["FunctionName"], "${UserPoolWatchFunction}");
    assert_eq!(permission["Principal"], "events.amazonaws.com");
    assert_eq!(permission["SourceArn"], "${UserPoolWatchRule.Arn}", "no other rule may invoke it");
    let timeout = deployment.properties("UserPoolWatchFunction").unwrap()["Timeout"].as_u64().unwrap();
    // DescribeUserPool, then all GetPolicy at once.
    assert!(timeout > 2 * shared::aws::SCHEDULE_CALL_SECONDS && timeout < 15 * 60);
    let alarm = deployment.properties("TriggerDifferencesAlarm").unwrap();
    assert_eq!((&alarm["TreatMissingData"], &alarm["Statistic"]), (&json!("ignore"), &json!("Maximum")));
    assert!(alarm["Period"].as_u64().unwrap() < 15 * 60, "a difference that has ended would ring on");
}

#[test]
fn alarm_names_the_page_that_says_what_to_do() {
    let description = |values: &[(&str, &str)]| {
        let alarm = Deployment::with(values).properties("TriggerDifferencesAlarm").unwrap();
        alarm["AlarmDescription"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        description(&[]),
        "The user pool does not call the triggers of this stack as it should, or may not invoke them. Suspended \
         users may be able to sign in. See Detached triggers in docs/operations.md"
    );
    assert_eq!(
        description(&[EXISTING]),
        "The user pool does not call the triggers of this stack as it should, or may not invoke them. It rings \
         until you attach them with replay attach. See Detached triggers in docs/operations.md"
    );
}
