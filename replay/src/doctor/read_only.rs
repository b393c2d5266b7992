//! The checks that change nothing. If a call fails, the checks that need it fail with its error, and the
//! others are made.

use aws_sdk_cognitoidentityprovider::Client as Cognito;
use jiff::Timestamp;

use super::catalog::CheckId;
use super::clients::{self, AppClient};
use super::deployment::{Deployment, stack_complete};
use super::http::Http;
use super::page::{PageUrls, page_files, page_without_token};
use super::pool::{self, PoolFacts};
use super::report::{CheckReport, Outcome};
use super::{functions, operation};
use crate::account::Account;
use crate::aws_error::describe;
use crate::queue::list::read_queues;
use crate::stack::Stack;

/// What the checks read about the user pool. The checks that change something need it too.
#[derive(Clone, Debug, Default)]
pub struct PoolRead {
    pub settings: Option<Result<PoolFacts, String>>,
    pub clients: Option<Result<Vec<AppClient>, String>>,
}

impl PoolRead {
    pub async fn of(cognito: &Cognito, user_pool_id: Option<&str>) -> Self {
        let Some(id) = user_pool_id else { return Self::default() };
        let (settings, clients) =
            futures_util::join!(PoolFacts::read(cognito, id), clients::read_clients(cognito, id));
        Self {
            settings: Some(settings.map_err(|error| describe(error.as_ref()))),
            clients: Some(clients.map_err(|error| describe(error.as_ref()))),
        }
    }

    /// Settings and app clients, or why one of them is not known.
    pub fn both(&self) -> Result<(&PoolFacts, &[AppClient]), String> {
        let unknown = || "its id is not known".to_owned();
        let settings = self.settings.as_ref().ok_or_else(unknown)?.as_ref().map_err(Clone::clone)?;
        let clients = self.clients.as_ref().ok_or_else(unknown)?.as_ref().map_err(Clone::clone)?;
        Ok((settings, clients))
    }
}

/// The result of a read: its value, or an outcome that says why there is none.
fn read<T>(read: Option<&Result<T, String>>) -> Result<&T, Outcome> {
    match read {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => Err(Outcome::unknown(error)),
        None => Err(Outcome::unknown(
            "the user pool of the stack is not known. It needs cloudformation:DescribeStacks",
        )),
    }
}

fn outcome<T>(value: Result<&T, Outcome>, check: impl FnOnce(&T) -> Outcome) -> Outcome {
    value.map_or_else(|outcome| outcome, check)
}

/// The outcome of a check of what a call returned.
fn of_call<T>(call: &anyhow::Result<T>, check: impl FnOnce(&T) -> Outcome) -> Outcome {
    match call {
        Ok(value) => check(value),
        Err(error) => Outcome::unknown(describe(error.as_ref())),
    }
}

/// Inputs of the checks.
pub struct Subject<'a> {
    pub account: &'a Account,
    pub stack: &'a Stack,
    pub deployment: &'a Deployment,
    pub urls: &'a PageUrls,
    pub http: &'a Http,
}

/// Makes the checks that change nothing, in the order of [`CheckId::ALL`].
pub async fn run(subject: &Subject<'_>, pool: &PoolRead, now: Timestamp) -> Vec<CheckReport> {
    let Subject { account, stack, deployment, urls, http } = subject;
    let (lambda, cloudwatch, sqs) = (account.lambda(), account.cloudwatch(), account.sqs());
    let alarms: Vec<&str> = stack.alarms().map(|(_, name)| name).collect();
    let queues: Vec<String> = stack.dead_letter_queues().map(|(_, url)| url.to_owned()).collect();
    let (states, sources, policies, starts, states_of_alarms, queues, rule, files, without_token) = futures_util::join!(
        functions::read_states(&lambda, stack),
        functions::read_event_sources(&lambda, stack),
        pool::read_policies(&lambda, stack),
        operation::read_starts(&cloudwatch, stack, now),
        operation::read_alarms(&cloudwatch, &alarms),
        read_queues(&sqs, &cloudwatch, &queues, now),
        operation::read_rule(&cloudwatch, stack, now),
        page_files(http, urls),
        page_without_token(http, urls),
    );
    let settings = || read(pool.settings.as_ref());
    let clients = || read(pool.clients.as_ref());
    let check = |check| match check {
        CheckId::StackComplete => stack_complete(deployment.status()),
        CheckId::FunctionsActive => functions::functions_active(&states),
        CheckId::FunctionStarts => of_call(&starts, |starts| operation::function_starts(starts)),
        CheckId::EventSources => functions::event_sources_enabled(&sources),
        CheckId::InvokePermissions => outcome(settings(), |pool| pool::invoke_permissions(&policies, pool)),
        CheckId::TriggersAttached => {
            outcome(settings(), |pool| pool::triggers_attached(deployment.output("LambdaConfig"), pool))
        }
        CheckId::FeaturePlan => outcome(settings(), |pool| pool::feature_plan(deployment, pool)),
        CheckId::UserExistence => outcome(clients(), |clients| clients::user_existence(clients)),
        CheckId::WriteAttributes => {
            outcome(clients(), |clients| clients::write_attributes(deployment, clients))
        }
        CheckId::TokenValidity => outcome(clients(), |clients| clients::token_validity(deployment, clients)),
        CheckId::TokenRevocation => outcome(clients(), |clients| clients::token_revocation(clients)),
        CheckId::EmailChange => outcome(settings(), pool::email_change),
        CheckId::Messages => outcome(settings(), |pool| pool::messages(deployment, pool)),
        CheckId::Alarms => of_call(&states_of_alarms, |states| operation::alarms(stack, &alarms, states)),
        CheckId::DeadLetters => operation::dead_letters(stack, &queues.queues),
        CheckId::AccountEvents => of_call(&rule, |rule| operation::account_events(deployment, *rule)),
        CheckId::PageFiles => files.clone(),
        CheckId::PageWithoutToken => without_token.clone(),
        _ => Outcome::skipped("the check changes something"),
    };
    let read_only = CheckId::ALL.into_iter().filter(|check| check.is_read_only());
    read_only.map(|id| CheckReport::new(id, check(id))).collect()
}
