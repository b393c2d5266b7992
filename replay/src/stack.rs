//! The resources of a deployed stack, from CloudFormation.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::types::StackResourceSummary;
use shared::function_id::FunctionId;

use crate::aws_error::{Service, aws_error};
use crate::error::{CommandError, Result};

/// A stack of `template.yaml`, or a stack that includes its resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// The name without the rest of the ARN.
    pub name: String,
    /// By logical ID.
    pub resources: BTreeMap<String, StackResource>,
    /// The parameter ExistingUserPoolId, if the stack does not make a user pool.
    pub existing_user_pool_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackResource {
    /// The name of a function, of a table or of an alarm, and the URL of a queue.
    pub physical_id: String,
    /// Such as `AWS::SQS::Queue`.
    pub resource_type: String,
}

impl Stack {
    /// Reads the stack with this name or ARN, and its parameters if it does not make a user pool.
    pub async fn open(cloudformation: &Client, name: &str, region: &str) -> Result<Self> {
        let mut stack = Self::read(cloudformation, name).await.map_err(|error| match error {
            CommandError::InvalidInput(text) => {
                CommandError::invalid_input(format!("{text} (the region is {region})"))
            }
            error => error,
        })?;
        if stack.queues().next().is_none() {
            return Err(CommandError::invalid_input(format!("--stack {name}: {}", stack.without_queues())));
        }
        if stack.user_pool_id().is_none() {
            // Without the permission, the pool is not known. Few commands need it.
            let parameters = read_parameters(cloudformation, name).await.unwrap_or_default();
            stack.existing_user_pool_id =
                parameters.get("ExistingUserPoolId").filter(|id| !id.is_empty()).cloned();
        }
        Ok(stack)
    }

    /// Reads the resources of the stack with this name or ARN.
    pub async fn read(cloudformation: &Client, name: &str) -> Result<Self> {
        let mut resources = BTreeMap::new();
        let mut pages =
            cloudformation.list_stack_resources().stack_name(name).into_paginator().items().send();
        while let Some(resource) = pages.next().await {
            match resource {
                Ok(resource) => resources.extend(entry(resource)),
                Err(error) if is_no_stack(error.code(), error.message()) => {
                    return Err(CommandError::invalid_input(format!(
                        "--stack {name}: CloudFormation: {}. Check the name, --region and --profile",
                        error.message().unwrap_or_default()
                    )));
                }
                Err(error) => {
                    let error = aws_error(Service::CloudFormation, "ListStackResources")(error);
                    return Err(CommandError::from(error).context(format!("--stack {name}")));
                }
            }
        }
        Ok(Self { name: name_of(name).to_owned(), resources, existing_user_pool_id: None })
    }

    /// Why the stack has no queues. The template can be an application within another stack.
    fn without_queues(&self) -> String {
        let nested: Vec<&str> =
            self.of_type("AWS::CloudFormation::Stack").map(|(_, arn)| name_of(arn)).collect();
        match nested.is_empty() {
            true => "the stack has no queues. Pass the stack of template.yaml".to_owned(),
            false => format!(
                "the stack has no queues of its own. Pass one of its nested stacks: {}",
                nested.join(", ")
            ),
        }
    }

    /// The queues: logical ID and URL.
    pub fn queues(&self) -> impl Iterator<Item = (&str, &str)> {
        self.of_type("AWS::SQS::Queue")
    }

    /// The dead-letter queues among them, by the convention of `template.yaml` for logical IDs.
    pub fn dead_letter_queues(&self) -> impl Iterator<Item = (&str, &str)> {
        self.queues().filter(|(id, _)| id.ends_with("DeadLetterQueue"))
    }

    /// The queue user-events.
    pub fn user_events_url(&self) -> Option<&str> {
        self.physical_id("UserEventsQueue")
    }

    /// The queue cache-invalidations.
    pub fn cache_invalidations_url(&self) -> Option<&str> {
        self.physical_id("CacheInvalidationsQueue")
    }

