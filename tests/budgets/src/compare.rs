//! What moved since the committed results. Pure.
//!
//! Times depend on the machine: what is compared is their ratio to the floor, which was measured in the same minutes.
//! Calls, write units and memory are compared as they are.

use crate::results::{FLOOR, Results};

/// How a figure is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// How far it may move, as a share of what it was.
    pub share: f64,
    /// Whether it is divided by the floor's.
    pub by_floor: bool,
}

/// How far a figure of this name may move.
pub fn tolerance(figure: &str) -> Tolerance {
    let is = |part: &str| figure.contains(part);
    if is("calls") || is("write units") {
        Tolerance { share: 0.001, by_floor: false }
    } else if is("memory") {
        Tolerance { share: 0.1, by_floor: false }
    } else if is("p99") {
        Tolerance { share: 0.5, by_floor: true }
    } else {
        Tolerance { share: 0.2, by_floor: true }
    }
}

/// A figure that moved.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// Of what.
    pub subject: String,
    /// Which.
    pub figure: String,
    /// Committed: a ratio to the floor, or as it is.
    pub before: f64,
    /// Measured now.
    pub now: f64,
    /// Whether the two are ratios to the floor.
    pub by_floor: bool,
}

/// Figures of both that moved beyond their tolerance, in the order of their names.
pub fn moved(before: &Results, now: &Results) -> Vec<Moved> {
    let mut moved = Vec::new();
    for (subject, figures) in &now.subjects {
        for figure in figures.keys() {
            let Tolerance { share, by_floor } = tolerance(figure);
            let of = |results: &Results| match by_floor {
                true => results.ratio(subject, FLOOR, figure),
                false => results.median(subject, figure),
            };
            let (Some(before), Some(now)) = (of(before), of(now)) else { continue };
            if (now - before).abs() > share * before.abs() {
                moved.push(Moved { subject: subject.clone(), figure: figure.clone(), before, now, by_floor });
            }
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{CALLS, FIRST_ANSWER, PEAK, WARM_TAIL, medians};

    #[test]
    fn a_slower_machine_moves_nothing() {
        let at = |factor: f64| {
            medians(&[
                ("echo", FIRST_ANSWER, 4.0 * factor),
                ("a", FIRST_ANSWER, 7.0 * factor),
                ("a", PEAK, 11.0),
            ])
        };
        assert!(moved(&at(1.0), &at(2.5)).is_empty());
    }

    #[test]
    fn what_moves_beyond_its_tolerance_is_told() {
        for (figure, before, now, expected) in [
            (FIRST_ANSWER, 10.0, 11.9, false),
            (FIRST_ANSWER, 10.0, 12.1, true),
            (FIRST_ANSWER, 10.0, 7.9, true),
            (WARM_TAIL, 10.0, 14.0, false),
            (WARM_TAIL, 10.0, 16.0, true),
            (PEAK, 10.0, 11.5, true),
            (CALLS, 1.0, 1.01, true),
            (CALLS, 0.0, 0.0, false),
            (CALLS, 0.0, 1.0, true),
        ] {
            let of = |value| medians(&[("echo", figure, 2.0), ("a", figure, value)]);
            assert_eq!(!moved(&of(before), &of(now)).is_empty(), expected, "{figure} {before} {now}");
        }
    }

    #[test]
    fn what_was_not_there_before_has_not_moved() {
        let before = medians(&[("echo", PEAK, 4.0)]);
        let now = medians(&[("echo", PEAK, 4.0), ("a", PEAK, 9.0)]);
        assert!(moved(&before, &now).is_empty());
    }
}
