//! Medians, quartiles, percentiles. Pure.

use serde::{Deserialize, Serialize};

/// The middle half of a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// A quarter of the sample lies below it.
    pub lower: f64,
    /// Half of it.
    pub median: f64,
    /// Three quarters.
    pub upper: f64,
}

impl Spread {
    /// Of a sample. `None` of an empty one.
    pub fn of(sample: &[f64]) -> Option<Self> {
        let at = |share| quantile(sample, share);
        Some(Self { lower: at(0.25)?, median: at(0.5)?, upper: at(0.75)? })
    }
}

/// What `share` of the sample lies below, between two of its values in proportion. `None` of an empty sample.
pub fn quantile(sample: &[f64], share: f64) -> Option<f64> {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let position = share.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    Some(below + (above - below) * position.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_between_the_values_around_it() {
        for (sample, share, expected) in [
            (&[3.0, 1.0, 2.0][..], 0.5, Some(2.0)),
            (&[4.0, 1.0, 3.0, 2.0], 0.5, Some(2.5)),
            (&[1.0, 2.0, 3.0, 4.0, 5.0], 0.25, Some(2.0)),
            (&[1.0, 2.0, 3.0, 4.0, 5.0], 1.0, Some(5.0)),
            (&[0.0, 100.0], 0.99, Some(99.0)),
            (&[7.0], 0.99, Some(7.0)),
            (&[], 0.5, None),
        ] {
            assert_eq!(quantile(sample, share), expected, "{sample:?} {share}");
        }
    }

    #[test]
    fn a_spread_is_the_middle_half() {
        let spread = Spread::of(&[5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!(spread, Some(Spread { lower: 2.0, median: 3.0, upper: 4.0 }));
        assert_eq!(Spread::of(&[]), None);
    }
}
