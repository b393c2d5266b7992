//! Everything that runs behind the server: the account, the functions, CloudFront's model, the users.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, HeaderValue, RETRY_AFTER, X_FRAME_OPTIONS};
use http::{Request, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::events::EventReference;
use shared::function_id::FunctionId;
use shared::text::plural;
use shared::time::Clock;
use triggers::{TriggerError, TriggerEvent};

use super::accounts::Accounts;
use super::feed::{Feed, Kind};
use super::grants::Grants;
use crate::aws::SandboxAccount;
use crate::aws::account::{CLIENT_ID, ISSUER_URL};
use crate::edge::distribution::{Distribution, Origin, PAGE_CSP};
use crate::functions::invoke_trigger;
use crate::http_api::HttpApi;
use crate::journey::describe::describe_answer;
use crate::journey::format::{Variables, variables_of};
use crate::mapped_workers::{HandledBatch, MappedWorkers};
use crate::operator;
use crate::site::page::Page;
use crate::site::{Site, cache_result};
use crate::tokens::{TokenKey, random_bytes, random_uuid};

/// The user pool of the fixtures.
pub(super) const USER_POOL_ID: &str = "eu-central-1_EXAMPLE01";
/// Emails that are kept.
const MAX_MAILS: usize = 50;
/// CloudEvents source of the shop.
const SOURCE: &str = "/sandbox";
/// In the template, a user's pages are invalidated at most once a minute. Here, a person watches, and each change shows at once.
const INVALIDATION_INTERVAL_SECONDS: &str = "0";

/// How the server runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address of the server, such as `http://127.0.0.1:8088`.
    pub origin: String,
    /// Validity of access and ID tokens.
    pub token_seconds: i64,
}

/// An email that custom-message rendered.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    pub id: usize,
    pub to: String,
    pub subject: String,
    pub html: String,
}

/// The account with everything around it.
pub struct World {
    pub account: SandboxAccount,
    pub(super) settings: Settings,
    pub(super) site: Site,
    pub(super) feed: Feed,
    variables: Variables,
    clock: Clock,
    workers: tokio::sync::Mutex<MappedWorkers>,
    users: Mutex<Users>,
}

/// The state of the stand-in for Cognito.
#[derive(Default)]
pub(super) struct Users {
    pub accounts: Accounts,
    pub grants: Grants,
    /// The latest ones, oldest first.
    pub mails: VecDeque<Mail>,
    mail_count: usize,
    pub second_user: Option<SecondUser>,
}

/// The password and the token of the second user.
#[derive(Clone, Default)]
pub(super) struct SecondUser {
    pub password: String,
    pub token: String,
}

impl Users {
    /// Keeps an email, and returns its path.
    pub fn add_mail(&mut self, to: &str, subject: String, html: String) -> String {
        if self.mails.len() == MAX_MAILS {
            self.mails.pop_front();
        }
        self.mail_count += 1;
        self.mails.push_back(Mail { id: self.mail_count, to: to.to_owned(), subject, html });
        format!("/sandbox/mail/{}", self.mail_count)
    }
}

