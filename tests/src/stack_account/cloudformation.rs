//! CloudFormation: the operations ListStackResources, DescribeStacks and DescribeStackResources, in the Query
//! protocol.

use std::collections::{BTreeMap, HashMap};

use sandbox::aws::TABLE;
use serde_json::Value;
use winterbaume_core::MockResponse;
use xtask::template::{Stack, Template};

use super::{Refusal, Resource, STACK, StackAccount, lock, refusal};
use crate::sqs::Sqs;

/// Id of the stack's user pool.
pub(super) const USER_POOL: &str = "eu-central-1_EXAMPLE12";
/// Resources in a page. CloudFormation has 100. With fewer, tests read several pages.
const PAGE: usize = 40;

/// The parameters of the template, with the given values or the default ones.
pub(super) fn parameters(template: &Template, given: &[(&str, &str)]) -> Vec<(String, String)> {
    let value = |name: &str, parameter: &Value| {
        let given = given.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned());
        let default = || match parameter.get("Default")? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        given.or_else(default)
    };
    let parameters = template.parameters().iter();
    parameters.filter_map(|(name, parameter)| Some((name.clone(), value(name, parameter)?))).collect()
}

/// The resources that the template creates with these parameters, with physical IDs as
/// CloudFormation gives them.
pub(super) fn resources(template: &Template, parameters: &[(&str, &str)]) -> Vec<Resource> {
    let mut given: BTreeMap<String, String> =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    given.insert("AWS::StackName".to_owned(), STACK.to_owned());
    let (stack, _) = Stack::new(template, &given);
    let all = template.section("Resources").as_object().expect("the template has resources");
    let created = all.iter().filter(|(logical_id, _)| stack.creates(logical_id));
    let resources = created.map(|(logical_id, resource)| {
        let resource_type = match resource["Type"].as_str().expect("a resource has a type") {
            // What the transform of SAM makes of them.
            "AWS::Serverless::Function" => "AWS::Lambda::Function",
            "AWS::Serverless::HttpApi" => "AWS::ApiGatewayV2::Api",
            other => other,
        };
        let name = |property: &str| text(&stack, &resource["Properties"][property]);
        let physical_id = match resource_type {
            "AWS::SQS::Queue" => Sqs::url(&name("QueueName")),
            "AWS::Lambda::Function" => name("FunctionName"),
            "AWS::CloudWatch::Alarm" => name("AlarmName"),
            "AWS::Logs::LogGroup" => name("LogGroupName"),
            "AWS::Cognito::UserPool" => USER_POOL.to_owned(),
            // The table of the sandbox account. CloudFormation would add random characters.
            "AWS::DynamoDB::Table" => TABLE.to_owned(),
            _ => format!("{STACK}-{logical_id}-1A2B3C4D5E6F"),
        };
        Resource { logical_id: logical_id.clone(), physical_id, resource_type: resource_type.to_owned() }
    });
    resources.collect()
}

/// A text of the template. The name of the stack is known, although it is no parameter.
pub(super) fn text(stack: &Stack<'_>, value: &Value) -> String {
    let value = value.to_string().replace("${AWS::StackName}", STACK);
    let value = serde_json::from_str(&value).expect("the value is still JSON");
    stack.text(&value).unwrap_or_else(|| panic!("the template has no text here: {value}"))
}

impl StackAccount {
    pub(super) fn cloudformation(&self, body: &[u8]) -> MockResponse {
        let input: HashMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        match self.call_cloudformation(&input) {
            Ok(result) => MockResponse::xml(200, result),
            Err(Refusal { code, message }) => MockResponse::xml(
                400,
                format!(
                    "<ErrorResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><Error>\
                     <Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
                     <RequestId>1</RequestId></ErrorResponse>"
                ),
            ),
        }
    }

