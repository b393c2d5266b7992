//! Sending a batch of messages, with retries if SQS throttles.

use std::time::Duration;

use shared::backoff::backoff;
use shared::queues::{Message, Queue, QueueError, Sent};
use tokio::time::sleep;

const MAX_ATTEMPTS: u32 = 6;
/// Pause after the first attempt. Doubles with each attempt.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// Sends one batch. If SQS throttles the call, it accepted nothing, and the call is repeated after
/// a pause. No other failure is retried: SQS may have accepted messages, and a retry would send
/// them twice.
pub async fn send_with_retries(queue: &Queue, batch: Vec<(usize, Message)>) -> Result<Sent, QueueError> {
    let mut attempts = 1;
    loop {
        match queue.try_send(batch.clone()).await {
            Err(error) if error.is_throttled() && attempts < MAX_ATTEMPTS => {
                sleep(backoff(FIRST_BACKOFF, MAX_BACKOFF, attempts, fastrand::f64())).await;
                attempts += 1;
            }
            result => return result,
        }
    }
}

/// True if SQS rejects a message because of what it contains, by the code of the entry of a batch. Another
/// attempt cannot succeed. Any other code is about SQS, the queue or the permissions.
pub fn is_about_message(code: &str) -> bool {
    // SQS's JSON protocol has short codes, and its query protocol has longer ones.
    let code = code.rsplit('.').next().unwrap_or(code);
    ["Invalid", "Missing", "BatchRequestTooLong"].iter().any(|prefix| code.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejection_is_about_the_message_or_about_something_else() {
        for (code, expected) in [
            ("InvalidParameterValue", true),
            ("InvalidMessageContents", true),
            ("MissingParameter", true),
            ("AWS.SimpleQueueService.BatchRequestTooLong", true),
            ("InternalError", false),
            ("ServiceUnavailable", false),
            ("ThrottlingException", false),
            ("KmsAccessDenied", false),
            ("AccessDenied", false),
            ("QueueDoesNotExist", false),
        ] {
            assert_eq!(is_about_message(code), expected, "{code}");
        }
    }
}
