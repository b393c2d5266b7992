//! Plays journeys through the real functions, on an account in memory. Between steps, simulated
//! event source mappings deliver the queued messages to the workers.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use aws_lambda_events::sqs::SqsEvent;
use bytes::Bytes;
use http::Request;
use http::header::AUTHORIZATION;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::events::{Data, Event, GroupsMapped};
use shared::function_id::{FunctionId, FunctionKind};
use shared::grant::Grant;
use shared::metric::Metric;
use shared::statistics::DomainStats;
use shared::store::keys::STATS;
use shared::time::plus;
use triggers::TriggerEvent;
use triggers::pre_token_generation::groups::GroupConfiguration;

use super::describe::{describe_answer, describe_batch, describe_response, describe_watch};
use super::format::{Action, Journey, Step, SuspensionStep, Variables, variables_of};
use super::outcome::{DeadLetter, Invalidation, Outcome, StepOutcome};
use super::view::{ViewOutcome, ViewStep};
use crate::aws::account::{CLIENT_ID, ISSUER_URL, USER_POOL_ID, attached_triggers};
use crate::aws::{QueuePair, SandboxAccount};
use crate::functions::{invoke_http_api, invoke_trigger, invoke_user_pool_watch};
use crate::http_api::HttpApi;
use crate::mapped_workers::MappedWorkers;
use crate::operator;
use crate::site::Site;
use crate::site::page::Page;
use crate::tokens::claims::{Issue, access_token};
use crate::tokens::{TokenKey, random_uuid};
use shared::text::plural;

/// If the queues are not empty after this many rounds, a message is probably redelivered forever.
const MAX_ROUNDS: usize = 10_000;
/// Messages of a dead-letter queue stay invisible for this long after they are received, so that
/// the next calls return others. It only has to be longer than reading the queue takes.
const DEAD_LETTER_VISIBILITY_SECONDS: i32 = 3600;

/// Plays journeys one after the other, each on an account of its own, and adds up their outcomes.
pub async fn play_all(journeys: &[Journey], defaults: &Variables) -> Result<Outcome> {
    let mut all = Outcome::default();
    for journey in journeys {
        let outcome =
            play(journey, defaults).await.with_context(|| format!("journey \"{}\"", journey.name))?;
        if let Some(sub) = outcome.users.keys().find(|sub| all.users.contains_key(*sub)) {
            bail!(
                "user {sub} occurs in two journeys. Each journey has its own account, so their results \
                 cannot be added. Play them one at a time"
            );
        }
        all.add(outcome);
    }
    Ok(all)
}

/// Plays a journey on a new account.
pub async fn play(journey: &Journey, defaults: &Variables) -> Result<Outcome> {
    let mut variables = defaults.clone();
    for (function, own) in &journey.environment {
        variables.entry(function.clone()).or_default().extend(own.clone());
    }
    let account = SandboxAccount::start(journey.start).await?;
    let mut player = Player::new(account, variables, journey.deliveries)?;
    for step in &journey.steps {
        player.advance(step.after).await?;
        let done = player.act(step).await.with_context(|| format!("step \"{}\"", step.name))?;
        let at = player.account.time.now();
        player.outcome.steps.push(StepOutcome {
            journey: journey.name.clone(),
            name: step.name.clone(),
            at,
            outcome: done.outcome,
            response: done.response,
            view: done.view,
        });
        player.run_due().await?;
    }
    player.run_until_idle().await?;
    player.finish().await
}

struct Player {
    account: SandboxAccount,
    variables: Variables,
    sqs: aws_sdk_sqs::Client,
    workers: MappedWorkers,
    site: Site,
    /// The latest access token of each user, by sub and device.
    tokens: BTreeMap<(String, String), String>,
    outcome: Outcome,
}

/// What a step did.
#[derive(Default)]
struct Done {
    /// In a few words.
    outcome: String,
    response: Option<Value>,
    view: Option<ViewOutcome>,
}

impl Done {
    fn new(outcome: impl Into<String>) -> Self {
        Self { outcome: outcome.into(), ..Self::default() }
    }
}

