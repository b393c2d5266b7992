//! A function as a child process: its processor time and its memory, as Linux tells them in `/proc`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::subjects::Subject;

/// A running function.
pub struct Process {
    child: Child,
    id: u32,
    /// The processor time of each thread, in nanoseconds; those that have ended keep what was seen last.
    threads: BTreeMap<u32, u64>,
}

impl Process {
    /// Starts a subject with these variables beside its own, and no others. What it writes goes to a file.
    pub fn spawn(subject: &Subject, variables: &[(String, String)], log: &Path) -> Result<Self, String> {
        let said = |error: std::io::Error| format!("{}: {error}", subject.name);
        let log = File::create(log).map_err(said)?;
        let mut command = Command::new(&subject.command);
        command
            .args(&subject.arguments)
            .env_clear()
            .envs(variables.iter().chain(&subject.environment).map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(said)?)
            .stderr(log)
            .kill_on_drop(true);
        let child = command.spawn().map_err(said)?;
        let id = child.id().ok_or_else(|| format!("{}: has ended", subject.name))?;
        Ok(Self { child, id, threads: BTreeMap::new() })
    }

    /// Its processor time so far, user and system, of all threads. Threads that came and went unseen are not in it.
    pub fn cpu(&mut self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id)).into_iter().flatten().flatten();
        for task in tasks {
            let Some(id) = task.file_name().to_str().and_then(|id| id.parse().ok()) else { continue };
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            if let Some(nanos) = on_processor(&text) {
                self.threads.insert(id, nanos);
            }
        }
        Duration::from_nanos(self.threads.values().sum())
    }

    /// The most memory that was ever resident, in mebibytes.
    pub fn peak_mebibytes(&self) -> Option<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).ok()?;
        peak_kibibytes(&status).map(|kibibytes| kibibytes as f64 / 1024.0)
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) -> String {
        self.child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string())
    }

    /// Ends it, and waits until it is gone.
    pub async fn kill(mut self) {
        let _ = self.child.kill().await;
    }
}

/// Linux: the first number of `schedstat` is the time on a processor, in nanoseconds.
fn on_processor(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

/// Linux: `VmHWM` is the peak of what was resident, in kB of 1,024 bytes.
fn peak_kibibytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_tells_is_read() {
        assert_eq!(on_processor("1234567 890 12\n"), Some(1_234_567));
        assert_eq!(on_processor(""), None);
        assert_eq!(peak_kibibytes("VmPeak:\t  9 kB\nVmHWM:\t   15360 kB\nVmRSS:\t 1 kB\n"), Some(15_360));
        assert_eq!(peak_kibibytes("Name:\techo\n"), None);
    }
}
