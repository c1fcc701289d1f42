//! How good confidences are, given what turned out right.

/// Expected calibration error: how far confidence and share of right answers are apart on average,
/// over `bins` bins of equal width. 0 is perfect; 0 without answers.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a confidence is between 0 and 1"
)]
pub fn expected_calibration_error(answers: &[(f64, bool)], bins: usize) -> f64 {
    let mut sums = vec![(0.0, 0.0); bins];
    for &(confidence, right) in answers {
        let bin = ((confidence * bins as f64) as usize).min(bins.saturating_sub(1));
        if let Some((confidences, rights)) = sums.get_mut(bin) {
            *confidences += confidence;
            *rights += f64::from(u8::from(right));
        }
    }
    let gaps = sums.iter().map(|(confidences, rights)| f64::abs(confidences - rights));
    gaps.sum::<f64>() / answers.len().max(1) as f64
}

/// Area under the ROC curve: how likely a right answer has more confidence than a wrong one, where
/// a tie counts half. `None` unless there are both.
pub fn auroc(answers: &[(f64, bool)]) -> Option<f64> {
    let mut sorted = answers.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut wins, mut wrong_below) = (0.0, 0.0);
    for tied in sorted.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let right = tied.iter().filter(|answer| answer.1).count() as f64;
        let wrong = tied.len() as f64 - right;
        wins += right * (wrong_below + wrong / 2.0);
        wrong_below += wrong;
    }
    let pairs = wrong_below * (answers.len() as f64 - wrong_below);
    (pairs > 0.0).then(|| wins / pairs)
}

/// Mean squared distance between confidence and what turned out. 0 without answers.
pub fn brier(answers: &[(f64, bool)]) -> f64 {
    let distance = |&(confidence, right): &(f64, bool)| confidence - f64::from(u8::from(right));
    answers.iter().map(|answer| distance(answer).powi(2)).sum::<f64>() / answers.len().max(1) as f64
}

/// Share of right answers. 0 without answers.
pub fn accuracy(answers: &[(f64, bool)]) -> f64 {
    answers.iter().filter(|answer| answer.1).count() as f64 / answers.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-12, "{left} is not {right}");
    }

    #[test]
    fn the_calibration_error_is_the_mean_gap_of_the_bins_by_size() {
        let answers = [(0.15, false), (0.25, true), (0.35, false), (0.95, true), (1.0, true)];
        // One bin each but for the last two, which share theirs.
        near(expected_calibration_error(&answers, 10), (0.15 + 0.75 + 0.35 + (0.05 + 0.0)) / 5.0);
        // Two bins: a third of three is right where a quarter was expected.
        let halves = (3.0 * (1.0 / 3.0 - 0.25_f64).abs() + 2.0 * (1.0 - 0.975_f64).abs()) / 5.0;
        near(expected_calibration_error(&answers, 2), halves);
    }

    #[test]
    fn who_says_what_happens_makes_no_calibration_error() {
        let answers = [(0.5, true), (0.5, false), (1.0, true), (0.0, false)];
        near(expected_calibration_error(&answers, 10), 0.0);
        near(expected_calibration_error(&[], 10), 0.0);
    }

    #[test]
    fn auroc_counts_pairs_in_the_right_order_and_ties_half() {
        near(auroc(&[(0.9, true), (0.8, true), (0.1, false)]).unwrap(), 1.0);
        near(auroc(&[(0.1, true), (0.9, false)]).unwrap(), 0.0);
        near(auroc(&[(0.5, true), (0.5, false)]).unwrap(), 0.5);
        // Right: 0.8, 0.4, 0.2. Wrong: 0.6, 0.4. Won: 2 + 0.5 + 0 of 6 pairs.
        let mixed = [(0.8, true), (0.6, false), (0.4, true), (0.4, false), (0.2, true)];
        near(auroc(&mixed).unwrap(), 2.5 / 6.0);
        assert_eq!(auroc(&[(0.3, true), (0.7, true)]), None);
        assert_eq!(auroc(&[]), None);
    }

    #[test]
    fn the_brier_score_is_the_mean_squared_distance() {
        near(brier(&[(1.0, true), (0.0, false)]), 0.0);
        near(brier(&[(0.5, true), (0.75, false)]), 0.40625);
        near(accuracy(&[(0.5, true), (0.75, false), (0.1, true), (0.1, false)]), 0.5);
    }
}
