//! The tables of docs/when-caching-pays.md: the price of a page against the price of an invalidation, and
//! workloads that the rules do not help.

use std::fmt::Write;

use shared::text::group_digits;

use super::assumptions::ORIGIN_DOLLARS_PER_MILLION;
use super::day::Model;
use super::month::Bill;
use super::number::number;
use super::policy::Policy;
use super::prices::{CLOUDFRONT_ITEM, DYNAMODB_READ_UNIT, LAMBDA_GIGABYTE_SECOND, LAMBDA_REQUEST};
use super::results::{PoolResult, of_all_policies, results};
use super::run::Simulation;

/// Users of the pool.
const USERS: u32 = 10_000;
/// Users of the sample for the workloads. Some of them have thousands of changes.
const WORKLOAD_SAMPLE: u32 = 300;
/// Amazon API Gateway: one request to an HTTP API, as in ORIGIN_DOLLARS_PER_MILLION.
const HTTP_API_REQUEST: f64 = 1.0e-6;

/// Kinds of pages, with the dollars for a million of them.
fn pages() -> [(&'static str, f64); 4] {
    let expensive =
        HTTP_API_REQUEST + LAMBDA_REQUEST + 0.2 * LAMBDA_GIGABYTE_SECOND + 30.0 * DYNAMODB_READ_UNIT;
    [
        ("a page of read-api", ORIGIN_DOLLARS_PER_MILLION),
        ("200 ms of a function with 1 GB, and 30 read units", expensive * 1e6),
        ("a call to a third party for a tenth of a cent", 1_000.0),
        ("a call to a language model for one cent", 10_000.0),
    ]
}

/// What users do, with a name.
fn workloads(model: &Model) -> [(&'static str, Model); 5] {
    [
        ("as in the model", *model),
        ("a service changes the data each second", Model { service_change_seconds: Some(1), ..*model }),
        ("a service changes the data each minute", Model { service_change_seconds: Some(60), ..*model }),
        (
            "a job at noon changes all active users",
            Model { is_job_for_active_users: true, job_percent: 100, ..*model },
        ),
        (
            "all users have a second device, and it looks as often",
            Model { second_device_percent: 100, second_device_page_views: 12, ..*model },
        ),
    ]
}

/// The policies of the table of workloads.
const COMPARED: [Policy; 5] =
    [Policy::NoCache, Policy::Default, Policy::NotClientAware, Policy::OwnOrigin, Policy::Before];

/// The tables of docs/when-caching-pays.md, in Markdown.
pub fn report(model: &Model) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_report(&mut out, model);
    out
}

fn write_report(out: &mut String, model: &Model) -> std::fmt::Result {
    write_prices(out)?;
    write_pages(out, model)?;
    write_workloads(out, model)
}

fn write_prices(out: &mut String) -> std::fmt::Result {
    writeln!(out, "| page | dollars for a million | pages for the price of one invalidation |")?;
    writeln!(out, "|---|---:|---:|")?;
    for (name, dollars) in pages() {
        writeln!(out, "| {name} | {} | {} |", number(dollars), number(CLOUDFRONT_ITEM * 1e6 / dollars))?;
    }
    Ok(())
}

/// Dollars that caching can change.
fn pages_and_invalidations(bill: &Bill) -> f64 {
    bill.pages + bill.cloudfront
}

fn write_pages(out: &mut String, model: &Model) -> std::fmt::Result {
    let users = group_digits(&USERS.to_string());
    write!(out, "\n| {users} users: $ per month for pages and invalidations |")?;
    for (name, _) in pages() {
        write!(out, " {name} |")?;
    }
    writeln!(out, "\n|---{}|", "|---:".repeat(pages().len()))?;
    for (policy, results) in of_all_policies(&Model { users: USERS, ..*model }, &[USERS], 1.0) {
        write!(out, "| {} |", policy.name())?;
        for (_, dollars) in pages() {
            // The results have one dollar for a million pages.
            let PoolResult { bill, .. } = &results[0];
            let bill = Bill { pages: bill.pages * dollars, ..*bill };
            write!(out, " {} |", number(pages_and_invalidations(&bill)))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn write_workloads(out: &mut String, model: &Model) -> std::fmt::Result {
    writeln!(
        out,
        "\n| workload | policy | page views from the cache | invalidations | $ invalidations | $ pages of read-api | \
         acting: p99 / maximum | other: p99 / maximum |"
    )?;
    writeln!(out, "|---|---|{}", "---:|".repeat(6))?;
    for (name, workload) in workloads(model) {
        let simulation = Simulation::new(&Model { users: WORKLOAD_SAMPLE, ..workload });
        for policy in COMPARED {
            let results =
                results(&simulation, &workload, &policy.settings(), &[USERS], ORIGIN_DOLLARS_PER_MILLION);
            for PoolResult { outcome, usage, bill, .. } in results {
                write!(out, "| {name} | {} | {:.0} % |", policy.name(), outcome.hit_ratio() * 100.0)?;
                for value in [usage.items, bill.cloudfront, bill.pages] {
                    write!(out, " {} |", number(value))?;
                }
                for spread in [outcome.acting, outcome.other] {
                    write!(out, " {} / {} |", number(spread.p99), number(spread.max))?;
                }
                writeln!(out)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalidation_costs_as_much_as_thousands_of_cheap_pages_and_half_an_expensive_one() {
        let pages = pages().map(|(_, dollars)| CLOUDFRONT_ITEM * 1e6 / dollars);
        assert!((3_000.0..3_200.0).contains(&pages[0]), "{pages:?}");
        // 1.00 for the HTTP API, 0.20 and 2.67 for the function, 3.75 for the table.
        assert!((pages[1] - 5_000.0 / 7.616_68).abs() < 0.01, "{pages:?}");
        assert_eq!(pages[2..], [5.0, 0.5]);
    }

    #[test]
    fn cache_has_no_hits_worth_its_name_if_the_data_changes_each_second() {
        let busy = workloads(&Model::default())[1].1;
        let simulation = Simulation::new(&Model { users: 200, ..busy });
        let hits = |policy: Policy| simulation.run(&policy.settings(), 200).hit_ratio();
        assert!(hits(Policy::Default) < 0.25 && hits(Policy::Before) > 0.0, "{}", hits(Policy::Default));
    }
}
