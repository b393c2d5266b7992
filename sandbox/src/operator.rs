//! What operators do with `replay`: suspend and reinstate users.

use anyhow::Result;
use jiff::Timestamp;
use shared::events::OPERATOR_SOURCE;
use shared::queues::Queue;
use shared::store::Store;
use shared::suspension_change::SuspensionChange;

use crate::aws::{SandboxAccount, TABLE};

/// The operator of the sandbox.
const OPERATOR: &str = "sandbox";

/// Does what `replay user suspend` does. Returns `false` if a newer decision exists.
pub async fn suspend(
    account: &SandboxAccount,
    sub: &str,
    reason: &str,
    until: Option<Timestamp>,
) -> Result<bool> {
    apply(account, SuspensionChange::suspend(sub, reason, until, OPERATOR, account.time.now())).await
}

/// Does what `replay user reinstate` does. Returns `false` if a newer decision exists.
pub async fn reinstate(account: &SandboxAccount, sub: &str, reason: &str) -> Result<bool> {
    apply(account, SuspensionChange::reinstate(sub, reason, OPERATOR, account.time.now())).await
}

async fn apply(account: &SandboxAccount, change: SuspensionChange) -> Result<bool> {
    let store = Store::new(account.dynamodb(), TABLE);
    let queue = Queue::new(account.sqs(), account.user_events.url.clone());
    Ok(change.apply(&store, &queue, OPERATOR_SOURCE).await?)
}
