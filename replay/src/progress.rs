//! Progress on standard error: a bar on a terminal, otherwise one line per second.

use std::cell::Cell;
use std::fmt;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use tokio::time::Instant;

use crate::output::number;

const LINE_INTERVAL: Duration = Duration::from_secs(1);
/// A terminal with fewer columns shows no bar.
const MIN_COLUMNS_OF_BAR: u16 = 80;

pub struct Progress {
    /// Past participle in front of the count, such as `moved`.
    label: &'static str,
    start: Instant,
    /// Time and count of the first progress. What happened before, such as reading a file again, does not
    /// lower the rate.
    first: Cell<Option<(Instant, usize)>>,
    next_line: Cell<Instant>,
    total: Cell<Option<usize>>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// `total` is an approximation. 0 counts as unknown, because SQS returns 0 if it does not know.
    pub fn new(label: &'static str, total: Option<usize>) -> Self {
        let start = Instant::now();
        let bar = std::io::stderr().is_terminal().then(|| bar(label));
        let next_line = Cell::new(start + LINE_INTERVAL);
        let progress = Self { label, start, first: Cell::new(None), next_line, total: Cell::new(None), bar };
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
            // The template is a constant, so parsing it does not fail.
            let template = match is_narrow() {
                true => "{prefix} {human_pos} of {human_len}, {eta} left",
                false => "{prefix} {bar:30} {human_pos} of {human_len}, {rate} a second, {eta} left",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(with_rate(style).progress_chars("██ "));
            }
        }
    }

    pub fn set(&self, done: usize) {
        let now = Instant::now();
        if done > 0 && self.first.get().is_none() {
            self.first.set(Some((now, done)));
            if let Some(bar) = &self.bar {
                bar.reset_elapsed();
                bar.reset_eta();
            }
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
            return;
        }
        if now < self.next_line.get() {
            return;
        }
        self.next_line.set(now + LINE_INTERVAL);
        // The first batch has no duration of its own.
        let (start, before) = self.first.get().filter(|(_, count)| done > *count).unwrap_or((self.start, 0));
        let rate = (done - before) as f64 / now.duration_since(start).as_secs_f64().max(0.001);
        let line = line(self.label, done, self.total.get(), rate);
        let _ = writeln!(std::io::stderr(), "{line}");
    }

    /// For a total that changes.
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

fn bar(label: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_prefix(label);
    if let Ok(style) = ProgressStyle::with_template("{prefix} {spinner} {human_pos}, {rate} a second") {
        bar.set_style(with_rate(style));
    }
    bar
}

/// True if a terminal on standard error has no place for a bar.
fn is_narrow() -> bool {
    console::Term::stderr().size_checked().is_some_and(|(_, columns)| columns < MIN_COLUMNS_OF_BAR)
}

/// Replaces indicatif's rate, which has four decimals.
fn with_rate(style: ProgressStyle) -> ProgressStyle {
    style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
        let _ = write!(out, "{:.0}", state.per_sec());
    })
}

fn line(label: &str, done: usize, total: Option<usize>, rate: f64) -> String {
    let mut line = format!("{label} {}", number(done));
    if let Some(total) = total {
        line += &format!(" of {}", number(total));
    }
    line += &format!(", {} a second", number(rate.round() as usize));
    if let Some(left) = total.map(|total| total.saturating_sub(done)).filter(|_| done > 0) {
        line += &format!(", {:.0} s left", left as f64 / rate.max(0.001));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_shows_rate_and_time_left() {
        assert_eq!(
            line("moved", 2_400, Some(6_000), 1_200.4),
            "moved 2,400 of 6,000, 1,200 a second, 3 s left"
        );
        assert_eq!(line("seen", 10, None, 10.0), "seen 10, 10 a second");
        assert_eq!(line("seen", 0, Some(10), 0.0), "seen 0 of 10, 0 a second");
    }
}
