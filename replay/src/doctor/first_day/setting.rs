//! Inputs of a run, and how it waits.

use std::time::Duration;

use anyhow::Result as AnyResult;
use shared::queues::Queue;
use shared::store::Store;
use shared::time::Clock;
use tokio::time::Instant;

use crate::aws_error::describe;
use crate::doctor::clients::AppClient;
use crate::doctor::deployment::Deployment;
use crate::doctor::http::Http;
use crate::doctor::page::PageUrls;
use crate::doctor::pool::PoolFacts;
use crate::doctor::report::Outcome;
use crate::interrupt::StopSignal;
use crate::user::pool::UserPool;

/// Time between two looks at something that is to arrive.
const POLL: Duration = Duration::from_millis(500);
/// The reason of the suspension and of the reinstatement.
pub const REASON: &str = "replay doctor";

/// Inputs of a run.
pub struct Setting<'a> {
    pub stack_name: &'a str,
    pub deployment: &'a Deployment,
    pub urls: &'a PageUrls,
    pub http: &'a Http,
    pub pool: &'a UserPool,
    /// The same user pool with one attempt for each call, for everything that the run creates.
    pub creating_pool: &'a UserPool,
    pub settings: &'a PoolFacts,
    pub clients: &'a [AppClient],
    pub store: &'a Store,
    pub user_events: &'a Queue,
    pub cache_invalidations: &'a Queue,
    pub operator: &'a str,
    /// The address to sign up with, in place of the default.
    pub email: Option<&'a str>,
    /// Name of the run, a part of everything that it creates: `doctor-1a2b3c`.
    pub run: &'a str,
    /// Longest wait for an event or an invalidation.
    pub timeout: Duration,
    pub stop: &'a StopSignal,
    pub clock: &'a Clock,
}

impl Setting<'_> {
    /// Looks until something is there, and measures the time since `since`.
    pub async fn arrives(
        &self,
        what: &str,
        since: Instant,
        look: impl AsyncFn() -> AnyResult<Option<()>>,
    ) -> Outcome {
        match self.wait(&look).await {
            Ok(true) => {
                let measured = since.elapsed();
                let seconds = measured.as_secs_f64();
                Outcome::ok(format!("{what} arrived within {seconds:.1} s")).measuring(measured)
            }
            Ok(false) if self.stop.is_requested() => Outcome::skipped("interrupted"),
            Ok(false) => {
                let seconds = self.timeout.as_secs();
                Outcome::failed(format!("{what} did not arrive within {seconds} s"))
            }
            Err(error) => Outcome::unknown(describe(error.as_ref())),
        }
    }

    /// Looks until something is there. False after the timeout, or if a stop is requested.
    async fn wait(&self, look: &impl AsyncFn() -> AnyResult<Option<()>>) -> AnyResult<bool> {
        let deadline = Instant::now() + self.timeout;
        loop {
            if look().await?.is_some() {
                return Ok(true);
            }
            let next = Instant::now() + POLL;
            if next > deadline || !self.stop.sleep_until(next).await {
                return Ok(false);
            }
        }
    }
}
