//! Results as Markdown. Pure.

use std::fmt::Write;

use crate::budgets::budgets;
use crate::compare::{Change, changes, tolerance};
use crate::results::{
    BASELINE, CALLS, CALLS_PER_EVENT, CPU_PER_EVENT, EVENTS_PER_SECOND, FIRST_ANSWER, INIT, INVOCATION_CPU,
    PEAK_MEMORY, Results, STARTUP_CALLS, STARTUP_CPU, WARM_P50, WARM_P99, WRITE_UNITS_PER_EVENT,
    of_operation, of_users, over_tls,
};
use crate::subjects::BATCH_USERS;

/// The page `docs/results.md`.
pub fn page(results: &Results) -> String {
    let parts = [
        introduction(results),
        startup(results),
        startup_over_tls(results),
        peers(results),
        batches(results),
        calls(results),
        budget_table(results),
    ];
    parts.join("\n")
}

fn introduction(results: &Results) -> String {
    let machine: Vec<String> =
        results.machine.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let (date, runs, machine) = (&results.date, results.runs, machine.join(", "));
    format!(
        "# Benchmark results

<!-- Generated from tests/budgets/results.json. `cargo bench -p budgets -- --tls --commit` measures and writes both files. \
         `cargo bench -p budgets -- --page` writes this page only. -->

Measured on {date} with `cargo bench -p budgets -- --tls --commit`.
Each figure is the median of {runs} runs.
Machine: {machine}.

[performance.md](performance.md) says what follows from the figures and how to measure.

| figure | meaning |
|---|---|
| {INIT} | from spawn to the first request for an event, which ends Lambda's init phase |
| {FIRST_ANSWER} | from spawn to the first answer |
| {STARTUP_CPU} | processor time from spawn until the function has answered the first event and requests the second |
| {WARM_P50}, {WARM_P99} | from event to answer, when warm |
| {INVOCATION_CPU} | processor time of a warm invocation |
| {PEAK_MEMORY} | peak resident memory |
| {STARTUP_CALLS} | AWS calls until the first answer, including calls that only open connections |
| {CALLS} | AWS calls of a warm invocation |

`{BASELINE}` is a Lambda function in Rust that returns its event.
“In Node.js”, “in Node.js bundled”, “in Python” and “in Powertools” are the [peers](../tests/peers/README.md).
"
    )
}

/// The baseline first, then each function followed by its peers. A subject over TLS follows the same subject without.
fn subjects(results: &Results) -> Vec<&str> {
    let mut subjects: Vec<&str> = results.subjects.keys().map(String::as_str).collect();
    subjects.sort_by_key(|name| (*name != BASELINE, without_tls(name), is_over_tls(name)));
    subjects
}

fn is_over_tls(subject: &str) -> bool {
    subject.ends_with(&over_tls(""))
}

fn without_tls(subject: &str) -> &str {
    subject.strip_suffix(&over_tls("")).unwrap_or(subject)
}

/// A table with text in its first column and numbers in the others.
fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text =
        format!("| {} |\n|---|{}\n", head.join(" | "), "---:|".repeat(head.len().saturating_sub(1)));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

fn startup(results: &Results) -> String {
    format!("## Startup and warm invocations\n\nOver plain HTTP.\n\n{}", startup_table(results, false))
}

fn startup_over_tls(results: &Results) -> String {
    format!(
        "## Startup and warm invocations over TLS

The last column compares with the baseline above: the baseline calls no service.
In an AWS account, each TLS handshake takes longer by the network's round trips.

{}",
        startup_table(results, true)
    )
}

fn startup_table(results: &Results, tls: bool) -> String {
    const FIGURES: [&str; 9] = [
        INIT,
        FIRST_ANSWER,
        STARTUP_CPU,
        WARM_P50,
        WARM_P99,
        INVOCATION_CPU,
        PEAK_MEMORY,
        STARTUP_CALLS,
        CALLS,
    ];
    let ratio_head = format!("{}, × {BASELINE}", FIRST_ANSWER.trim_end_matches(", ms"));
    let head: Vec<&str> = ["function"].into_iter().chain(FIGURES).chain([ratio_head.as_str()]).collect();
    let rows = subjects(results).into_iter().filter(|name| is_over_tls(name) == tls).map(|name| {
        let figures = FIGURES.map(|figure| cell(results.median(name, figure)));
        let ratio = cell(results.ratio(name, BASELINE, FIRST_ANSWER));
        [without_tls(name).to_owned()].into_iter().chain(figures).chain([ratio]).collect::<Vec<String>>()
    });
    table(&head, rows)
}