impl World {
    /// `clock` is the time of everything.
    pub async fn start(
        settings: Settings,
        mut variables: Variables,
        page: Page,
        clock: Clock,
    ) -> Result<Self> {
        let mut set = |function: FunctionId, name: &str, value: &str| {
            let own = variables.entry(function.resource_name().to_owned()).or_default();
            own.insert(name.to_owned(), value.to_owned());
        };
        set(FunctionId::ReadApi, "LOGIN_URL", &settings.origin);
        // The links of the emails would lead to a website that does not exist. Without them, the emails
        // show the code.
        set(FunctionId::CustomMessage, "LINK_BASE_URL", "");
        // The smallest value that user-stats accepts is 5 minutes.
        let minutes = (settings.token_seconds / 60).max(5).to_string();
        set(FunctionId::UserStats, "TOKEN_VALIDITY_MINUTES", &minutes);
        set(FunctionId::CacheInvalidation, "INVALIDATION_INTERVAL_SECONDS", INVALIDATION_INTERVAL_SECONDS);
        let account = SandboxAccount::start(clock.now()).await?;
        let workers = MappedWorkers::start(&account, &variables, 1)?;
        let api = HttpApi {
            key: TokenKey::random()?,
            issuer: ISSUER_URL.to_owned(),
            client_id: CLIENT_ID.to_owned(),
        };
        let site = Site::new(api, variables_of(&variables, FunctionId::ReadApi), page, allow_frame)?;
        Ok(Self {
            account,
            settings,
            site,
            feed: Feed::new(),
            variables,
            clock,
            workers: tokio::sync::Mutex::new(workers),
            users: Mutex::default(),
        })
    }

    /// Moves the account to the current time.
    pub fn now(&self) -> Timestamp {
        self.account.time.move_to(self.clock.now());
        self.account.time.now()
    }

    pub(super) fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the workers whose batches are due.
    pub async fn run_due(&self) -> Result<()> {
        let mut workers = self.workers.lock().await;
        let now = self.now();
        let waited = workers.next_batch(FunctionId::CacheInvalidation);
        let handled = workers.run_due(&self.account).await?;
        for batch in handled {
            self.show_batch(now, &batch);
        }
        for (operation, body) in self.account.calls.writes() {
            if operation == "TransactWriteItems" {
                self.feed.add(now, Kind::Commit, "DynamoDB", describe_transaction(&body));
            }
        }
        if let (None, Some(due)) = (waited, workers.next_batch(FunctionId::CacheInvalidation)) {
            let text = format!("collects changes until {} UTC", due.strftime("%H:%M:%S"));
            self.feed.add(now, Kind::Message, FunctionId::CacheInvalidation.name(), text);
        }
        // Nothing else reads them, and they would grow without end.
        self.account.calls.clear_operations();
        for items in workers.new_invalidations(&self.account) {
            let removed = plural(self.site.invalidate(&items).len(), "cached answer");
            let items: Vec<String> = items.iter().map(|item| self.with_name(item)).collect();
            let text = format!("CreateInvalidation {}: {removed} removed", items.join(" "));
            self.feed.add(now, Kind::Invalidation, "cache-invalidation", text);
        }
        Ok(())
    }

    fn show_batch(&self, now: Timestamp, HandledBatch { function, types, failed }: &HandledBatch) {
        let mut text = types.join(", ");
        if *failed > 0 {
            text += &format!(" ({failed} later again)");
        }
        self.feed.add(now, Kind::Message, function.name(), text);
    }

    /// Invokes a trigger as Cognito does. The error is the sentence for the user.
    pub(super) async fn trigger(&self, function: FunctionId, event: Value) -> Result<Result<Value, String>> {
        let now = self.now();
        let own = variables_of(&self.variables, function);
        let sent = TriggerEvent::from_json(&event.to_string())?;
        let answer = invoke_trigger(&self.account, function, &own, sent).await?;
        let result = match &answer {
            Ok(answer) => Ok(serde_json::to_value(answer)?),
            Err(TriggerError { message, .. }) => Err(message.to_string()),
        };
        let (text, _) = describe_answer(&event, answer)?;
        let kind = if result.is_ok() { Kind::Trigger } else { Kind::Refused };
        self.feed.add(now, kind, function.name(), text);
        Ok(result)
    }

