//! A reader of the schedules: asks read-api for pages while the workers run, with and without `after`,
//! and keeps the answers as CloudFront does.

use jiff::Timestamp;
use sandbox::aws::account::{CLIENT_ID, ISSUER_URL, LOGIN_URL};
use sandbox::aws::sdk_config;
use serde_json::Value;
use shared::events::{Data, Event, EventReference, View};
use shared::function_context::FunctionContext;
use shared::store::Partition;
use shared::telemetry::Metrics;
use shared::time::plus_seconds;

use super::aws::{FaultyAws, HistoryEntry, READER, Time};
use super::play::{TOKEN_VALIDITY_SECONDS, environment};
use super::schedule::{PlantedBug, Read, Schedule, Settings, bodies};

/// How long the model of a bug keeps a pending answer.
const PENDING_SECONDS: i64 = 60;

/// An answer in the cache.
#[derive(Clone, Debug)]
pub struct CachedPage {
    pub sub: String,
    pub view: View,
    /// The sort key of the event that its reader waits for. Only of a pending answer, which no cache may
    /// keep: `shows` has checked the others.
    pub after: Option<String>,
    /// Length of the history when the origin read the table for the first time: the page shows the commits
    /// before.
    pub shown: usize,
    pub read_at: Timestamp,
    pub stored_at: Timestamp,
    pub expires_at: Timestamp,
}

/// read-api, and what the cache keeps of its answers.
pub struct Reader {
    deps: api::Deps,
    aws: FaultyAws,
    time: Time,
    bug: PlantedBug,
    settings: Settings,
    /// The events of the messages, and the tokens among them.
    events: Vec<Option<Event>>,
    tokens: Vec<(String, Timestamp)>,
}

/// The tokens of the users: sub, and time of issue.
fn tokens(events: &[Option<Event>]) -> Vec<(String, Timestamp)> {
    let tokens = events.iter().flatten().filter_map(|event| match (&event.data, Partition::of(event)?) {
        (Data::SignedIn(_) | Data::TokenRefreshed(_), Partition::User(sub)) => Some((sub, event.time)),
        _ => None,
    });
    tokens.collect()
}

