//! A function as a child process, with its processor time and memory from Linux's `/proc`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::subjects::Subject;

pub struct Process {
    child: Child,
    id: u32,
    /// Processor time of each thread in nanoseconds. Threads that have ended keep their last known value.
    threads: BTreeMap<u32, u64>,
}

impl Process {
    /// Starts a subject with these environment variables and its own, and no others. Its output goes to the file `log`.
    pub fn spawn(subject: &Subject, variables: &[(String, String)], log: &Path) -> Result<Self, String> {
        let describe = |error: std::io::Error| format!("{}: {error}", subject.name);
        let log = File::create(log).map_err(describe)?;
        let mut command = Command::new(&subject.command);
        command
            .args(&subject.arguments)
            .env_clear()
            .envs(variables.iter().chain(&subject.environment).map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(describe)?)
            .stderr(log)
            .kill_on_drop(true);
        let child = command.spawn().map_err(describe)?;
        let id = child.id().ok_or_else(|| format!("{}: the process has ended", subject.name))?;
        Ok(Self { child, id, threads: BTreeMap::new() })
    }

    /// User and system time of all threads so far. Misses threads that started and ended between two calls.
    pub fn cpu(&mut self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id)).into_iter().flatten().flatten();
        for task in tasks {
            let Some(id) = task.file_name().to_str().and_then(|id| id.parse().ok()) else { continue };
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            if let Some(nanos) = cpu_nanos(&text) {
                self.threads.insert(id, nanos);
            }
        }
        Duration::from_nanos(self.threads.values().sum())
    }

    /// Peak resident memory.
    pub fn peak_mebibytes(&self) -> Option<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).ok()?;
        peak_kibibytes(&status).map(|kibibytes| kibibytes as f64 / 1024.0)
    }

    /// Waits until the process ends, and returns its exit status as text.
    pub async fn ended(&mut self) -> String {
        self.child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string())
    }

    pub async fn kill(mut self) {
        let _ = self.child.kill().await;
    }
}

/// Linux: the first number of `schedstat` is the time on a processor, in nanoseconds.
fn cpu_nanos(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

/// Linux: `VmHWM` is the peak resident memory. Its `kB` are 1,024 bytes.
fn peak_kibibytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_parsed() {
        assert_eq!(cpu_nanos("1234567 890 12\n"), Some(1_234_567));
        assert_eq!(cpu_nanos(""), None);
        assert_eq!(peak_kibibytes("VmPeak:\t  9 kB\nVmHWM:\t   15360 kB\nVmRSS:\t 1 kB\n"), Some(15_360));
        assert_eq!(peak_kibibytes("Name:\tbaseline\n"), None);
    }
}
