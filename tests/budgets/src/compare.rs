//! Changes since the committed results. Pure.
//!
//! Times depend on the machine, so their ratio to the baseline of the same run is compared. Calls, write units and
//! memory are compared directly.

use crate::results::{BASELINE, Results};

/// How a figure is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Largest difference that is not reported, as a share of the committed value.
    pub share: f64,
    /// Compares the ratio to the baseline instead of the value.
    pub is_ratio: bool,
}

pub fn tolerance(figure: &str) -> Tolerance {
    let has = |part: &str| figure.contains(part);
    if has("calls") || has("write units") {
        Tolerance { share: 0.001, is_ratio: false }
    } else if has("memory") {
        Tolerance { share: 0.1, is_ratio: false }
    } else if has("p99") {
        Tolerance { share: 0.5, is_ratio: true }
    } else {
        Tolerance { share: 0.2, is_ratio: true }
    }
}

/// A figure that changed by more than its tolerance.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub subject: String,
    pub figure: String,
    pub before: f64,
    pub now: f64,
    /// Whether `before` and `now` are ratios to the baseline.
    pub is_ratio: bool,
}

/// Figures in both results that changed by more than their tolerance, sorted by subject and name.
pub fn changes(before: &Results, now: &Results) -> Vec<Change> {
    let mut changes = Vec::new();
    for (subject, figures) in &now.subjects {
        for figure in figures.keys() {
            let Tolerance { share, is_ratio } = tolerance(figure);
            let value = |results: &Results| match is_ratio {
                true => results.ratio(subject, BASELINE, figure),
                false => results.median(subject, figure),
            };
            let (Some(before), Some(now)) = (value(before), value(now)) else { continue };
            if (now - before).abs() > share * before.abs() {
                changes.push(Change {
                    subject: subject.clone(),
                    figure: figure.clone(),
                    before,
                    now,
                    is_ratio,
                });
            }
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{CALLS, FIRST_ANSWER, PEAK_MEMORY, WARM_P99, medians};

    #[test]
    fn slower_machine_changes_no_figure() {
        let at = |factor: f64| {
            medians(&[
                (BASELINE, FIRST_ANSWER, 4.0 * factor),
                ("a", FIRST_ANSWER, 7.0 * factor),
                ("a", PEAK_MEMORY, 11.0),
            ])
        };
        assert!(changes(&at(1.0), &at(2.5)).is_empty());
    }

    #[test]
    fn change_beyond_the_tolerance_is_reported() {
        for (figure, before, now, expected) in [
            (FIRST_ANSWER, 10.0, 11.9, false),
            (FIRST_ANSWER, 10.0, 12.1, true),
            (FIRST_ANSWER, 10.0, 7.9, true),
            (WARM_P99, 10.0, 14.0, false),
            (WARM_P99, 10.0, 16.0, true),
            (PEAK_MEMORY, 10.0, 11.5, true),
            (CALLS, 1.0, 1.01, true),
            (CALLS, 0.0, 0.0, false),
            (CALLS, 0.0, 1.0, true),
        ] {
            let results = |value| medians(&[(BASELINE, figure, 2.0), ("a", figure, value)]);
            let is_reported = !changes(&results(before), &results(now)).is_empty();
            assert_eq!(is_reported, expected, "{figure} {before} {now}");
        }
    }

    #[test]
    fn new_subject_is_not_a_change() {
        let before = medians(&[(BASELINE, PEAK_MEMORY, 4.0)]);
        let now = medians(&[(BASELINE, PEAK_MEMORY, 4.0), ("a", PEAK_MEMORY, 9.0)]);
        assert!(changes(&before, &now).is_empty());
    }
}
