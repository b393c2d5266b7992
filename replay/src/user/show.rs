//! What the table knows of one user, or of an e-mail domain: for whoever is asked about it.

pub mod command;

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Result;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use shared::statistics::DomainStats;
use shared::store::keys::DOMAIN_SHARDS;
use shared::store::{Consistency, Partition, Store};

use shared::text::{printable, write_statistics};
use crate::user::suspension::stored_status;

/// The chart shows as many days, the latest ones with an event.
const DAYS_SHOWN: usize = 14;
/// The longest bar.
const BAR_WIDTH: u64 = 40;

/// What the table knows of a user.
#[derive(Clone, Debug, PartialEq)]
pub struct UserSummary {
    /// Who, by sub.
    pub sub: String,
    /// Whether there is a profile.
    pub profile: bool,
    /// Whether they are suspended, in a few words.
    pub standing: String,
    /// STATS as it is read; `None` where nothing was counted.
    pub statistics: Option<Value>,
    /// Stored events by the day of their time, in UTC.
    pub events_by_day: BTreeMap<Date, u64>,
}

impl UserSummary {
    /// Reads it.
    pub async fn read(store: &Store, sub: &str, now: Timestamp) -> Result<Self> {
        let (profile, standing) = stored_status(store, sub, now).await?;
        let partition = Partition::User(sub.to_owned());
        let stored = store.statistics(&[&partition], Consistency::Strong).await?;
        let statistics = stored.into_values().next().map(|stored| stored.folded::<Value>()).transpose()?;
        let mut events_by_day = BTreeMap::new();
        for time in store.event_times(&partition).await? {
            *events_by_day.entry(time.to_zoned(TimeZone::UTC).date()).or_default() += 1;
        }
        let statistics = statistics.map(without_keys);
        Ok(Self { sub: sub.to_owned(), profile, standing, statistics, events_by_day })
    }

    /// For people: the statistics, and how many events there were on the latest days.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let profile = if self.profile { "" } else { "no profile, " };
        writeln!(out, "user {}: {profile}{}", self.sub, printable(&self.standing))?;
        match &self.statistics {
            Some(statistics) => write_statistics(out, "  ", statistics)?,
            None => writeln!(out, "  nothing counted")?,
        }
        if self.events_by_day.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nStored events by day, in UTC")?;
        let skipped = self.events_by_day.len().saturating_sub(DAYS_SHOWN);
        let most = self.events_by_day.values().skip(skipped).max().copied().unwrap_or(1);
        for (day, count) in self.events_by_day.iter().skip(skipped) {
            let bar = "█".repeat(usize::try_from((count * BAR_WIDTH).div_ceil(most)).unwrap_or_default());
            writeln!(out, "  {day}  {bar} {count}")?;
        }
        Ok(())
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let days: BTreeMap<String, u64> =
            self.events_by_day.iter().map(|(day, count)| (day.to_string(), *count)).collect();
        json!({
            "sub": self.sub, "profile": self.profile, "standing": self.standing, "statistics": self.statistics,
            "eventsByDay": days,
        })
    }
}

/// PK and SK say what was asked for.
fn without_keys(mut statistics: Value) -> Value {
    if let Some(fields) = statistics.as_object_mut() {
        fields.remove("PK");
        fields.remove("SK");
    }
    statistics
}

/// The sums of a domain, over its shards.
pub async fn domain(store: &Store, domain: &str) -> Result<DomainStats> {
    let shards: Vec<Partition> =
        (0..DOMAIN_SHARDS).map(|shard| Partition::Domain { domain: domain.to_owned(), shard }).collect();
    let stored = store.statistics(&shards.iter().collect::<Vec<_>>(), Consistency::Strong).await?;
    let mut sum = DomainStats::default();
    for shard in stored.into_values() {
        sum = sum.plus(&shard.folded()?);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_days_are_bars_that_fit() {
        let day = |day| Date::constant(2026, 3, day);
        let events_by_day =
            (1..=20).map(|number| (day(number), u64::try_from(number).unwrap() * 10)).collect();
        let statistics = Some(json!({"orders": 2, "signIns": 0, "recent": []}));
        let (profile, standing) = (true, "not suspended".to_owned());
        let text = UserSummary { sub: "ana".into(), profile, standing, statistics, events_by_day }.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..4],
            ["user ana: not suspended", "  orders               2", "", "Stored events by day, in UTC"]
        );
        assert_eq!(lines.len(), 4 + DAYS_SHOWN);
        assert_eq!(lines[4], format!("  2026-03-07  {} 70", "█".repeat(14)));
        assert_eq!(lines[17], format!("  2026-03-20  {} 200", "█".repeat(40)));
    }

    #[test]
    fn a_user_of_whom_nothing_is_known_is_told_so() {
        let summary = UserSummary {
            sub: "ana".into(),
            profile: false,
            standing: "not suspended".into(),
            statistics: None,
            events_by_day: BTreeMap::new(),
        };
        assert_eq!(summary.text(), "user ana: no profile, not suspended\n  nothing counted\n");
    }
}
