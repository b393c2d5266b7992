//! Works STATS out anew from the stored events, with the fold of user-stats, shows where it differs, and mends it.
//!
//! user-stats may commit at any time. What was read counts only where the version of STATS is the same afterwards: the
//! write has that as its condition, and where nothing is written, the version is read once more.

pub mod command;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::Result;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::{Value, json};
use shared::events::{Event, Money};
use shared::statistics::{DomainStats, UserStats};
use shared::store::commits::{StatsMetadata, MAX_ATTEMPTS, conflict_backoff};
use shared::store::{CommitError, Consistency, Partition, Store, StoreError};
use shared::statistics::Fold;

use shared::text::{plural, printable, shown};

/// Partitions worked on at once.
const AT_ONCE: usize = 8;

/// What is done about a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RebuildMode {
    /// Whether it is written.
    pub write: bool,
    /// Whether figures may fall.
    pub lower: bool,
}

/// A figure that is stored with another value than the events make, or that one of them lacks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Its attribute; with the key behind a dot where that is a map, such as `spent.EUR`.
    pub name: String,
    /// As it is stored.
    pub stored: Option<Value>,
    /// As the events make it.
    pub rebuilt: Option<Value>,
}

/// What became of a partition.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// There are neither statistics nor events.
    Nothing,
    /// The statistics are what the events make.
    Right,
    /// The user was erased: nothing is worked out.
    Erased,
    /// They differ.
    Differs(Vec<Difference>),
    /// They differed, and are what the events make now.
    Written(Vec<Difference>),
    /// They differ, and a figure would fall.
    Refused(Vec<Difference>),
    /// So many stored events cannot be read, by a stable word that says why; or `statistics` where STATS itself cannot.
    Unreadable(BTreeMap<&'static str, usize>),
    /// Others kept committing first.
    Contended,
}

/// How many partitions there were of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Users looked at.
    pub users: usize,
    /// Shards of domains looked at.
    pub domain_shards: usize,
    /// Partitions whose statistics are what the events make, or that hold neither.
    pub right: usize,
    /// Users who were erased.
    pub erased: usize,
    /// Partitions that differ, or did: also those written and those refused.
    pub differing: usize,
    /// Partitions written.
    pub written: usize,
    /// Partitions where a figure would fall.
    pub refused: usize,
    /// Partitions with events, or statistics, that cannot be read.
    pub unreadable: usize,
    /// Partitions where others kept committing first.
    pub contended: usize,
}

/// Works out the statistics of every user and every shard of a domain, page by page, and tells each.
pub async fn rebuild_all(
    store: &Store,
    treatment: RebuildMode,
    tell: &mut dyn FnMut(&Partition, &Finding) -> Result<()>,
) -> Result<()> {
    let (mut start, mut last) = (None, None);
    loop {
        let (mut partitions, next) = store.partitions(start).await?;
        // A partition's items lie together, so that only the last one can come again.
        if last.is_some() && partitions.first() == last.as_ref() {
            partitions.remove(0);
        }
        last = partitions.last().cloned().or(last);
        let findings = stream::iter(partitions).map(|partition| async move {
            let finding = rebuild(store, &partition, treatment).await;
            (partition, finding)
        });
        let mut findings = findings.buffered(AT_ONCE);
        while let Some((partition, finding)) = findings.next().await {
            tell(&partition, &finding?)?;
        }
        start = next;
        if start.is_none() {
            return Ok(());
        }
    }
}

/// Works out the statistics of one partition.
pub async fn rebuild(store: &Store, partition: &Partition, treatment: RebuildMode) -> Result<Finding> {
    match partition {
        Partition::User(_) => work_out::<UserStats>(store, partition, treatment).await,
        Partition::Domain { .. } => work_out::<DomainStats>(store, partition, treatment).await,
    }
}

