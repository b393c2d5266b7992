//! The cost model uses measured figures, and the docs show what it prints.

use std::path::{Path, PathBuf};
use std::process::Command;

use sandbox::costs::assumptions::{
    CALLS_PER_TRIGGER, EVENT_CPU_MILLISECONDS, EventKind, TRIGGER_CPU_MILLISECONDS, calls_per_batch,
    write_units,
};
use serde_json::Value;

/// Events of the batches that are measured.
const EVENTS: usize = 1_000;
/// Calls are counted, so runs do not differ.
const CALLS_TOLERANCE: f64 = 0.01;
/// An item may be slightly larger than a kilobyte.
const UNITS_TOLERANCE: f64 = 0.1;
/// Machines differ, and so do runs.
const CPU_FACTOR: f64 = 2.0;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file of the repository. Fails with the command that creates it.
fn read(path: &str, made_by: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}. {made_by}"))
}

fn costs(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox-under-test"));
    let output = command.current_dir(root()).arg("costs").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn figures_of_the_model_agree_with_the_measured_ones() {
    let made_by = "cargo build --release && cargo bench -p budgets -- --tls --commit";
    let results: Value = serde_json::from_str(&read("tests/budgets/results.json", made_by)).unwrap();
    let median = |subject: &str, figure: &str| {
        let median = results["subjects"][subject][figure]["median"].as_f64();
        median.unwrap_or_else(|| panic!("{subject}: no figure {figure}. {made_by}"))
    };
    let assert_near = |what: &str, constant: f64, measured: f64, tolerance: f64| {
        let difference = (constant - measured).abs();
        assert!(difference <= tolerance * measured, "{what}: {constant}, measured {measured}");
    };
    for users in [1, 10, 100, 1_000] {
        let calls = calls_per_batch(users, EVENTS / users) as f64 / EVENTS as f64;
        let figure = format!("{users} users: calls per event");
        assert_near(&figure, calls, median("user-stats", &figure), CALLS_TOLERANCE);
        let figure = format!("{users} users: write units per event");
        let units = write_units(EVENTS / users, EventKind::Listed);
        assert_near(&figure, units, median("user-stats", &figure), UNITS_TOLERANCE);
    }
    let triggers = ["pre-authentication", "pre-token-generation"];
    for trigger in triggers {
        let calls = median(trigger, "calls");
        assert_near(&format!("{trigger}: calls"), CALLS_PER_TRIGGER, calls, CALLS_TOLERANCE);
    }
    let cpu = triggers.map(|trigger| median(trigger, "CPU per invocation, ms"));
    for (what, constant, measured) in [
        ("CPU of a trigger, ms", TRIGGER_CPU_MILLISECONDS, cpu[0].max(cpu[1])),
        (
            "CPU of an event, ms",
            EVENT_CPU_MILLISECONDS,
            median("user-stats", "1000 users: CPU per event, ms"),
        ),
    ] {
        let factor = (constant / measured).max(measured / constant);
        assert!(factor <= CPU_FACTOR, "{what}: {constant}, measured {measured}");
    }
}

/// Fails unless a page shows what a command prints, between two comments with the command.
#[track_caller]
fn assert_shown(path: &str, arguments: &[&str]) {
    let command = [&["cargo sandbox costs"], arguments].concat().join(" ");
    let page = read(path, &format!("It shows what `{command}` prints"));
    let (begin, end) = (format!("<!-- {command} -->\n"), format!("<!-- end of {command} -->"));
    let shown = page.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end));
    let (shown, _) = shown.unwrap_or_else(|| panic!("{path} has no comments {begin}{end}"));
    let printed = costs(arguments);
    assert!(shown.trim() == printed.trim(), "{path} does not show what `{command}` prints:\n{printed}");
}

#[test]
fn capacity_md_shows_the_printed_tables() {
    assert_shown("docs/capacity.md", &["--months"]);
}

#[test]
fn costs_md_shows_the_printed_tables() {
    assert_shown("docs/costs.md", &[]);
}

#[test]
fn costs_md_shows_the_table_that_the_defaults_were_chosen_from() {
    assert_shown("docs/costs.md", &["--settings"]);
}

#[test]
fn when_caching_pays_md_shows_the_printed_tables() {
    assert_shown("docs/when-caching-pays.md", &["--pays"]);
}

#[test]
fn account_events_md_shows_the_printed_table() {
    assert_shown("docs/account-events.md", &["--account-events"]);
}

#[test]
fn price_of_a_page_changes_the_dollars_of_pages_only() {
    let price = |dollars: &str| costs(&["--users", "500", "--origin-dollars-per-million", dollars]);
    let (cheap, expensive) = (price("0"), price("1000"));
    let row = |text: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.starts_with("| no cache |")).expect("a row");
        line.split(" | ").map(|cell| cell.trim_end_matches(" |").to_owned()).collect()
    };
    let (cheap, expensive) = (row(&cheap), row(&expensive));
    assert_eq!(cheap[..cheap.len() - 2], expensive[..expensive.len() - 2]);
    let pages = |row: &[String]| row[row.len() - 2].parse::<f64>().unwrap();
    assert_eq!(pages(&cheap), 0.0);
    assert!((20.0..60.0).contains(&pages(&expensive)), "{expensive:?}");
    for invalid in ["-1", "x", "NaN"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox-under-test"));
        let option = format!("--origin-dollars-per-million={invalid}");
        assert_eq!(command.args(["costs", &option]).output().unwrap().status.code(), Some(2), "{invalid}");
    }
}

#[test]
fn pictures_in_the_docs_are_up_to_date() {
    let made_by = "cargo sandbox costs --plot docs/images";
    let folder = tempfile::tempdir().unwrap();
    costs(&["--plot", folder.path().to_str().unwrap()]);
    let mut names = Vec::new();
    for drawn in std::fs::read_dir(folder.path()).unwrap() {
        let drawn = drawn.unwrap();
        let path = format!("docs/images/{}", drawn.file_name().to_str().unwrap());
        let picture = std::fs::read_to_string(drawn.path()).unwrap();
        assert!(read(&path, made_by) == picture, "{path} is stale: {made_by}");
        names.push(path);
    }
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn users_and_months_exclude_each_other() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox-under-test"));
    let output = command.args(["costs", "--months", "--users", "5"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
