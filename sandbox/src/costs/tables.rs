//! The month's use and cost as tables in Markdown: those of docs/capacity.md. Pure.

use std::fmt::Write;

use shared::text::group_digits;

use super::day::{DAYS_PER_MONTH, Model};
use super::month::{Bill, Peak, Usage, bill, events, peak, usage};
use super::policy::{Policy, is_accepted_by_cloudfront};

/// Numbers of users in the tables, each with its text.
pub const SCALES: [(u32, &str); 5] = [
    (10_000, "10 thousand"),
    (100_000, "100 thousand"),
    (1_000_000, "1 million"),
    (10_000_000, "10 million"),
    (100_000_000, "100 million"),
];

/// The tables for pools of every size. Users behave as in the model.
pub fn months(model: &Model) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_months(&mut out, model);
    out
}

fn write_months(out: &mut String, model: &Model) -> std::fmt::Result {
    write_peaks(out, model)?;
    write_dollars(out, model)?;
    for (users, words) in SCALES {
        write_policies(out, &Model { users, ..*model }, words)?;
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

fn write_dollars(out: &mut String, model: &Model) -> std::fmt::Result {
    write!(out, "\n| dollars per month |")?;
    for (_, words) in SCALES {
        write!(out, " {words} |")?;
    }
    writeln!(out, "\n|---|{}", "---:|".repeat(SCALES.len()))?;
    for policy in Policy::ALL {
        write!(out, "| {} |", policy.name())?;
        for (users, _) in SCALES {
            let model = Model { users, ..*model };
            let mark = if is_accepted_by_cloudfront(&model, policy) { "" } else { " †" };
            write!(out, " {}{mark} |", number(bill(&usage(&model, policy)).total()))?;
        }
        writeln!(out)?;
    }
    writeln!(out, "\n† more than CloudFront accepts, on the average of a day.")
}

fn write_policies(out: &mut String, model: &Model, words: &str) -> std::fmt::Result {
    writeln!(
        out,
        "\n**{words} users**, per month. Invocations, requests, units and items are in millions.\n"
    )?;
    writeln!(
        out,
        "| policy | invocations | GB-seconds | SQS requests | write units | read units | items | Lambda | SQS | \
         DynamoDB | storage | CloudFront | dollars |"
    )?;
    writeln!(out, "|---{}|", "|---:".repeat(12))?;
    for policy in Policy::ALL {
        let used = usage(model, policy);
        let Usage { lambda_invocations, sqs_requests, write_units, read_units, items, .. } = used;
        write!(out, "| {} | {} |", policy.name(), millions(lambda_invocations))?;
        write!(out, " {} |", number(used.lambda_gigabyte_seconds))?;
        for value in [sqs_requests, write_units, read_units, items] {
            write!(out, " {} |", millions(value))?;
        }
        let bill = bill(&used);
        let Bill { lambda, sqs, dynamodb, storage, cloudfront } = bill;
        for value in [lambda, sqs, dynamodb, storage, cloudfront, bill.total()] {
            write!(out, " {} |", number(value))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn millions(value: f64) -> String {
    number(value / 1e6)
}

/// At least three significant digits, with thousands separators.
pub(super) fn number(value: f64) -> String {
    let digits = match value {
        0.0 => 0,
        value if value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        value if value >= 0.9995 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    match text.split_once('.') {
        Some((whole, part)) => {
            let part = part.trim_end_matches('0');
            if part.is_empty() { whole.to_owned() } else { format!("{whole}.{part}") }
        }
        None => group_digits(&text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_grouped() {
        for (value, expected) in [
            (0.0, "0"),
            (0.0004, "0"),
            (0.1524, "0.152"),
            (2.0, "2"),
            (9.996, "10"),
            (12.34, "12.3"),
            (99.96, "100"),
            (123.4, "123"),
            (1_000.0, "1,000"),
            (1_234_567.8, "1,234,568"),
        ] {
            assert_eq!(number(value), expected, "{value}");
        }
    }

    #[test]
    fn tables_have_a_row_for_every_size_and_policy() {
        let text = months(&Model::default());
        for (_, words) in SCALES {
            assert!(text.contains(&format!("\n| {words} | ")), "{words}:\n{text}");
            assert!(text.contains(&format!("**{words} users**")), "{words}:\n{text}");
        }
        for policy in Policy::ALL {
            let rows = text.lines().filter(|line| line.starts_with(&format!("| {} |", policy.name())));
            assert_eq!(rows.count(), 1 + SCALES.len(), "{policy:?}");
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
