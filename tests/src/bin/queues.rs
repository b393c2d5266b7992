//! The queues of `tests::sqs` in a process of their own, for tests/e2e/many_messages.py: user-events and its dead-letter queue.
//! Prints its address, and goes on until it is killed.

#![allow(clippy::print_stdout, reason = "the caller reads the address")]

use shared::time::Clock;
use tests::lambda::serve_aws;
use tests::sqs::Sqs;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let sqs = Sqs::new(Clock::system());
    sqs.create("user-events-dead-letters", None);
    sqs.create("user-events", Some(("user-events-dead-letters", 5)));
    println!("http://{}", serve_aws(sqs).await);
    std::future::pending::<()>().await;
}
