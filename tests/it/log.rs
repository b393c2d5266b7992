//! The log contains no personal data. [`tests::log`] watches every test that creates an account. The
//! tests here prove that the watcher works, and log events full of data that must not be logged.

use sandbox::aws::Fault;
use serde_json::{Value, json};
use tests::{fixtures, log};
use triggers::TriggerEvent;

use crate::support::test_stack;

/// Part of every value that belongs to a person or to Cognito.
const CANARY: &str = "canary";

#[test]
fn personal_data_in_a_log_line_fails_the_test() {
    log::watch();
    let lines: [fn(); 7] = [
        || tracing::info!("signed up: zoë_@exämple.test"),
        || tracing::info!("signed up: zoe@example.test"),
        || tracing::error!(cause = "no profile of Ana Example", "failed"),
        || tracing::debug!("sending {{####}}"),
        || tracing::info!(metrics = "ExampleApp/1.0"),
        || tracing::info!(token = "eyJhbGciOiJSUzI1NiJ9.e30.x"),
        || tracing::info!(event = "mallory@spam.test", "not an unsent event"),
    ];
    for line in lines {
        assert!(std::panic::catch_unwind(line).is_err());
    }
    tracing::error!(
        event = r#"{"data":{"email":"zoe@example.test"}}"#,
        "{}",
        shared::telemetry::UNSENT_EVENT
    );
    let unsent_code = || tracing::error!(event = "{####}", "{}", shared::telemetry::UNSENT_EVENT);
    assert!(std::panic::catch_unwind(unsent_code).is_err(), "codes are not allowed in an unsent event");
    assert_eq!(log::take_lines().len(), 9);
}

#[tokio::test(start_paused = true)]
async fn event_data_is_logged_only_in_an_unsent_event() {
    log::watch();
    let (mut lines, mut unsent) = (0, 0);
    for name in fixtures::all() {
        let function = name.split('/').next().unwrap();
        let event = canaries(fixtures::json(&name));
        if event.get("request").is_none() {
            continue;
        }
        for fault in
            [None, Some(Fault::Refused), Some(Fault::Hang), Some(Fault::Error("ValidationException"))]
        {
            let stack = test_stack().await;
            if let Some(fault) = &fault {
                stack.account.faults.inject("*", fault.clone(), 1_000);
            }
            let event = TriggerEvent::from_json(&event.to_string()).unwrap();
            let variables = [("ON_STORE_ERROR", "allow"), ("EMAIL_THROUGH_SES", "true")];
            let answer = stack.invoke(function, &variables, event).await;
            match answer {
                Err(error) => assert!(!error.message.contains(CANARY), "{name}"),
                // Client metadata never gets into a token or a message.
                Ok(answer) => assert!(!answer["response"].to_string().contains("canary-metadata"), "{name}"),
            }
            for line in log::take_lines() {
                lines += 1;
                if !line.contains(CANARY) {
                    continue;
                }
                unsent += 1;
                let json: Value = serde_json::from_str(&line).unwrap();
                assert_eq!(json["fields"]["message"], shared::telemetry::UNSENT_EVENT, "{name}: {line}");
                for secret in ["canary-code", "canary-metadata", "canary-other"] {
                    assert!(!line.contains(secret), "{name}: {line}");
                }
            }
        }
    }
    assert!(lines > 100 && unsent > 0, "{lines} lines, {unsent} of unsent events");
}

/// The event with a canary in place of each personal or secret value.
fn canaries(mut event: Value) -> Value {
    let replace = |fields: Option<&mut Value>, canary: &dyn Fn(&str) -> Value| {
        for (name, value) in fields.and_then(Value::as_object_mut).into_iter().flatten() {
            if name != "sub" && name != "locale" {
                *value = canary(name);
            }
        }
    };
    replace(event.pointer_mut("/request/userAttributes"), &|name| match name {
        "email" => json!("canary-email@example.com"),
        "name" => json!("Canary canary-name"),
        _ => json!("canary-other"),
    });
    replace(event.pointer_mut("/request/clientMetadata"), &|_| json!("canary-metadata"));
    // The IP address and user agent that a client claims are part of the sign-in attempt.
    replace(event.pointer_mut("/request/validationData"), &|name| match name {
        "ip" | "userAgent" => json!("canary-claim"),
        _ => json!("canary-metadata"),
    });
    for name in ["codeParameter", "linkParameter"] {
        if let Some(code) = event.pointer_mut(&format!("/request/{name}")) {
            *code = json!("canary-code");
        }
    }
    event
}
