//! Results in Markdown. Pure.

use std::fmt::Write;

use crate::budgets::budgets;
use crate::compare::{Moved, moved, tolerance};
use crate::results::{
    CALLS, CALLS_PER_EVENT, CPU, CPU_PER_EVENT, EVENTS_PER_SECOND, FIRST_ANSWER, FIRST_NEXT, FLOOR, PEAK,
    Results, START_CALLS, START_CPU, UNITS_PER_EVENT, WARM_MEDIAN, WARM_TAIL, of_operation, of_users,
    over_tls,
};
use crate::subjects::BATCH_USERS;

/// All tables.
pub fn all(results: &Results) -> String {
    let parts =
        [machine(results), starts(results), peers(results), batches(results), calls(results), held(results)];
    parts.join("\n")
}

fn machine(results: &Results) -> String {
    let facts: Vec<String> = results.machine.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!("Medians of {} runs. {}\n", results.runs, facts.join(", "))
}

/// The floor, then the others by name, so that a function stands above its peers.
fn subjects(results: &Results) -> Vec<&str> {
    let others = results.subjects.keys().map(String::as_str).filter(|name| *name != FLOOR);
    results.subjects.get_key_value(FLOOR).map(|(name, _)| name.as_str()).into_iter().chain(others).collect()
}

/// A table whose first column is text.
fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text =
        format!("| {} |\n|---|{}\n", head.join(" | "), "---:|".repeat(head.len().saturating_sub(1)));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

fn starts(results: &Results) -> String {
    const FIGURES: [&str; 9] =
        [FIRST_NEXT, FIRST_ANSWER, START_CPU, WARM_MEDIAN, WARM_TAIL, CPU, PEAK, START_CALLS, CALLS];
    let head: Vec<&str> = ["function"].into_iter().chain(FIGURES).chain(["first answer, × echo"]).collect();
    let rows = subjects(results).into_iter().map(|name| {
        let figures = FIGURES.map(|figure| cell(results.median(name, figure)));
        let ratio = cell(results.ratio(name, FLOOR, FIRST_ANSWER));
        [name.to_owned()].into_iter().chain(figures).chain([ratio]).collect::<Vec<String>>()
    });
    format!("## Starts and warm answers\n\n{}", table(&head, rows))
}

/// The function that a peer does the work of: `a in Node.js, TLS` is a peer of `a, TLS`.
fn function_of(peer: &str) -> Option<String> {
    let (function, language) = peer.split_once(" in ")?;
    Some(if language.ends_with(", TLS") { over_tls(function) } else { function.to_owned() })
}

fn peers(results: &Results) -> String {
    const FIGURES: [&str; 5] = [FIRST_NEXT, FIRST_ANSWER, WARM_MEDIAN, CPU, PEAK];
    let head: Vec<&str> = ["peer, times ours"].into_iter().chain(FIGURES).collect();
    let rows = subjects(results).into_iter().filter_map(|peer| {
        let ours = function_of(peer)?;
        let ratios = FIGURES.map(|figure| cell(results.ratio(peer, &ours, figure)));
        Some([peer.to_owned()].into_iter().chain(ratios).collect::<Vec<String>>())
    });
    format!("## Peers\n\n{}", table(&head, rows))
}

fn batches(results: &Results) -> String {
    const FIGURES: [&str; 5] = [EVENTS_PER_SECOND, CPU_PER_EVENT, CALLS_PER_EVENT, UNITS_PER_EVENT, PEAK];
    let head: Vec<&str> =
        ["1,000 events of"].into_iter().chain(FIGURES).chain(["CPU per event, × user-stats"]).collect();
    let rows = BATCH_USERS.into_iter().flat_map(|users| {
        let has_batches =
            move |name: &&str| results.median(name, &of_users(users, EVENTS_PER_SECOND)).is_some();
        subjects(results).into_iter().filter(has_batches).map(move |name| {
            let figures = FIGURES.map(|figure| cell(results.median(name, &of_users(users, figure))));
            let ratio = cell(results.ratio(name, "user-stats", &of_users(users, CPU_PER_EVENT)));
            [format!("{users} user{}: {name}", if users == 1 { "" } else { "s" })]
                .into_iter()
                .chain(figures)
                .chain([ratio])
                .collect::<Vec<String>>()
        })
    });
    format!("## Batches\n\n{}", table(&head, rows))
}

