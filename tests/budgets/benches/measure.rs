//! Starts every release binary, the floor and the peers, again and again in turn, and prints what they take:
//! `cargo bench -p budgets -- [--runs N] [--only NAME] [--tls] [--commit]`.
//!
//! It builds the floor and itself alone. `cargo build --release` builds the functions, as they are deployed.

#![allow(clippy::print_stdout, reason = "it prints tables")]
#![allow(clippy::disallowed_methods, reason = "a measurement goes by the machine's clock")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use budgets::aws::Aws;
use budgets::budgets::budgets;
use budgets::certificates::Authority;
use budgets::measuring::{Batch, Surroundings, measure};
use budgets::options::Options;
use budgets::results::{FLOOR, Results, Samples, over_tls};
use budgets::subjects::{BATCH_USERS, Subject, Subjects, batch};
use budgets::tables;
use jiff::Timestamp;

type Failure = Box<dyn Error>;

/// A thread for everything that is asked of this process: the functions have the other processors for themselves.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(reason) => return failed(&reason.into()),
    };
    match run(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure),
    }
}

fn failed(failure: &Failure) -> ExitCode {
    eprintln!("{failure}");
    ExitCode::FAILURE
}

/// Where everything is.
struct Places {
    /// The repository.
    root: PathBuf,
    /// The release binaries.
    release: PathBuf,
    /// What the benchmark writes.
    outcome: PathBuf,
    /// Copies of the release binaries.
    deployed: PathBuf,
    /// The committed results.
    committed: PathBuf,
}

impl Places {
    fn find() -> Result<Self, Failure> {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let release = Path::new(env!("CARGO_BIN_EXE_echo")).parent().ok_or("no folder of binaries")?;
        let root = package.join("../..").canonicalize()?;
        let outcome = root.join("target/bench");
        let deployed = outcome.join("deployed");
        fs::create_dir_all(outcome.join("log"))?;
        fs::create_dir_all(&deployed)?;
        let committed = package.join("results.json");
        Ok(Self { root, release: release.to_owned(), outcome, deployed, committed })
    }

    /// A subject as it is deployed: a release binary is a file that was just written from its start to its end. Where the linker
    /// left a binary in the page cache moves its start by a fifth, in every run the same way.
    fn deploy(&self, subject: &Subject) -> Result<Subject, Failure> {
        let mut subject = subject.clone();
        if let Ok(name) = subject.command.strip_prefix(&self.release) {
            let deployed = self.deployed.join(name);
            let _ = fs::remove_file(&deployed);
            fs::copy(&subject.command, &deployed)?;
            fs::File::open(&deployed)?.sync_all()?; // Not while something is measured.
            subject.command = deployed;
        }
        Ok(subject)
    }

    fn log(&self, subject: &str) -> PathBuf {
        self.outcome.join("log").join(subject.replace([' ', ','], "-")).with_extension("txt")
    }
}

async fn run(options: &Options) -> Result<(), Failure> {
    let places = Places::find()?;
    let found = Subjects::find(&places.root, &places.release);
    if !found.missing.is_empty() {
        let missing = found.missing.join(", ");
        return Err(format!("not in {}: {missing}. cargo build --release", places.release.display()).into());
    }
    for sentence in &found.skipped {
        eprintln!("skipped: {sentence}");
    }
    if options.commit && !found.skipped.is_empty() {
        return Err("--commit: the figures of what is skipped would be lost".into());
    }
    let mut surroundings = vec![Surroundings { aws: Aws::start(None).await, trusted: None }];
    if options.tls {
        let Authority { acceptor, trusted } = Authority::create(&places.outcome.join("tls"))?;
        if trusted.with_system.is_none() {
            return Err(
                "--tls: the system has no bundle of certificates (apt install ca-certificates)".into()
            );
        }
        let aws = Aws::start(Some(acceptor)).await;
        surroundings.push(Surroundings { aws, trusted: Some(trusted) });
    }
    let subjects: Vec<&Subject> =
        found.found.iter().filter(|subject| subject.name == FLOOR || options.wants(&subject.name)).collect();
    if let (Some(only), [_]) = (&options.only, subjects.as_slice()) {
        return Err(format!("--only {only}: no subject has that in its name").into());
    }

    let samples = in_turn(options, &places, &subjects, &surroundings).await?;
    let results =
        Results { machine: machine(&found.versions), runs: options.runs, subjects: samples.spreads() };
    // A part does not take the place of the whole.
    let fresh = places.outcome.join(if options.only.is_some() { "only.json" } else { "results.json" });
    fs::write(&fresh, serde_json::to_string_pretty(&results)? + "\n")?;
    println!("{}", tables::all(&results));
    tell_changes(&places.committed, &results)?;
    println!("Written to {}", fresh.display());
    if options.commit {
        fs::copy(&fresh, &places.committed)?;
        println!("and to {}", places.committed.display());
    }
    let unmet = budgets(&results).iter().filter(|budget| budget.is_met() == Some(false)).count();
    if unmet > 0 { Err(format!("budgets that are not met: {unmet}").into()) } else { Ok(()) }
}

/// Measures each subject once in every run, so that what drifts drifts for all, and each run begins with another one: what ran
/// before leaves the caches as it needs them. Each run has new copies of the binaries. The first is for the page cache, and is not
/// counted.
async fn in_turn(
    options: &Options,
    places: &Places,
    subjects: &[&Subject],
    surroundings: &[Surroundings],
) -> Result<Samples, Failure> {
    let mut samples = Samples::default();
    for run in 0..=options.runs {
        eprintln!("run {run} of {}{}", options.runs, if run == 0 { ", not counted" } else { "" });
        let batches: Vec<Batch> =
            BATCH_USERS.map(|users| (users, batch(users, run, Timestamp::now()))).into();
        let subjects =
            subjects.iter().map(|subject| places.deploy(subject)).collect::<Result<Vec<_>, _>>()?;
        let all =
            surroundings.iter().flat_map(|around| subjects.iter().map(move |subject| (around, subject)));
        // The floor calls nobody.
        let turns: Vec<(&Surroundings, &Subject)> =
            all.filter(|(around, subject)| around.trusted.is_none() || subject.name != FLOOR).collect();
        let first = turns.len() * run / (options.runs + 1);
        for (around, subject) in turns[first..].iter().chain(&turns[..first]) {
            let is_tls = around.trusted.is_some();
            let name = if is_tls { over_tls(&subject.name) } else { subject.name.clone() };
            // Batches over TLS take what they take without: the connection is open by then.
            let batches: &[Batch] = if is_tls { &[] } else { batches.as_slice() };
            let figures = measure(subject, around, batches, &places.log(&name)).await?;
            if run > 0 {
                samples.add(&name, figures);
            }
        }
    }
    Ok(samples)
}

fn tell_changes(committed: &Path, results: &Results) -> Result<(), Failure> {
    if !committed.exists() {
        println!("No results are committed yet: --commit");
        return Ok(());
    }
    let before: Results = serde_json::from_slice(&fs::read(committed)?)?;
    println!("{}", tables::changes(&before, results));
    Ok(())
}

/// What the figures depend on.
fn machine(versions: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
    let information = read("/proc/cpuinfo");
    let model = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let mut machine = versions.clone();
    machine.insert("processors".to_owned(), processors.to_string());
    machine.insert("processor".to_owned(), model.map_or("unknown", |(_, model)| model).to_owned());
    let release = read("/proc/sys/kernel/osrelease");
    let major_and_minor: Vec<&str> = release.split('.').take(2).collect();
    machine.insert("Linux".to_owned(), major_and_minor.join("."));
    machine
}