    /// Publishes an event to user-events, as another service does. `is_client_aware`: the client of this
    /// service reads its own write. Returns the id of the event.
    async fn publish(
        &self,
        event_type: &str,
        sub: &str,
        data: Value,
        is_client_aware: bool,
    ) -> Result<String> {
        let id = random_uuid()?;
        let mut event = json!({
            "specversion": "1.0",
            "id": id,
            "source": SOURCE,
            "type": event_type,
            "subject": sub,
            "time": self.now().to_string(),
            "data": data,
        });
        if is_client_aware {
            event["clientaware"] = true.into();
        }
        let call = self.account.sqs().send_message().queue_url(&self.account.user_events.url);
        call.message_body(event.to_string()).send().await.context("publishing an event")?;
        self.feed.add(self.now(), Kind::Operator, "shop", format!("{event_type} for {}", self.name_of(sub)));
        Ok(id)
    }

    /// Suspends or reinstates a user, as `replay user` does.
    pub(super) async fn change_suspension(&self, sub: &str, reinstates: bool) -> Result<()> {
        let now = self.now();
        let (command, changed) = match reinstates {
            true => ("reinstate", operator::reinstate(&self.account, sub, "sandbox").await?),
            false => ("suspend", operator::suspend(&self.account, sub, "sandbox", None).await?),
        };
        let result = if changed { "" } else { ": nothing changed" };
        let text = format!("replay user {command} {}{result}", self.name_of(sub));
        self.feed.add(now, Kind::Operator, "operator", text);
        Ok(())
    }

    /// Answers a request to the distribution.
    pub(super) async fn request(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let now = self.now();
        let path = request.uri().path().to_owned();
        let waits = request.uri().query().is_some_and(|query| query.contains("after="));
        let line = format!("{} {path}{}", request.method(), if waits { "?after=…" } else { "" });
        let user = self.user_of(&request);
        let response = self.site.request(&self.account, request).await?;
        if path.starts_with("/api/") {
            let (kind, status) = match (cache_result(&response), response.status().as_u16()) {
                (_, status) if status >= 400 => (Kind::Refused, format!(" {status}")),
                ("Hit", _) => (Kind::Hit, String::new()),
                // An answer that shows the change has no such header.
                _ if response.headers().contains_key(RETRY_AFTER) => {
                    (Kind::Miss, ", change pending".to_owned())
                }
                _ => (Kind::Miss, String::new()),
            };
            let text = format!("{}{status}: {line}{user}", cache_result(&response));
            self.feed.add(now, kind, "CloudFront", text);
        }
        Ok(response)
    }

    /// A purchase of a few euros. Returns what an order service answers to the client that placed the
    /// order: `after` is the reference with which the client reads its own write.
    pub(super) async fn place_order(&self, sub: &str) -> Result<Value> {
        let [number, cents, ..] = random_bytes::<4>()?;
        let order_id = format!("{}-{number:02x}{cents:02x}", self.now().strftime("%H%M%S"));
        let amount = format!("{}.{:02}", 10 + u32::from(number) % 90, u32::from(cents) % 100);
        let data = json!({"order_id": order_id, "amount": amount, "currency": "EUR"});
        let id = self.publish("order.placed", sub, data, true).await?;
        let after = EventReference::new(SOURCE, &id).to_string();
        Ok(json!({"orderId": order_id, "source": SOURCE, "id": id, "after": after}))
    }

    /// A notification of the shop, for which no client waits.
    pub(super) async fn notify(&self, sub: &str) -> Result<()> {
        let id = random_uuid()?;
        let title = format!("Your parcel {:.4} is on its way", id);
        let data = json!({"notification_id": id, "title": title});
        self.publish("notification.created", sub, data, false).await.map(drop)
    }

    /// Revokes a refresh token.
    pub(super) fn revoke(&self, refresh_token: &str) {
        let session = self.users().grants.revoke(refresh_token);
        if let Some(session) = session {
            let text = format!("{} signed out: the refresh token is revoked", self.name_of(&session.sub));
            self.feed.add(self.now(), Kind::Session, "Cognito", text);
        }
    }

    /// True if a token of this server has expired.
    pub(super) fn is_expired(&self, token: &str) -> bool {
        let claims = self.site.api.key.verify(token);
        let end = claims.and_then(|claims| claims.get("exp")?.as_i64());
        end.is_none_or(|end| end <= self.now().as_second())
    }

