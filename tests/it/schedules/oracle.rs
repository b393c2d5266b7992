//! What must hold at the end, whatever happened: the plain fold over the distinct valid events.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value};
use shared::events::{Data, Event};
use shared::statistics::{DomainStats, UserStats, changed_views};
use shared::store::keys::{self, Partition};
use shared::time::plus_seconds;

use super::aws::{CACHE_INVALIDATIONS, ERASED, Happened, USER_EVENTS, dead_letters};
use super::play::{CACHE_LIFETIME_SECONDS, TOKEN_VALIDITY_SECONDS, World};
use super::schedule::{Schedule, bodies};

/// Attributes of STATS that are no part of the fold.
const BESIDE_THE_FOLD: [&str; 4] = ["version", "lastChangedAt", "lastSkippedAt", "expiresAt"];

/// Fails with a sentence where something is not as it must be.
pub async fn check(schedule: &Schedule, world: &World) -> Result<(), String> {
    let events = distinct_events(schedule);
    let items = table(world).await;
    check_store(&events, &items)?;
    check_dead_letters(schedule, world)?;
    check_caches(schedule, world, &events)?;
    check_ledger(world, &items)
}

type Items = BTreeMap<(String, String), Map<String, Value>>;

/// The distinct valid events, by partition and sort key.
type Events = BTreeMap<Partition, BTreeMap<String, Event>>;

fn distinct_events(schedule: &Schedule) -> Events {
    let mut events = Events::new();
    for (spec, body) in schedule.specs.iter().zip(bodies(&schedule.specs)) {
        if spec.parked_as().is_some() {
            continue;
        }
        let event = Event::parse(&body).unwrap();
        if let Some(partition) = Partition::of(&event) {
            events.entry(partition).or_default().insert(keys::event(&event.source, &event.id), event);
        }
    }
    events
}

async fn table(world: &World) -> Items {
    let mut items = Items::new();
    for item in world.aws.items().await {
        let Value::Object(mut item) = plain(&serde_json::json!({"M": item})) else { continue };
        let mut key = |name: &str| item.remove(name).and_then(|key| Some(key.as_str()?.to_owned())).unwrap();
        let key = (key("PK"), key("SK"));
        items.insert(key, item);
    }
    items
}

/// An attribute value as plain JSON.
fn plain(value: &Value) -> Value {
    let (kind, value) = value.as_object().and_then(|value| value.iter().next()).expect("an attribute value");
    match (kind.as_str(), value) {
        ("N", Value::String(number)) => serde_json::from_str(number).unwrap(),
        ("M", Value::Object(fields)) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect())
        }
        ("L", Value::Array(values)) => Value::Array(values.iter().map(plain).collect()),
        ("NULL", _) => Value::Null,
        (_, value) => value.clone(),
    }
}

fn is_erased(events: &BTreeMap<String, Event>) -> bool {
    events.values().any(|event| matches!(event.data, Data::Deleted(_)))
}

/// Statistics, stored events and profiles are those of the events; nothing else is there.
fn check_store(events: &Events, items: &Items) -> Result<(), String> {
    let mut expected: BTreeSet<(String, String)> = BTreeSet::new();
    for (partition, events) in events {
        let key = partition.key();
        let stats = items.get(&(key.clone(), keys::STATS.to_owned()));
        let stats = stats.ok_or_else(|| format!("{key} has no statistics"))?;
        expected.insert((key.clone(), keys::STATS.to_owned()));
        if is_erased(events) {
            if !stats.contains_key("erasedAt") {
                return Err(format!("{key} was not erased: {stats:?}"));
            }
            continue;
        }
        let mut found = stats.clone();
        found.retain(|name, _| !BESIDE_THE_FOLD.contains(&name.as_str()));
        let folded = match partition {
            Partition::User(_) => {
                let mut folded = UserStats::default();
                events.values().for_each(|event| folded.apply(event));
                serde_json::to_value(folded)
            }
            Partition::Domain { .. } => {
                let mut folded = DomainStats::default();
                events.values().for_each(|event| folded.apply(event));
                serde_json::to_value(folded)
            }
        };
        let folded = folded.unwrap();
        if Value::Object(found.clone()) != folded {
            return Err(format!("{key} has {}, not {folded}", Value::Object(found)));
        }
        for (sort_key, event) in events {
            expected.insert((key.clone(), sort_key.clone()));
            if matches!(event.data, Data::Confirmed(_)) {
                expected.insert((key.clone(), keys::PROFILE.to_owned()));
                let profile = items.get(&(key.clone(), keys::PROFILE.to_owned()));
                let profile = profile.ok_or_else(|| format!("{key} has no profile"))?;
                if profile["email"] != "ana@example.com"
                    || profile["createdAt"] != event.time.as_millisecond()
                {
                    return Err(format!("{key} has the profile {profile:?}"));
                }
            }
        }
    }
    let of_users =
        |(partition, sort): &&(String, String)| !partition.starts_with("LEDGER#") && sort != keys::CACHE;
    let found: BTreeSet<(String, String)> = items.keys().filter(of_users).cloned().collect();
    if found != expected {
        let missing: Vec<_> = expected.difference(&found).collect();
        let more: Vec<_> = found.difference(&expected).collect();
        return Err(format!("missing items {missing:?}, unexpected items {more:?}"));
    }
    Ok(())
}

