//! What the options, the variables and the stack name: the table, the queues and the user pool.
//!
//! An option of its own comes first, then --stack, then a variable of its own, then STACK_NAME. So a
//! variable that belongs to another stack does not mix with --stack. The stack is read at most once.

use anyhow::Context;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::operation::get_queue_url::GetQueueUrlError;
use shared::queues::Queue;
use shared::store::Store;

use super::{Account, region_of};
use crate::aws_error::{Service, aws_error, describe};
use crate::error::{CommandError, Result};
use crate::queue::template_queue::TemplateQueue;
use crate::stack::Stack;

/// An option that the stack can replace.
struct Name<'a> {
    /// The option and its value.
    option: (&'a str, Option<&'a str>),
    /// A variable of its own. Empty if there is none.
    variable: &'a str,
}

impl Account {
    /// The name of the stack: --stack, or STACK_NAME.
    pub fn stack_name(&self) -> Option<&str> {
        self.stack_option.as_deref().or_else(|| self.variable("STACK_NAME"))
    }

    /// The stack that --stack or STACK_NAME names.
    ///
    /// Rejects a stack without queues, such as one of another application.
    pub async fn stack(&self) -> Result<&Stack> {
        let Some(name) = self.stack_name() else {
            return Err(CommandError::invalid_input(
                "pass --stack, or set STACK_NAME. `aws cloudformation describe-stacks --query \
                 'Stacks[].StackName'` lists the stacks",
            ));
        };
        let cloudformation = self.cloudformation();
        self.stack.get_or_try_init(|| Stack::open(&cloudformation, name, self.region())).await
    }

    /// The table `table`, by default that of the stack, or TABLE_NAME.
    pub async fn store(&self, table: Option<&str>) -> Result<Store> {
        let name = Name { option: ("--table", table), variable: "TABLE_NAME" };
        let table = self.resolve(name, Stack::table_name).await?;
        Ok(Store::new(self.dynamodb(), table))
    }

    /// The same, for a command that can do without it.
    pub async fn optional_store(&self, table: Option<&str>) -> Result<Option<Store>> {
        match table.or(self.stack_name()).or_else(|| self.variable("TABLE_NAME")) {
            Some(_) => self.store(table).await.map(Some),
            None => Ok(None),
        }
    }

    /// The id of the user pool `id`, by default that of the stack.
    pub async fn user_pool(&self, id: Option<&str>) -> Result<String> {
        let name = Name { option: ("--user-pool", id), variable: "" };
        self.resolve(name, Stack::user_pool_id).await
    }

    /// The queue user-events by name, ARN or URL, by default that of the stack, or USER_EVENTS_QUEUE_URL.
    pub async fn user_events(&self, queue: Option<&str>) -> Result<Queue> {
        let variable = "USER_EVENTS_QUEUE_URL";
        self.queue(("--queue", queue), variable, TemplateQueue::UserEvents, Stack::user_events_url).await
    }

    /// The queue cache-invalidations by name, ARN or URL, by default that of the stack, or
    /// CACHE_INVALIDATIONS_QUEUE_URL.
    pub async fn cache_invalidations(&self, queue: Option<&str>) -> Result<Queue> {
        let variable = "CACHE_INVALIDATIONS_QUEUE_URL";
        self.queue(
            ("--queue", queue),
            variable,
            TemplateQueue::CacheInvalidations,
            Stack::cache_invalidations_url,
        )
        .await
    }

    /// The queues of the options `--user-events` and `--cache-invalidations`, for a command that can do
    /// without them. `None` if nothing names the queue.
    pub async fn optional_queues(
        &self,
        user_events: Option<&str>,
        cache_invalidations: Option<&str>,
    ) -> Result<(Option<Queue>, Option<Queue>)> {
        let is_named = |queue: Option<&str>, variable| {
            queue.or(self.stack_name()).or_else(|| self.variable(variable)).is_some()
        };
        let (mut queues, variable) = ((None, None), "USER_EVENTS_QUEUE_URL");
        if is_named(user_events, variable) {
            let option = ("--user-events", user_events);
            let expected = TemplateQueue::UserEvents;
            queues.0 = Some(self.queue(option, variable, expected, Stack::user_events_url).await?);
        }
        let variable = "CACHE_INVALIDATIONS_QUEUE_URL";
        if is_named(cache_invalidations, variable) {
            let option = ("--cache-invalidations", cache_invalidations);
            let expected = TemplateQueue::CacheInvalidations;
            queues.1 = Some(self.queue(option, variable, expected, Stack::cache_invalidations_url).await?);
        }
        Ok(queues)
    }

    async fn queue(
        &self,
        option: (&str, Option<&str>),
        variable: &str,
        expected: TemplateQueue,
        of_stack: fn(&Stack) -> Option<&str>,
    ) -> Result<Queue> {
        let name = self.resolve(Name { option, variable }, of_stack).await?;
        if let Some(other) = TemplateQueue::of(&name).filter(|other| *other != expected) {
            return Err(CommandError::invalid_input(format!(
                "the queue {name} is {other}, but this command needs {expected}"
            )));
        }
        Ok(Queue::new(self.sqs(), self.queue_url(&name).await?))
    }

