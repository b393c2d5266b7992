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
