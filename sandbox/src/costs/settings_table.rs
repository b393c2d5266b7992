//! The reasons for the defaults: the model with one setting changed at a time.

use std::fmt::Write;

use shared::text::group_digits;

use super::assumptions::{MONTHLY_ITEM_BUDGET, RETENTION_DAYS};
use super::day::Model;
use super::number::number;
use super::policy::{Invalidation, Policy, Settings};
use super::results::{PoolResult, results};
use super::run::Simulation;

/// Sizes of the pools.
const SIZES: [u32; 2] = [10_000, 1_000_000];
const MAX_LIFETIMES: [u32; 5] = [30, 60, 120, 300, 1_800];
const DIVISORS: [u32; 3] = [5, 10, 20];
const MIN_LIFETIMES: [u32; 3] = [2, 5, 10];
/// With the rule `budget`. CloudFront does not charge for the first thousand items.
const BUDGETS: [u32; 2] = [1_000, MONTHLY_ITEM_BUDGET];

/// A setting that differs from the defaults.
struct Variant {
    name: String,
    settings: Settings,
    retention_days: f64,
}

fn variants() -> Vec<Variant> {
    let default = Policy::Default.settings();
    let mut variants = Vec::new();
    let mut add = |name: String, retention_days, change: &dyn Fn(&mut Settings)| {
        let mut settings = default;
        change(&mut settings);
        variants.push(Variant { name, settings, retention_days });
    };
    for seconds in MAX_LIFETIMES {
        let name = format!("MAX_CACHE_LIFETIME_SECONDS={seconds}");
        add(name, RETENTION_DAYS, &|settings| settings.lifetime.max_seconds = seconds);
    }
    for divisor in DIVISORS {
        let name = format!("CACHE_LIFETIME_DIVISOR={divisor}");
        add(name, RETENTION_DAYS, &|settings| settings.lifetime.divisor = divisor);
    }
    for seconds in MIN_LIFETIMES {
        let name = format!("MIN_CACHE_LIFETIME_SECONDS={seconds}");
        add(name, RETENTION_DAYS, &|settings| settings.lifetime.min_seconds = seconds);
    }
    for items in BUDGETS {
        let name = format!("INVALIDATION_POLICY=*=budget, MONTHLY_ITEM_BUDGET={items}");
        let invalidation = Invalidation::Rules { policy: "*=budget", budget: Some(items) };
        add(name, RETENTION_DAYS, &|settings| settings.invalidation = invalidation);
    }
    add("EVENT_RETENTION_DAYS=45".to_owned(), 45.0, &|_| {});
    variants
}

/// The table of docs/costs.md that the defaults were chosen from.
pub fn settings(model: &Model, origin_dollars: f64) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_settings(&mut out, model, origin_dollars);
    out
}

fn write_settings(out: &mut String, model: &Model, origin_dollars: f64) -> std::fmt::Result {
    let simulation = Simulation::new(&Model { users: SIZES[1], ..*model });
    write!(out, "| setting |")?;
    for users in SIZES {
        let users = group_digits(&users.to_string());
        write!(
            out,
            " {users} users: $ without pages | $ with pages | acting: stale, p99 / maximum | other: stale, p99 / maximum |"
        )?;
    }
    writeln!(out, "\n|---{}|", "|---:".repeat(8))?;
    let default = Policy::Default.settings();
    for Variant { name, settings, retention_days } in variants() {
        let is_default = settings == default && retention_days == RETENTION_DAYS;
        write!(out, "| {name}{} |", if is_default { " (default)" } else { "" })?;
        let model = Model { retention_days, ..*model };
        for PoolResult { outcome, bill, .. } in
            results(&simulation, &model, &settings, &SIZES, origin_dollars)
        {
            write!(out, " {} | {} |", number(bill.without_pages()), number(bill.total()))?;
            for spread in [outcome.acting, outcome.other] {
                let stale = spread.above_zero * 100.0;
                write!(out, " {stale:.1} %, {} / {} |", number(spread.p99), number(spread.max))?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_has_one_row_that_is_the_default() {
        let table = settings(&Model { active_percent: 1, ..Model::default() }, 1.6);
        assert_eq!(table.lines().count(), 2 + variants().len());
        for name in ["MAX_CACHE", "CACHE_LIFETIME_DIVISOR", "MIN_CACHE"] {
            let rows = table.lines().filter(|line| line.starts_with(&format!("| {name}")));
            assert_eq!(rows.filter(|line| line.contains("(default)")).count(), 1, "{name}: {table}");
        }
    }
}
