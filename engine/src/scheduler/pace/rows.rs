//! What a step takes, by the number of its rows.

use std::collections::BTreeMap;

/// Weight of a measurement.
const WEIGHT: f64 = 0.25;

/// Weight of the first one of a number of rows, against what was to be expected.
const FIRST_WEIGHT: f64 = 0.5;

/// Running estimates for the numbers of rows that there were; there are as many as sequences and
/// guessed tokens together.
#[derive(Debug, Default)]
pub struct Rows(BTreeMap<usize, f64>);

impl Rows {
    /// A step with `rows` rows took `seconds`; `least` is what a row adds at least.
    pub fn record(&mut self, rows: usize, seconds: f64, least: f64) {
        if rows == 0 {
            return;
        }
        let Some(expected) = self.seconds(rows, least) else {
            self.0.insert(rows, seconds);
            return;
        };
        let known = self.0.contains_key(&rows);
        // No step takes longer than its rows one by one, unless something else held it up.
        let alone = self.seconds(1, least).filter(|_| rows > 1);
        let seconds = alone.map_or(seconds, |alone| seconds.min(alone * number(rows)));
        let weight = if known { WEIGHT } else { FIRST_WEIGHT };
        let estimate = expected + weight * (seconds - expected);
        // Half of a change is taken for one of the load, which changes the others alike. They may
        // not be measured again as long as they look bad.
        if known && expected > 0.0 && estimate > 0.0 {
            let change = (estimate / expected).sqrt();
            self.0.values_mut().for_each(|seconds| *seconds *= change);
        }
        self.0.insert(rows, estimate);
    }

    /// What a step with `rows` rows takes. What was not measured lies between what was, or is
    /// taken to cost `least` a row more, so that it is tried. `None` before the first step.
    pub fn seconds(&self, rows: usize, least: f64) -> Option<f64> {
        let below = self.0.range(..=rows).next_back();
        let above = self.0.range(rows..).next();
        match (below, above) {
            (Some((&low, &at_low)), Some((&high, &at_high))) if low < high => {
                let part = number(rows - low) / number(high - low);
                Some(at_low + part * (at_high - at_low))
            }
            (Some((&low, &at_low)), _) => Some(at_low + least * number(rows - low)),
            (None, Some((&high, &at_high))) => {
                let less = at_high - least * number(high - rows);
                Some(less.max(at_high * number(rows) / number(high)))
            }
            (None, None) => None,
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn about(seconds: Option<f64>, expected: f64) -> bool {
        (seconds.unwrap() / expected - 1.0).abs() < 0.05
    }

    fn measured(times: &[(usize, f64)]) -> Rows {
        let mut rows = Rows::default();
        for _ in 0..60 {
            for &(count, seconds) in times {
                rows.record(count, seconds, 0.001);
            }
        }
        rows
    }

    #[test]
    fn what_was_measured_is_known_and_what_lies_between_is_interpolated() {
        assert_eq!(Rows::default().seconds(1, 0.001), None);
        let rows = measured(&[(1, 0.010), (9, 0.050)]);
        assert!(about(rows.seconds(1, 0.001), 0.010) && about(rows.seconds(9, 0.001), 0.050));
        assert!(about(rows.seconds(5, 0.001), 0.030));
    }

    #[test]
    fn what_was_not_measured_is_taken_to_be_cheap() {
        let rows = measured(&[(2, 0.010)]);
        assert!(about(rows.seconds(10, 0.001), 0.018));
        assert!(about(rows.seconds(10, 0.0), 0.010));
        assert!(about(rows.seconds(1, 0.001), 0.009));
        assert!(about(rows.seconds(1, 0.1), 0.005), "half of two at least");
    }

    #[test]
    fn a_step_that_was_held_up_does_not_count_for_what_it_took() {
        let mut rows = measured(&[(1, 0.010)]);
        rows.record(8, 9.0, 0.001);
        assert!(rows.seconds(8, 0.001).unwrap() < 0.080);
    }

    #[test]
    fn the_load_changes_what_is_not_measured_too() {
        let mut rows = measured(&[(1, 0.010), (8, 0.030)]);
        for _ in 0..60 {
            rows.record(1, 0.040, 0.001);
        }
        let eight = rows.seconds(8, 0.001).unwrap();
        assert!(about(rows.seconds(1, 0.001), 0.040) && eight > 0.055, "{eight}");
    }
}
