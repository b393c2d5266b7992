//! The expected result of a schedule, calculated from the distinct valid events.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value};
use shared::events::{ATTEMPT_PREFIX, Data, Event, View};
use shared::statistics::{DomainStats, Statistics, UserStats, changed_views};
use shared::store::AddressWindow;
use shared::store::keys::{self, Partition};
use shared::time::plus_seconds;
use workers::cache_invalidation::planner::PURGE_ALL_INTERVAL_SECONDS;

use super::aws::{
    ACCOUNT_ACTIVITIES, CACHE_INVALIDATIONS, ERASED, HistoryEntry, Marks, USER_EVENTS, covers_user,
    dead_letters, number,
};
use super::play::{CACHE_LIFETIME_SECONDS, TOKEN_VALIDITY_SECONDS, World};
use super::schedule::{ADDRESS, Schedule, Settings, bodies};
use super::{cached_pages, lists};

/// Attributes of STATS that do not follow from the events.
const METADATA: [&str; 7] = [
    "version",
    "lastChangedAt",
    "lastSkippedAt",
    "lastNoticeAt",
    "lastClientAwareAt",
    "pagesExpireAt",
    "expiresAt",
];

/// Returns a sentence about the first difference from the expected result.
pub async fn check(schedule: &Schedule, world: &World) -> Result<(), String> {
    let events = distinct_events(schedule);
    let items = table(world).await;
    let history = world.aws.state().history.clone();
    check_store(&events, &items)?;
    check_addresses(&events, &items)?;
    check_metadata(&events, &items, &history)?;
    check_dead_letters(schedule, world)?;
    // Other settings let pages expire after most changes.
    if schedule.settings.adaptive.is_none() {
        check_caches(&schedule.settings, &events, &history)?;
    }
    cached_pages::check(&schedule.settings, &events, &history, &world.aws.state().pages)?;
    check_marks(&items, &history)?;
    let has_urgent_policy = schedule.settings.urgent_policy().is_some();
    if !has_urgent_policy {
        check_interval(&schedule.settings, &history)?;
    }
    check_security_changes(&schedule.settings, &history)?;
    check_ledger(&schedule.settings, world.aws.state().charged, &items, &history)
}

type Items = BTreeMap<(String, String), Map<String, Value>>;

/// The distinct valid events, by partition and sort key.
pub type Events = BTreeMap<Partition, BTreeMap<String, Event>>;

