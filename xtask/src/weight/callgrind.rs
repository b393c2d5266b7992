//! Counting the instructions of a function with valgrind's callgrind.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::lambda_service::LambdaService;
use crate::{environment_variable, now, repository_root, unix_milliseconds};

/// Invocations of two runs. Their difference leaves out what is built once per process.
const FEW: u64 = 20;
const MANY: u64 = 120;
/// Upper limit of a run. A function that does not end is killed.
const TIMEOUT: Duration = Duration::from_secs(300);

/// True if instructions can be counted: valgrind is installed, and the build is for this processor.
#[expect(clippy::print_stdout, reason = "the log says why the column is empty")]
pub fn can_count(architecture: &str) -> bool {
    let version =
        Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let valgrind = version.is_ok_and(|status| status.success());
    let own = std::env::consts::ARCH.replace("aarch64", "arm64");
    if !valgrind {
        println!("instructions: not counted, because valgrind is not installed");
    } else if architecture != "release" && architecture != own {
        println!("instructions: not counted, because this machine's processor is not {architecture}");
    }
    valgrind && (architecture == "release" || architecture == own)
}

/// A function's event. Messages get the current time, and a token is valid for an hour, because the
/// functions use the machine's clock.
pub fn event(function: &str, case: &str) -> Result<String> {
    let path = repository_root().join(format!("events/{function}/{case}.json"));
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut event: Value = serde_json::from_str(&text)?;
    for record in event.get_mut("Records").and_then(Value::as_array_mut).into_iter().flatten() {
        let mut body: Value = serde_json::from_str(record["body"].as_str().unwrap_or_default())?;
        body["time"] = now().into();
        if body["data"].get("changed_at").is_some() {
            body["data"]["changed_at"] = now().into();
        }
        record["attributes"]["SentTimestamp"] = unix_milliseconds().to_string().into();
        record["body"] = body.to_string().into();
    }
    if let Some(exp) = event.pointer_mut("/requestContext/authorizer/jwt/claims/exp") {
        *exp = (unix_milliseconds() / 1000 + 3600).to_string().into();
    }
    Ok(event.to_string())
}

/// Instructions of a warm invocation, and of a process that handles one event.
pub fn instructions(binary: &Path, event: &str) -> Result<(u64, u64)> {
    let start = count(binary, event, 1)?;
    let (few, many) = (count(binary, event, FEW)?, count(binary, event, MANY)?);
    Ok(((many - few) / (MANY - FEW), start))
}

/// Instructions of a process from its start to its end, with this number of invocations.
fn count(binary: &Path, event: &str, invocations: u64) -> Result<u64> {
    let service = LambdaService::start(event.to_owned(), invocations)?;
    let folder = tempfile::tempdir()?;
    let (file, log) = (folder.path().join("callgrind.out"), folder.path().join("log"));
    let mut command = Command::new("valgrind");
    command
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(binary)
        .env_clear()
        .env("PATH", environment_variable("PATH").unwrap_or_default())
        .envs(service.environment());
    // The service closes the connection after the last answer, so that the function ends.
    let output = File::create(&log)?;
    let mut process =
        command.stdout(output.try_clone()?).stderr(output).spawn().context("running valgrind")?;
    let started = Instant::now();
    while process.try_wait()?.is_none() && started.elapsed() < TIMEOUT {
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = process.kill();
    process.wait()?;
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    match (total, service.problem(invocations)) {
        (Some(total), None) => Ok(total),
        (_, problem) => bail!(
            "{}\n{}",
            problem.unwrap_or_else(|| "callgrind wrote no total".to_owned()),
            std::fs::read_to_string(&log).unwrap_or_default()
        ),
    }
}
