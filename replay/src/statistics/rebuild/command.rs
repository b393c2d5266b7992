//! `replay statistics rebuild`: options and output.

use std::io::Write;

use anyhow::Result as AnyResult;
use clap::{ArgGroup, Args};
use serde_json::Value;
use shared::store::{ListDifference, Partition};
use shared::text::{format_value, printable};
use shared::time::Clock;

use crate::error::{CommandError, Result};
use crate::interrupt::StopSignal;
use crate::options::{ChangeOptions, TableOptions, check_sub};
use crate::output::{self, counted, number};
use crate::statistics::rebuild::difference::{Difference, is_time};
use crate::statistics::rebuild::report::{PartitionReport, ReportWriter};
use crate::statistics::rebuild::{
    RebuildMode, RebuildOutcome, RebuildSummary, UNREADABLE_STATISTICS, rebuild, rebuild_all,
};

const EXAMPLES: &str = "\
Examples:
  replay statistics rebuild --user 7d8ca528-4931-4254-9273-ea5ee853f271
  replay statistics rebuild --user 7d8ca528-4931-4254-9273-ea5ee853f271 --yes
  replay statistics rebuild --all --json > differences.json";

/// Rebuild statistics and lists from the stored events.
///
/// Shows each figure and each list that differs, and writes the rebuilt ones if you pass --yes.
/// user-stats can keep running meanwhile. Stored events expire after EVENT_RETENTION_DAYS. So a user
/// or a domain shard is refused if one of its figures would fall or an entry of a list would be
/// removed, unless you pass --lower. Erased users stay erased.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group(ArgGroup::new("what").args(["user", "all"]).required(true)))]
pub struct Rebuild {
    /// One user, by sub.
    #[arg(long, value_name = "SUB")]
    user: Option<String>,
    /// All users and all domains. Reads the whole table.
    #[arg(long)]
    all: bool,
    /// Write even if figures fall or entries are removed.
    #[arg(long)]
    lower: bool,
    /// Rebuild only the lists of orders, activities and notifications. Figures stay.
    #[arg(long)]
    lists: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    pub change: ChangeOptions,
}

impl Rebuild {
    pub async fn run(self) -> Result<()> {
        if let Some(sub) = &self.user {
            check_sub(sub)?;
        }
        let store = self.change.open().await?.store(self.table.table.as_deref()).await?;
        let mode = RebuildMode { write: self.change.yes, lower: self.lower, lists_only: self.lists };
        let now = Clock::system().now();
        let mut summary = RebuildSummary::default();
        let mut document =
            if self.json { Some(ReportWriter::start(output::stdout(), !mode.write)?) } else { None };
        // Writes each partition at once, so that the memory does not grow with the table.
        let mut report = |partition: &Partition, outcome: &RebuildOutcome| -> AnyResult<()> {
            summary.add(partition, outcome);
            if self.all && !outcome.needs_attention() {
                return Ok(());
            }
            match &mut document {
                Some(document) => document.add(&PartitionReport::of(partition, outcome)),
                None => Ok(output::stdout().write_all(render(partition, outcome).as_bytes())?),
            }
        };
        let work = async {
            match self.user {
                Some(sub) => {
                    let partition = Partition::User(sub);
                    report(&partition, &rebuild(&store, &partition, mode, now).await?)
                }
                None => rebuild_all(&store, mode, now, &mut report).await,
            }
        };
        let next_step = "run the command again to rebuild the rest. Every user that was written is complete";
        let done = StopSignal::on_signals().run(work, next_step).await;
        if let Some(document) = document {
            document.finish(&summary, done.is_ok())?;
            done?;
        } else {
            done?;
            output::print(&format!("{}\n", render_summary(&summary)))?;
            let writable = summary.differing - summary.refused;
            if !self.change.yes && writable > 0 {
                let partitions = counted(writable, "partition");
                output::not_done(&format!("Dry run: nothing was written. Add --yes to write {partitions}."))?;
            }
        }
        match render_problems(&summary) {
            None => Ok(()),
            Some(problems) => Err(CommandError::failed(problems)),
        }
    }
}

/// The partition with its outcome, and one line for each figure that differs.
fn render(partition: &Partition, outcome: &RebuildOutcome) -> String {
    let partition = match partition {
        Partition::User(sub) => format!("user {}", printable(sub)),
        Partition::Domain { domain, shard } => format!("domain {}, shard {shard}", printable(domain)),
    };
    let outcome_text = match outcome {
        RebuildOutcome::Empty => "no statistics and no events".to_owned(),
        RebuildOutcome::Correct => "correct".to_owned(),
        RebuildOutcome::Erased => "erased, not rebuilt".to_owned(),
        RebuildOutcome::Differs(_) => "differs".to_owned(),
        RebuildOutcome::Written(_) => "written".to_owned(),
        RebuildOutcome::Refused(_) => {
            "refused, because events of a figure or an entry may have expired".to_owned()
        }
        RebuildOutcome::Unreadable(codes) if codes.contains_key(UNREADABLE_STATISTICS) => {
            "skipped, because the stored statistics are unreadable".to_owned()
        }
        RebuildOutcome::Unreadable(codes) => {
            let codes: Vec<String> =
                codes.iter().map(|(code, count)| format!("{code} {}", number(*count))).collect();
            format!("skipped, because stored events are unreadable ({})", codes.join(", "))
        }
        RebuildOutcome::Conflict => {
            "skipped, because concurrent writers changed the statistics on every attempt".to_owned()
        }
    };
    let mut out = format!("{partition}: {outcome_text}\n");
    for difference in outcome.differences().iter().flat_map(|differences| &differences.figures) {
        out += &format!("  {}\n", render_difference(difference));
    }
    for difference in outcome.differences().iter().flat_map(|differences| &differences.lists) {
        out += &format!("  {}\n", render_list_difference(difference));
    }
    out
}