/// What could never succeed is in the dead-letter queue with its reason, and nothing else is.
fn check_dead_letters(schedule: &Schedule, world: &World) -> Result<(), String> {
    let mut expected: BTreeSet<(String, String)> = BTreeSet::new();
    for (spec, body) in schedule.specs.iter().zip(bodies(&schedule.specs)) {
        if let Some(reason) = spec.parked_as() {
            expected.insert((body, reason.to_owned()));
        }
    }
    let mut state = world.aws.state();
    let letters = state.queue(&dead_letters(USER_EVENTS)).iter();
    let found: BTreeSet<(String, String)> =
        letters.map(|letter| (letter.body.clone(), letter.error_type.clone().unwrap_or_default())).collect();
    if found != expected {
        return Err(format!("dead letters {found:?}, not {expected:?}"));
    }
    match state.queue(&dead_letters(CACHE_INVALIDATIONS)).first() {
        Some(letter) => Err(format!("a notice is a dead letter: {letter:?}")),
        None => Ok(()),
    }
}

/// Whoever could hold a page that a commit made stale was evicted after it, or the page has expired.
fn check_caches(schedule: &Schedule, world: &World, events: &Events) -> Result<(), String> {
    let happened = world.aws.state().happened.clone();
    for (index, commit) in happened.iter().enumerate() {
        let Happened::Commit { partition, events: sort_keys, at } = commit else { continue };
        let Some(sub) = partition.strip_prefix("USER#") else { continue };
        let of_user = &events[&Partition::User(sub.to_owned())];
        let erased = sort_keys.iter().any(|key| key == ERASED);
        let data = || sort_keys.iter().filter_map(|key| of_user.get(key)).map(|event| &event.data);
        if !erased && data().all(|data| changed_views(data).is_empty()) {
            continue;
        }
        let item = format!("#user:{sub}");
        let evicted = happened[index..].iter().any(|later| match later {
            Happened::Invalidation { items } => items.iter().any(|i| *i == item || i == "#users"),
            Happened::Commit { .. } => false,
        });
        if evicted {
            continue;
        }
        let everyone = erased || data().any(|data| matches!(data, Data::Suspended(_)));
        let lives_until = match (schedule.skip_idle, everyone) {
            (false, _) => Some(Timestamp::MAX),
            (true, true) => Some(plus_seconds(*at, CACHE_LIFETIME_SECONDS)),
            (true, false) => last_entry_of(of_user, *at),
        };
        if lives_until.is_some_and(|until| until > world.now()) {
            return Err(format!("{sub} can see a page from before the commit {index} at {at}: {happened:?}"));
        }
    }
    Ok(())
}

/// Until when an entry can live that one of the user's tokens filled before the commit at the time `at`.
fn last_entry_of(events: &BTreeMap<String, Event>, at: Timestamp) -> Option<Timestamp> {
    let tokens =
        events.values().filter(|event| matches!(event.data, Data::SignedIn(_) | Data::TokenRefreshed(_)));
    let filled = tokens.map(|token| plus_seconds(token.time, TOKEN_VALIDITY_SECONDS).min(at));
    filled.map(|filled| plus_seconds(filled, CACHE_LIFETIME_SECONDS)).filter(|until| *until > at).max()
}

/// The ledger never counts too little.
fn check_ledger(world: &World, items: &Items) -> Result<(), String> {
    let months = items
        .iter()
        .filter(|((partition, sort), _)| partition.starts_with("LEDGER#") && sort.starts_with("MONTH#"));
    let booked: u64 = months.filter_map(|(_, month)| month["items"].as_u64()).sum();
    let charged = world.aws.state().charged;
    if booked < charged { Err(format!("{booked} items booked, {charged} charged")) } else { Ok(()) }
}