    /// The user of a request's token, for the list.
    fn user_of(&self, request: &Request<Bytes>) -> String {
        let token = request.headers().get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let claims = token.and_then(|token| self.site.api.key.verify(token.trim_start_matches("Bearer ")));
        let sub = claims.and_then(|claims| claims.get("sub")?.as_str().map(str::to_owned));
        sub.map(|sub| format!(" ({})", self.name_of(&sub))).unwrap_or_default()
    }

    /// The name of a user, or the sub if there is none.
    pub(super) fn name_of(&self, sub: &str) -> String {
        let users = self.users();
        users.accounts.find_sub(sub).map_or_else(|| sub.to_owned(), |account| account.name.clone())
    }

    /// An item of an invalidation with the name of its user.
    fn with_name(&self, item: &str) -> String {
        match item.strip_prefix("#user:") {
            Some(sub) => format!("#user:{:.8}… ({})", sub, self.name_of(sub)),
            None => item.to_owned(),
        }
    }

    /// The groups of a user in the pool.
    pub(super) async fn groups_of(&self, username: &str) -> Vec<String> {
        self.account.backend().user_pools().groups().await.remove(username).unwrap_or_default()
    }

    /// The id of the latest entry of the list.
    pub fn list_length(&self) -> u64 {
        self.feed.latest_id()
    }

    /// The figures of each user, by sub: the STATS items.
    pub async fn statistics(&self) -> Result<BTreeMap<String, Value>> {
        self.account.users().await
    }
}

/// `/sandbox` shows the page in a frame. The template refuses that.
fn allow_frame(distribution: &mut Distribution) {
    for behavior in distribution.behaviors.iter_mut().filter(|behavior| behavior.origin == Origin::Page) {
        for header in &mut behavior.added_headers {
            if header.name == X_FRAME_OPTIONS {
                header.value = HeaderValue::from_static("SAMEORIGIN");
            } else if header.name == CONTENT_SECURITY_POLICY {
                let policy = PAGE_CSP.replace("frame-ancestors 'none'", "frame-ancestors 'self'");
                if let Ok(policy) = HeaderValue::from_str(&policy) {
                    header.value = policy;
                }
            }
        }
    }
}

/// The kinds of the items that a transaction wrote, such as `EVENT, STATS, LIST#orders`.
fn describe_transaction(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut kinds: Vec<String> = Vec::new();
    for item in body["TransactItems"].as_array().into_iter().flatten() {
        let item = item.as_object().and_then(|item| item.values().next()).unwrap_or(&Value::Null);
        let key = item.pointer("/Item/SK/S").or_else(|| item.pointer("/Key/SK/S"));
        let mut parts = key.and_then(Value::as_str).unwrap_or_default().split('#');
        let kind = match (parts.next().unwrap_or_default(), parts.next()) {
            ("LIST", Some(list)) => format!("LIST#{list}"),
            (kind, _) => kind.to_owned(),
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    format!("one transaction: {}", kinds.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transaction_is_described_by_the_kinds_of_its_items() {
        let body = json!({"TransactItems": [
            {"Put": {"Item": {"PK": {"S": "USER#1"}, "SK": {"S": "EVENT#/shop#1"}}}},
            {"Put": {"Item": {"PK": {"S": "USER#1"}, "SK": {"S": "EVENT#/shop#2"}}}},
            {"Update": {"Key": {"PK": {"S": "USER#1"}, "SK": {"S": "STATS"}}}},
            {"Put": {"Item": {"SK": {"S": "LIST#orders#1772442000000-1"}}}},
        ]});
        assert_eq!(
            describe_transaction(body.to_string().as_bytes()),
            "one transaction: EVENT, STATS, LIST#orders"
        );
        assert_eq!(describe_transaction(b"{}"), "one transaction: ");
    }
}