    /// The user pool of the stack, or the one that it was given.
    pub fn user_pool_id(&self) -> Option<&str> {
        self.own_user_pool_id().or(self.existing_user_pool_id.as_deref())
    }

    /// The user pool that the stack created.
    pub fn own_user_pool_id(&self) -> Option<&str> {
        self.of_type("AWS::Cognito::UserPool").next().map(|(_, id)| id)
    }

    pub fn table_name(&self) -> Option<&str> {
        self.of_type("AWS::DynamoDB::Table").next().map(|(_, name)| name)
    }

    /// The functions: logical ID and name.
    pub fn functions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.of_type("AWS::Lambda::Function")
    }

    /// The name of a function.
    pub fn function(&self, function: FunctionId) -> Option<&str> {
        self.physical_id(function.resource_name())
    }

    /// The log group of a function: its own, or the one that Lambda creates.
    pub fn log_group(&self, function: FunctionId) -> Option<String> {
        let own = function.resource_name().strip_suffix("Function");
        let own = own.and_then(|name| self.physical_id(&format!("{name}LogGroup")));
        let by_lambda = || Some(format!("/aws/lambda/{}", self.function(function)?));
        own.map(str::to_owned).or_else(by_lambda)
    }

    /// The alarms on metrics: logical ID and name.
    pub fn alarms(&self) -> impl Iterator<Item = (&str, &str)> {
        self.of_type("AWS::CloudWatch::Alarm")
    }

    /// The name of a resource without the name of the stack in front.
    pub fn short_name<'a>(&self, name: &'a str) -> &'a str {
        let short = name.strip_prefix(&self.name).and_then(|rest| rest.strip_prefix('-'));
        short.filter(|short| !short.is_empty()).unwrap_or(name)
    }

    fn physical_id(&self, logical_id: &str) -> Option<&str> {
        self.resources.get(logical_id).map(|resource| resource.physical_id.as_str())
    }

    fn of_type(&self, resource_type: &'static str) -> impl Iterator<Item = (&str, &str)> {
        let resources = self.resources.iter();
        let of_type = resources.filter(move |(_, resource)| resource.resource_type == resource_type);
        of_type.map(|(id, resource)| (id.as_str(), resource.physical_id.as_str()))
    }
}

/// A resource by its logical ID. `None` for one that does not exist yet, or no longer.
fn entry(resource: StackResourceSummary) -> Option<(String, StackResource)> {
    let is_deleted = resource.resource_status().is_some_and(|status| status.as_str() == "DELETE_COMPLETE");
    let physical_id = resource.physical_resource_id.filter(|id| !id.is_empty() && !is_deleted)?;
    let resource_type = resource.resource_type?;
    Some((resource.logical_resource_id?, StackResource { physical_id, resource_type }))
}

/// The status of a stack, and its parameters and outputs by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StackDetails {
    /// Such as `UPDATE_COMPLETE`.
    pub status: String,
    /// Default values included.
    pub parameters: BTreeMap<String, String>,
    pub outputs: BTreeMap<String, String>,
}