async fn work_out<S: Fold>(store: &Store, partition: &Partition, treatment: RebuildMode) -> Result<Finding> {
    for attempt in 0..MAX_ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(conflict_backoff(attempt, fastrand::f64())).await;
        }
        // Before the events: one that is committed in between has moved the version on.
        let Some(known) = read_statistics(store, partition).await? else {
            return Ok(Finding::Unreadable(BTreeMap::from([("statistics", 1)])));
        };
        let version = known.metadata.version;
        if known.metadata.erased_at.is_some() {
            return Ok(Finding::Erased);
        }
        let events = fold_events::<S>(store, partition).await?;
        let rebuilt = serde_json::to_value(&events.folded)?;
        let differences = differences(&known.attributes, &rebuilt, S::ATTRIBUTES);
        let would_fall = !treatment.lower && !lowered(&differences).is_empty();
        let finding = if !events.unreadable.is_empty() {
            Finding::Unreadable(events.unreadable)
        } else if differences.is_empty() {
            let is_empty = known.attributes.is_null() && events.count == 0;
            return Ok(if is_empty { Finding::Nothing } else { Finding::Right });
        } else if would_fall {
            Finding::Refused(differences)
        } else if treatment.write {
            let names = S::ATTRIBUTES.iter().copied();
            let gone: Vec<&str> =
                names.filter(|name| has(&known.attributes, name) && !has(&rebuilt, name)).collect();
            match store.replace_folded(partition, version, &events.folded, &gone).await {
                Ok(()) => return Ok(Finding::Written(differences)),
                Err(CommitError::Store(error)) => return Err(error.into()),
                Err(CommitError::Conflict | CommitError::Duplicates(_)) => continue,
            }
        } else {
            Finding::Differs(differences)
        };
        let now = read_statistics(store, partition).await?;
        if now.is_some_and(|now| now.metadata.version == version) {
            return Ok(finding);
        }
    }
    Ok(Finding::Contended)
}

/// STATS as it was read.
#[derive(Default)]
struct Known {
    /// Null where there is no item.
    attributes: Value,
    metadata: StatsMetadata,
}

/// Reads STATS; `None` where it cannot be understood.
async fn read_statistics(store: &Store, partition: &Partition) -> Result<Option<Known>, StoreError> {
    let stored = store.statistics(&[partition], Consistency::Strong).await?.into_values().next();
    let Some(stored) = stored else { return Ok(Some(Known::default())) };
    Ok(match (stored.folded(), stored.metadata()) {
        (Ok(attributes), Ok(metadata)) => Some(Known { attributes, metadata }),
        _ => None,
    })
}

/// What a partition's events make.
struct Folded<S> {
    folded: S,
    count: usize,
    unreadable: BTreeMap<&'static str, usize>,
}

async fn fold_events<S: Fold>(store: &Store, partition: &Partition) -> Result<Folded<S>, StoreError> {
    let mut result = Folded { folded: S::default(), count: 0, unreadable: BTreeMap::new() };
    let mut start = None;
    loop {
        let (bodies, next) = store.stored_events(partition, start).await?;
        for body in &bodies {
            result.count += 1;
            match Event::parse(body) {
                Ok(event) => result.folded.apply(&event),
                Err(error) => *result.unreadable.entry(error.error_type()).or_default() += 1,
            }
        }
        start = next;
        if start.is_none() {
            return Ok(result);
        }
    }
}

fn has(attributes: &Value, name: &str) -> bool {
    attributes.get(name).is_some()
}

/// The figures among the attributes with these names that are not the same, in the order of the names. A counter that is
/// missing is 0, and an empty map or list is none.
pub fn differences(stored: &Value, rebuilt: &Value, names: &[&str]) -> Vec<Difference> {
    let mut differences = Vec::new();
    for name in names {
        let (stored, rebuilt) = (figures(stored, name), figures(rebuilt, name));
        let either: BTreeSet<&String> = stored.keys().chain(rebuilt.keys()).collect();
        let differing = either.into_iter().filter(|name| stored.get(*name) != rebuilt.get(*name));
        differences.extend(differing.map(|name| Difference {
            name: name.clone(),
            stored: stored.get(name).cloned(),
            rebuilt: rebuilt.get(name).cloned(),
        }));
    }
    differences
}

/// The figures in an attribute: one, or one for each key of a map.
fn figures(attributes: &Value, name: &str) -> BTreeMap<String, Value> {
    match attributes.get(name) {
        Some(Value::Object(fields)) => {
            let fields = fields.iter().filter(|(_, value)| **value != 0);
            fields.map(|(key, value)| (format!("{name}.{key}"), value.clone())).collect()
        }
        Some(Value::Array(list)) if list.is_empty() => BTreeMap::new(),
        Some(value) if value.is_null() || (*value == 0 && !is_time(name)) => BTreeMap::new(),
        Some(value) => BTreeMap::from([(name.to_owned(), value.clone())]),
        None => BTreeMap::new(),
    }
}

