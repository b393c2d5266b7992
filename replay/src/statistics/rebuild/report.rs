//! The JSON of `replay statistics rebuild`.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;
use shared::store::{ListDifference, Partition};

use crate::error::Result;
use crate::statistics::rebuild::difference::Difference;
use crate::statistics::rebuild::{RebuildOutcome, RebuildSummary};

/// What differs between the statistics and the stored events.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RebuildReport {
    /// True if nothing was written, because --yes is missing.
    pub dry_run: bool,
    /// The user of --user. With --all, each user and each domain shard that differs or was not
    /// compared.
    pub partitions: Vec<PartitionReport>,
    /// Number of partitions by outcome.
    pub summary: RebuildSummary,
    /// True if all partitions were processed. False after an interruption or an error.
    pub complete: bool,
}

/// A user or a domain shard.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PartitionReport {
    /// The user's sub. Null for a domain shard.
    pub user: Option<String>,
    /// The email domain. Null for a user.
    pub domain: Option<String>,
    /// The number of the domain's shard. Null for a user.
    pub shard: Option<u8>,
    /// The outcome.
    pub outcome: OutcomeName,
    /// The figures that differ.
    pub differences: Vec<Difference>,
    /// The lists that differ.
    pub lists: Vec<ListReport>,
    /// Number of stored events that are unreadable, by code. The code `statistics` means that the stored
    /// statistics are unreadable.
    pub reasons: BTreeMap<String, usize>,
}

/// The outcome of a partition.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum OutcomeName {
    Empty,
    Correct,
    Erased,
    Differs,
    Written,
    Refused,
    Unreadable,
    Conflict,
}

/// Number of items of a list that differ.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListReport {
    /// Name of the list.
    pub list: &'static str,
    /// Number of items that stored events explain, and that are missing.
    pub missing: usize,
    /// Number of items with other attributes.
    pub different: usize,
    /// Number of items that no stored event explains.
    pub without_event: usize,
}

impl PartitionReport {
    pub fn of(partition: &Partition, outcome: &RebuildOutcome) -> Self {
        let (user, domain, shard) = match partition {
            Partition::User(sub) => (Some(sub.clone()), None, None),
            Partition::Domain { domain, shard } => (None, Some(domain.clone()), Some(*shard)),
        };
        let differences = outcome.differences().cloned().unwrap_or_default();
        let lists = differences.lists.iter().map(|difference| {
            let ListDifference { list, missing, different, unexplained } = *difference;
            ListReport { list, missing, different, without_event: unexplained }
        });
        let reasons = match outcome {
            RebuildOutcome::Unreadable(codes) => {
                codes.iter().map(|(code, count)| ((*code).to_owned(), *count)).collect()
            }
            _ => BTreeMap::new(),
        };
        let lists = lists.collect();
        let name = outcome_name(outcome);
        Self { user, domain, shard, outcome: name, differences: differences.figures, lists, reasons }
    }
}

fn outcome_name(outcome: &RebuildOutcome) -> OutcomeName {
    match outcome {
        RebuildOutcome::Empty => OutcomeName::Empty,
        RebuildOutcome::Correct => OutcomeName::Correct,
        RebuildOutcome::Erased => OutcomeName::Erased,
        RebuildOutcome::Differs(_) => OutcomeName::Differs,
        RebuildOutcome::Written(_) => OutcomeName::Written,
        RebuildOutcome::Refused(_) => OutcomeName::Refused,
        RebuildOutcome::Unreadable(_) => OutcomeName::Unreadable,
        RebuildOutcome::Conflict => OutcomeName::Conflict,
    }
}

/// Writes a [`RebuildReport`] piece by piece, so that the memory does not grow with the table.
pub struct ReportWriter<W> {
    out: W,
    separator: &'static str,
}

impl<W: Write> ReportWriter<W> {
    pub fn start(mut out: W, is_dry_run: bool) -> Result<Self> {
        write!(out, "{{\n  \"dryRun\": {is_dry_run},\n  \"partitions\": [")?;
        Ok(Self { out, separator: "" })
    }

    pub fn add(&mut self, partition: &PartitionReport) -> anyhow::Result<()> {
        write!(self.out, "{}\n    {}", self.separator, serde_json::to_string(partition)?)?;
        self.separator = ",";
        Ok(())
    }

    /// Completes the document, also after an error.
    pub fn finish(mut self, summary: &RebuildSummary, is_complete: bool) -> Result<()> {
        let summary = serde_json::to_string(summary)?;
        writeln!(self.out, "\n  ],\n  \"summary\": {summary},\n  \"complete\": {is_complete}\n}}")?;
        Ok(())
    }
}
