//! DynamoDB fails, hangs or answers in part, and items cannot be understood.

use std::time::Duration;

use sandbox::aws::Fault;
use serde_json::json;
use tokio::time::Instant;

use super::{BEN, calls, get, post, problem, put_ana};
use crate::support::{ANA, test_stack};

/// API Gateway gives up after 30 seconds, and a person earlier.
const MAX_ANSWER: Duration = Duration::from_millis(1_500);

#[tokio::test(start_paused = true)]
async fn table_that_fails_or_hangs_is_503_in_time_and_counted() {
    for operation in ["BatchGetItem", "Query", "*"] {
        for fault in [
            Fault::Error("InternalServerError"),
            Fault::Error("ProvisionedThroughputExceededException"),
            Fault::Error("AccessDeniedException"),
            Fault::Refused,
            Fault::Hang,
            Fault::CutOff,
            Fault::Unprocessed,
        ] {
            let stack = test_stack().await;
            put_ana(&stack).await;
            stack.account.faults.inject(operation, fault.clone(), 1_000);
            for call in [
                get(ANA, "/api/dashboard"),
                get(ANA, "/api/orders"),
                get(ANA, "/api/profile"),
                get(BEN, &format!("/api/orders/shared/{ANA}")),
                post(ANA, "/api/notifications/n-7/read"),
            ] {
                let path = call.0["rawPath"].as_str().unwrap().to_owned();
                let case = format!("{path}, {operation}, {fault:?}");
                let is_met = match (operation, path.as_str()) {
                    // BatchGetItem of another user's grant finds none, so nothing is queried.
                    ("Query", "/api/dashboard" | "/api/orders") => fault != Fault::Unprocessed,
                    ("Query", _) => false,
                    _ => true,
                };
                let (start, failures) = (Instant::now(), stack.account.count("StoreFailures"));
                let answer = call.to(&stack).await;
                assert!(start.elapsed() < MAX_ANSWER, "{case}: {:?}", start.elapsed());
                let failures = stack.account.count("StoreFailures") - failures;
                if is_met {
                    assert_eq!(answer.problem(), problem(503, "unavailable"), "{case}");
                    assert_eq!(answer.headers["Retry-After"], "1", "{case}");
                    assert_eq!(failures, 1, "{case}: one failure counts once");
                } else {
                    assert_ne!(answer.status, 503, "{case}");
                    assert_eq!(failures, 0, "{case}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_failed_attempt_is_repeated() {
    let stack = test_stack().await;
    put_ana(&stack).await;
    for fault in [Fault::Refused, Fault::Hang, Fault::Error("ThrottlingException"), Fault::Unprocessed] {
        stack.account.faults.inject("BatchGetItem", fault.clone(), 1);
        assert_eq!(get(ANA, "/api/dashboard").to(&stack).await.status, 200, "{fault:?}");
    }
}

#[tokio::test]
async fn suspension_decides_even_if_the_lists_cannot_be_read() {
    let stack = test_stack().await;
    stack.put_profile(ANA, "isBanned", true.into()).await;
    stack.account.faults.inject("Query", Fault::Refused, 100);
    assert_eq!(get(ANA, "/api/dashboard").to(&stack).await.problem(), problem(403, "suspended"));
    assert_eq!(stack.account.count("StoreFailures"), 0);
}

#[tokio::test]
async fn item_of_another_form_is_503_and_its_content_is_not_logged() {
    let stack = test_stack().await;
    for (sort, attributes, path) in [
        ("STATS", json!({"orders": "mallory@example.com"}), "/api/dashboard"),
        ("STATS", json!({"erasedAt": "mallory@example.com"}), "/api/profile"),
        ("LIST#orders#1772442000000-a6d1f2c09c1f5e0fb1f0c4d1e6f7a8b9", json!({"at": "x"}), "/api/orders"),
        (
            "LIST#notifications#1772442000000-a6d1f2c09c1f5e0fb1f0c4d1e6f7a8b9",
            json!({"at": 1}),
            "/api/dashboard",
        ),
    ] {
        let stack = test_stack().await;
        stack.put(&format!("USER#{ANA}"), sort, attributes).await;
        // The watcher of the log fails the test if it sees the address.
        assert_eq!(get(ANA, path).to(&stack).await.problem(), problem(503, "unavailable"), "{sort}");
    }
    stack.put(&format!("USER#{ANA}"), "PROFILE", json!({"cognitoId": 7, "name": ["x"], "email": 1})).await;
    assert_eq!(get(ANA, "/api/profile").to(&stack).await.json(), json!({"sub": ANA}));
    calls(&stack);
}