impl Player {
    fn new(account: SandboxAccount, variables: Variables, deliveries: u32) -> Result<Self> {
        let workers = MappedWorkers::start(&account, &variables, deliveries)?;
        let api = HttpApi {
            key: TokenKey::random()?,
            issuer: ISSUER_URL.to_owned(),
            client_id: CLIENT_ID.to_owned(),
        };
        let own = variables_of(&variables, FunctionId::ReadApi);
        let site = Site::new(api, own, Page::empty(), |_| ())?;
        let (sqs, tokens, outcome) = (account.sqs(), BTreeMap::new(), Outcome::default());
        Ok(Self { account, variables, sqs, workers, site, tokens, outcome })
    }

    async fn act(&mut self, step: &Step) -> Result<Done> {
        let outcome = match &step.action {
            Action::Invoke { function, event, .. } if function.kind() == FunctionKind::Worker => {
                let event: SqsEvent = serde_json::from_value(event.clone()).context("not an SQS event")?;
                if *function == FunctionId::GroupMembership {
                    self.put_users_with_groups(&event).await;
                }
                let answer = self.workers.invoke(*function, event, self.account.time.now()).await?;
                describe_batch(answer)
            }
            Action::Invoke { function, event, .. } if function.kind() == FunctionKind::HttpApi => {
                let request = api::Request::from_json(&event.to_string())?;
                let own = variables_of(&self.variables, *function);
                let (outcome, response) =
                    describe_response(invoke_http_api(&self.account, &own, request).await?)?;
                return Ok(Done { outcome, response, view: None });
            }
            Action::Invoke { function, .. } if function.kind() == FunctionKind::Scheduled => {
                let pools = self.account.backend().user_pools();
                pools.set_lambda_config(USER_POOL_ID, attached_triggers()).await;
                let own = variables_of(&self.variables, *function);
                let (outcome, response) = describe_watch(invoke_user_pool_watch(&self.account, &own).await?)?;
                return Ok(Done { outcome, response, view: None });
            }
            Action::Invoke { function, event, has_own_groups, device } => {
                let mut event = event.clone();
                if *function == FunctionId::PreTokenGeneration {
                    self.set_groups_to_override(&mut event, *has_own_groups).await;
                }
                let own = variables_of(&self.variables, *function);
                let trigger_event = TriggerEvent::from_json(&event.to_string())?;
                let answer = invoke_trigger(&self.account, *function, &own, trigger_event);
                let answer = answer.await.context(function.name())?;
                if let (FunctionId::PreTokenGeneration, Ok(answer)) = (function, &answer) {
                    self.issue_token(device, &serde_json::to_value(answer)?)?;
                }
                let (outcome, response) = describe_answer(&event, answer)?;
                return Ok(Done { outcome, response, view: None });
            }
            Action::View(view) => return self.view(view).await,
            Action::Send { to, messages, times } => {
                let times = usize::try_from(*times)?;
                let queue = self.account.queue_of(*to).context("a worker without a queue")?;
                for message in messages.iter().flat_map(|message| std::iter::repeat_n(message, times)) {
                    let body = self.body(message);
                    self.sqs.send_message().queue_url(&queue.url).message_body(body).send().await?;
                }
                format!("{} sent to {}", plural(messages.len() * times, "message"), queue.name)
            }
            Action::Account(step) => step.play(&self.account).await?,
            Action::Suspend(suspension) => self.write_suspension(suspension, false).await?,
            Action::Reinstate(suspension) => self.write_suspension(suspension, true).await?,
        };
        Ok(Done::new(outcome))
    }

    /// Keeps the access token that Cognito would issue after this answer of pre-token-generation. A
    /// token of an app client has no user.
    fn issue_token(&mut self, device: &str, answer: &Value) -> Result<()> {
        let Some(sub) = answer.pointer("/request/userAttributes/sub").and_then(Value::as_str) else {
            return Ok(());
        };
        let own = variables_of(&self.variables, FunctionId::UserStats);
        let minutes = own.get("TOKEN_VALIDITY_MINUTES").and_then(|minutes| minutes.parse::<i64>().ok());
        let now = self.account.time.now();
        let issue = Issue {
            issuer: &self.site.api.issuer,
            signed_in_at: now,
            now,
            validity_seconds: minutes.unwrap_or(60) * 60,
            id: &random_uuid()?,
            nonce: None,
        };
        let token = self.site.api.key.sign(&access_token(answer, &issue));
        self.tokens.insert((sub.to_owned(), device.to_owned()), token);
        Ok(())
    }

