//! Plays journeys through the real handlers, on an embedded account. Between the steps, an event source
//! mapping drains the queues as Lambda would.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use shared::events::{Data, Event, GroupsMapped};
use shared::queues::Queue;
use shared::statistics::DomainStats;
use shared::store::Store;
use shared::store::keys::STATS;
use shared::time::{plus, plus_seconds};
use triggers::pre_token_generation::groups::GroupConfiguration;
use triggers::{TriggerError, TriggerEvent};
use workers::{cache_invalidation, group_membership, user_stats};

use crate::aws::{SandboxAccount, QueuePair, TABLE};
use super::format::{Action, Journey, Step, SuspensionStep, Variables, resource_name};
use crate::aws::event_source_mapping::EventSourceMapping;
use shared::text::plural;
use shared::suspension::SuspensionChange;

/// Lambda gives a worker this long.
const WORKER_SECONDS: i64 = 60;
/// Who suspensions and reinstates in a journey.
const BY: &str = "replay local";
/// CloudEvents source of an operator's decisions.
const SOURCE: &str = "/replay";
/// A journey whose queues do not come to rest within this many rounds has a message that comes for ever.
const MAX_ROUNDS: usize = 10_000;

/// What came of the journeys. The JSON document of `replay local --json`.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// What happened in each step.
    pub steps: Vec<StepOutcome>,
    /// The statistics of each user, by sub, as they are stored.
    pub users: BTreeMap<String, Value>,
    /// Sign-ups per e-mail domain.
    pub domains: BTreeMap<String, DomainStats>,
    /// The calls to CloudFront.
    pub invalidations: Vec<Invalidation>,
    /// Invalidations that were not needed, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// The groups of the user pool's users to whom tokens were given, by username.
    pub groups: BTreeMap<String, Vec<String>>,
    /// What lies in the dead-letter queues.
    pub dead_letters: Vec<DeadLetter>,
}

/// What came of a step.
#[derive(Debug, PartialEq, Serialize)]
pub struct StepOutcome {
    /// The journey.
    pub journey: String,
    /// The step.
    pub name: String,
    /// When.
    pub at: Timestamp,
    /// What the function answered, or what was done.
    pub outcome: String,
    /// A trigger's response, where it gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<Value>,
}

/// One call to CloudFront.
#[derive(Debug, PartialEq, Serialize)]
pub struct Invalidation {
    /// When.
    pub at: Timestamp,
    /// What was evicted.
    pub items: Vec<String>,
}

/// A message in a dead-letter queue.
#[derive(Debug, PartialEq, Serialize)]
pub struct DeadLetter {
    /// The queue that it was meant for.
    pub queue: String,
    /// The attribute `error.type`; none where SQS moved it after too many receives.
    pub error_type: Option<String>,
    /// The attribute `error.message`.
    pub error_message: Option<String>,
    /// The body.
    pub body: String,
}

/// Plays journeys one after the other, each on an account of its own, and puts their outcomes together.
pub async fn play_all(journeys: &[Journey], defaults: &Variables) -> Result<Outcome> {
    let mut all = Outcome::default();
    for journey in journeys {
        let outcome =
            play(journey, defaults).await.with_context(|| format!("journey \"{}\"", journey.name))?;
        if let Some(sub) = outcome.users.keys().find(|sub| all.users.contains_key(*sub)) {
            bail!(
                "user {sub} is in two of the journeys, whose statistics have nothing to do with each other: play them one at a time"
            );
        }
        all.add(outcome);
    }
    Ok(all)
}

impl Outcome {
    /// Puts another journey's outcome to this one.
    fn add(&mut self, other: Self) {
        self.steps.extend(other.steps);
        self.users.extend(other.users);
        for (domain, stats) in other.domains {
            let sum = self.domains.entry(domain).or_default();
            *sum = sum.plus(&stats);
        }
        self.invalidations.extend(other.invalidations);
        for (reason, count) in other.skipped {
            *self.skipped.entry(reason).or_default() += count;
        }
        self.groups.extend(other.groups);
        self.dead_letters.extend(other.dead_letters);
    }
}

