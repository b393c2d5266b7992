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

/// True if SQS may accept the same message later, by the code of a rejected entry of a batch. SQS: the
/// codes of a fault of SQS, and those of throttling. Any other code, such as InvalidParameterValue, is
/// about the message or the queue.
pub fn is_temporary_rejection(code: &str) -> bool {
    let is_any = |parts: &[&str]| parts.iter().any(|part| code.contains(part));
    is_any(&["Internal", "Unavailable", "Throttl", "Timeout", "OverLimit"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejection_is_temporary_if_the_fault_is_not_in_the_message() {
        for (code, expected) in [
            ("InternalError", true),
            ("InternalFailure", true),
            ("ServiceUnavailable", true),
            ("ThrottlingException", true),
            ("RequestThrottled", true),
            ("KmsThrottled", true),
            ("InvalidParameterValue", false),
            ("InvalidMessageContents", false),
            ("AWS.SimpleQueueService.UnsupportedOperation", false),
            ("AccessDenied", false),
        ] {
            assert_eq!(is_temporary_rejection(code), expected, "{code}");
        }
    }
}
