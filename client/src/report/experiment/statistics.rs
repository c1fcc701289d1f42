//! Intervals that hold the truth 95 times of 100, and what they say about differences.

/// Of the normal distribution, for 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// A value and the interval around it.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct Estimate {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Estimate {
    /// Whether the interval leaves zero out.
    pub(crate) fn is_told(self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// Mean and spread of many numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    pub(crate) count: f64,
    pub(crate) mean: f64,
    /// Sum of squared differences from the mean.
    pub(crate) squares: f64,
}

impl Sample {
    /// Variance of the mean.
    fn of_mean(self) -> f64 {
        self.squares / (self.count - 1.0) / self.count
    }

    /// The mean, by Student's distribution. `None` for fewer than four numbers.
    pub(crate) fn estimate(self) -> Option<Estimate> {
        let half =
            (self.count >= 4.0).then(|| student(self.count - 1.0) * self.of_mean().sqrt())?;
        Some(Estimate { value: self.mean, low: self.mean - half, high: self.mean + half })
    }

    /// How much larger the mean is than that of `control`, by Welch's test. `None` for fewer than
    /// four numbers on either side.
    pub(crate) fn difference(self, control: Self) -> Option<Estimate> {
        if self.count < 4.0 || control.count < 4.0 {
            return None;
        }
        let (here, there) = (self.of_mean(), control.of_mean());
        let value = self.mean - control.mean;
        let degrees = (here + there).powi(2)
            / (here.powi(2) / (self.count - 1.0) + there.powi(2) / (control.count - 1.0));
        let half = if here + there > 0.0 { student(degrees) * (here + there).sqrt() } else { 0.0 };
        Some(Estimate { value, low: value - half, high: value + half })
    }
}

/// A number of cases and those of them that count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share {
    pub(crate) part: f64,
    pub(crate) all: f64,
}

impl Share {
    /// By Wilson's interval. `None` without any case.
    pub(crate) fn estimate(self) -> Option<Estimate> {
        let Self { part, all } = self;
        let value = (all > 0.0).then(|| part / all)?;
        let square = Z * Z;
        let middle = (part + square / 2.0) / (all + square);
        let half = Z / (all + square) * (part * (all - part) / all + square / 4.0).sqrt();
        Some(Estimate { value, low: (middle - half).max(0.0), high: (middle + half).min(1.0) })
    }

    /// How much larger the share is than that of `control`, by Newcombe's interval, which is made of
    /// Wilson's two.
    pub(crate) fn difference(self, control: Self) -> Option<Estimate> {
        let (here, there) = (self.estimate()?, control.estimate()?);
        let value = here.value - there.value;
        let below = (here.value - here.low).hypot(there.high - there.value);
        let above = (here.high - here.value).hypot(there.value - there.low);
        Some(Estimate { value, low: value - below, high: value + above })
    }
}

/// How many more cases of each side it takes, at about the same difference and spread, until the
/// interval leaves zero out. `None` when there is no difference, or one can be told already.
pub(crate) fn more_needed(difference: Estimate, cases: f64) -> Option<f64> {
    if difference.is_told() || difference.value == 0.0 {
        return None;
    }
    let half = if difference.value > 0.0 {
        difference.value - difference.low
    } else {
        difference.high - difference.value
    };
    // The interval shrinks with the root of the number.
    Some((cases * ((half / difference.value).powi(2) - 1.0)).ceil().max(1.0))
}

/// The value that Student's distribution exceeds in 2.5 % of cases: the expansion of Hill (1970),
/// within 0.5 % from three degrees of freedom on.
fn student(degrees: f64) -> f64 {
    let powers: [f64; 5] = [Z, Z.powi(3), Z.powi(5), Z.powi(7), Z.powi(9)];
    let [z1, z3, z5, z7, z9] = powers;
    z1 + (z3 + z1) / (4.0 * degrees)
        + (5.0 * z5 + 16.0 * z3 + 3.0 * z1) / (96.0 * degrees.powi(2))
        + (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * z1) / (384.0 * degrees.powi(3))
        + (79.0 * z9 + 776.0 * z7 + 1482.0 * z5 - 1920.0 * z3 - 945.0 * z1)
            / (92_160.0 * degrees.powi(4))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn is_about(value: f64, expected: f64) {
        assert!(
            (value - expected).abs() <= 0.005 * expected.abs().max(0.02),
            "{value}, not {expected}"
        );
    }

    #[test]
    fn shares_have_the_intervals_of_wilson_and_newcombe() {
        // From the papers' own examples: Newcombe (1998), rows of tables I.
        let estimate = Share { part: 81.0, all: 263.0 }.estimate().unwrap();
        is_about(estimate.low, 0.2553);
        is_about(estimate.high, 0.3662);
        let none = Share { part: 0.0, all: 20.0 }.estimate().unwrap();
        is_about(none.high, 0.1611);
        assert!(none.low.abs() < 1e-12);
        assert_eq!(Share { part: 0.0, all: 0.0 }.estimate(), None);
        let (one, other) = (Share { part: 56.0, all: 70.0 }, Share { part: 48.0, all: 80.0 });
        let difference = one.difference(other).unwrap();
        is_about(difference.low, 0.0524);
        is_about(difference.high, 0.3339);
    }

    #[test]
    fn means_have_the_intervals_of_student_and_welch() {
        for (degrees, expected) in [(3.0, 3.1824), (4.0, 2.7764), (10.0, 2.2281), (30.0, 2.0423)] {
            is_about(student(degrees), expected);
        }
        let one = Sample { count: 10.0, mean: 20.0, squares: 90.0 };
        let estimate = one.estimate().unwrap();
        is_about(estimate.high - estimate.value, 2.2622);
        let other = Sample { count: 20.0, mean: 15.0, squares: 76.0 };
        let difference = one.difference(other).unwrap();
        // Standard error 1.0954, 12.6 degrees of freedom.
        is_about(difference.high - difference.value, 1.0954 * 2.1673);
        assert!(difference.is_told());
        assert_eq!(Sample { count: 3.0, ..one }.estimate(), None);
    }

    #[test]
    fn as_many_more_are_needed_as_make_the_interval_narrow_enough() {
        let unsure = Estimate { value: 0.1, low: -0.1, high: 0.3 };
        assert_eq!(more_needed(unsure, 100.0), Some(300.0));
        assert_eq!(more_needed(Estimate { value: 0.0, ..unsure }, 100.0), None);
        assert_eq!(more_needed(Estimate { low: 0.05, ..unsure }, 100.0), None);
        let smaller = Estimate { value: -0.1, low: -0.2, high: 0.05 };
        is_about(more_needed(smaller, 100.0).unwrap(), 125.5);
    }
}