fn is_time(name: &str) -> bool {
    name.ends_with("At") && !name.contains('.')
}

/// The names of the figures that would fall: counters and sums that get smaller, last times that get earlier, first times
/// that get later, times that go.
///
/// Events expire after EVENT_RETENTION_DAYS, and nothing in the table says which ones there were: an event that has
/// expired, and one that was never there (a counter raised by hand or by a bug), leave the same figures behind. So
/// whoever knows decides. What has expired shows in one figure or another: an event raised a counter, or it was a doing
/// of the user's before all that are left, and the first time gets later.
pub fn lowered(differences: &[Difference]) -> Vec<&str> {
    differences.iter().filter(|difference| difference.falls()).map(|found| found.name.as_str()).collect()
}

impl Difference {
    /// Whether the figure would fall. One that is stored as something that is no figure cannot.
    pub fn falls(&self) -> bool {
        let integer = |value: &Option<Value>| value.as_ref().and_then(Value::as_i64);
        if is_time(&self.name) {
            return match (integer(&self.stored), integer(&self.rebuilt)) {
                (Some(stored), Some(rebuilt)) if self.name.starts_with("last") => rebuilt < stored,
                (Some(stored), Some(rebuilt)) => rebuilt > stored,
                (stored, None) => stored.is_some() || self.is_stored_number(),
                (None, Some(_)) => self.is_stored_number(),
            };
        }
        match (sum(self.stored.as_ref()), sum(self.rebuilt.as_ref())) {
            (Some(stored), Some(rebuilt)) => rebuilt < stored,
            _ => self.is_stored_number(),
        }
    }

    /// Where a stored number cannot be compared, nobody knows whether it falls.
    fn is_stored_number(&self) -> bool {
        matches!(self.stored, Some(Value::Number(_)))
    }

    /// For people: `orders               3 -> 4`.
    fn text(&self) -> String {
        let name = printable(&self.name);
        if name == "recent" {
            return format!("{name:20} changed");
        }
        let nothing = if is_time(&self.name) || self.name.starts_with("spent.") { "none" } else { "0" };
        let value = |value: &Option<Value>| match value {
            Some(value) => shown(&self.name, value),
            None => nothing.to_owned(),
        };
        let falls = if self.falls() { "  (falls)" } else { "" };
        format!("{name:20} {} -> {}{falls}", value(&self.stored), value(&self.rebuilt))
    }
}

/// A counter or a decimal; nothing is 0. `None` where it is something else.
fn sum(value: Option<&Value>) -> Option<Money> {
    match value {
        None => Some(Money::default()),
        Some(Value::Number(number)) => Money::parse(&number.to_string()),
        Some(Value::String(decimal)) => Money::parse(decimal),
        Some(_) => None,
    }
}

impl Finding {
    /// Whether there is something to be told of it.
    pub fn is_news(&self) -> bool {
        !matches!(self, Self::Nothing | Self::Right | Self::Erased)
    }

    fn differences(&self) -> &[Difference] {
        match self {
            Self::Differs(differences) | Self::Written(differences) | Self::Refused(differences) => {
                differences
            }
            Self::Nothing | Self::Right | Self::Erased | Self::Unreadable(_) | Self::Contended => &[],
        }
    }