impl Reader {
    pub fn new(schedule: &Schedule, aws: &FaultyAws, time: Time, bug: PlantedBug) -> Self {
        let settings = schedule.settings;
        let own = [
            ("CLIENT_IDS", CLIENT_ID),
            ("ISSUER_URL", ISSUER_URL),
            ("LOGIN_URL", LOGIN_URL),
            ("PRODUCT_NAME", "Example"),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let clock = time.clock(settings.reader_clock);
        let aws = aws.for_worker(READER);
        let function = FunctionContext {
            environment: environment(&settings).into_iter().chain(own).collect(),
            aws: shared::aws::http_api_settings(sdk_config(aws.clone())),
            metrics: Metrics::new("read-api", clock.clone(), |_| ()),
            clock,
        };
        let events: Vec<Option<Event>> =
            bodies(&schedule.specs).iter().map(|body| Event::parse(body).ok()).collect();
        let tokens = tokens(&events);
        let deps = api::Deps::new(&function).unwrap();
        Self { deps, aws, time, bug, settings, events, tokens }
    }

    /// The end of the token with which a user asks. `None` if the user has no token, and so no page.
    fn token_end(&self, sub: &str) -> Option<Timestamp> {
        let now = self.time.now();
        if !self.settings.skips_inactive() {
            return Some(plus_seconds(now, 365 * 24 * 3_600));
        }
        let of_user = self.tokens.iter().filter(|(of, issued_at)| of == sub && *issued_at <= now);
        let ends = of_user.map(|(_, issued_at)| plus_seconds(*issued_at, TOKEN_VALIDITY_SECONDS));
        ends.filter(|end| *end > now).max()
    }

    /// Reads a page, checks the answer, and keeps it as its headers say.
    pub async fn read(&self, read: Read) -> Result<(), String> {
        let sub = format!("user-{}", read.user);
        let Some(token_end) = self.token_end(&sub) else { return Ok(()) };
        let view = View::ALL[usize::from(read.view) % View::ALL.len()];
        let waited = read.after.map(|index| {
            // One more than there are events: it never arrives.
            let index = usize::from(index) % (self.events.len() + 1);
            self.events.get(index).and_then(Option::as_ref)
        });
        let query = waited.map_or_else(String::new, |event| {
            let reference = event.map_or_else(|| EventReference::new("/shop", "nothing"), Event::reference);
            format!("after={reference}")
        });
        let claims = [
            ("sub", sub.as_str()),
            ("username", sub.as_str()),
            ("client_id", CLIENT_ID),
            ("iss", ISSUER_URL),
            ("token_use", "access"),
            ("exp", &token_end.as_second().to_string()),
        ];
        let request = api::Request {
            method: "GET".to_owned(),
            path: format!("/api/{}", view.name()),
            query,
            claims: claims.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            has_empty_body: true,
            ..api::Request::default()
        };
        self.aws.state().reader_saw = None;
        let read_at = self.time.now();
        let response = api::handle(&self.deps, request).await;
        let mut state = self.aws.state();
        let body: Value = serde_json::from_str(&response.body).unwrap_or_default();
        let is_pending = body["isChangePending"] == true;
        let cache_control = response.headers.get("Cache-Control").map_or("", String::as_str);
        let lifetime = cache_control.split("s-maxage=").nth(1).and_then(|rest| rest.split(',').next());
        let mut lifetime: Option<i64> = lifetime.map(|seconds| seconds.parse().unwrap());
        if is_pending && lifetime.is_some() {
            return Err(format!("a pending answer may be stored: {cache_control}"));
        }
        if is_pending && self.bug == PlantedBug::PendingAnswerStored {
            lifetime = Some(PENDING_SECONDS);
        }
        if let (200, Some(waited)) = (response.status_code, waited) {
            let is_own = waited.filter(|event| Partition::of(event) == Some(Partition::User(sub.clone())));
            match is_own {
                _ if is_pending => {}
                None => return Err(format!("an event that is not of {sub} is not pending: {body}")),
                Some(event) => shows(&state.history, &sub, event, view, &body)?,
            }
        } else if is_pending {
            return Err(format!("pending without after: {body}"));
        }
        if let (200, Some(lifetime), Some(shown)) = (response.status_code, lifetime, state.reader_saw) {
            let stored_at = self.time.now();
            let expires_at = plus_seconds(stored_at, lifetime);
            let after = waited.flatten().filter(|_| is_pending).map(Event::key);
            state.pages.push(CachedPage { sub, view, after, shown, read_at, stored_at, expires_at });
        }
        Ok(())
    }
}

/// Checks that an answer that is not pending shows the event that its reader waited for.
fn shows(history: &[HistoryEntry], sub: &str, event: &Event, view: View, body: &Value) -> Result<(), String> {
    let (partition, sort_key) = (format!("USER#{sub}"), event.key());
    let commit = history.iter().find_map(|entry| match entry {
        HistoryEntry::Commit { partition: of, events, last_changed_at, .. }
            if *of == partition && events.contains(&sort_key) =>
        {
            Some(*last_changed_at)
        }
        _ => None,
    });
    let Some(last_changed_at) = commit else {
        return Err(format!("{sort_key} is not committed, and not pending: {body}"));
    };
    let shown: Option<Timestamp> = body["lastChangedAt"].as_str().and_then(|text| text.parse().ok());
    let is_shown = match view {
        View::Dashboard => shown.map(Timestamp::as_millisecond) >= last_changed_at,
        View::Orders => {
            let order = serde_json::to_value(&event.data).unwrap_or_default()["data"]["order_id"].clone();
            let listed = body["orders"].as_array().into_iter().flatten();
            order.is_null() || listed.map(|entry| &entry["orderId"]).any(|id| *id == order)
        }
        View::Profile => true,
    };
    if is_shown { Ok(()) } else { Err(format!("the answer does not show {sort_key}: {body}")) }
}
