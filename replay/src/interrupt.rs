//! Stopping when asked to: what is under way is finished, what was received is given back.


use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The exit code of a command that was interrupted, as shells have it: 128 and SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Whether somebody asked to stop. Clones are asked together.
#[derive(Clone, Debug)]
pub struct StopSignal(watch::Sender<bool>);

impl Default for StopSignal {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl StopSignal {
    /// Asked by Ctrl-C, and where the terminal goes or somebody ends the process kindly (SIGHUP, SIGTERM). The second time
    /// ends the process at once.
    pub fn on_signals() -> Self {
        let stop = Self::default();
        let asked = stop.clone();
        tokio::spawn(async move {
            while signal().await.is_ok() {
                if asked.is_requested() {
                    std::process::exit(INTERRUPTED.into());
                }
                asked.ask();
            }
        });
        stop
    }

    /// Asks.
    pub fn ask(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was asked.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is asked.
    pub async fn asked(&self) {
        // The sender is held here: waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|asked| *asked).await;
    }

    /// Does `work`, and drops it where it is asked to stop: for work of which each step is whole by itself. `then` says what to
    /// do about it.
    pub async fn or<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
        then: &str,
    ) -> anyhow::Result<T> {
        tokio::select! {
            done = work => done,
            () = self.asked() => Err(Interrupted(then.to_owned()).into()),
        }
    }

    /// Waits until `time`, or until it is asked: answers whether it was not.
    pub async fn sleep_until(&self, time: Instant) -> bool {
        tokio::select! {
            () = sleep_until(time) => !self.is_requested(),
            () = self.asked() => false,
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

/// The command was interrupted. Exit code 130.
#[derive(Debug, thiserror::Error)]
#[error("interrupted: {0}")]
pub struct Interrupted(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn messages_go_at_the_rate() {
        let (pacer, stop, start) = (RateLimiter::new(Some(20)), StopSignal::default(), Instant::now());
        for _ in 0..5 {
            assert!(pacer.turn(10, &stop).await);
        }
        assert_eq!(start.elapsed().as_millis(), 2_000, "the first ten at once, forty more in two seconds");
        let free = RateLimiter::new(None);
        assert!(free.turn(1_000_000, &stop).await && free.turn(1, &stop).await);
        assert_eq!(start.elapsed().as_millis(), 2_000);
    }

    #[tokio::test]
    async fn work_that_is_dropped_is_an_interruption() {
        let stop = StopSignal::default();
        assert_eq!(stop.or(async { Ok(7) }, "x").await.unwrap(), 7);
        stop.ask();
        let error = stop.or(std::future::pending::<anyhow::Result<()>>(), "run it again").await.unwrap_err();
        assert!(error.is::<Interrupted>() && error.to_string() == "interrupted: run it again");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_to_stop_does_not_wait_for_a_turn() {
        let (pacer, stop) = (RateLimiter::new(Some(1)), StopSignal::default());
        assert!(pacer.turn(1_000, &stop).await);
        stop.ask();
        assert!(!pacer.turn(1, &stop).await);
    }
}