/// Plays a journey on a fresh account.
pub async fn play(journey: &Journey, defaults: &Variables) -> Result<Outcome> {
    let mut variables = defaults.clone();
    for (function, own) in &journey.environment {
        variables.entry(function.clone()).or_default().extend(own.clone());
    }
    let account = SandboxAccount::start(journey.start).await?;
    let mut player = Player::new(account, variables, journey.deliveries)?;
    for step in &journey.steps {
        player.advance(step.after).await?;
        let (outcome, response) =
            player.act(step).await.with_context(|| format!("step \"{}\"", step.name))?;
        let at = player.account.time.now();
        player.outcome.steps.push(StepOutcome {
            journey: journey.name.clone(),
            name: step.name.clone(),
            at,
            outcome,
            response,
        });
        player.run_due().await?;
    }
    player.come_to_rest().await?;
    player.finish().await
}

struct Player {
    account: SandboxAccount,
    variables: Variables,
    sqs: aws_sdk_sqs::Client,
    user_stats: (EventSourceMapping, user_stats::Deps),
    cache_invalidation: (EventSourceMapping, cache_invalidation::Deps),
    group_membership: (EventSourceMapping, group_membership::Deps),
    seen_invalidations: usize,
    outcome: Outcome,
}

impl Player {
    fn new(account: SandboxAccount, variables: Variables, deliveries: u32) -> Result<Self> {
        let own = |name: &str| variables.get(&resource_name(name)).cloned().unwrap_or_default();
        let function = account.function("user-stats", &own("user-stats"));
        let mapping = EventSourceMapping::new(account.user_events.clone(), 100, 0, deliveries);
        let user_stats = (mapping, user_stats::Deps::new(&function).context("user-stats")?);
        let function = account.function("cache-invalidation", &own("cache-invalidation"));
        // Five seconds of delivery delay, ten of batching window: changes of one moment become one call.
        let mapping = EventSourceMapping::new(account.cache_invalidations.clone(), 1_000, 15, deliveries);
        let cache_invalidation =
            (mapping, cache_invalidation::Deps::new(&function).context("cache-invalidation")?);
        let function = account.function("group-membership", &own("group-membership"));
        let mapping = EventSourceMapping::new(account.group_memberships.clone(), 10, 0, deliveries);
        let group_membership = (mapping, group_membership::Deps::new(&function).context("group-membership")?);
        let sqs = account.sqs();
        Ok(Self {
            account,
            variables,
            sqs,
            user_stats,
            cache_invalidation,
            group_membership,
            seen_invalidations: 0,
            outcome: Outcome::default(),
        })
    }

    async fn act(&self, step: &Step) -> Result<(String, Option<Value>)> {
        let done = match &step.action {
            Action::Invoke { function, event, .. } if function == "user-stats" => {
                let event = serde_json::from_value(event.clone()).context("not an SQS event")?;
                let response = user_stats::handle(&self.user_stats.1, event, Timestamp::MAX).await;
                describe_batch(response?)
            }
            Action::Invoke { function, event, .. } if function == "cache-invalidation" => {
                let event = serde_json::from_value(event.clone()).context("not an SQS event")?;
                let response =
                    cache_invalidation::handle(&self.cache_invalidation.1, event, Timestamp::MAX).await;
                describe_batch(response?)
            }
            Action::Invoke { function, event, .. } if function == "group-membership" => {
                let event: SqsEvent = serde_json::from_value(event.clone()).context("not an SQS event")?;
                self.put_users_of(&event).await;
                let response =
                    group_membership::handle(&self.group_membership.1, event, Timestamp::MAX).await;
                describe_batch(response?)
            }
            Action::Invoke { function, event, says_groups } => {
                let mut event = event.clone();
                if function == "pre-token-generation" {
                    self.tell_groups(&mut event, *says_groups).await;
                }
                let own = self.variables.get(&resource_name(function)).cloned().unwrap_or_default();
                let trigger_event = TriggerEvent::from_json(&event.to_string())?;
                let answer = invoke(&self.account, function, &own, trigger_event);
                let answer = answer.await.with_context(|| function.clone())?;
                return describe_answer(&event, answer);
            }
            Action::Send { messages, times } => {
                let times = usize::try_from(*times)?;
                for message in messages.iter().flat_map(|message| std::iter::repeat_n(message, times)) {
                    let body = self.body(message);
                    self.sqs
                        .send_message()
                        .queue_url(&self.account.user_events.url)
                        .message_body(body)
                        .send()
                        .await?;
                }
                format!("{} sent to user-events", plural(messages.len() * times, "message"))
            }
            Action::Suspend(suspension) => self.write_suspension(suspension, false).await?,
            Action::Reinstate(suspension) => self.write_suspension(suspension, true).await?,
        };
        Ok((done, None))
    }

