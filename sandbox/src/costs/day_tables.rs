//! The tables of docs/costs.md, which `cargo sandbox costs` prints.

use std::fmt::Write;

use shared::store::commit::MAX_EVENT_ITEMS;

use super::assumptions::{EventKind, MONTHLY_ITEM_BUDGET, write_units};
use super::day::{Cost, DAYS_PER_MONTH, Model, Rules, day, run};
use super::policy::Policy;

/// The tables of docs/costs.md, in Markdown.
pub fn report(model: &Model) -> String {
    let day = day(model);
    let changes = day.iter().filter(|event| !event.is_token).count() as u64;
    let each = Cost { items: changes, calls: changes, purges: 0 };
    let run_with = |skip_inactive, purge_all, budget| run(&day, Rules { skip_inactive, purge_all, budget });
    let budget = (MONTHLY_ITEM_BUDGET / DAYS_PER_MONTH as f64) as u64;
    let rows = [
        (Policy::EachChange, each),
        (Policy::Coalesced, run_with(false, false, None)),
        (Policy::CoalescedPurgeAll, run_with(false, true, None)),
        (Policy::InactiveSkipped, run_with(true, false, None)),
        (Policy::InactiveSkippedPurgeAll, run_with(true, true, None)),
        (Policy::Budget, run_with(true, true, Some(budget))),
    ];
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_report(&mut out, model, day.len() as u64 - changes, changes, &rows);
    out
}

fn write_report(
    out: &mut String,
    model: &Model,
    tokens: u64,
    changes: u64,
    rows: &[(Policy, Cost)],
) -> std::fmt::Result {
    let Model { users, active_percent, session_minutes, job_percent, job_minutes, .. } = model;
    let (actions, each) = (model.actions_in_session, model.changes_of_action);

    writeln!(
        out,
        "A day of {users} users. {active_percent} % of them are active: a session of {session_minutes} minutes with \
         {actions} actions, each of which changes their data {each} times. At night, a job changes {job_percent} % of all \
         users within {job_minutes} minutes. Together: {tokens} tokens, {changes} changes.\n"
    )?;
    writeln!(out, "| policy | items per day | calls per day | purges | dollars per month |")?;
    writeln!(out, "|---|---:|---:|---:|---:|")?;
    for (policy, cost) in rows {
        let (policy, Cost { items, calls, purges }) = (policy.name(), cost);
        writeln!(out, "| {policy} | {items} | {calls} | {purges} | {:.2} |", cost.dollars_per_month())?;
    }
    let names = EventKind::ALL.map(EventKind::name).join(" | ");
    writeln!(out, "\n| write units per event, by events per user in a batch | {names} |")?;
    writeln!(out, "|---:|{}", "---:|".repeat(EventKind::ALL.len()))?;
    for events in [1, 2, 5, 10, MAX_EVENT_ITEMS] {
        let units = EventKind::ALL.map(|kind| format!("{:.2}", write_units(events, kind))).join(" | ");
        writeln!(out, "| {events} | {units} |")?;
    }
    Ok(())
}