    /// For people: whose, what, and a line for each figure that differs.
    pub fn text(&self, partition: &Partition) -> String {
        let whose = match partition {
            Partition::User(sub) => format!("user {}", printable(sub)),
            Partition::Domain { domain, shard } => format!("domain {}, shard {shard}", printable(domain)),
        };
        let what = match self {
            Self::Nothing => ": nothing is stored".to_owned(),
            Self::Right => ": as it should be".to_owned(),
            Self::Erased => ": erased, and left so".to_owned(),
            Self::Differs(_) => String::new(),
            Self::Written(_) => ": written".to_owned(),
            Self::Refused(_) => ": refused, what falls may have expired".to_owned(),
            Self::Unreadable(reasons) if reasons.contains_key("statistics") => {
                ": left, its statistics cannot be read".to_owned()
            }
            Self::Unreadable(reasons) => {
                let words: Vec<String> =
                    reasons.iter().map(|(word, count)| format!("{word} {count}")).collect();
                format!(": left, stored events cannot be read ({})", words.join(", "))
            }
            Self::Contended => ": left, others kept committing first".to_owned(),
        };
        let mut out = format!("{whose}{what}\n");
        for difference in self.differences() {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "  {}", difference.text());
        }
        out
    }

    /// For programs.
    pub fn json(&self, partition: &Partition) -> Value {
        let finding = match self {
            Self::Nothing => "nothing",
            Self::Right => "right",
            Self::Erased => "erased",
            Self::Differs(_) => "differs",
            Self::Written(_) => "written",
            Self::Refused(_) => "refused",
            Self::Unreadable(_) => "unreadable",
            Self::Contended => "contended",
        };
        let mut json = match partition {
            Partition::User(sub) => json!({"user": sub}),
            Partition::Domain { domain, shard } => json!({"domain": domain, "shard": shard}),
        };
        if let Some(fields) = json.as_object_mut() {
            fields.insert("finding".to_owned(), json!(finding));
            fields.insert("differences".to_owned(), json!(self.differences()));
            if let Self::Unreadable(reasons) = self {
                fields.insert("reasons".to_owned(), json!(reasons));
            }
        }
        json
    }
}

impl Summary {
    /// Adds what became of a partition.
    pub fn add(&mut self, partition: &Partition, finding: &Finding) {
        match partition {
            Partition::User(_) => self.users += 1,
            Partition::Domain { .. } => self.domain_shards += 1,
        }
        match finding {
            Finding::Nothing | Finding::Right => self.right += 1,
            Finding::Erased => self.erased += 1,
            Finding::Differs(_) => self.differing += 1,
            Finding::Written(_) => {
                self.differing += 1;
                self.written += 1;
            }
            Finding::Refused(_) => {
                self.differing += 1;
                self.refused += 1;
            }
            Finding::Unreadable(_) => self.unreadable += 1,
            Finding::Contended => self.contended += 1,
        }
    }

    /// For people, in one line.
    pub fn text(&self) -> String {
        let Self { right, erased, differing, written, refused, unreadable, contended, .. } = self;
        let (users, shards) = (plural(self.users, "user"), plural(self.domain_shards, "shard"));
        format!(
            "{users} and {shards} of domains: {right} as they should be, {differing} differing, {written} written, \
             {refused} refused, {unreadable} unreadable, {contended} in conflict, {erased} erased"
        )
    }