fn distinct_events(schedule: &Schedule) -> Events {
    let mut events = Events::new();
    for (spec, body) in schedule.specs.iter().zip(bodies(&schedule.specs)) {
        if spec.dead_letter_code().is_some() || spec.is_foreign() {
            continue;
        }
        let event = spec.event(&body);
        if let Some(partition) = Partition::of(&event) {
            events.entry(partition).or_default().insert(event.key(), event);
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

fn is_mfa(event: &Event) -> bool {
    matches!(event.data, Data::MfaEnabled(_) | Data::MfaDisabled(_))
}

/// The events without those that changed nothing: a call that sets the MFA state again stores no event. Which
/// of several calls is the first one depends on the schedule, so one of them must be stored.
fn without_repeated_mfa(
    key: &str,
    events: &BTreeMap<String, Event>,
    items: &Items,
) -> Result<BTreeMap<String, Event>, String> {
    let is_stored = |sort_key: &String| items.contains_key(&(key.to_owned(), sort_key.clone()));
    let mut mfa = events.iter().filter(|(_, event)| is_mfa(event)).peekable();
    if mfa.peek().is_some() && !is_erased(events) && !mfa.any(|(sort_key, _)| is_stored(sort_key)) {
        return Err(format!("{key} has no event about MFA"));
    }
    let effective = events.iter().filter(|(sort_key, event)| !is_mfa(event) || is_stored(sort_key));
    Ok(effective.map(|(sort_key, event)| (sort_key.clone(), event.clone())).collect())
}

/// The table has the statistics, stored events, lists and profiles of the events, and no other items.
fn check_store(events: &Events, items: &Items) -> Result<(), String> {
    let mut expected: BTreeSet<(String, String)> = BTreeSet::new();
    let mut erased: BTreeSet<String> = BTreeSet::new();
    for (partition, events) in events {
        let key = partition.key();
        let events = &without_repeated_mfa(&key, events, items)?;
        let stats = items.get(&(key.clone(), keys::STATS.to_owned()));
        let is_counted = |event: &&Event| !event.is_allowed_attempt();
        if !events.values().any(|event| is_counted(&event)) {
            check_attempts(&key, events, items, &mut expected)?;
            continue;
        }
        let stats = stats.ok_or_else(|| format!("{key} has no statistics"))?;
        expected.insert((key.clone(), keys::STATS.to_owned()));
        if is_erased(events) {
            let names: Vec<&str> = stats.keys().map(String::as_str).collect();
            if names != ["erasedAt", "expiresAt", "version"] {
                return Err(format!("{key} was not erased: {stats:?}"));
            }
            erased.insert(key);
            continue;
        }
        let mut found = stats.clone();
        found.retain(|name, _| !METADATA.contains(&name.as_str()));
        let statistics = match partition {
            Partition::User(_) => {
                let mut statistics = UserStats::default();
                events.values().for_each(|event| statistics.apply(event));
                serde_json::to_value(statistics)
            }
            Partition::Domain { .. } => {
                let mut statistics = DomainStats::default();
                events.values().for_each(|event| statistics.apply(event));
                serde_json::to_value(statistics)
            }
        };
        let statistics = statistics.unwrap();
        if Value::Object(found.clone()) != statistics {
            return Err(format!("{key} has {}, not {statistics}", Value::Object(found)));
        }
        check_attempts(&key, events, items, &mut expected)?;
        for (sort_key, item) in lists::expected(events.values()) {
            let item_key = (key.clone(), sort_key);
            let found = items.get(&item_key).ok_or_else(|| format!("{item_key:?} is missing"))?;
            if *found != item {
                return Err(format!("{item_key:?} is {found:?}, not {item:?}"));
            }
            expected.insert(item_key);
        }
        for (sort_key, event) in events.iter().filter(|(_, event)| is_counted(event)) {
            expected.insert((key.clone(), sort_key.clone()));
            let stored = items.get(&(key.clone(), sort_key.clone()));
            let stored = stored.ok_or_else(|| format!("{key} {sort_key} is missing"))?;
            let as_it_came = stored["event"].as_str().and_then(|body| Event::parse(body).ok());
            let expires_at = event.time.as_second() + 90 * 24 * 3600;
            if as_it_came.as_ref() != Some(event) || stored["expiresAt"] != expires_at {
                return Err(format!("{key} {sort_key} is stored as {stored:?}"));
            }
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
    // An attempt that is stored while its user is erased can stay until it expires.
    let of_users = |(partition, sort): &&(String, String)| {
        !partition.starts_with("LEDGER#")
            && !partition.starts_with("ADDRESS#")
            && sort != keys::CACHE
            && sort != keys::SUSPENSION
            && !(erased.contains(partition) && sort.starts_with(ATTEMPT_PREFIX))
    };
    let found: BTreeSet<(String, String)> = items.keys().filter(of_users).cloned().collect();
    if found != expected {
        let missing: Vec<_> = expected.difference(&found).collect();
        let more: Vec<_> = found.difference(&expected).collect();
        return Err(format!("missing items {missing:?}, unexpected items {more:?}"));
    }
    Ok(())
}

/// The windows of the address have all users whose sign-ins failed. Those of erased users may be missing.
fn check_addresses(events: &Events, items: &Items) -> Result<(), String> {
    let mut windows: BTreeMap<String, BTreeMap<&Partition, bool>> = BTreeMap::new();
    for (partition, of_user) in events {
        for event in of_user.values().filter(|event| matches!(event.data, Data::SignInFailed(_))) {
            let window = AddressWindow::new(ADDRESS.to_owned(), event.time);
            let sort = format!("FAILURES#{}", window.start().strftime("%Y-%m-%dT%H:%M"));
            windows.entry(sort).or_default().insert(partition, is_erased(of_user));
        }
    }
    for ((partition, sort), item) in
        items.iter().filter(|((partition, _), _)| partition.starts_with("ADDRESS#"))
    {
        let users = windows.get(sort).map_or(0, BTreeMap::len);
        if *partition != format!("ADDRESS#{ADDRESS}") || item["users"].as_array().map_or(0, Vec::len) > users
        {
            return Err(format!("{partition} {sort} is {item:?}, and sign-ins of {users} users failed"));
        }
    }
    for (sort, users) in windows {
        let item = items.get(&(format!("ADDRESS#{ADDRESS}"), sort.clone()));
        let found = item.and_then(|item| item["users"].as_array()).map_or(0, Vec::len);
        let expected = users.values().filter(|is_erased| !**is_erased).count();
        if found < expected {
            return Err(format!("{sort} has {found} users, and sign-ins of {expected} failed"));
        }
    }
    Ok(())
}

/// Each allowed sign-in attempt of the partition is stored as it arrived, with its own retention.
fn check_attempts(
    key: &str,
    events: &BTreeMap<String, Event>,
    items: &Items,
    expected: &mut BTreeSet<(String, String)>,
) -> Result<(), String> {
    for (sort_key, event) in events.iter().filter(|(_, event)| event.is_allowed_attempt()) {
        let item = (key.to_owned(), sort_key.clone());
        let stored = items.get(&item).ok_or_else(|| format!("{key} {sort_key} is missing"))?;
        let as_it_came = stored["event"].as_str().and_then(|body| Event::parse(body).ok());
        let expires_at = event.time.as_second() + 7 * 24 * 3600;
        if as_it_came.as_ref() != Some(event) || stored["expiresAt"] != expires_at {
            return Err(format!("{key} {sort_key} is stored as {stored:?}"));
        }
        expected.insert(item);
    }
    Ok(())
}

/// The dead-letter queue has the permanently invalid messages with their reasons, and no others.
fn check_dead_letters(schedule: &Schedule, world: &World) -> Result<(), String> {
    let mut expected: BTreeSet<(String, String)> = BTreeSet::new();
    for (spec, body) in schedule.specs.iter().zip(bodies(&schedule.specs)) {
        if let Some(reason) = spec.dead_letter_code() {
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
    let of_workers = [CACHE_INVALIDATIONS, ACCOUNT_ACTIVITIES]
        .into_iter()
        .find_map(|queue| state.queue(&dead_letters(queue)).first().cloned());
    match of_workers {
        Some(letter) => Err(format!("a valid message is a dead letter: {letter:?}")),
        None => Ok(()),
    }
}

/// The version is the number of commits. The times are those of the last commit that changed a view.
fn check_metadata(events: &Events, items: &Items, history: &[HistoryEntry]) -> Result<(), String> {
    for (partition, events) in events {
        let key = partition.key();
        if events.values().all(Event::is_allowed_attempt) {
            continue;
        }
        let stats = &items[&(key.clone(), keys::STATS.to_owned())];
        let commits: Vec<(&Vec<String>, Timestamp)> = history
            .iter()
            .filter_map(|entry| match entry {
                HistoryEntry::Commit { partition, events, at, .. } if *partition == key => {
                    Some((events, *at))
                }
                _ => None,
            })
            .collect();
        if commits.iter().any(|(keys, _)| keys.iter().any(|key| key.starts_with(ATTEMPT_PREFIX))) {
            return Err(format!("{key}: an allowed attempt is in a transaction"));
        }
        if stats["version"] != commits.len() {
            return Err(format!(
                "{key} has the version {} after {} commits",
                stats["version"],
                commits.len()
            ));
        }
        if is_erased(events) {
            continue;
        }
        let changes = |keys: &[String]| {
            keys.iter().filter_map(|key| events.get(key)).any(|event| !changed_views(&event.data).is_empty())
        };
        let last = commits.iter().rev().find(|(keys, _)| changes(keys)).map(|(_, at)| at.as_millisecond());
        let time = |name: &str| stats.get(name).and_then(Value::as_i64);
        // The time is read before the call, from a clock that is off by up to half a second.
        let is_near = |(noted, committed): (i64, i64)| (-7_500..=1_500).contains(&(noted - committed));
        let is_right = match (time("lastChangedAt"), last) {
            (None, None) => true,
            (Some(noted), Some(committed)) => is_near((noted, committed)),
            _ => false,
        };
        if !is_right || time("lastSkippedAt") > time("lastChangedAt") {
            return Err(format!("{key}: {stats:?}, but the last change was committed at {last:?}"));
        }
    }
    Ok(())
}

/// After each commit that changes a view, the pages that could show the old state are evicted or have
/// expired.
fn check_caches(settings: &Settings, events: &Events, history: &[HistoryEntry]) -> Result<(), String> {
    for (index, commit) in history.iter().enumerate() {
        let HistoryEntry::Commit { partition, events: sort_keys, at, .. } = commit else { continue };
        let Some(sub) = partition.strip_prefix("USER#") else { continue };
        let of_user = &events[&Partition::User(sub.to_owned())];
        let erased = sort_keys.iter().any(|key| key == ERASED);
        let data = || sort_keys.iter().filter_map(|key| of_user.get(key)).map(|event| &event.data);
        let views: BTreeSet<View> = match erased {
            true => View::ALL.into(),
            false => data().flat_map(changed_views).copied().collect(),
        };
        let after = &history[index..];
        let evicted = |view: &View| {
            let own = match settings.by_path {
                true => format!("/users/{sub}/{}", view.name()),
                false => format!("#user:{sub}"),
            };
            after.iter().any(|later| {
                matches!(later, HistoryEntry::Invalidation { items, .. }
                    if items.iter().any(|item| *item == own || item == "#users" || item == "/users/*"))
            })
        };
        if views.iter().all(evicted) {
            continue;
        }
        let all_users = erased || data().any(|data| matches!(data, Data::Suspended(_)));
        let lives_until = match (settings.skips_inactive(), all_users) {
            (false, _) | (true, true) => Some(plus_seconds(*at, lifetime_seconds(settings))),
            (true, false) => last_entry_of(of_user, *at),
        };
        let Some(lives_until) = lives_until else { continue };
        // Without an invalidation, the pages had expired before the worker looked, or the budget was spent.
        let counted = after.iter().filter_map(|later| match later {
            HistoryEntry::Counted { metric, reason, at } => {
                let is_reason = match *metric {
                    "InvalidationsSkipped" => {
                        (reason == "expired" || reason == "inactive") && *at >= lives_until
                    }
                    _ => reason == "expire",
                };
                is_reason.then_some(*at)
            }
            _ => None,
        });
        // The metric counts only if it is from a delivery of this user's messages.
        let is_of_user = |counted_at: Timestamp| {
            after.iter().any(|later| {
                matches!(later, HistoryEntry::Done { sub: of, at }
                    if of == sub && (counted_at..=plus_seconds(counted_at, 60)).contains(at))
            })
        };
        if !counted.into_iter().any(is_of_user) {
            return Err(format!("{sub} can see a page from before the commit {index} at {at}: {history:?}"));
        }
    }
    Ok(())
}

pub fn lifetime_seconds(settings: &Settings) -> i64 {
    if let Some(adaptive) = settings.adaptive {
        return adaptive.max_seconds.into();
    }
    if settings.skip_inactive { CACHE_LIFETIME_SECONDS } else { 31_536_000 }
}

/// Each mark is earlier than the latest invalidation. A later mark would skip a needed invalidation.
fn check_marks(items: &Items, history: &[HistoryEntry]) -> Result<(), String> {
    for ((partition, sort), item) in items {
        let Some(mark) = item.get("lastInvalidatedAt").and_then(Value::as_i64) else { continue };
        let own = (sort == keys::CACHE).then(|| partition.split_once('#').unwrap().1);
        let last = history
            .iter()
            .filter_map(|entry| match entry {
                HistoryEntry::Invalidation { items, at, .. } => Some((items, at.as_millisecond())),
                _ => None,
            })
            .filter(|(items, _)| match own {
                Some(sub) => covers_user(items, sub),
                None => items.iter().any(|item| item == "#users" || item == "/users/*"),
            })
            .map(|(_, at)| at)
            .max();
        if last.is_none_or(|last| mark >= last) {
            return Err(format!("{partition} {sort} says {mark}, and the last invalidation was at {last:?}"));
        }
    }
    Ok(())
}

/// The user of an item, unless it purges all.
fn sub_of(item: &str) -> Option<&str> {
    let path = || item.strip_prefix("/users/").and_then(|rest| Some(rest.split_once('/')?.0));
    item.strip_prefix("#user:").or_else(path)
}

/// True if an invalidation of a user is for a suspension or erasure in the table, as far as the worker
/// knows.
fn is_for_security_change(history: &[HistoryEntry], sub: &str, at: Timestamp, marks: &Marks) -> bool {
    let known = marks.get(sub).and_then(|mark| number(&mark["lastSecurityChangeAt"]));
    history.iter().any(|entry| {
        matches!(entry, HistoryEntry::SecurityChange { sub: of, time, at: changed_at }
            if of == sub && *changed_at <= at && known.is_none_or(|known| known < *time))
    })
}

/// After each suspension and erasure, the user's pages are invalidated, whatever the budget is.
fn check_security_changes(settings: &Settings, history: &[HistoryEntry]) -> Result<(), String> {
    for (index, change) in history.iter().enumerate() {
        let HistoryEntry::SecurityChange { sub, at, .. } = change else { continue };
        let expired_at = plus_seconds(*at, lifetime_seconds(settings));
        let mut later = history[index + 1..].iter();
        let is_settled = later.any(|entry| match entry {
            HistoryEntry::Invalidation { items, .. } => covers_user(items, sub),
            // A later one needs its own invalidation.
            HistoryEntry::SecurityChange { sub: of, .. } => of == sub,
            HistoryEntry::Counted { metric: "InvalidationsSkipped", reason, at } => {
                reason == "expired" && *at >= expired_at
            }
            _ => false,
        });
        if !is_settled {
            return Err(format!("{sub} can see a page from before the suspension or erasure at {at}"));
        }
    }
    Ok(())
}

/// No worker invalidates a user's pages within the interval after the last call that it knows of.
fn check_interval(settings: &Settings, history: &[HistoryEntry]) -> Result<(), String> {
    for entry in history {
        let HistoryEntry::Invalidation { items, at, marks } = entry else { continue };
        for item in items {
            let Some(sub) = sub_of(item) else { continue };
            let Some(mark) = marks.get(sub) else { continue };
            let view = item.rsplit('/').next().unwrap_or_default();
            let marked = number(&mark["lastInvalidatedAt"]).max(number(&mark["views"]["M"][view]));
            let Some(marked) = marked.filter(|_| !is_for_security_change(history, sub, *at, marks)) else {
                continue;
            };
            // The mark is a second earlier than the call, and the clocks of two workers differ by less
            // than a second.
            if at.as_millisecond() < marked + i64::from(settings.interval) * 1_000 {
                return Err(format!("{item} was invalidated at {at}, and the mark was {marked}"));
            }
        }
    }
    Ok(())
}

/// End of the lifetime of the last page that one of the user's tokens could fill before the commit at
/// the time `at`.
fn last_entry_of(events: &BTreeMap<String, Event>, at: Timestamp) -> Option<Timestamp> {
    let tokens =
        events.values().filter(|event| matches!(event.data, Data::SignedIn(_) | Data::TokenRefreshed(_)));
    let tokens = tokens.filter(|token| token.time <= at);
    let filled = tokens.map(|token| plus_seconds(token.time, TOKEN_VALIDITY_SECONDS).min(at));
    filled.map(|filled| plus_seconds(filled, CACHE_LIFETIME_SECONDS)).filter(|until| *until > at).max()
}

/// The ledger books at least the charged items, the budget is kept, and two purges are at least five
/// minutes apart.
fn check_ledger(
    settings: &Settings,
    charged: u64,
    items: &Items,
    history: &[HistoryEntry],
) -> Result<(), String> {
    let months = items
        .iter()
        .filter(|((partition, sort), _)| partition.starts_with("LEDGER#") && sort.starts_with("MONTH#"));
    let booked: u64 = months.filter_map(|(_, month)| month["items"].as_u64()).sum();
    if booked < charged {
        return Err(format!("{booked} items booked, {charged} charged"));
    }
    let calls = || {
        history.iter().filter_map(|entry| match entry {
            HistoryEntry::Invalidation { items, at, .. } => Some((items, *at)),
            _ => None,
        })
    };
    let purges_all = |items: &[String]| items.iter().any(|item| item == "#users" || item == "/users/*");
    // Items for suspensions and erasures do not count for the budget.
    let single = history.iter().map(|entry| match entry {
        HistoryEntry::Invalidation { items, at, marks } if !purges_all(items) => {
            let is_limited = |item: &&String| {
                sub_of(item).is_some_and(|sub| !is_for_security_change(history, sub, *at, marks))
            };
            items.iter().filter(is_limited).count()
        }
        _ => 0,
    });
    let single: usize = single.sum();
    let has_urgent_policy = settings.urgent_policy().is_some();
    if !has_urgent_policy && settings.budget.is_some_and(|budget| single as u64 > budget) {
        return Err(format!("{single} items for a budget of {:?}", settings.budget));
    }
    let purges: Vec<Timestamp> = calls().filter(|(items, _)| purges_all(items)).map(|(_, at)| at).collect();
    // There are several calls between the claim and the invalidation.
    match purges.windows(2).find(|pair| plus_seconds(pair[0], PURGE_ALL_INTERVAL_SECONDS - 25) > pair[1]) {
        Some(pair) => Err(format!("two purges within five minutes: {pair:?}")),
        None => Ok(()),
    }
}