    /// Who gets a token is in the user pool. Cognito tells the groups that the user is in there, where the step does not
    /// say otherwise; at a user's first token, those of the event.
    async fn tell_groups(&self, event: &mut Value, says_groups: bool) {
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (user_pool_id, username) = (text("userPoolId"), text("userName"));
        if event.pointer("/request/userAttributes/sub").is_none() || username.is_empty() {
            return;
        }
        let known = self.account.http_client().groups().await.remove(&username);
        match known.filter(|_| !says_groups) {
            Some(groups) => {
                if let Some(told) = event.pointer_mut("/request/groupConfiguration/groupsToOverride") {
                    *told = json!(groups);
                }
            }
            None => {
                let sent = GroupConfiguration::from_request(event.get("request").unwrap_or(&Value::Null));
                let http_client = self.account.http_client();
                http_client.put_user(&user_pool_id, &username, &sent.groups_to_override).await;
            }
        }
    }

    /// Whose groups a message changes is in the user pool, in the groups that they are to leave.
    async fn put_users_of(&self, event: &SqsEvent) {
        let bodies = event.records.iter().filter_map(|record| record.body.as_deref());
        for mapped in bodies.filter_map(|body| Event::parse(body).ok()) {
            if let Data::GroupsMapped(GroupsMapped { user_pool_id, username, remove, .. }) = mapped.data {
                let mut groups =
                    self.account.http_client().groups().await.remove(&username).unwrap_or_default();
                groups.extend(remove.into_iter().filter(|group| !groups.contains(group)).collect::<Vec<_>>());
                self.account.http_client().put_user(&user_pool_id, &username, &groups).await;
            }
        }
    }

    /// A message as it is sent: texts as they are, events with what every event has.
    fn body(&self, message: &Value) -> String {
        let Value::Object(fields) = message else {
            return message.as_str().map_or_else(|| message.to_string(), str::to_owned);
        };
        let mut fields = fields.clone();
        fields.entry("specversion").or_insert_with(|| "1.0".into());
        fields.entry("time").or_insert_with(|| self.account.time.now().to_string().into());
        Value::Object(fields).to_string()
    }

    /// What `replay suspend` and `replay reinstate` do.
    async fn write_suspension(&self, suspension: &SuspensionStep, lift: bool) -> Result<String> {
        let now = self.account.time.now();
        let SuspensionStep { sub, reason, duration } = suspension;
        let decision = if lift {
            SuspensionChange::reinstate(sub, reason, BY, now)
        } else {
            SuspensionChange::suspend(sub, reason, duration.map(|duration| plus(now, duration)), BY, now)
        };
        let store = Store::new(self.account.dynamodb(), TABLE);
        let queue = Queue::new(self.sqs.clone(), self.account.user_events.url.clone());
        Ok(match (decision.apply(&store, &queue, SOURCE).await?, lift) {
            (false, _) => "nothing done: a decision is there that is as late, or later",
            (true, true) => "suspension lifted",
            (true, false) => "suspension written",
        }
        .to_owned())
    }

