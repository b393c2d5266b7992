//! A deployed stack in memory, for `replay`: CloudFormation lists the resources of `template.yaml`,
//! CloudWatch has the alarms and metrics that a test sets, and CloudWatch Logs the log events.
//!
//! The queues are those of [`Sqs`]. Other services are those of a sandbox account, if there is one.
//! It answers only the operations that `replay` uses. Source of the formats: the services' API
//! references, and the SDK's own parsers.

pub mod cbor;
mod cloudformation;
mod cloudwatch;
mod deployed;
mod functions;
mod logs;
mod user_pool;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_smithy_runtime_api::client::result::ConnectorError;
use jiff::Timestamp;
use sandbox::aws::backend::SandboxBackend;
use sandbox::aws::{Answer, AwsBackend};
use serde_json::Value;
use shared::time::Clock;
use winterbaume_core::{MockRequest, MockResponse};
use xtask::template::{Stack, Template};

pub use cloudwatch::{AlarmState, Metric};
pub use deployed::function_arn;
pub use functions::{Function, policy};
pub use logs::LogEvent;
pub use user_pool::{Incident, UserPool};

use crate::sqs::Sqs;
use deployed::Deployed;

/// Name of the stack.
pub const STACK: &str = "cognito-user-events";

/// Clones share the account.
#[derive(Clone, Debug)]
pub struct StackAccount(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sqs: Sqs,
    sandbox: Option<SandboxBackend>,
    resources: Vec<Resource>,
    /// All parameters. Those that were not given have their default values.
    parameters: Vec<(String, String)>,
    outputs: Mutex<BTreeMap<String, String>>,
    /// Such as `CREATE_COMPLETE`.
    status: Mutex<String>,
    functions: Mutex<BTreeMap<String, Function>>,
    user_pool: Mutex<UserPool>,
    incidents: Mutex<user_pool::Incidents>,
    /// The stack that manages the existing user pool, and the status of the pool in it.
    managing_stack: Mutex<Option<(String, String)>>,
    alarms: Mutex<BTreeMap<String, AlarmState>>,
    metrics: Mutex<Vec<Metric>>,
    log_groups: Mutex<BTreeMap<String, Vec<LogEvent>>>,
    may_unmask: Mutex<bool>,
    refused: Mutex<BTreeMap<String, (String, String)>>,
    /// The operations in the order of the calls.
    calls: Mutex<Vec<String>>,
}

/// A resource of the stack.
#[derive(Clone, Debug)]
struct Resource {
    logical_id: String,
    physical_id: String,
    resource_type: String,
}

/// Why an operation failed: AWS's code and sentence.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub code: String,
    pub message: String,
}

