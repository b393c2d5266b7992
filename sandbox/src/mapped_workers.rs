//! The workers of an account, each with the event source mapping that feeds it.

use anyhow::{Context, Result};
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use jiff::Timestamp;
use shared::function_id::FunctionId;
use shared::time::plus_seconds;

use crate::aws::SandboxAccount;
use crate::aws::event_source_mapping::EventSourceMapping;
use crate::functions::Worker;
use crate::journey::format::{Variables, variables_of};

/// How the sandbox runs a worker. Timeout and batch size are those of `template.yaml`.
pub struct WorkerSettings {
    pub timeout_seconds: i64,
    /// Maximum number of messages in a batch.
    pub batch_size: usize,
    /// How long the first message of a batch waits for others.
    pub window_seconds: i64,
}

impl WorkerSettings {
    pub fn of(worker: FunctionId) -> Self {
        // group-membership and account-activity have a batching window of 5 s in the template. It is 0
        // here, so that a journey shows the effect at the time of the step.
        let (timeout_seconds, batch_size, window_seconds) = match worker {
            FunctionId::UserStats => (60, 1_000, 1),
            // Delivery delay of 5 s plus batching window of 10 s, so changes within 15 s share one call.
            FunctionId::CacheInvalidation => (90, 10_000, 15),
            FunctionId::ResourcePermission => (60, 10, 0),
            _ => (60, 100, 0),
        };
        Self { timeout_seconds, batch_size, window_seconds }
    }
}

/// All workers of an account.
pub struct MappedWorkers {
    workers: Vec<MappedWorker>,
    sqs: aws_sdk_sqs::Client,
    seen_invalidations: usize,
}

struct MappedWorker {
    function: FunctionId,
    mapping: EventSourceMapping,
    timeout_seconds: i64,
    worker: Worker,
}

/// A batch that a worker has handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandledBatch {
    pub function: FunctionId,
    /// The event type of each message. Empty if it has none.
    pub types: Vec<String>,
    /// Messages that SQS redelivers. All of them if the invocation failed.
    pub failed: usize,
}

impl MappedWorkers {
    /// Starts every worker. Each batch is delivered `deliveries` times.
    pub fn start(account: &SandboxAccount, variables: &Variables, deliveries: u32) -> Result<Self> {
        let mut workers = Vec::new();
        for function in FunctionId::workers() {
            let WorkerSettings { timeout_seconds, batch_size, window_seconds } = WorkerSettings::of(function);
            let queues = account.queue_of(function).context("a worker without a queue")?.clone();
            let mapping = EventSourceMapping::new(queues, batch_size, window_seconds, deliveries);
            let worker = Worker::start(account, function, &variables_of(variables, function))?;
            workers.push(MappedWorker { function, mapping, timeout_seconds, worker });
        }
        // Last, because the others send to its queue: their notices are received in the same round.
        workers.sort_by_key(|mapped| mapped.function == FunctionId::CacheInvalidation);
        Ok(Self { workers, sqs: account.sqs(), seen_invalidations: 0 })
    }

    /// Time of the next step. `None`: nothing to do.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.workers.iter().filter_map(|mapped| mapped.mapping.next_due()).min()
    }

    /// The time of the next step of one worker. `None`: its queue is empty.
    pub fn next_batch(&self, function: FunctionId) -> Option<Timestamp> {
        self.workers.iter().find(|mapped| mapped.function == function)?.mapping.next_due()
    }

    /// Invokes a worker with an event, without its queue.
    pub async fn invoke(
        &self,
        function: FunctionId,
        event: SqsEvent,
        now: Timestamp,
    ) -> Result<SqsBatchResponse> {
        let mapped = self.workers.iter().find(|mapped| mapped.function == function);
        let MappedWorker { worker, timeout_seconds, .. } = mapped.context("the worker was not started")?;
        Ok(worker.handle(event, plus_seconds(now, *timeout_seconds)).await?)
    }

    /// Receives all visible messages, and runs the workers whose batches are due now.
    pub async fn run_due(&mut self, account: &SandboxAccount) -> Result<Vec<HandledBatch>> {
        let now = account.time.now();
        let mut handled = Vec::new();
        for MappedWorker { function, mapping, timeout_seconds, worker } in &mut self.workers {
            let deadline = plus_seconds(now, *timeout_seconds);
            mapping.receive(&self.sqs, now).await?;
            while let Some(delivery) = mapping.take_batch(now) {
                let mut response = None;
                for _ in 0..mapping.deliveries {
                    response = worker.handle(delivery.event()?, deadline).await.ok();
                }
                let types = delivery.event_types();
                let failed = response.as_ref().map_or(types.len(), |done| done.batch_item_failures.len());
                handled.push(HandledBatch { function: *function, types, failed });
                let timeouts = account.calls.visibility_timeouts();
                mapping.settle(&self.sqs, delivery, response, &timeouts, now).await?;
            }
        }
        Ok(handled)
    }

    /// The items of each invalidation since the last call.
    pub fn new_invalidations(&mut self, account: &SandboxAccount) -> Vec<Vec<String>> {
        let new = account.calls.invalidations().split_off(self.seen_invalidations);
        self.seen_invalidations += new.len();
        new
    }
}