    /// Requests a page through the edge, with the latest token of the user's device.
    async fn view(&self, view: &ViewStep) -> Result<Done> {
        let ViewStep { sub, path, device, expect, .. } = view;
        let token = self.tokens.get(&(sub.clone(), device.clone())).with_context(|| {
            let on_device = if device.is_empty() { String::new() } else { format!(" on device {device}") };
            format!(
                "view: user {sub} has no token{on_device}. Add a step that invokes pre-token-generation before"
            )
        })?;
        let request = Request::builder().uri(view.target()).header(AUTHORIZATION, format!("Bearer {token}"));
        let response = self.site.request(&self.account, request.body(Bytes::new())?).await?;
        let seen = ViewOutcome::new(sub, path, &response);
        expect.check(&seen)?;
        Ok(Done { outcome: seen.describe(), response: None, view: Some(seen) })
    }

    /// Sets the event's groups to those that the user has in the pool, as Cognito does. Exception: at
    /// a user's first token, or if the step patches the groups, the event's groups are written to the
    /// pool.
    async fn set_groups_to_override(&self, event: &mut Value, has_own_groups: bool) {
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (user_pool_id, username) = (text("userPoolId"), text("userName"));
        if event.pointer("/request/userAttributes/sub").is_none() || username.is_empty() {
            return;
        }
        let pools = self.account.backend().user_pools();
        let known = pools.groups().await.remove(&username);
        match known.filter(|_| !has_own_groups) {
            Some(groups) => {
                if let Some(groups_to_override) =
                    event.pointer_mut("/request/groupConfiguration/groupsToOverride")
                {
                    *groups_to_override = json!(groups);
                }
            }
            None => {
                let sent = GroupConfiguration::from_request(event.get("request").unwrap_or(&Value::Null));
                pools.put_user(&user_pool_id, &username, &sent.groups_to_override).await;
            }
        }
        // Later, the pool decides: a step may have changed the attributes.
        if pools.lacks_attributes(&user_pool_id, &username).await {
            let sent = event.pointer("/request/userAttributes").and_then(Value::as_object);
            let texts = sent.into_iter().flatten();
            let texts = texts.map(|(name, value)| (name.clone(), value.as_str().map(str::to_owned)));
            pools.change_attributes(&user_pool_id, &username, &texts.collect()).await;
        }
    }

    /// Puts the users of a group-membership event into the pool, with the groups that the event
    /// removes, so that there is something to remove.
    async fn put_users_with_groups(&self, event: &SqsEvent) {
        let bodies = event.records.iter().filter_map(|record| record.body.as_deref());
        for mapped in bodies.filter_map(|body| Event::parse(body).ok()) {
            if let Data::GroupsMapped(GroupsMapped { user_pool_id, username, remove, .. }) = mapped.data {
                let mut groups =
                    self.account.backend().user_pools().groups().await.remove(&username).unwrap_or_default();
                groups.extend(remove.into_iter().filter(|group| !groups.contains(group)).collect::<Vec<_>>());
                self.account.backend().user_pools().put_user(&user_pool_id, &username, &groups).await;
            }
        }
    }

    /// The body of a message. Text is sent unchanged. In an event, missing `specversion` and `time`
    /// are filled in.
    fn body(&self, message: &Value) -> String {
        let Value::Object(fields) = message else {
            return message.as_str().map_or_else(|| message.to_string(), str::to_owned);
        };
        let mut fields = fields.clone();
        fields.entry("specversion").or_insert_with(|| "1.0".into());
        fields.entry("time").or_insert_with(|| self.account.time.now().to_string().into());
        Value::Object(fields).to_string()
    }

    /// Does what `replay user suspend` and `replay user reinstate` do.
    async fn write_suspension(&self, suspension: &SuspensionStep, reinstate: bool) -> Result<String> {
        let SuspensionStep { sub, reason, duration } = suspension;
        let until = duration.map(|duration| plus(self.account.time.now(), duration));
        let changed = match reinstate {
            true => operator::reinstate(&self.account, sub, reason).await?,
            false => operator::suspend(&self.account, sub, reason, until).await?,
        };
        Ok(match (changed, reinstate) {
            (false, _) => "nothing changed: a newer decision about this user already exists",
            (true, true) => "user reinstated",
            (true, false) => "user suspended",
        }
        .to_owned())
    }