/// For example `orders               3 -> 4`.
fn render_difference(difference: &Difference) -> String {
    let name = printable(&difference.name);
    if name == "recent" {
        return format!("{name:20} changed");
    }
    let missing =
        if is_time(&difference.name) || difference.name.starts_with("spent.") { "none" } else { "0" };
    let value = |value: &Option<Value>| match value {
        Some(value) => format_value(&difference.name, value),
        None => missing.to_owned(),
    };
    let falls = if difference.falls() { "  (falls)" } else { "" };
    format!("{name:20} {} -> {}{falls}", value(&difference.stored), value(&difference.rebuilt))
}

/// For example `orders list          2 missing, 1 without an event  (falls)`.
fn render_list_difference(difference: &ListDifference) -> String {
    let ListDifference { list, missing, different, unexplained } = difference;
    let counts = [(missing, "missing"), (different, "different"), (unexplained, "without an event")];
    let counts = counts.iter().filter(|(count, _)| **count > 0);
    let counts: Vec<String> = counts.map(|(count, what)| format!("{} {what}", number(**count))).collect();
    let falls = if *unexplained > 0 { "  (falls)" } else { "" };
    format!("{list:20} {}{falls}", counts.join(", "))
}

fn render_summary(summary: &RebuildSummary) -> String {
    let RebuildSummary {
        users,
        domain_shards,
        correct,
        erased,
        differing,
        written,
        refused,
        unreadable,
        conflicts,
    } = summary;
    let counts = [
        (correct, "correct"),
        (differing, "differing"),
        (written, "written"),
        (refused, "refused"),
        (unreadable, "unreadable"),
        (conflicts, "in conflict"),
        (erased, "erased"),
    ];
    let counts: Vec<String> = counts.map(|(count, what)| format!("{} {what}", number(*count))).into();
    let (users, shards) = (counted(*users, "user"), counted(*domain_shards, "domain shard"));
    format!("{users} and {shards}: {}", counts.join(", "))
}

/// Why some partitions were not compared or not written. `None` if there are none.
fn render_problems(summary: &RebuildSummary) -> Option<String> {
    let problems = [
        (summary.refused, "refused, because figures would fall or entries would be removed (see --lower)"),
        (summary.unreadable, "skipped, because stored events or statistics are unreadable"),
        (summary.conflicts, "skipped, because of concurrent writers: run the command again"),
    ];
    let problems: Vec<String> = problems
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", counted(*count, "partition")))
        .collect();
    (!problems.is_empty()).then(|| problems.join(". "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use shared::statistics::{Statistics, UserStats};

    use super::*;
    use crate::statistics::rebuild::Differences;
    use crate::statistics::rebuild::difference::differences;

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
        let lists = [("orders list", [2, 0, 0]), ("notification states", [0, 1, 1_000])];
        let lists = lists.map(|(list, [missing, different, unexplained])| ListDifference {
            list,
            missing,
            different,
            unexplained,
        });
        let figures = differences(&stored, &rebuilt, UserStats::ATTRIBUTES);
        let outcome = RebuildOutcome::Differs(Differences { figures, lists: lists.into() });
        let expected = [
            "user ana: differs",
            "  firstSeenAt          none -> 2026-03-02T09:00:10Z",
            "  messages.sign_up     1 -> 0  (falls)",
            "  orders               3 -> 4",
            "  spent.EUR            9.90  -> 9.90",
            "  spent.USD            none -> 1.00",
            "  recent               changed",
            "  orders list          2 missing",
            "  notification states  1 different, 1,000 without an event  (falls)",
        ];
        let text = render(&Partition::User("ana".into()), &outcome);
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn summary_names_the_problems() {
        let (ana, mut summary) = (Partition::User("ana".into()), RebuildSummary::default());
        summary.add(&ana, &RebuildOutcome::Correct);
        summary.add(
            &Partition::Domain { domain: "example.com".into(), shard: 3 },
            &RebuildOutcome::Written(Differences::default()),
        );
        assert_eq!(render_problems(&summary), None);
        summary.add(&ana, &RebuildOutcome::Refused(Differences::default()));
        summary.add(&ana, &RebuildOutcome::Unreadable(BTreeMap::from([("unknown_type", 1)])));
        assert_eq!(
            render_summary(&summary),
            "3 users and 1 domain shard: 1 correct, 2 differing, 1 written, 1 refused, 1 unreadable, \
             0 in conflict, 0 erased"
        );
        let problems = render_problems(&summary).unwrap();
        assert!(problems.starts_with("1 partition refused") && problems.contains(". 1 partition skipped"));
    }
}