    /// The value of the option, of the stack or of the variable, in the order that the module describes.
    async fn resolve(&self, name: Name<'_>, of_stack: fn(&Stack) -> Option<&str>) -> Result<String> {
        let (option, value) = name.option;
        let variable = Some(name.variable).filter(|name| !name.is_empty());
        let variable_value = variable.and_then(|name| self.variable(name));
        let value = value.or(variable_value.filter(|_| self.stack_option.is_none()));
        if let Some(value) = value {
            return Ok(value.to_owned());
        }
        if self.stack_name().is_none() {
            let variable = variable.map(|name| format!("{name} or ")).unwrap_or_default();
            return Err(CommandError::invalid_input(format!(
                "pass {option} or --stack, or set {variable}STACK_NAME"
            )));
        }
        let stack = self.stack().await?;
        of_stack(stack).map(str::to_owned).ok_or_else(|| {
            CommandError::invalid_input(format!(
                "--stack {}: the stack does not have it, or its parameters cannot be read \
                 (cloudformation:DescribeStacks). Pass {option}",
                stack.name
            ))
        })
    }

    /// The URL of a queue, by name, ARN or URL. With a stack, also by its short name, such as
    /// `user-events-dead-letters` for `cognito-user-events-user-events-dead-letters`.
    pub async fn queue_url(&self, name: &str) -> Result<String> {
        let region = self.region();
        if let Some(other) = region_of(name).filter(|other| *other != region) {
            return Err(CommandError::invalid_input(format!(
                "{name}: the queue is in {other}, but the region is {region}. Pass --region {other}"
            )));
        }
        if name.starts_with("https://") || name.starts_with("http://") {
            return Ok(name.to_owned());
        }
        if let Some(stack) = self.stack_name().filter(|_| !name.contains(':')) {
            let full_name = full_name(stack, name);
            let call = self.sqs().get_queue_url().queue_name(&full_name).send().await;
            match call {
                Ok(queue) => return Ok(queue.queue_url.context("SQS returned a queue without a URL")?),
                Err(error) if is_unknown_queue(&error) => {}
                // Otherwise a refusal could lead to a queue of the same short name outside of the stack.
                Err(error) => {
                    let error = aws_error(Service::Sqs, "GetQueueUrl")(error);
                    return Err(error.context(format!("queue {full_name} in {region}")).into());
                }
            }
        }
        let call = self.sqs().get_queue_url();
        // arn:aws:sqs:<region>:<account>:<name>
        let call = match name.split(':').collect::<Vec<_>>().as_slice() {
            ["arn", _, "sqs", _, owner, name] => call.queue_name(*name).queue_owner_aws_account_id(*owner),
            _ => call.queue_name(name),
        };
        let output = match call.send().await {
            Ok(output) => output,
            Err(error) => {
                let is_unknown = is_unknown_queue(&error);
                let error = aws_error(Service::Sqs, "GetQueueUrl")(error);
                let error = error.context(format!("queue {name} in {region}"));
                return Err(match is_unknown {
                    true => self.unknown_queue(&error).await,
                    false => error.into(),
                });
            }
        };
        Ok(output.queue_url.context("SQS returned a queue without a URL")?)
    }
}

impl Account {
    /// The error about a queue that does not exist, with the queues of the stack.
    async fn unknown_queue(&self, error: &anyhow::Error) -> CommandError {
        let text = describe(error.as_ref());
        let Some(stack) = self.stack_name() else { return CommandError::invalid_input(text) };
        let Ok(opened) = self.stack().await else { return CommandError::invalid_input(text) };
        let mut names: Vec<&str> =
            opened.queues().filter_map(|(_, url)| Some(opened.short_name(url.rsplit('/').next()?))).collect();
        names.sort_unstable();
        CommandError::invalid_input(format!("{text}. The queues of {stack}: {}", names.join(", ")))
    }
}

/// True if SQS does not know the name.
fn is_unknown_queue(error: &SdkError<GetQueueUrlError>) -> bool {
    // Stand-ins for SQS also answer with the code of its older protocol.
    matches!(error.code(), Some("QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue"))
}

/// The name that the template gives to a queue: the name of the stack, a hyphen, and the short name.
fn full_name(stack: &str, name: &str) -> String {
    let stack = crate::stack::name_of(stack);
    match name.strip_prefix(stack).is_some_and(|rest| rest.starts_with('-')) {
        true => name.to_owned(),
        false => format!("{stack}-{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_name_begins_with_the_stack() {
        for (name, expected) in [
            ("user-events", "shop-user-events"),
            ("shop-user-events", "shop-user-events"),
            ("shopping", "shop-shopping"),
            ("shop", "shop-shop"),
        ] {
            assert_eq!(full_name("shop", name), expected);
        }
        let arn = "arn:aws:cloudformation:eu-central-1:123456789012:stack/shop/0a1b2c3d-0000";
        assert_eq!(full_name(arn, "user-events"), "shop-user-events");
    }
}