    /// Moves the time forward. The workers run when their batches are due.
    async fn advance(&mut self, duration: SignedDuration) -> Result<()> {
        let until = plus(self.account.time.now(), duration);
        self.run_until(until).await?;
        self.account.time.move_to(until);
        Ok(())
    }

    /// Moves the time forward until all queues are empty.
    async fn run_until_idle(&mut self) -> Result<()> {
        self.run_until(Timestamp::MAX).await
    }

    async fn run_until(&mut self, until: Timestamp) -> Result<()> {
        for _ in 0..MAX_ROUNDS {
            let Some(due) = self.workers.next_due().filter(|due| *due <= until) else {
                return Ok(());
            };
            self.account.time.move_to(due);
            self.run_due().await?;
        }
        bail!("the queues are not empty after {MAX_ROUNDS} rounds: a message is probably redelivered forever")
    }

    /// Runs the workers whose batches are due now. Their invalidations reach the edge.
    async fn run_due(&mut self) -> Result<()> {
        self.workers.run_due(&self.account).await?;
        let at = self.account.time.now();
        for items in self.workers.new_invalidations(&self.account) {
            self.site.invalidate(&items);
            self.outcome.invalidations.push(Invalidation { at, items });
        }
        Ok(())
    }

    async fn finish(self) -> Result<Outcome> {
        let Self { account, sqs, mut outcome, .. } = self;
        for ((partition, sort), item) in account.items().await? {
            if let (Some(sub), Some(resource)) =
                (partition.strip_prefix("GRANT#"), sort.strip_prefix("GRANT#"))
            {
                let grant: Grant = serde_json::from_value(item)?;
                let in_force = grant.is_in_force(account.time.now());
                let permissions = grant.permissions.into_iter().filter(|_| in_force).map(String::from);
                let resources = outcome.permissions.entry(sub.to_owned()).or_default();
                resources.insert(resource.to_owned(), permissions.collect());
                continue;
            }
            if sort != STATS {
                continue;
            }
            if let Some(sub) = partition.strip_prefix("USER#") {
                outcome.users.insert(sub.to_owned(), item);
            } else if let Some((domain, _shard)) =
                partition.strip_prefix("DOMAIN#").and_then(|d| d.rsplit_once('#'))
            {
                let stats: DomainStats = serde_json::from_value(item)?;
                let sum = outcome.domains.entry(domain.to_owned()).or_default();
                *sum = sum.plus(&stats);
            }
        }
        outcome.groups = account.backend().user_pools().groups().await;
        outcome.skipped = account.counts(Metric::InvalidationsSkipped.name());
        outcome.skipped.insert("coalesced".to_owned(), account.count(Metric::InvalidationsCoalesced.name()));
        outcome.skipped.retain(|_, count| *count > 0);
        for queues in account.queues() {
            outcome.dead_letters.extend(dead_letters(&sqs, queues).await?);
        }
        Ok(outcome)
    }
}

async fn dead_letters(sqs: &aws_sdk_sqs::Client, queues: &QueuePair) -> Result<Vec<DeadLetter>> {
    let mut letters = Vec::new();
    loop {
        let call = sqs.receive_message().queue_url(&queues.dead_letter_url).max_number_of_messages(10);
        let call = call.visibility_timeout(DEAD_LETTER_VISIBILITY_SECONDS).message_attribute_names("All");
        let messages = call.send().await?.messages.unwrap_or_default();
        if messages.is_empty() {
            return Ok(letters);
        }
        for message in messages {
            let attribute = |name: &str| {
                let value = message.message_attributes.as_ref()?.get(name)?;
                value.string_value().map(str::to_owned)
            };
            letters.push(DeadLetter {
                queue: queues.name.to_owned(),
                error_type: attribute(shared::queues::ERROR_TYPE),
                error_message: attribute(shared::queues::ERROR_MESSAGE),
                body: message.body.clone().unwrap_or_default(),
            });
        }
    }
}
