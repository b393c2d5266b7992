//! Stopping on a signal: calls in progress are completed, and received messages become visible
//! again.

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::error::{CommandError, INTERRUPTED, Result};

/// A request to stop. All clones share it.
#[derive(Clone, Debug)]
pub struct StopSignal(watch::Sender<bool>);

impl Default for StopSignal {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl StopSignal {
    /// Requested by Ctrl-C (SIGINT), by SIGTERM, or if the terminal closes (SIGHUP). A second
    /// signal ends the process at once.
    pub fn on_signals() -> Self {
        let stop = Self::default();
        let requested = stop.clone();
        tokio::spawn(async move {
            while signal().await.is_ok() {
                if requested.is_requested() {
                    std::process::exit(INTERRUPTED.into());
                }
                requested.request();
            }
        });
        stop
    }

    pub fn request(&self) {
        self.0.send_replace(true);
    }

    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the request.
    pub async fn requested(&self) {
        // Waiting cannot fail: `self` holds the sender.
        let _ = self.0.subscribe().wait_for(|requested| *requested).await;
    }

    /// Runs `work`, and drops it if a stop is requested. Only for work whose steps are complete by
    /// themselves. An interruption names `next_step`.
    pub async fn run<T, E: Into<CommandError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
        next_step: &str,
    ) -> Result<T> {
        tokio::select! {
            done = work => done.map_err(Into::into),
            () = self.requested() => Err(CommandError::interrupted(next_step)),
        }
    }

    /// Waits until `time`. Returns `false` if a stop is requested.
    pub async fn sleep_until(&self, time: Instant) -> bool {
        tokio::select! {
            () = sleep_until(time) => !self.is_requested(),
            () = self.requested() => false,
        }
    }
}

#[cfg(unix)]
async fn signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let [mut interrupt, mut terminate, mut hangup] =
        [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?];
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn dropped_work_is_an_interruption() {
        let stop = StopSignal::default();
        assert_eq!(stop.run(async { anyhow::Ok(7) }, "x").await.unwrap(), 7);
        stop.request();
        let error = stop.run(std::future::pending::<Result<()>>(), "run it again").await.unwrap_err();
        assert!(matches!(error, CommandError::Interrupted(_)));
        assert_eq!(error.to_string(), "interrupted: run it again");
    }
}
