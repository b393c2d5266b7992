//! The state of a whole stack: alarms, the user pool, dead letters, unsent events, statistics, denials, the invalidation
//! budget and the functions. If a call fails, its figures are unknown, and the others are still read.

pub mod checks;
pub mod command;
pub mod first_steps;
pub mod metrics;
pub mod report;
pub mod user_pool;

use anyhow::{Context, Result};
use aws_sdk_dynamodb::types::{AttributeValue, Select};
use jiff::Timestamp;

use crate::account::Account;
use crate::aws_error::{Service, aws_error, describe};
use crate::cloudwatch::ringing_alarms;
use crate::queue::list::{Queues, next_step, read_queues};
use crate::stack::{Stack, read_details};
use crate::status::report::{AlarmFigures, Figures};

/// Reads the figures of a stack, counts since `since`. The suspensions are counted only if `count_suspensions` is true,
/// because that reads the whole table.
pub async fn read_figures(
    account: &Account,
    stack: &Stack,
    count_suspensions: bool,
    since: Timestamp,
    now: Timestamp,
) -> Figures {
    let cloudformation = account.cloudformation();
    let (sqs, cloudwatch) = (account.sqs(), account.cloudwatch());
    let mut urls: Vec<String> = stack.queues().map(|(_, url)| url.to_owned()).collect();
    urls.sort();
    let names: Vec<&str> = stack.alarms().map(|(_, name)| name).collect();
    let suspensions = async {
        match count_suspensions {
            true => Some(read_suspensions(account, stack, now).await),
            false => None,
        }
    };
    let details = async {
        let details = read_details(&cloudformation, &stack.name).await.map_err(|error| error.to_string());
        let user_pool = match &details {
            Ok(details) => user_pool::read(account, stack, details).await,
            Err(error) => Err(anyhow::Error::msg(error.clone())),
        };
        (details.unwrap_or_default(), user_pool)
    };
    let (queues, alarms, metrics, suspensions, (details, user_pool)) = futures_util::join!(
        read_queues(&sqs, &cloudwatch, &urls, now),
        ringing_alarms(&cloudwatch, &names),
        metrics::read(&cloudwatch, stack, since, now),
        suspensions,
        details,
    );
    let budget = details.parameter("MonthlyItemBudget").and_then(|budget| budget.parse().ok());
    let mut figures = Figures {
        alarms: names.len(),
        since: since.to_string(),
        monthly_item_budget: budget,
        ..Figures::default()
    };
    let Queues { queues, ages_error } = queues;
    (figures.queues, figures.ages_error) = (queues, ages_error);
    for queue in &mut figures.queues {
        queue.next_step = next_step(queue, Some(stack));
    }
    match alarms {
        Ok(alarms) => {
            let ringing = alarms.into_iter().map(|alarm| AlarmFigures {
                name: stack.short_name(&alarm.name).to_owned(),
                since: alarm.since.map(|since| since.to_string()),
                seconds: alarm.since.map(|since| now.as_second().saturating_sub(since.as_second())),
            });
            figures.ringing = ringing.collect();
        }
        Err(error) => figures.alarms_error = Some(describe(error.as_ref())),
    }
    match metrics {
        Ok(metrics) => figures.metrics = Some(metrics),
        Err(error) => figures.metrics_error = Some(describe(error.as_ref())),
    }
    match user_pool {
        Ok(user_pool) => figures.user_pool = Some(user_pool),
        Err(error) => figures.user_pool_error = Some(describe(error.as_ref())),
    }
    match suspensions {
        None => {}
        Some(Ok(count)) => figures.suspensions = Some(count),
        Some(Err(error)) => figures.suspensions_error = Some(describe(error.as_ref())),
    }
    figures
}

/// Counts the SUSPENSION items that are in force. Reads the whole table.
async fn read_suspensions(account: &Account, stack: &Stack, now: Timestamp) -> Result<u64> {
    let table = stack.table_name().context("the stack has no table")?;
    let call = account.dynamodb().scan().table_name(table).select(Select::Count);
    let call = call
        .filter_expression("begins_with(PK, :partition) AND (attribute_not_exists(#until) OR #until > :now)")
        .expression_attribute_names("#until", "until")
        .expression_attribute_values(":partition", AttributeValue::S(shared::store::keys::suspension("")))
        .expression_attribute_values(":now", AttributeValue::N(now.as_millisecond().to_string()));
    let mut pages = call.into_paginator().send();
    let mut count = 0;
    while let Some(page) = pages.next().await {
        let page = page.map_err(aws_error(Service::DynamoDb, "Scan"))?;
        count += u64::try_from(page.count()).unwrap_or_default();
    }
    Ok(count)
}
