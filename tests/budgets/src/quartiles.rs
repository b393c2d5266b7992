//! Medians, quartiles and other quantiles. Pure.

use serde::{Deserialize, Serialize};

/// Median and quartiles of a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quartiles {
    /// First quartile.
    pub lower: f64,
    pub median: f64,
    /// Third quartile.
    pub upper: f64,
}

impl Quartiles {
    /// `None` if the sample is empty.
    pub fn of(sample: &[f64]) -> Option<Self> {
        let at = |share| quantile(sample, share);
        Some(Self { lower: at(0.25)?, median: at(0.5)?, upper: at(0.75)? })
    }
}

/// The value below which `share` (0 to 1) of the sample falls, interpolated linearly between neighboring values. `None`
/// if the sample is empty.
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
    fn quantile_interpolates_between_neighbors() {
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
    fn quartiles_enclose_the_middle_half_of_the_sample() {
        let quartiles = Quartiles::of(&[5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!(quartiles, Some(Quartiles { lower: 2.0, median: 3.0, upper: 4.0 }));
        assert_eq!(Quartiles::of(&[]), None);
    }
}
