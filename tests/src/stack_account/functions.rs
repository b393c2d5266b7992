//! Lambda: the operations GetFunctionConfiguration, GetPolicy, ListTags and ListEventSourceMappings, in the
//! protocol restJson1.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use winterbaume_core::{MockRequest, MockResponse};

use super::deployed::{ACCOUNT, function_arn, user_pool_arn};
use super::{Refusal, Resource, StackAccount, lock, refusal};

/// The path in which Lambda's API has its functions.
const FUNCTIONS: &str = "/2015-03-31/functions/";
const EVENT_SOURCES: &str = "/2015-03-31/event-source-mappings";

/// A function as Lambda describes it.
#[derive(Clone, Debug)]
pub struct Function {
    /// Fields of GetFunctionConfiguration.
    pub configuration: Value,
    /// The text of its resource-based policy.
    pub policy: Option<String>,
    /// The states of its event source mappings.
    pub event_sources: Vec<String>,
    pub tags: BTreeMap<String, String>,
}

impl Function {
    /// A function of others that the user pool may invoke.
    pub fn of_others(name: &str, user_pool: &str) -> Self {
        let arn = function_arn(name);
        Self {
            configuration: json!({"FunctionName": name, "FunctionArn": arn, "State": "Active"}),
            policy: Some(policy(&arn, user_pool)),
            event_sources: Vec::new(),
            tags: BTreeMap::new(),
        }
    }
}

/// The functions of a stack. Each trigger may be invoked by the user pool, and each worker has an event
/// source.
pub(super) fn functions(resources: &[Resource], user_pool: &str) -> BTreeMap<String, Function> {
    let of_type = resources.iter().filter(|resource| resource.resource_type == "AWS::Lambda::Function");
    let function = |resource: &Resource| {
        let id = shared::function_id::FunctionId::from_resource_name(&resource.logical_id);
        let name = resource.physical_id.clone();
        let is_trigger = shared::function_id::FunctionId::triggers().any(|trigger| Some(trigger) == id);
        let is_worker = shared::function_id::FunctionId::workers().any(|worker| Some(worker) == id);
        let arn = function_arn(&name);
        let function = Function {
            configuration: json!({
                "FunctionName": name, "FunctionArn": arn, "State": "Active", "LastUpdateStatus": "Successful",
            }),
            policy: is_trigger.then(|| policy(&arn, user_pool)),
            event_sources: is_worker.then(|| "Enabled".to_owned()).into_iter().collect(),
            tags: [("stack-name", super::STACK), ("logical-id", &resource.logical_id)]
                .map(|(key, value)| (format!("aws:cloudformation:{key}"), value.to_owned()))
                .into(),
        };
        (name, function)
    };
    of_type.map(function).collect()
}

/// The policy that the template's invoke permission makes.
pub fn policy(function_arn: &str, user_pool: &str) -> String {
    let statement = json!({
        "Sid": "1", "Effect": "Allow", "Principal": {"Service": "cognito-idp.amazonaws.com"},
        "Action": "lambda:InvokeFunction", "Resource": function_arn,
        "Condition": {
            "StringEquals": {"AWS:SourceAccount": ACCOUNT}, "ArnLike": {"AWS:SourceArn": user_pool_arn(user_pool)},
        },
    });
    json!({"Version": "2012-10-17", "Id": "default", "Statement": [statement]}).to_string()
}

impl StackAccount {
    /// Changes what Lambda says about a function, by its name without the stack.
    pub fn change_function(&self, name: &str, change: impl FnOnce(&mut Function)) {
        let name = format!("{}-{name}", super::STACK);
        change(lock(&self.0.functions).get_mut(&name).expect("the stack has the function"));
    }

    /// Creates a function, or replaces one.
    pub fn put_function(&self, name: &str, function: Function) {
        lock(&self.0.functions).insert(name.to_owned(), function);
    }

    pub fn delete_function(&self, name: &str) {
        assert!(lock(&self.0.functions).remove(name).is_some(), "there is no function {name}");
    }

    /// The answer of Lambda. `None` if the request is not for Lambda.
    pub(super) fn lambda(&self, request: &MockRequest) -> Option<MockResponse> {
        // The URI can have the address of the server in front.
        let tags_of = request.uri.split_once("/2017-03-31/tags/").map(|(_, arn)| arn);
        if let Some(arn) = tags_of {
            return Some(answer(
                self.function("ListTags", arn, |function| Some(json!({"Tags": function.tags}))),
            ));
        }
        let path = request.uri.find("/2015-03-31/").map(|start| &request.uri[start..])?;
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Some(answer(match path.strip_prefix(FUNCTIONS).and_then(|rest| rest.split_once('/')) {
            Some((name, "configuration")) => self
                .function("GetFunctionConfiguration", name, |function| Some(function.configuration.clone())),
            Some((name, "policy")) => self.function("GetPolicy", name, |function| {
                Some(json!({"Policy": function.policy.as_ref()?, "RevisionId": "1"}))
            }),
            _ if path.trim_end_matches('/') == EVENT_SOURCES => {
                let mut pairs = form_urlencoded::parse(query.as_bytes());
                let name =
                    pairs.find(|(name, _)| name == "FunctionName").map(|(_, value)| value.into_owned());
                self.function("ListEventSourceMappings", &name.unwrap_or_default(), |function| {
                    let mappings = function.event_sources.iter();
                    let mappings = mappings.map(|state| json!({"UUID": "1", "State": state}));
                    Some(json!({"EventSourceMappings": mappings.collect::<Vec<_>>()}))
                })
            }
            _ => Err(refusal("UnknownOperationException", path)),
        }))
    }

    fn function(
        &self,
        operation: &str,
        name: &str,
        answer: impl FnOnce(&Function) -> Option<Value>,
    ) -> Result<Value, Refusal> {
        self.begin(operation)?;
        // A path has a name, or an ARN.
        let name = percent_decode_str(name).decode_utf8_lossy();
        let functions = lock(&self.0.functions);
        let found = functions.get(name.rsplit(':').next().unwrap_or_default()).and_then(answer);
        found
            .ok_or_else(|| refusal("ResourceNotFoundException", "The resource you requested does not exist."))
    }
}

fn answer(result: Result<Value, Refusal>) -> MockResponse {
    match result {
        Ok(answer) => MockResponse::json(200, answer.to_string()),
        Err(Refusal { code, message }) => {
            let status = if code == "ResourceNotFoundException" { 404 } else { 400 };
            let mut response = MockResponse::json(status, json!({"Message": message}).to_string());
            let code = http::HeaderValue::from_str(&code).expect("a code is a header");
            response.headers.insert("x-amzn-errortype", code);
            response
        }
    }
}
