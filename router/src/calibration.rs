//! The threshold that sends a wanted share of questions to the slow track.

/// The score from which on a question goes to the slow track, so that `slow_share` of the questions
/// with these scores do. Lies between two scores, so that rounding moves no question.
#[must_use]
pub fn threshold(scores: &[f64], slow_share: f64) -> f64 {
    let mut falling = scores.to_vec();
    falling.sort_by(|one, other| other.total_cmp(one));
    let slow = (falling.len() as f64 * slow_share.clamp(0.0, 1.0)).round() as usize;
    let last_slow = slow.checked_sub(1).and_then(|place| falling.get(place)).copied();
    match (last_slow, falling.get(slow)) {
        (Some(last_slow), Some(first_fast)) => f64::midpoint(last_slow, *first_fast),
        (Some(_), None) => 0.0,
        (None, _) => 1.0,
    }
}

/// The share of scores at which a threshold sends a question to the slow track.
#[must_use]
pub fn slow_share(scores: &[f64], threshold: f64) -> f64 {
    let slow = scores.iter().filter(|score| **score >= threshold).count();
    slow as f64 / scores.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_gives_the_share_that_was_asked_for() {
        let scores: Vec<f64> = (0..100).map(|i| f64::from(i * 37 % 100) / 101.0).collect();
        for percent in 0..=100_u8 {
            let share = f64::from(percent) / 100.0;
            let threshold = threshold(&scores, share);
            assert!((slow_share(&scores, threshold) - share).abs() < 1e-9, "{percent} %");
        }
    }

    #[test]
    fn without_scores_nothing_goes_to_the_slow_track() {
        assert!(threshold(&[], 0.5) >= 1.0);
    }
}