fn refusal(code: &str, message: impl Into<String>) -> Refusal {
    Refusal { code: code.to_owned(), message: message.into() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StackAccount {
    /// The stack of `template.yaml` with values for parameters, empty queues, quiet alarms and
    /// empty log groups.
    pub fn new(parameters: &[(&str, &str)], sandbox: Option<SandboxBackend>) -> Self {
        let template = Template::read();
        let resources = cloudformation::resources(&template, parameters);
        let sqs = Sqs::new(Clock::system());
        create_queues(&sqs, &template, parameters);
        let of_type = |resource_type: &'static str| {
            let of_type = resources.iter().filter(move |resource| resource.resource_type == resource_type);
            of_type.map(|resource| resource.physical_id.clone())
        };
        let alarms = of_type("AWS::CloudWatch::Alarm").map(|name| (name, AlarmState::default())).collect();
        let log_groups = of_type("AWS::Logs::LogGroup").map(|name| (name, Vec::new())).collect();
        let given =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let deployed = Deployed { stack: Stack::new(&template, &given).0, resources: &resources };
        let outputs = deployed.outputs(&template).into_iter().collect();
        let user_pool = UserPool::deployed(&deployed, &template);
        Self(Arc::new(Inner {
            sqs,
            sandbox,
            outputs: Mutex::new(outputs),
            status: Mutex::new("CREATE_COMPLETE".to_owned()),
            functions: Mutex::new(functions::functions(&resources, cloudformation::USER_POOL)),
            user_pool: Mutex::new(user_pool),
            incidents: Mutex::default(),
            managing_stack: Mutex::default(),
            alarms: Mutex::new(alarms),
            log_groups: Mutex::new(log_groups),
            resources,
            parameters: cloudformation::parameters(&template, parameters),
            metrics: Mutex::default(),
            may_unmask: Mutex::new(true),
            refused: Mutex::default(),
            calls: Mutex::default(),
        }))
    }

    pub fn sqs(&self) -> &Sqs {
        &self.0.sqs
    }

    /// Sets the state of an alarm, by its name without the stack, such as `throttles`.
    pub fn set_alarm(&self, alarm: &str, state: &str, since: Timestamp) {
        let state = AlarmState { state: state.to_owned(), since, has_actions: true };
        let previous = lock(&self.0.alarms).insert(format!("{STACK}-{alarm}"), state);
        assert!(previous.is_some(), "the template has no alarm {alarm}");
    }

    /// Switches the actions of an alarm off, by its name without the stack.
    pub fn disable_alarm_actions(&self, alarm: &str) {
        let mut alarms = lock(&self.0.alarms);
        let alarm = alarms.get_mut(&format!("{STACK}-{alarm}")).expect("the template has the alarm");
        alarm.has_actions = false;
    }

    /// Deletes an alarm outside of the stack, by its name without the stack.
    pub fn delete_alarm(&self, alarm: &str) {
        let deleted = lock(&self.0.alarms).remove(&format!("{STACK}-{alarm}"));
        assert!(deleted.is_some(), "the template has no alarm {alarm}");
    }

    /// Sets the status of the stack, such as `UPDATE_ROLLBACK_COMPLETE`.
    pub fn set_status(&self, status: &str) {
        status.clone_into(&mut lock(&self.0.status));
    }

    /// Sets an output of the stack.
    pub fn set_output(&self, name: &str, value: &str) {
        lock(&self.0.outputs).insert(name.to_owned(), value.to_owned());
    }

    /// Adds a data point.
    pub fn put_metric(&self, metric: Metric) {
        lock(&self.0.metrics).push(metric);
    }

    /// Adds an event to a log group, which is created if it does not exist.
    pub fn log(&self, group: &str, event: LogEvent) {
        lock(&self.0.log_groups).entry(group.to_owned()).or_default().push(event);
    }

    /// Lets another stack manage the existing user pool, which has this status in it.
    pub fn manage_user_pool(&self, stack: &str, status: &str) {
        *lock(&self.0.managing_stack) = Some((stack.to_owned(), status.to_owned()));
    }

    /// Takes the permission `logs:Unmask` away.
    pub fn forbid_unmask(&self) {
        *lock(&self.0.may_unmask) = false;
    }

    /// Refuses all calls of an operation from now on, with this code and sentence.
    pub fn refuse(&self, operation: &str, code: &str, message: &str) {
        lock(&self.0.refused).insert(operation.to_owned(), (code.to_owned(), message.to_owned()));
    }

    /// How often an operation was called.
    pub fn calls_of(&self, operation: &str) -> usize {
        lock(&self.0.calls).iter().filter(|called| *called == operation).count()
    }

    /// The operations that were called, in their order.
    pub fn calls(&self) -> Vec<String> {
        lock(&self.0.calls).clone()
    }

    /// The physical ID of a resource.
    pub fn physical_id(&self, logical_id: &str) -> String {
        let resource = self.0.resources.iter().find(|resource| resource.logical_id == logical_id);
        resource.expect("the stack has the resource").physical_id.clone()
    }

    /// Records a call, and refuses it if the test says so.
    fn begin(&self, operation: &str) -> Result<(), Refusal> {
        lock(&self.0.calls).push(operation.to_owned());
        match lock(&self.0.refused).get(operation) {
            Some((code, message)) => Err(refusal(code, message)),
            None => Ok(()),
        }
    }
}

/// Creates the queues of the template.
fn create_queues(sqs: &Sqs, template: &Template, parameters: &[(&str, &str)]) {
    let given = parameters.iter().chain(&[("AWS::StackName", STACK)]);
    let values = given.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let (stack, _) = Stack::new(template, &values);
    let name = |queue: &Value| cloudformation::text(&stack, &queue["Properties"]["QueueName"]);
    let queues = template.of_type("AWS::SQS::Queue").filter(|(id, _)| stack.creates(id));
    let queues: Vec<(&str, &Value)> = queues.collect();
    for (_, queue) in &queues {
        let target = queue.pointer("/Properties/RedrivePolicy/deadLetterTargetArn/Fn::GetAtt");
        let target = target.and_then(Value::as_str).and_then(|target| target.strip_suffix(".Arn"));
        let target = queues.iter().find(|(id, _)| Some(*id) == target).map(|(_, target)| name(target));
        let receives = queue.pointer("/Properties/RedrivePolicy/maxReceiveCount").and_then(Value::as_u64);
        let name = name(queue);
        sqs.create(&name, target.as_deref().zip(receives));
        sqs.set_retention(
            &name,
            queue["Properties"]["MessageRetentionPeriod"].as_u64().expect("a retention"),
        );
    }
    let names: HashSet<String> = queues.iter().map(|(_, queue)| name(queue)).collect();
    assert_eq!(names.len(), queues.len(), "each queue has its own name");
}

impl AwsBackend for StackAccount {
    async fn answer(&self, request: MockRequest) -> Result<Answer, ConnectorError> {
        let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
        let target = header("x-amz-target").unwrap_or_default();
        let complete = |response: MockResponse| Ok(Answer { response, is_cut_off: false });
        if let Some(operation) = target.strip_prefix("AWSCognitoIdentityProviderService.")
            && let Some((response, is_cut_off)) = self.user_pool_settings(operation, &request.body)
        {
            return Ok(Answer { response, is_cut_off });
        }
        if let Some(response) = self.lambda(&request) {
            return complete(response);
        }
        if let Some(operation) = target.strip_prefix("AmazonSQS.") {
            if let Err(refusal) = self.begin(operation) {
                return complete(logs::error(&refusal));
            }
            return self.0.sqs.answer(request).await;
        }
        if let Some(operation) = target.strip_prefix("Logs_20140328.") {
            return complete(self.cloudwatch_logs(operation, &request.body));
        }
        if let Some((_, operation)) =
            request.uri.split_once("/service/GraniteServiceVersion20100801/operation/")
        {
            return complete(self.cloudwatch(operation, &request.body));
        }
        if header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
            return complete(self.cloudformation(&request.body));
        }
        match &self.0.sandbox {
            Some(sandbox) => sandbox.answer(request).await,
            None => Err(ConnectorError::user(format!("no such operation: {target}").into())),
        }
    }
}
