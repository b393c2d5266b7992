//! Starts every release binary, the baseline and the peers several times and prints their figures:
//! `cargo bench -p budgets -- [--runs N] [--only NAME] [--tls] [--commit]`.
//!
//! Cargo builds only this program and the baseline. Run `cargo build --release` before, to build the functions as they
//! are deployed.

#![allow(clippy::print_stdout, reason = "prints tables")]
#![allow(clippy::disallowed_methods, reason = "a benchmark needs the system clock")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use budgets::aws::Aws;
use budgets::budgets::budgets;
use budgets::certificates::Authority;
use budgets::measurement::{Backend, Batch, measure};
use budgets::options::Options;
use budgets::results::{BASELINE, Results, Samples, over_tls};
use budgets::subjects::{BATCH_USERS, Subject, Subjects, batch};
use budgets::tables;
use jiff::Timestamp;

type BoxError = Box<dyn Error>;

/// One thread serves the Runtime API and AWS. The other processors are free for the function that is measured.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), BoxError> {
    let options = Options::parse(std::env::args().skip(1))?;
    let paths = Paths::find()?;
    if options.page {
        return write_page(&paths, &committed_results(&paths)?);
    }
    let found = Subjects::find(&paths.root, &paths.release);
    if !found.missing.is_empty() {
        let (missing, folder) = (found.missing.join(", "), paths.release.display());
        return Err(format!("{folder}: {missing} missing. Run: cargo build --release").into());
    }
    for reason in &found.skipped {
        eprintln!("skipped: {reason}");
    }
    if options.commit && !found.skipped.is_empty() {
        return Err("--commit would delete the figures of the skipped peers. Install the peers".into());
    }
    let mut backends = vec![Backend { aws: Aws::start(None).await, trusted: None }];
    if options.tls {
        let Authority { acceptor, trusted } = Authority::create(&paths.output.join("tls"))?;
        if trusted.with_system.is_none() {
            return Err(
                "--tls: the system has no bundle of certificates. Run: apt install ca-certificates".into()
            );
        }
        backends.push(Backend { aws: Aws::start(Some(acceptor)).await, trusted: Some(trusted) });
    }
    let subjects: Vec<&Subject> = found
        .found
        .iter()
        .filter(|subject| subject.name == BASELINE || options.selects(&subject.name))
        .collect();
    if let (Some(only), [_]) = (&options.only, subjects.as_slice()) {
        return Err(format!("--only {only}: no name of a subject contains this text").into());
    }

    let samples = measure_all(&options, &paths, &subjects, &backends).await?;
    let results = Results {
        date: Timestamp::now().strftime("%F").to_string(),
        machine: machine(&found.versions),
        runs: options.runs,
        subjects: samples.quartiles(),
    };
    println!("{}", tables::page(&results));
    print_changes(&paths, &results)?;
    // Partial results do not replace complete ones.
    let file = paths.output.join(if options.only.is_some() { "only.json" } else { "results.json" });
    fs::write(&file, serde_json::to_string_pretty(&results)? + "\n")?;
    println!("Wrote {}", file.display());
    if options.commit {
        fs::copy(&file, &paths.committed)?;
        println!("Wrote {}", paths.committed.display());
        write_page(&paths, &results)?;
    }
    let unmet = budgets(&results).iter().filter(|budget| budget.is_met() == Some(false)).count();
    if unmet > 0 { Err(format!("budgets not met: {unmet}").into()) } else { Ok(()) }
}

struct Paths {
    /// The repository.
    root: PathBuf,
    /// The release binaries.
    release: PathBuf,
    /// Files that the benchmark writes.
    output: PathBuf,
    /// Copies of the release binaries.
    copies: PathBuf,
    /// The committed results.
    committed: PathBuf,
    /// The committed results as a page.
    page: PathBuf,
}

impl Paths {
    fn find() -> Result<Self, BoxError> {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let release =
            Path::new(env!("CARGO_BIN_EXE_baseline")).parent().ok_or("the baseline has no folder")?;
        let root = package.join("../..").canonicalize()?;
        let output = root.join("target/bench");
        let copies = output.join("copies");
        fs::create_dir_all(output.join("log"))?;
        fs::create_dir_all(&copies)?;
        let (committed, page) = (package.join("results.json"), root.join("docs/results.md"));
        Ok(Self { root, release: release.to_owned(), output, copies, committed, page })
    }