    /// Lets time pass, and everything happen in its order that falls into it.
    async fn advance(&mut self, duration: SignedDuration) -> Result<()> {
        let until = plus(self.account.time.now(), duration);
        self.run_until(until).await?;
        self.account.time.move_to(until);
        Ok(())
    }

    /// Lets time pass until no queue has anything left to do.
    async fn come_to_rest(&mut self) -> Result<()> {
        self.run_until(Timestamp::MAX).await
    }

    async fn run_until(&mut self, until: Timestamp) -> Result<()> {
        for _ in 0..MAX_ROUNDS {
            let dues = [
                self.user_stats.0.next_due(),
                self.cache_invalidation.0.next_due(),
                self.group_membership.0.next_due(),
            ];
            let Some(due) = dues.into_iter().flatten().min().filter(|due| *due <= until) else {
                return Ok(());
            };
            self.account.time.move_to(due);
            self.run_due().await?;
        }
        bail!("the queues do not come to rest")
    }

    /// Lets the workers do what is due now.
    async fn run_due(&mut self) -> Result<()> {
        let now = self.account.time.now();
        let deadline = plus_seconds(now, WORKER_SECONDS);
        let Self { account, sqs, user_stats: (mapping, deps), .. } = self;
        drain(account, sqs, mapping, async |event| user_stats::handle(deps, event, deadline).await.ok())
            .await?;
        let Self { account, sqs, cache_invalidation: (mapping, deps), .. } = self;
        drain(account, sqs, mapping, async |event| {
            cache_invalidation::handle(deps, event, deadline).await.ok()
        })
        .await?;
        let Self { account, sqs, group_membership: (mapping, deps), .. } = self;
        drain(account, sqs, mapping, async |event| {
            group_membership::handle(deps, event, deadline).await.ok()
        })
        .await?;
        let invalidations = self.account.http_client().invalidations();
        for items in invalidations.into_iter().skip(self.seen_invalidations) {
            self.seen_invalidations += 1;
            self.outcome.invalidations.push(Invalidation { at: now, items });
        }
        Ok(())
    }

