//! A panic in a trigger, as Lambda sees it.

use serde_json::json;
use tests::lambda::{self, Answer};

#[tokio::test]
async fn panic_is_answered_safely_and_the_next_event_is_served() {
    let mut function = lambda::start(env!("CARGO_BIN_EXE_panicking-trigger"), None, &[]).await;
    let answer = function.invoke(r#"{"userName": "panic"}"#).await;
    let expected = json!({"errorType": "panic", "errorMessage": "Something went wrong, please try again"});
    assert_eq!(answer, Answer::Error(expected));
    let event = json!({"userName": "ana"});
    assert_eq!(function.invoke(&event.to_string()).await, Answer::Response(event));
    let log = function.stop().await;
    assert!(log.contains("panicking-trigger.rs"), "the log names the file: {log}");
    assert!(!log.contains("a secret"), "the log does not quote the panic message: {log}");
}
