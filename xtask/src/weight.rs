//! `cargo xtask weight`: the size and the instructions of the Lambda binaries, compared with
//! `tests/weight/figures.json`.
//!
//! For each binary: its bytes, its bytes in a zip file (Lambda limits the upload; our budget is
//! 4 MiB), and instructions, which valgrind's callgrind counts. A count is the same in each run,
//! unlike a time. It shows the cost of a change, not its duration.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde_json::{Value, json};

use crate::repository_root;
use crate::template::Template;

mod callgrind;
mod lambda_service;

/// The committed figures.
const FIGURES: &str = "tests/weight/figures.json";
/// Upper limit of a zipped binary, from the project's budgets.
const MAX_ZIPPED_BYTES: u64 = 4 * 1024 * 1024;
/// The figures with their tolerances. Instructions vary slightly with the processor and with hash
/// seeds.
const TOLERANCES: [(&str, f64); 4] =
    [("raw", 0.03), ("zipped", 0.03), ("instructions", 0.03), ("start", 0.05)];

/// The event that each function is invoked with, as a case in `events/<function>/`.
const EVENTS: [(&str, &str); 12] = [
    ("pre-sign-up", "sign-up"),
    ("post-confirmation", "confirm-sign-up"),
    ("pre-authentication", "authentication"),
    ("pre-token-generation", "authentication"),
    ("custom-message", "sign-up"),
    ("user-stats", "orders-of-two-users"),
    ("cache-invalidation", "changes-of-two-users"),
    ("group-membership", "changes-of-two-users"),
    ("resource-permission", "orders-shared-with-two-users"),
    ("account-activity", "admin-disable-user"),
    ("read-api", "dashboard"),
    ("user-pool-watch", "schedule"),
];

/// Compare the size and the instructions of the binaries with tests/weight/figures.json.
#[derive(Debug, Args)]
pub struct Weight {
    /// A build of sam, named after its processor, or target/release, for which only the table is
    /// printed. [default: all builds below target/sam]
    #[arg(long, value_name = "DIR")]
    build: Vec<PathBuf>,
    /// Only this function.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Write the figures to tests/weight/figures.json instead of comparing them.
    #[arg(long)]
    commit: bool,
}

/// A function's name, its resource in the template, and its event.
struct Function {
    name: String,
    resource: String,
    event: String,
}

/// The figures of one binary, by name.
type Figures = BTreeMap<&'static str, u64>;

impl Weight {
    pub fn run(self) -> Result<()> {
        let root = repository_root();
        let functions = self.functions()?;
        let builds = if self.build.is_empty() { builds_of_sam(&root)? } else { self.build };
        let path = root.join(FIGURES);
        let mut committed: Value = match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).context(FIGURES)?,
            Err(_) => json!({}),
        };
        let mut failures = Vec::new();
        for build in builds {
            let architecture = build.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let found = weigh(&build, &architecture, &functions)?;
            let (table, too_heavy) = report(&architecture, &committed[&architecture], &found);
            print(&table);
            failures.extend(too_heavy);
            if architecture != "release" {
                for (name, figures) in found {
                    for (figure, value) in figures {
                        committed[&architecture][&name][figure] = json!(value);
                    }
                }
            }
        }
        if self.commit {
            let text = serde_json::to_string_pretty(&committed)? + "\n";
            return std::fs::write(&path, text).context(FIGURES);
        }
        if failures.is_empty() {
            return Ok(());
        }
        bail!("{}\nIf the weight is justified, run `cargo xtask weight --commit`", failures.join("\n"))
    }

    fn functions(&self) -> Result<Vec<Function>> {
        let template = Template::read();
        let mut functions = Vec::new();
        for (name, (resource, _)) in template.functions() {
            if self.only.as_deref().is_some_and(|only| only != name) {
                continue;
            }
            let event = EVENTS.iter().find(|(function, _)| *function == name);
            let (_, event) = event.with_context(|| format!("{name} has no event in xtask/src/weight.rs"))?;
            functions.push(Function {
                name: name.to_owned(),
                resource: resource.to_owned(),
                event: (*event).to_owned(),
            });
        }
        if functions.is_empty() {
            bail!("--only: no function has this name");
        }
        Ok(functions)
    }
}

fn builds_of_sam(root: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.join("target/sam");
    let entries = std::fs::read_dir(&folder).context("no build in target/sam. Run tests/template/build")?;
    let mut builds: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    builds.sort();
    if builds.is_empty() {
        bail!("no build in target/sam. Run tests/template/build");
    }
    Ok(builds)
}

