//! How far it is: a bar on a terminal, a line a second elsewhere, always on standard error.

use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use tokio::time::Instant;

/// Lines are at least so far apart.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Shows how far it is.
pub struct Progress {
    what: &'static str,
    start: Instant,
    next_line: Cell<Instant>,
    total: Cell<Option<usize>>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Nothing is done yet of about `total`; `None` where nobody knows. (0 is SQS's count where it knows nothing.)
    pub fn new(what: &'static str, total: Option<usize>) -> Self {
        let start = Instant::now();
        let bar = std::io::stderr().is_terminal().then(|| bar(what));
        let progress =
            Self { what, start, next_line: Cell::new(start + LINE_EVERY), total: Cell::new(None), bar };
        progress.set_total(total.filter(|total| *total > 0));
        progress
    }

    fn set_total(&self, total: Option<usize>) {
        if total == self.total.get() {
            return;
        }
        self.total.set(total);
        if let (Some(bar), Some(total)) = (&self.bar, total) {
            bar.set_length(total as u64);
            // A template of our own that does not change: it can be read.
            let template = "{prefix} {bar:30} {human_pos} of {human_len}, {rate} a second, {eta} left";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(with_rate(style).progress_chars("██ "));
            }
        }
    }

    /// So many are done.
    pub fn set(&self, done: usize) {
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
            return;
        }
        let now = Instant::now();
        if now < self.next_line.get() {
            return;
        }
        self.next_line.set(now + LINE_EVERY);
        let elapsed = now.duration_since(self.start);
        let line = line(self.what, done, self.total.get(), elapsed);
        let _ = writeln!(std::io::stderr(), "{line}");
    }

    /// So many are done of about `total`.
    pub fn set_of(&self, done: usize, total: Option<usize>) {
        self.set_total(total);
        self.set(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_prefix(what);
    if let Ok(style) = ProgressStyle::with_template("{prefix} {spinner} {human_pos}, {rate} a second") {
        bar.set_style(with_rate(style));
    }
    bar
}

/// indicatif's own rate has four decimals.
fn with_rate(style: ProgressStyle) -> ProgressStyle {
    style.with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{:.0}", state.per_sec());
    })
}

fn line(what: &str, done: usize, total: Option<usize>, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    let mut line = format!("{what} {done}");
    if let Some(total) = total {
        line += &format!(" of {total}");
    }
    line += &format!(", {rate:.0} a second");
    if let Some(left) = total.map(|total| total.saturating_sub(done)).filter(|_| done > 0) {
        line += &format!(", {:.0} s left", left as f64 / rate.max(0.001));
    }
    line
}