    /// Why not everything is as it should be, though it was asked for; `None` where nothing stands against it.
    pub fn trouble(&self) -> Option<String> {
        let troubles = [
            (self.refused, "refused, because figures would fall (see --lower)"),
            (self.unreadable, "not worked out, because stored events or statistics cannot be read"),
            (self.contended, "not worked out, because others kept committing first; run it again"),
        ];
        let troubles: Vec<String> = troubles
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, why)| format!("{} {why}", plural(*count, "partition")))
            .collect();
        (!troubles.is_empty()).then(|| troubles.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_falls_where_it_says_less_than_before() {
        for (name, stored, rebuilt, expected) in [
            ("orders", json!(3), json!(2), &["orders"][..]),
            ("orders", json!(3), Value::Null, &["orders"]),
            ("orders", json!(2), json!(3), &[]),
            ("orders", Value::Null, json!(3), &[]),
            ("orders", json!("many"), json!(3), &[]),
            ("unreadNotifications", json!(1), json!(-1), &["unreadNotifications"]),
            ("unreadNotifications", Value::Null, json!(-1), &["unreadNotifications"]),
            ("unreadNotifications", json!(-2), json!(-1), &[]),
            ("unreadNotifications", json!(-2), json!(0), &[]),
            ("messages", json!({"sign_up": 2, "x": 1}), json!({"sign_up": 1, "x": 1}), &["messages.sign_up"]),
            ("messages", json!({"sign_up": 2}), Value::Null, &["messages.sign_up"]),
            ("messages", json!({"sign_up": 2}), json!({"sign_up": 2, "x": 1}), &[]),
            ("spent", json!({"EUR": "10.00"}), json!({"EUR": "9.90"}), &["spent.EUR"]),
            ("spent", json!({"EUR": "9.90"}), json!({"EUR": "10.00"}), &[]),
            ("spent", json!({"EUR": "9.9"}), json!({"EUR": "9.90"}), &[]),
            ("spent", json!({"EUR": "1"}), json!({"USD": "1.00"}), &["spent.EUR"]),
            ("spent", json!({"EUR": "-1.00"}), Value::Null, &[]),
            ("spent", json!({"EUR": "nothing"}), json!({"EUR": "1.00"}), &[]),
            ("firstSeenAt", json!(1_000), json!(2_000), &["firstSeenAt"]),
            ("firstSeenAt", json!(2_000), json!(1_000), &[]),
            ("firstSeenAt", Value::Null, json!(1_000), &[]),
            ("confirmedAt", json!(1_000), Value::Null, &["confirmedAt"]),
            ("confirmedAt", json!("soon"), Value::Null, &[]),
            ("lastSeenAt", json!(2_000), json!(1_000), &["lastSeenAt"]),
            ("lastSeenAt", json!(2_000), Value::Null, &["lastSeenAt"]),
            ("lastSeenAt", json!(1_000), json!(2_000), &[]),
            ("recent", json!([{"at": 1}]), Value::Null, &[]),
        ] {
            let found = differences(&json!({name: stored}), &json!({name: rebuilt}), &[name]);
            assert!(!found.is_empty(), "{name}");
            assert_eq!(lowered(&found), expected, "{found:?}");
        }
    }

    #[test]
    fn what_says_the_same_is_no_difference() {
        let names = ["orders", "messages", "spent", "recent", "lastSeenAt"];
        let zeros = json!({"orders": 0, "messages": {"x": 0}, "spent": {}, "recent": []});
        let others = json!({"lastChangedAt": 7, "ordersOfTomorrow": 3});
        for (stored, rebuilt) in [(&Value::Null, &zeros), (&zeros, &json!({})), (&others, &json!({}))] {
            assert_eq!(differences(stored, rebuilt, &names).len(), 0, "{stored}");
        }
        let in_1970 = differences(&json!({"lastSeenAt": 0}), &json!({}), &names);
        assert_eq!(lowered(&in_1970), ["lastSeenAt"], "a time of 0 is a time");
    }

    #[test]
    fn differences_are_lines_in_the_order_of_the_attributes() {
        let stored = json!({
            "lastSeenAt": 1_772_442_010_000_i64, "messages": {"sign_up": 1}, "orders": 3,
            "spent": {"EUR": "9.90\u{1b}"}, "recent": [1],
        });
        let rebuilt = json!({
            "firstSeenAt": 1_772_442_010_000_i64, "lastSeenAt": 1_772_442_010_000_i64, "orders": 4,
            "spent": {"EUR": "9.90", "USD": "1.00"}, "recent": [2],
        });
        let found = Finding::Differs(differences(&stored, &rebuilt, UserStats::ATTRIBUTES));
        let expected = [
            "user ana",
            "  firstSeenAt          none -> 2026-03-02T09:00:10Z",
            "  messages.sign_up     1 -> 0  (falls)",
            "  orders               3 -> 4",
            "  spent.EUR            9.90  -> 9.90",
            "  spent.USD            none -> 1.00",
            "  recent               changed",
        ];
        let text = found.text(&Partition::User("ana".into()));
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_summary_tells_what_stands_against_it() {
        let (ana, mut summary) = (Partition::User("ana".into()), Summary::default());
        summary.add(&ana, &Finding::Right);
        summary.add(
            &Partition::Domain { domain: "example.com".into(), shard: 3 },
            &Finding::Written(Vec::new()),
        );
        assert_eq!(summary.trouble(), None);
        summary.add(&ana, &Finding::Refused(Vec::new()));
        summary.add(&ana, &Finding::Unreadable(BTreeMap::from([("unknown_type", 1)])));
        assert_eq!(
            summary.text(),
            "3 users and 1 shard of domains: 1 as they should be, 2 differing, 1 written, 1 refused, 1 unreadable, \
             0 in conflict, 0 erased"
        );
        let trouble = summary.trouble().unwrap();
        assert!(trouble.starts_with("1 partition refused") && trouble.contains("; 1 partition not worked"));
    }
}