fn calls(results: &Results) -> String {
    let by_operation = |name: &str, figure: &str| {
        let prefix = of_operation(figure, "");
        let figures = results.subjects.get(name).into_iter().flatten();
        let calls = figures.filter_map(|(figure, spread)| {
            Some(format!("{} {}", figure.strip_prefix(prefix.as_str())?, number(spread.median)))
        });
        let calls: Vec<String> = calls.collect();
        if calls.is_empty() { "none".to_owned() } else { calls.join(", ") }
    };
    let rows = subjects(results)
        .into_iter()
        .map(|name| vec![name.to_owned(), by_operation(name, START_CALLS), by_operation(name, CALLS)]);
    format!("## Calls by operation\n\n{}", table(&["function", "of the start", "of an invocation"], rows))
}

fn held(results: &Results) -> String {
    let rows = budgets(results).into_iter().map(|budget| {
        let word = match budget.is_met() {
            Some(true) => "met",
            Some(false) => "**not met**",
            None => "not measured",
        };
        vec![budget.what, cell(Some(budget.limit)), cell(budget.measured), word.to_owned()]
    });
    format!("## Budgets\n\n{}", table(&["budget", "at most", "measured", ""], rows))
}

/// What moved since the committed results.
pub fn changes(before: &Results, now: &Results) -> String {
    let moved = moved(before, now);
    if moved.is_empty() {
        return "Nothing moved beyond its tolerance since the committed results.\n".to_owned();
    }
    let rows = moved.into_iter().map(|Moved { subject, figure, before, now, by_floor }| {
        let share = tolerance(&figure).share * 100.0;
        let unit = if by_floor { format!("{figure}, × echo") } else { figure };
        vec![subject, unit, number(before), number(now), format!("±{} %", number(share))]
    });
    let head = ["function", "figure", "committed", "now", "tolerance"];
    format!("## Moved since the committed results\n\n{}", table(&head, rows))
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), number)
}

/// Three digits or so.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::medians;

    #[test]
    fn numbers_have_three_digits() {
        for (value, expected) in [
            (0.0, "0"),
            (0.01234, "0.012"),
            (0.15, "0.15"),
            (2.0, "2"),
            (3.456, "3.46"),
            (34.56, "34.6"),
            (345.6, "346"),
            (1000.0, "1000"),
        ] {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn the_floor_stands_first_and_a_peer_below_its_function() {
        let results =
            medians(&[("b", CPU, 1.0), (FLOOR, CPU, 1.0), ("b in Node.js", CPU, 8.0), ("a", CPU, 1.0)]);
        assert_eq!(subjects(&results), [FLOOR, "a", "b", "b in Node.js"]);
        assert_eq!(function_of("b in Node.js").as_deref(), Some("b"));
        assert_eq!(function_of("b in Node.js, TLS").as_deref(), Some("b, TLS"));
        assert_eq!(function_of("b"), None);
        assert!(peers(&results).contains("| b in Node.js | – | – | – | 8 | – |"), "{}", peers(&results));
    }

    #[test]
    fn every_table_is_there() {
        let results = medians(&[
            (FLOOR, FIRST_ANSWER, 4.0),
            ("pre-sign-up", FIRST_ANSWER, 10.0),
            ("pre-sign-up", "calls, SendMessage", 1.0),
            ("user-stats", "100 users: events per second", 40_000.0),
        ]);
        let text = all(&results);
        for part in [
            "| pre-sign-up | – | 10 | – | – | – | – | – | – | – | 2.5 |",
            "| pre-sign-up | none | SendMessage 1 |",
            "| 100 users: user-stats | 40000 |",
            "| pre-sign-up: spawn to first answer, times the floor | 2 | 2.5 | **not met** |",
            "| pre-sign-up: peak memory, MiB | 16 | – | not measured |",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn what_moved_is_told_with_its_tolerance() {
        let of = |value| medians(&[(FLOOR, CPU, 1.0), ("a", CPU, value)]);
        assert!(changes(&of(1.0), &of(1.1)).starts_with("Nothing moved"));
        assert!(
            changes(&of(1.0), &of(2.0)).contains("| a | CPU per invocation, ms, × echo | 1 | 2 | ±20 % |")
        );
    }
}