    async fn finish(self) -> Result<Outcome> {
        let Self { account, sqs, mut outcome, .. } = self;
        for ((partition, sort), item) in account.items().await? {
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
        outcome.groups = account.http_client().groups().await;
        let skipped = [
            ("coalesced", account.count("InvalidationsCoalesced")),
            ("idle", account.count("InvalidationsSkippedInactive")),
        ];
        let by_reason = account.counts("InvalidationsSkipped");
        outcome.skipped = skipped.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect();
        outcome.skipped.extend(by_reason);
        outcome.skipped.retain(|_, count| *count > 0);
        for queues in [&account.user_events, &account.cache_invalidations, &account.group_memberships] {
            outcome.dead_letters.extend(dead_letters(&sqs, queues).await?);
        }
        Ok(outcome)
    }
}

/// Hands a worker every batch that is due.
async fn drain(
    account: &SandboxAccount,
    sqs: &aws_sdk_sqs::Client,
    mapping: &mut EventSourceMapping,
    handle: impl AsyncFn(SqsEvent) -> Option<SqsBatchResponse>,
) -> Result<()> {
    let now = account.time.now();
    mapping.receive(sqs, now).await?;
    while let Some(delivery) = mapping.take_batch(now) {
        let mut response = None;
        for _ in 0..mapping.deliveries {
            response = handle(delivery.event()?).await;
        }
        mapping.settle(sqs, delivery, response, &account.http_client().delays(), now).await?;
    }
    Ok(())
}

async fn dead_letters(sqs: &aws_sdk_sqs::Client, queues: &QueuePair) -> Result<Vec<DeadLetter>> {
    let mut letters = Vec::new();
    loop {
        let call = sqs.receive_message().queue_url(&queues.dead_letter_url).max_number_of_messages(10);
        let call = call.visibility_timeout(3600).message_attribute_names("All");
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

/// Invokes a trigger as Lambda would, with its variables.
pub async fn invoke(
    account: &SandboxAccount,
    function: &str,
    variables: &BTreeMap<String, String>,
    event: TriggerEvent,
) -> Result<Result<TriggerEvent, TriggerError>> {
    macro_rules! invoke {
        ($name:literal, $module:ident) => {{
            let deps = triggers::$module::Deps::new(&account.function($name, variables))?;
            triggers::$module::handle(&deps, event).await
        }};
    }
    Ok(match function {
        "pre-sign-up" => invoke!("pre-sign-up", pre_sign_up),
        "post-confirmation" => invoke!("post-confirmation", post_confirmation),
        "pre-authentication" => invoke!("pre-authentication", pre_authentication),
        "pre-token-generation" => invoke!("pre-token-generation", pre_token_generation),
        "custom-message" => invoke!("custom-message", custom_message),
        _ => bail!("no function is named {function}"),
    })
}

/// What a trigger answered, in a few words; the response itself is shown where an event is played alone.
fn describe_answer(
    sent: &Value,
    answer: Result<TriggerEvent, TriggerError>,
) -> Result<(String, Option<Value>)> {
    let answer = match answer {
        Ok(answer) => serde_json::to_value(&answer)?,
        Err(error) => return Ok((format!("refused: {}", error.message), None)),
    };
    let (before, after) = (sent.get("response"), answer.get("response").cloned().unwrap_or_default());
    if before == Some(&after) {
        return Ok(("answered, response unchanged".to_owned(), Some(after)));
    }
    let changed = after.as_object().into_iter().flatten();
    let changed = changed.filter(|(name, value)| before.and_then(|before| before.get(*name)) != Some(*value));
    let changed: Vec<String> = changed.map(|(name, value)| describe_change(sent, name, value)).collect();
    Ok((format!("answered: {}", changed.join(", ")), Some(after)))
}

fn describe_change(sent: &Value, name: &str, value: &Value) -> String {
    let words = |list: Option<&Value>| -> Vec<String> {
        let list = list.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    match value {
        Value::String(text) if text.chars().count() > 60 => {
            format!("{name} of {} characters", text.chars().count())
        }
        Value::String(text) => format!("{name} \"{text}\""),
        Value::Object(details) => {
            let before = words(sent.pointer("/request/groupConfiguration/groupsToOverride"));
            let after = words(value.pointer("/groupOverrideDetails/groupsToOverride"));
            let new =
                after.iter().filter(|group| !before.contains(group)).map(|group| format!("group +{group}"));
            let gone =
                before.iter().filter(|group| !after.contains(group)).map(|group| format!("group -{group}"));
            let claims = |token: &str| {
                let claims =
                    details.get(token).and_then(|token| token.get("claimsToAddOrOverride")?.as_object());
                claims.into_iter().flat_map(|claims| claims.keys().cloned()).collect::<Vec<_>>()
            };
            let id = claims("idTokenGeneration").into_iter().map(|claim| format!("ID token claim {claim}"));
            let access = claims("accessTokenGeneration")
                .into_iter()
                .map(|claim| format!("access token claim {claim}"));
            let scopes = |name: &str, sign: &str| {
                let scopes =
                    details.get("accessTokenGeneration").and_then(|token| token.get(name)?.as_array());
                let scopes = scopes.into_iter().flatten().filter_map(Value::as_str);
                scopes.map(|scope| format!("scope {sign}{scope}")).collect::<Vec<_>>()
            };
            let scopes = [scopes("scopesToAdd", "+"), scopes("scopesToSuppress", "-")].concat();
            let changes: Vec<String> = new.chain(gone).chain(id).chain(access).chain(scopes).collect();
            if changes.is_empty() { name.to_owned() } else { changes.join(", ") }
        }
        other => format!("{name} {other}"),
    }
}

fn describe_batch(response: SqsBatchResponse) -> String {
    match response.batch_item_failures.len() {
        0 => "batch done".to_owned(),
        failed => format!("batch done but for {}", json!(failed)),
    }
}
