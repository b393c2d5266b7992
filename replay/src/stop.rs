//! Stopping when asked to: what is under way is finished, what was received is given back.

use std::time::Duration;

use shared::queues::MAX_BATCH_ENTRIES;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The exit code of a command that was interrupted, as shells have it: 128 and SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Whether somebody asked to stop. Clones are asked together.
#[derive(Clone, Debug)]
pub struct Stop(watch::Sender<bool>);

impl Default for Stop {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Stop {
    /// Asked by Ctrl-C, and where the terminal goes or somebody ends the process kindly (SIGHUP, SIGTERM). The second time
    /// ends the process at once.
    pub fn on_signals() -> Self {
        let stop = Self::default();
        let asked = stop.clone();
        tokio::spawn(async move {
            while signal().await.is_ok() {
                if asked.is_asked() {
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
    pub fn is_asked(&self) -> bool {
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
            () = sleep_until(time) => !self.is_asked(),
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

/// The entries of a batch at so many messages a second: no more than the rate has in a second.
pub fn entries_at(rate: Option<u32>) -> usize {
    rate.map_or(MAX_BATCH_ENTRIES, |rate| {
        usize::try_from(rate).unwrap_or(usize::MAX).clamp(1, MAX_BATCH_ENTRIES)
    })
}

/// Lets messages through at a rate.
#[derive(Debug)]
pub struct Pacer {
    each: Duration,
    next: std::cell::Cell<Option<Instant>>,
}

impl Pacer {
    /// So many messages a second; `None` for as many as there are.
    pub fn new(rate: Option<u32>) -> Self {
        let each = rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.max(1));
        Self { each, next: None.into() }
    }

    /// Waits for the turn of `count` messages. Answers `false` where it was asked to stop instead.
    pub async fn turn(&self, count: usize, stop: &Stop) -> bool {
        let now = Instant::now();
        let turn = self.next.get().unwrap_or(now).max(now);
        self.next.set(Some(turn + self.each.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))));
        turn <= now || stop.sleep_until(turn).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn messages_go_at_the_rate() {
        let (pacer, stop, start) = (Pacer::new(Some(20)), Stop::default(), Instant::now());
        for _ in 0..5 {
            assert!(pacer.turn(10, &stop).await);
        }
        assert_eq!(start.elapsed().as_millis(), 2_000, "the first ten at once, forty more in two seconds");
        let free = Pacer::new(None);
        assert!(free.turn(1_000_000, &stop).await && free.turn(1, &stop).await);
        assert_eq!(start.elapsed().as_millis(), 2_000);
    }

    #[tokio::test]
    async fn work_that_is_dropped_is_an_interruption() {
        let stop = Stop::default();
        assert_eq!(stop.or(async { Ok(7) }, "x").await.unwrap(), 7);
        stop.ask();
        let error = stop.or(std::future::pending::<anyhow::Result<()>>(), "run it again").await.unwrap_err();
        assert!(error.is::<Interrupted>() && error.to_string() == "interrupted: run it again");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_to_stop_does_not_wait_for_a_turn() {
        let (pacer, stop) = (Pacer::new(Some(1)), Stop::default());
        assert!(pacer.turn(1_000, &stop).await);
        stop.ask();
        assert!(!pacer.turn(1, &stop).await);
    }
}