impl StackDetails {
    /// The value of a parameter. `None` if it is empty.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// The parameters of a stack by name, default values included.
pub async fn read_parameters(cloudformation: &Client, name: &str) -> Result<BTreeMap<String, String>> {
    Ok(read_details(cloudformation, name).await?.parameters)
}

/// The status, parameters and outputs of the stack with this name or ARN.
pub async fn read_details(cloudformation: &Client, name: &str) -> Result<StackDetails> {
    let output = cloudformation.describe_stacks().stack_name(name).send().await;
    let output = output.map_err(|error| {
        let error = aws_error(Service::CloudFormation, "DescribeStacks")(error);
        CommandError::from(error).context(format!("--stack {name}"))
    })?;
    let found = output.stacks().first();
    let found =
        found.ok_or_else(|| CommandError::failed(format!("CloudFormation returned no stack {name}")))?;
    let parameters = found.parameters().iter().filter_map(|parameter| {
        Some((parameter.parameter_key()?.to_owned(), parameter.parameter_value()?.to_owned()))
    });
    let outputs = found
        .outputs()
        .iter()
        .filter_map(|output| Some((output.output_key()?.to_owned(), output.output_value()?.to_owned())));
    Ok(StackDetails {
        status: found.stack_status().map(|status| status.as_str().to_owned()).unwrap_or_default(),
        parameters: parameters.collect(),
        outputs: outputs.collect(),
    })
}

/// CloudFormation reports a stack that does not exist as a general error.
fn is_no_stack(code: Option<&str>, message: Option<&str>) -> bool {
    code == Some("ValidationError") && message.is_some_and(|message| message.contains("does not exist"))
}

/// The name in `arn:aws:cloudformation:REGION:ACCOUNT:stack/NAME/UUID`, or the name as it is.
pub fn name_of(name_or_arn: &str) -> &str {
    match name_or_arn.split('/').collect::<Vec<_>>().as_slice() {
        [arn, name, _] if arn.starts_with("arn:") => name,
        _ => name_or_arn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(resources: &[(&str, &str, &str)]) -> Stack {
        let resources = resources.iter().map(|(id, resource_type, physical_id)| {
            let resource = StackResource {
                physical_id: (*physical_id).to_owned(),
                resource_type: (*resource_type).to_owned(),
            };
            ((*id).to_owned(), resource)
        });
        Stack { name: "shop".to_owned(), resources: resources.collect(), existing_user_pool_id: None }
    }

    #[test]
    fn name_is_part_of_an_arn() {
        let arn = "arn:aws:cloudformation:eu-central-1:123456789012:stack/shop/0a1b2c3d-0000";
        assert_eq!([arn, "shop"].map(name_of), ["shop", "shop"]);
    }

    #[test]
    fn short_name_has_no_name_of_the_stack() {
        let stack = stack(&[]);
        for (name, short) in [
            ("shop-user-events", "user-events"),
            ("shop", "shop"),
            ("shop-", "shop-"),
            ("shopping-user-events", "shopping-user-events"),
        ] {
            assert_eq!(stack.short_name(name), short, "{name}");
        }
    }

    #[test]
    fn nested_stacks_are_named_if_a_stack_has_no_queues() {
        assert!(stack(&[]).without_queues().contains("Pass the stack of template.yaml"));
        let arn = "arn:aws:cloudformation:eu-central-1:123456789012:stack/shop-Auth-1A2B/0a1b2c3d-0000";
        let nested = stack(&[("Auth", "AWS::CloudFormation::Stack", arn)]);
        assert!(nested.without_queues().ends_with("nested stacks: shop-Auth-1A2B"));
    }

    #[test]
    fn log_group_without_a_resource_is_the_one_of_lambda() {
        let function = ("PreSignUpFunction", "AWS::Lambda::Function", "shop-pre-sign-up");
        let own = ("PreSignUpLogGroup", "AWS::Logs::LogGroup", "sign-up-logs");
        for (resources, expected) in [
            (&[function][..], Some("/aws/lambda/shop-pre-sign-up")),
            (&[function, own], Some("sign-up-logs")),
            (&[], None),
        ] {
            assert_eq!(stack(resources).log_group(FunctionId::PreSignUp).as_deref(), expected);
        }
    }

    #[test]
    fn resources_that_do_not_exist_are_left_out() {
        let resource = |physical_id: &str, status: &str| {
            let resource = StackResourceSummary::builder();
            let resource = resource.logical_resource_id("Queue").physical_resource_id(physical_id);
            entry(resource.resource_type("AWS::SQS::Queue").resource_status(status.into()).build())
        };
        assert!(resource("https://sqs.example.com/q", "UPDATE_COMPLETE").is_some());
        assert_eq!(resource("https://sqs.example.com/q", "DELETE_COMPLETE"), None);
        assert_eq!(resource("", "CREATE_IN_PROGRESS"), None);
    }
}