    fn call_cloudformation(&self, input: &HashMap<String, String>) -> Result<String, Refusal> {
        let text = |name: &str| input.get(name).map(String::as_str).unwrap_or_default();
        self.begin(text("Action"))?;
        if text("Action") == "DescribeStackResources" {
            return self.describe_stack_resources(text("PhysicalResourceId"));
        }
        let name = text("StackName");
        let is_arn = name.starts_with("arn:") && name.contains(&format!(":stack/{STACK}/"));
        if name != STACK && !is_arn {
            return Err(refusal("ValidationError", format!("Stack with id {name} does not exist")));
        }
        match text("Action") {
            "ListStackResources" => Ok(self.list_stack_resources(text("NextToken"))),
            "DescribeStacks" => Ok(self.describe_stacks()),
            _ => Err(refusal("InvalidAction", "Could not find operation")),
        }
    }

    /// The stack with its parameters and outputs.
    fn describe_stacks(&self) -> String {
        let escaped = |value: &str| value.replace('&', "&amp;").replace('<', "&lt;");
        let members = |kind: &str, pairs: &mut dyn Iterator<Item = (&String, &String)>| -> String {
            let member = |(key, value): (&String, &String)| {
                let value = escaped(value);
                format!("<member><{kind}Key>{key}</{kind}Key><{kind}Value>{value}</{kind}Value></member>")
            };
            pairs.map(member).collect()
        };
        let parameters = members("Parameter", &mut self.0.parameters.iter().map(|(key, value)| (key, value)));
        let outputs = members("Output", &mut lock(&self.0.outputs).iter());
        let status = lock(&self.0.status).clone();
        format!(
            "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\">\
             <DescribeStacksResult><Stacks><member><StackName>{STACK}</StackName>\
             <CreationTime>2026-03-01T12:00:00Z</CreationTime><StackStatus>{status}</StackStatus>\
             <Parameters>{parameters}</Parameters><Outputs>{outputs}</Outputs></member></Stacks></DescribeStacksResult>\
             </DescribeStacksResponse>"
        )
    }

    /// The stack of another template that manages a resource.
    fn describe_stack_resources(&self, physical_id: &str) -> Result<String, Refusal> {
        let managing = lock(&self.0.managing_stack);
        let (stack, status) = managing
            .as_ref()
            .ok_or_else(|| refusal("ValidationError", format!("Stack for {physical_id} does not exist")))?;
        Ok(format!(
            "<DescribeStackResourcesResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\">\
             <DescribeStackResourcesResult><StackResources><member><StackName>{stack}</StackName>\
             <LogicalResourceId>Pool</LogicalResourceId><PhysicalResourceId>{physical_id}</PhysicalResourceId>\
             <ResourceType>AWS::Cognito::UserPool</ResourceType><Timestamp>2026-03-01T12:00:00Z</Timestamp>\
             <ResourceStatus>{status}</ResourceStatus></member></StackResources></DescribeStackResourcesResult>\
             </DescribeStackResourcesResponse>"
        ))
    }

    fn list_stack_resources(&self, token: &str) -> String {
        let from: usize = token.parse().unwrap_or_default();
        let page = self.0.resources.iter().skip(from).take(PAGE);
        let members: String = page
            .map(|resource| {
                format!(
                    "<member><LogicalResourceId>{}</LogicalResourceId><PhysicalResourceId>{}</PhysicalResourceId>\
                     <ResourceType>{}</ResourceType><LastUpdatedTimestamp>2026-03-01T12:00:00Z</LastUpdatedTimestamp>\
                     <ResourceStatus>CREATE_COMPLETE</ResourceStatus></member>",
                    resource.logical_id, resource.physical_id, resource.resource_type
                )
            })
            .collect();
        let next = from + PAGE;
        let token = match next < self.0.resources.len() {
            true => format!("<NextToken>{next}</NextToken>"),
            false => String::new(),
        };
        format!(
            "<ListStackResourcesResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\">\
             <ListStackResourcesResult><StackResourceSummaries>{members}</StackResourceSummaries>{token}\
             </ListStackResourcesResult></ListStackResourcesResponse>"
        )
    }
}
