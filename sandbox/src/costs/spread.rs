//! Median, 99th percentile and maximum. Pure.

/// The spread of durations, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub p99: f64,
    pub max: f64,
    /// Share of the values that are above 0.
    pub above_zero: f64,
}

impl Spread {
    /// The spread of milliseconds: nearest ranks. 0 without values.
    pub fn of(mut milliseconds: Vec<i64>) -> Self {
        milliseconds.sort_unstable();
        let rank = |percent: usize| (milliseconds.len() * percent).div_ceil(100).saturating_sub(1);
        let at = |percent| milliseconds.get(rank(percent)).map_or(0.0, |value| *value as f64 / 1_000.0);
        let above_zero = milliseconds.iter().filter(|value| **value > 0).count();
        let above_zero = above_zero as f64 / milliseconds.len().max(1) as f64;
        Self { median: at(50), p99: at(99), max: at(100), above_zero }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_the_nearest_ones() {
        for (values, expected) in [
            (vec![], [0.0, 0.0, 0.0, 0.0]),
            (vec![1_500], [1.5, 1.5, 1.5, 1.0]),
            (vec![3_000, 0, 1_000, 2_000], [1.0, 3.0, 3.0, 0.75]),
            ((1..=200).map(|n| n * 1_000).collect(), [100.0, 198.0, 200.0, 1.0]),
        ] {
            let Spread { median, p99, max, above_zero } = Spread::of(values.clone());
            assert_eq!([median, p99, max, above_zero], expected, "{values:?}");
        }
    }
}