/// The figures of each binary of a build.
fn weigh(build: &Path, architecture: &str, functions: &[Function]) -> Result<BTreeMap<String, Figures>> {
    let counts_instructions = callgrind::can_count(architecture);
    let mut found = BTreeMap::new();
    for function in functions {
        let candidates = [build.join(&function.name), build.join(&function.resource).join("bootstrap")];
        let binary = candidates.iter().find(|path| path.is_file()).with_context(|| {
            format!("{}: no binary of {}. Run tests/template/build", build.display(), function.name)
        })?;
        let bytes = std::fs::read(binary).with_context(|| binary.display().to_string())?;
        let mut figures = Figures::from([("raw", bytes.len() as u64), ("zipped", zipped_bytes(&bytes)?)]);
        if counts_instructions {
            let event = callgrind::event(&function.name, &function.event)?;
            let (warm, start) = callgrind::instructions(binary, &event)
                .with_context(|| format!("counting the instructions of {}", function.name))?;
            figures.extend([("instructions", warm), ("start", start)]);
        }
        found.insert(function.name.clone(), figures);
    }
    Ok(found)
}

/// Size of the compressed binary, which is the size of its zip file up to some headers.
fn zipped_bytes(bytes: &[u8]) -> Result<u64> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.len() as u64)
}

/// The table of a build, and a sentence for each figure that is too large.
fn report(architecture: &str, committed: &Value, found: &BTreeMap<String, Figures>) -> (String, Vec<String>) {
    let (mut table, mut failures) = (String::new(), Vec::new());
    let _ = writeln!(
        table,
        "\n| {architecture} | bytes | zipped | instructions of a warm invocation | instructions of a start |\n\
         |---|---:|---:|---:|---:|"
    );
    for (name, figures) in found {
        let _ = write!(table, "| {name} |");
        for (figure, tolerance) in TOLERANCES {
            let (value, before) = (figures.get(figure).copied(), committed[name][figure].as_u64());
            let _ = write!(table, " {} |", cell(value, before, tolerance));
            match (value, before) {
                (Some(value), None) if architecture != "release" => failures.push(format!(
                    "{name}, {architecture}: {figure} is {value}, but {FIGURES} has no figure"
                )),
                (Some(value), Some(before)) if value as f64 > before as f64 * (1.0 + tolerance) => {
                    failures.push(format!("{name}, {architecture}: {figure} is {value}, committed {before}"))
                }
                _ => {}
            }
        }
        let _ = writeln!(table);
        let zipped = figures.get("zipped").copied().unwrap_or_default();
        if zipped > MAX_ZIPPED_BYTES {
            failures.push(format!("{name}, {architecture}: {zipped} bytes zipped, limit {MAX_ZIPPED_BYTES}"));
        }
    }
    (table, failures)
}

fn cell(value: Option<u64>, before: Option<u64>, tolerance: f64) -> String {
    let Some(value) = value else { return "–".to_owned() };
    let Some(before) = before else { return format!("{value} (no committed figure)") };
    let change = value as f64 / before as f64 - 1.0;
    if change.abs() <= tolerance { value.to_string() } else { format!("{value} ({:+.1} %)", change * 100.0) }
}

#[expect(clippy::print_stdout, reason = "the table is the output of the command")]
fn print(text: &str) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_above_the_tolerance_fail() {
        let committed =
            json!({"pre-sign-up": {"raw": 1_000, "zipped": 100, "instructions": 10, "start": 20}});
        let report = |raw, zipped| {
            let figures =
                Figures::from([("raw", raw), ("zipped", zipped), ("instructions", 10), ("start", 21)]);
            super::report("x86_64", &committed, &BTreeMap::from([("pre-sign-up".to_owned(), figures)])).1
        };
        assert_eq!(report(1_030, 100), [] as [&str; 0]);
        assert_eq!(report(1_031, 100), ["pre-sign-up, x86_64: raw is 1031, committed 1000"]);
        assert_eq!(report(1_000, 5_000_000).len(), 2, "above the committed figure and above the limit");
    }

    #[test]
    fn figure_without_a_committed_one_fails() {
        let found = BTreeMap::from([("new".to_owned(), Figures::from([("raw", 7)]))]);
        assert_eq!(
            report("x86_64", &json!({}), &found).1,
            ["new, x86_64: raw is 7, but tests/weight/figures.json has no figure"]
        );
        assert_eq!(report("release", &json!({}), &found).1, [] as [&str; 0]);
    }

    #[test]
    fn cells_show_changes_beyond_the_tolerance() {
        assert_eq!(cell(Some(102), Some(100), 0.03), "102");
        assert_eq!(cell(Some(110), Some(100), 0.03), "110 (+10.0 %)");
        assert_eq!(cell(Some(7), None, 0.03), "7 (no committed figure)");
        assert_eq!(cell(None, Some(7), 0.03), "–");
    }
}
