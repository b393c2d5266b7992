//! The tables of docs/costs.md, which `cargo sandbox costs` prints.

use std::fmt::Write;

use shared::store::commit::MAX_EVENT_ITEMS;
use shared::text::group_digits;

use super::assumptions::{EventKind, write_units};
use super::day::Model;
use super::number::number;
use super::results::{PoolResult, of_all_policies};
use super::run::Simulation;
use super::spread::Spread;

/// The tables of docs/costs.md, in Markdown, for pools of these sizes.
pub fn report(model: &Model, sizes: &[u32], origin_dollars: f64) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_report(&mut out, model, sizes, origin_dollars);
    out
}

fn write_report(out: &mut String, model: &Model, sizes: &[u32], origin_dollars: f64) -> std::fmt::Result {
    let results = of_all_policies(model, sizes, origin_dollars);
    let largest = sizes.iter().copied().max().unwrap_or(model.users);
    write_day(out, &Model { users: largest, ..*model })?;
    for (index, users) in sizes.iter().enumerate() {
        writeln!(out, "\n**{} users**, per month\n", group_digits(&users.to_string()))?;
        writeln!(
            out,
            "| policy | invalidations | page views from the cache | origin requests | $ invalidations | $ other services | \
             $ together | $ pages | $ total |"
        )?;
        writeln!(out, "|---{}|", "|---:".repeat(8))?;
        for (policy, results) in &results {
            let PoolResult { outcome, usage, bill, .. } = &results[index];
            write!(out, "| {} | {} |", policy.name(), number(usage.items))?;
            write!(out, " {:.0} % | {} |", outcome.hit_ratio() * 100.0, number(usage.origin_requests))?;
            for dollars in
                [bill.cloudfront, bill.other_services(), bill.without_pages(), bill.pages, bill.total()]
            {
                write!(out, " {} |", number(dollars))?;
            }
            writeln!(out)?;
        }
        write_seconds(out, *users)?;
        for (policy, results) in &results {
            let outcome = &results[index].outcome;
            write!(out, "| {} |", policy.name())?;
            for spread in [outcome.own_change, outcome.acting, outcome.other] {
                write!(out, " {} |", seconds(spread))?;
            }
            writeln!(out)?;
        }
    }
    write_units_table(out)
}

fn write_day(out: &mut String, model: &Model) -> std::fmt::Result {
    let Model { active_percent, session_minutes, late_percent, job_percent, job_minutes, .. } = model;
    let (actions, each) = (model.actions_in_session, model.changes_of_action);
    let simulation = Simulation::new(model);
    let counts = simulation.counts().map(|count| group_digits(&count.to_string()));
    let [tokens, changes, page_views] = counts;
    writeln!(
        out,
        "A day of {} users. {active_percent} % of them are active: a session of {session_minutes} minutes with {actions} \
         actions, each of which changes their data {each} times, and with a probability of {late_percent} % once more, 10 to \
         60 minutes later. {} % of the active users have a second device. At night, a job changes {job_percent} % of all users \
         within {job_minutes} minutes. Together: {tokens} tokens, {changes} changes, {page_views} page views.",
        group_digits(&simulation.users().to_string()),
        model.second_device_percent
    )
}

fn write_seconds(out: &mut String, users: u32) -> std::fmt::Result {
    let users = group_digits(&users.to_string());
    writeln!(
        out,
        "\n| {users} users, seconds: median / p99 / maximum | until the acting device can see its change | \
                   hidden from the acting device | hidden from another device |"
    )?;
    writeln!(out, "|---{}|", "|---:".repeat(3))
}

/// Median, 99th percentile and maximum.
fn seconds(spread: Spread) -> String {
    [spread.median, spread.p99, spread.max].map(number).join(" / ")
}

fn write_units_table(out: &mut String) -> std::fmt::Result {
    let names = EventKind::ALL.map(EventKind::name).join(" | ");
    writeln!(out, "\n| write units per event, by events per user in a batch | {names} |")?;
    writeln!(out, "|---:|{}", "---:|".repeat(EventKind::ALL.len()))?;
    for events in [1, 2, 5, 10, MAX_EVENT_ITEMS] {
        let units = EventKind::ALL.map(|kind| format!("{:.2}", write_units(events, kind))).join(" | ");
        writeln!(out, "| {events} | {units} |")?;
    }
    Ok(())
}