/// The function that a peer replaces: `a` for `a in Node.js`, and `a, TLS` for `a in Node.js, TLS`.
fn function_of(peer: &str) -> Option<String> {
    let (function, _) = peer.split_once(" in ")?;
    Some(if is_over_tls(peer) { over_tls(function) } else { function.to_owned() })
}

fn peers(results: &Results) -> String {
    const FIGURES: [&str; 5] = [INIT, FIRST_ANSWER, WARM_P50, INVOCATION_CPU, PEAK_MEMORY];
    let head: Vec<&str> = ["peer"].into_iter().chain(FIGURES.map(without_unit)).collect();
    let rows = subjects(results).into_iter().filter_map(|peer| {
        let function = function_of(peer)?;
        let ratios = FIGURES.map(|figure| cell(results.ratio(peer, &function, figure)));
        Some([peer.to_owned()].into_iter().chain(ratios).collect::<Vec<String>>())
    });
    format!(
        "## Peers

The figure of the peer divided by the figure of the function in this repository.

{}",
        table(&head, rows)
    )
}

fn batches(results: &Results) -> String {
    const FIGURES: [&str; 5] =
        [EVENTS_PER_SECOND, CPU_PER_EVENT, CALLS_PER_EVENT, WRITE_UNITS_PER_EVENT, PEAK_MEMORY];
    let head: Vec<&str> =
        ["users, function"].into_iter().chain(FIGURES).chain(["CPU per event, × user-stats"]).collect();
    let rows = BATCH_USERS.into_iter().flat_map(|users| {
        let has_batches =
            move |name: &&str| results.median(name, &of_users(users, EVENTS_PER_SECOND)).is_some();
        subjects(results).into_iter().filter(has_batches).map(move |name| {
            let figures = FIGURES.map(|figure| cell(results.median(name, &of_users(users, figure))));
            let ratio = cell(results.ratio(name, "user-stats", &of_users(users, CPU_PER_EVENT)));
            let unit = if users == 1 { "user" } else { "users" };
            [format!("{} {unit}: {name}", number(users as f64))]
                .into_iter()
                .chain(figures)
                .chain([ratio])
                .collect::<Vec<String>>()
        })
    });
    format!(
        "## Batches

One invocation with 1,000 events, spread evenly over the given number of users.
Write units are calculated from the requests.

{}",
        table(&head, rows)
    )
}

fn calls(results: &Results) -> String {
    let by_operation = |name: &str, figure: &str| {
        let prefix = of_operation(figure, "");
        let figures = results.subjects.get(name).into_iter().flatten();
        let calls = figures.filter_map(|(figure, quartiles)| {
            Some(format!("{} {}", figure.strip_prefix(prefix.as_str())?, number(quartiles.median)))
        });
        let calls: Vec<String> = calls.collect();
        if calls.is_empty() { "none".to_owned() } else { calls.join(", ") }
    };
    let rows = subjects(results)
        .into_iter()
        .filter(|name| !is_over_tls(name))
        .map(|name| vec![name.to_owned(), by_operation(name, STARTUP_CALLS), by_operation(name, CALLS)]);
    let head = ["function", STARTUP_CALLS, CALLS];
    format!(
        "## AWS calls by operation\n\n{}",
        table(&head, rows).replacen("|---|---:|---:|", "|---|---|---|", 1)
    )
}

fn budget_table(results: &Results) -> String {
    let rows = budgets(results).into_iter().map(|budget| {
        let status = match budget.is_met() {
            Some(true) => "met",
            Some(false) => "**not met**",
            None => "not measured",
        };
        vec![budget.name, cell(Some(budget.limit)), cell(budget.measured), status.to_owned()]
    });
    format!(
        "## Budgets

Over plain HTTP.
“× Node.js” compares with the faster of the two Node.js peers.

{}",
        table(&["budget", "limit", "measured", "status"], rows)
    )
}