    /// Copies the binary of a subject. The place of a file in the page cache moves its startup time by up to a fifth, and
    /// the place that the linker left it in would be the same in every run.
    fn copy_binary(&self, subject: &Subject) -> Result<Subject, BoxError> {
        let mut subject = subject.clone();
        if let Ok(name) = subject.command.strip_prefix(&self.release) {
            let copy = self.copies.join(name);
            let _ = fs::remove_file(&copy);
            fs::copy(&subject.command, &copy)?;
            fs::File::open(&copy)?.sync_all()?; // Otherwise the kernel writes it to disk during a measurement.
            subject.command = copy;
        }
        Ok(subject)
    }

    /// The file for the output of a subject.
    fn log(&self, subject: &str) -> PathBuf {
        self.output.join("log").join(subject.replace([' ', ','], "-")).with_extension("txt")
    }
}

/// Measures each subject once in every run, so that a drift of the machine affects all subjects. Each run begins with
/// another subject, because each subject starts with the processor caches that the one before left. Run 0 fills the
/// page cache and is not counted.
async fn measure_all(
    options: &Options,
    paths: &Paths,
    subjects: &[&Subject],
    backends: &[Backend],
) -> Result<Samples, BoxError> {
    let mut samples = Samples::default();
    for run in 0..=options.runs {
        eprintln!("run {run} of {}{}", options.runs, if run == 0 { ", not counted" } else { "" });
        let batches: Vec<Batch> =
            BATCH_USERS.map(|users| (users, batch(users, run, Timestamp::now()))).into();
        let subjects =
            subjects.iter().map(|subject| paths.copy_binary(subject)).collect::<Result<Vec<_>, _>>()?;
        let all = backends.iter().flat_map(|backend| subjects.iter().map(move |subject| (backend, subject)));
        // The baseline calls no service, so TLS makes no difference.
        let turns: Vec<(&Backend, &Subject)> =
            all.filter(|(backend, subject)| backend.trusted.is_none() || subject.name != BASELINE).collect();
        let first = turns.len() * run / (options.runs + 1);
        for (backend, subject) in turns[first..].iter().chain(&turns[..first]) {
            let is_tls = backend.trusted.is_some();
            let name = if is_tls { over_tls(&subject.name) } else { subject.name.clone() };
            // The connection is open before the first batch, so TLS makes little difference.
            let batches: &[Batch] = if is_tls { &[] } else { batches.as_slice() };
            let figures = measure(subject, backend, batches, &paths.log(&name)).await?;
            if run > 0 {
                samples.add(&name, figures);
            }
        }
    }
    Ok(samples)
}

fn committed_results(paths: &Paths) -> Result<Results, BoxError> {
    Ok(serde_json::from_slice(&fs::read(&paths.committed)?)?)
}

fn write_page(paths: &Paths, results: &Results) -> Result<(), BoxError> {
    fs::write(&paths.page, tables::page(results))?;
    println!("Wrote {}", paths.page.display());
    Ok(())
}

fn print_changes(paths: &Paths, results: &Results) -> Result<(), BoxError> {
    if paths.committed.exists() {
        println!("{}", tables::comparison(&committed_results(paths)?, results));
    } else {
        println!("There are no committed results to compare with. --commit creates them.");
    }
    Ok(())
}

/// What the figures depend on: processor, kernel, and versions of Node.js and Python.
fn machine(versions: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
    let information = read("/proc/cpuinfo");
    let model = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let mut machine = versions.clone();
    let model = model.map_or("unknown", |(_, model)| model);
    machine.insert("processors".to_owned(), format!("{processors} × {model}"));
    let release = read("/proc/sys/kernel/osrelease");
    let major_and_minor: Vec<&str> = release.split('.').take(2).collect();
    machine.insert("Linux".to_owned(), major_and_minor.join("."));
    machine
}
