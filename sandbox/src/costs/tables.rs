//! The month's use and cost as tables in Markdown: those of docs/capacity.md. Pure.

use std::fmt::Write;

use super::day::{DAYS_PER_MONTH, Model};
use super::month::{Bill, Peak, Usage, events, peak};
use super::number::number;
use super::policy::Policy;
use super::results::{PoolResult, SCALES, of_all_policies};

/// The tables for pools of every size. Users behave as in the model.
pub fn months(model: &Model, origin_dollars: f64) -> String {
    let results = of_all_policies(model, &SCALES.map(|(users, _)| users), origin_dollars);
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_months(&mut out, model, &results);
    out
}

fn write_months(out: &mut String, model: &Model, results: &[(Policy, Vec<PoolResult>)]) -> std::fmt::Result {
    write_peaks(out, model)?;
    let titles = ["dollars per month, without pages", "dollars per month, with pages"];
    let totals: [fn(&Bill) -> f64; 2] = [Bill::without_pages, Bill::total];
    for (title, total) in titles.into_iter().zip(totals) {
        write_dollars(out, title, total, results)?;
    }
    writeln!(out, "\n† more invalidations than CloudFront accepts, on the average of a day.")?;
    for (index, (_, words)) in SCALES.into_iter().enumerate() {
        write_policies(out, results, index, words)?;
    }
    Ok(())
}

fn write_peaks(out: &mut String, model: &Model) -> std::fmt::Result {
    writeln!(
        out,
        "| users | events per month, millions | events per second, peak of users | during the job | \
         concurrent triggers | concurrent user-stats | to keep up with the job | write units per second |"
    )?;
    writeln!(out, "|---|---:|---:|---:|---:|---:|---:|---:|")?;
    for (users, words) in SCALES {
        let model = Model { users, ..*model };
        let Peak { people, job, triggers, user_stats, user_stats_during_job, write_units } = peak(&model);
        writeln!(
            out,
            "| {words} | {} | {} | {} | {} | {} | {} | {} |",
            millions(events(&model) * DAYS_PER_MONTH as f64),
            number(people),
            number(job),
            number(triggers),
            number(user_stats),
            number(user_stats_during_job),
            number(write_units)
        )?;
    }
    Ok(())
}

fn write_dollars(
    out: &mut String,
    title: &str,
    total: impl Fn(&Bill) -> f64,
    results: &[(Policy, Vec<PoolResult>)],
) -> std::fmt::Result {
    write!(out, "\n| {title} |")?;
    for (_, words) in SCALES {
        write!(out, " {words} |")?;
    }
    writeln!(out, "\n|---|{}", "---:|".repeat(SCALES.len()))?;
    for (policy, results) in results {
        write!(out, "| {} |", policy.name())?;
        for result in results {
            let mark = if result.outcome.is_accepted_by_cloudfront() { "" } else { " †" };
            write!(out, " {}{mark} |", number(total(&result.bill)))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn write_policies(
    out: &mut String,
    results: &[(Policy, Vec<PoolResult>)],
    size: usize,
    words: &str,
) -> std::fmt::Result {
    writeln!(
        out,
        "\n**{words} users**, per month. Invocations, requests, units and items are in millions.\n"
    )?;
    writeln!(
        out,
        "| policy | invocations | GB-seconds | SQS requests | write units | read units | items | origin requests | \
         Lambda | SQS | DynamoDB | storage | CloudFront | pages | dollars |"
    )?;
    writeln!(out, "|---{}|", "|---:".repeat(14))?;
    for (policy, results) in results {
        let PoolResult { usage: used, bill, .. } = &results[size];
        let Usage { lambda_invocations, sqs_requests, write_units, read_units, items, .. } = *used;
        write!(out, "| {} | {} |", policy.name(), millions(lambda_invocations))?;
        write!(out, " {} |", number(used.lambda_gigabyte_seconds))?;
        for value in [sqs_requests, write_units, read_units, items, used.origin_requests] {
            write!(out, " {} |", millions(value))?;
        }
        let Bill { lambda, sqs, dynamodb, storage, cloudfront, pages } = *bill;
        for value in [lambda, sqs, dynamodb, storage, cloudfront, pages, bill.total()] {
            write!(out, " {} |", number(value))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn millions(value: f64) -> String {
    number(value / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_a_row_for_every_size_and_policy() {
        let text = months(&Model { active_percent: 1, ..Model::default() }, 1.6);
        for (_, words) in SCALES {
            assert!(text.contains(&format!("\n| {words} | ")), "{words}:\n{text}");
            assert!(text.contains(&format!("**{words} users**")), "{words}:\n{text}");
        }
        for policy in Policy::ALL {
            let rows = text.lines().filter(|line| line.starts_with(&format!("| {} |", policy.name())));
            assert_eq!(rows.count(), 2 + SCALES.len(), "{policy:?}");
        }
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        let cells = |line: &str| line.matches('|').count();
        for table in text.split("\n\n").filter(|part| part.starts_with('|')) {
            let mut widths = table.lines().map(cells);
            let first = widths.next().unwrap();
            assert!(widths.all(|width| width == first), "{table}");
        }
    }
}