/// A table of the changes since the committed results.
pub fn comparison(before: &Results, now: &Results) -> String {
    let changes = changes(before, now);
    if changes.is_empty() {
        return "No figure changed by more than its tolerance since the committed results.\n".to_owned();
    }
    let rows = changes.into_iter().map(|Change { subject, figure, before, now, is_ratio }| {
        let tolerance = format!("±{} %", number(tolerance(&figure).share * 100.0));
        let figure = if is_ratio { format!("{}, × {BASELINE}", without_unit(&figure)) } else { figure };
        vec![subject, figure, number(before), number(now), tolerance]
    });
    let head = ["function", "figure", "committed", "now", "tolerance"];
    format!("## Changes since the committed results\n\n{}", table(&head, rows))
}

fn without_unit(figure: &str) -> &str {
    figure.strip_suffix(", ms").or(figure.strip_suffix(", MiB")).unwrap_or(figure)
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), number)
}

/// Three significant digits, or all digits before the decimal point, in groups of three.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let mut grouped = String::new();
    for (index, digit) in text.chars().enumerate() {
        if index > 0 && (text.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::medians;

    #[test]
    fn numbers_have_three_significant_digits() {
        for (value, expected) in [
            (0.0, "0"),
            (0.01234, "0.012"),
            (0.15, "0.15"),
            (2.0, "2"),
            (3.456, "3.46"),
            (34.56, "34.6"),
            (345.6, "346"),
            (1000.0, "1,000"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn peers_follow_their_function() {
        let names = ["a", "b in Node.js, TLS", "b in Node.js", "b, TLS", "b", BASELINE];
        let results = medians(&names.map(|name| (name, INVOCATION_CPU, 1.0)));
        let expected = [BASELINE, "a", "b", "b, TLS", "b in Node.js", "b in Node.js, TLS"];
        assert_eq!(subjects(&results), expected);
    }

    #[test]
    fn peers_are_compared_with_their_function() {
        assert_eq!(function_of("b in Node.js").as_deref(), Some("b"));
        assert_eq!(function_of("b in Node.js, TLS").as_deref(), Some("b, TLS"));
        assert_eq!(function_of("b"), None);
        let results = medians(&[("b", INVOCATION_CPU, 2.0), ("b in Node.js", INVOCATION_CPU, 16.0)]);
        assert!(peers(&results).contains("| b in Node.js | – | – | – | 8 | – |"), "{}", peers(&results));
    }

    #[test]
    fn page_contains_every_table() {
        let results = medians(&[
            (BASELINE, FIRST_ANSWER, 4.0),
            ("pre-sign-up", FIRST_ANSWER, 10.0),
            ("pre-sign-up, TLS", FIRST_ANSWER, 12.0),
            ("pre-sign-up", "calls, SendMessage", 1.0),
            ("user-stats", "100 users: events per second", 40_000.0),
        ]);
        let text = page(&results);
        for part in [
            "| pre-sign-up | – | 10 | – | – | – | – | – | – | – | 2.5 |",
            "| pre-sign-up | – | 12 | – | – | – | – | – | – | – | 3 |",
            "| pre-sign-up | none | SendMessage 1 |",
            "| 100 users: user-stats | 40,000 |",
            "| pre-sign-up: first answer, × baseline | 2 | 2.5 | **not met** |",
            "| pre-sign-up: peak memory, MiB | 16 | – | not measured |",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn committed_page_shows_the_committed_results() {
        let results = serde_json::from_str(include_str!("../results.json")).unwrap();
        let is_current = include_str!("../../../docs/results.md") == page(&results);
        assert!(is_current, "docs/results.md is stale. Run: cargo bench -p budgets -- --page");
    }

    #[test]
    fn comparison_shows_changes_with_their_tolerance() {
        let results = |value| medians(&[(BASELINE, INVOCATION_CPU, 1.0), ("a", INVOCATION_CPU, value)]);
        let unchanged = comparison(&results(1.0), &results(1.1));
        assert!(unchanged.starts_with("No figure changed"), "{unchanged}");
        let changed = comparison(&results(1.0), &results(2.0));
        assert!(changed.contains("| a | CPU per invocation, × baseline | 1 | 2 | ±20 % |"), "{changed}");
    }
}
