//! Nothing personal gets into a log. Every test that sets up an account is watched for it ([`tests::log`]); here
//! stand the proof that the watch sees, and events full of what must not get out.

use sandbox::aws::Fault;
use serde_json::{Value, json};
use tests::{fixtures, log};
use triggers::TriggerEvent;

use crate::support::rig;

/// Stands in every value that belongs to a person or to Cognito.
const CANARY: &str = "canary";

#[test]
fn a_line_with_something_personal_fails_its_test() {
    log::watch();
    let lines: [fn(); 7] = [
        || tracing::info!("signed up: zoë_@exämple.test"),
        || tracing::info!("signed up: zoe@example.test"),
        || tracing::error!(cause = "no profile of Ana Example", "failed"),
        || tracing::debug!("sending {{####}}"),
        || tracing::info!(metrics = "ExampleApp/1.0"),
        || tracing::info!(token = "eyJhbGciOiJSUzI1NiJ9.e30.x"),
        || tracing::info!(event = "mallory@spam.test", "an event that was not lost"),
    ];
    for line in lines {
        assert!(std::panic::catch_unwind(line).is_err());
    }
    tracing::error!(event = r#"{"data":{"email":"zoe@example.test"}}"#, "{}", shared::telemetry::UNSENT_EVENT);
    let code_lost = || tracing::error!(event = "{####}", "{}", shared::telemetry::UNSENT_EVENT);
    assert!(std::panic::catch_unwind(code_lost).is_err(), "no code, not even in a lost event");
    assert_eq!(log::taken().len(), 9);
}

#[tokio::test(start_paused = true)]
async fn what_an_event_holds_stays_out_of_the_log_but_for_a_lost_event() {
    log::watch();
    let (mut lines, mut lost) = (0, 0);
    for name in fixtures::all() {
        let function = name.split('/').next().unwrap();
        let event = canaries(fixtures::json(&name));
        if event.get("request").is_none() {
            continue;
        }
        for fault in
            [None, Some(Fault::Refused), Some(Fault::Hang), Some(Fault::Error("ValidationException"))]
        {
            let rig = rig().await;
            if let Some(fault) = &fault {
                rig.account.faults.inject("*", fault.clone(), 1_000);
            }
            let event = TriggerEvent::from_json(&event.to_string()).unwrap();
            let variables = [("ON_STORE_ERROR", "allow"), ("EMAIL_THROUGH_SES", "true")];
            let answer = rig.invoke(function, &variables, event).await;
            match answer {
                Err(error) => assert!(!error.message.contains(CANARY), "{name}"),
                // Nothing that a client says gets into a token or a message.
                Ok(answer) => assert!(!answer["response"].to_string().contains("canary-metadata"), "{name}"),
            }
            for line in log::taken() {
                lines += 1;
                if !line.contains(CANARY) {
                    continue;
                }
                lost += 1;
                let json: Value = serde_json::from_str(&line).unwrap();
                assert_eq!(json["fields"]["message"], shared::telemetry::UNSENT_EVENT, "{name}: {line}");
                for secret in ["canary-code", "canary-metadata", "canary-other"] {
                    assert!(!line.contains(secret), "{name}: {line}");
                }
            }
        }
    }
    assert!(lines > 100 && lost > 0, "there was something to search: {lines} lines, {lost} of lost events");
}

/// The event with a canary in place of all that is anybody's business.
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
    // Address and user agent of a client are part of an attempt's event.
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
