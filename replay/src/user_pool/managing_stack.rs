//! The CloudFormation stack that manages a user pool. Its next deployment would undo a change by anybody
//! else.

use anyhow::Result;
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::ProvideErrorMetadata;

use super::settings::PoolSettings;
use crate::aws_error::{Service, aws_error};

/// The tag that CloudFormation puts on what it creates. It stays on a pool that its stack has kept.
const TAG: &str = "aws:cloudformation:stack-name";

/// The name of the stack, if a stack that still exists manages the pool. Asks CloudFormation, and without
/// the permission it relies on the tag.
pub async fn managing_stack(cloudformation: &Client, settings: &PoolSettings) -> Result<Option<String>> {
    let id = settings.text("Id");
    match cloudformation.describe_stack_resources().physical_resource_id(id).send().await {
        Ok(answer) => {
            let mut resources = answer.stack_resources().iter();
            let resource = resources.find(|resource| resource.physical_resource_id() == Some(id));
            let is_kept = resource
                .and_then(|resource| resource.resource_status())
                .is_some_and(|status| status.as_str().starts_with("DELETE_"));
            let stack = resource.and_then(|resource| resource.stack_name());
            Ok(stack.filter(|_| !is_kept).map(str::to_owned))
        }
        // A pool that no stack manages is a general error.
        Err(error)
            if matches!(error.code(), Some("ValidationError" | "AccessDenied" | "AccessDeniedException")) =>
        {
            let Some(stack) = settings.tag(TAG) else { return Ok(None) };
            let found = cloudformation.describe_stacks().stack_name(stack).send().await;
            // CloudFormation reports a stack that does not exist as a general error.
            let is_gone = found.is_err_and(|error| error.code() == Some("ValidationError"));
            Ok((!is_gone).then(|| stack.to_owned()))
        }
        Err(error) => Err(aws_error(Service::CloudFormation, "DescribeStackResources")(error)),
    }
}
