//! How good scores are: how much of the gap between the tracks they recover for how many calls of the
//! slow one, as defined by `RouteLLM` (arXiv 2406.18665).

use serde::Serialize;

mod report;

pub use report::{Domain, Report, Selection};

/// What both tracks made of one question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Quality of the fast track's answer.
    pub weak: f64,
    /// Quality of the slow track's answer.
    pub strong: f64,
}

/// The quality of a router on a set of questions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quality {
    /// Area under the recovered gap against the share of slow calls; chance gives 0.5.
    pub apgr: f64,
    /// Percentage of slow calls with which half of the gap is recovered.
    pub cpt50: f64,
    /// Percentage of slow calls with which four fifths of the gap are recovered.
    pub cpt80: f64,
    /// [`Self::apgr`] at thresholds at the tenths of the scores, as `RouteLLM` computes it.
    pub apgr_decile: f64,
    /// [`Self::cpt50`], likewise.
    pub cpt50_decile: f64,
    /// [`Self::cpt80`], likewise.
    pub cpt80_decile: f64,
}

/// Share of slow calls in percent, and mean quality.
type Point = (f64, f64);

/// Judges `scores`, one for each outcome. There is nothing to judge without questions, and when the
/// slow track is not better on average.
#[must_use]
pub fn judge(scores: &[f64], outcomes: &[Outcome]) -> Option<Quality> {
    let (weak, strong) = means(outcomes)?;
    if strong <= weak || scores.len() != outcomes.len() {
        return None;
    }
    let exact = exact_points(scores, outcomes);
    let decile = decile_points(scores, outcomes);
    let part = |share: f64| weak + share * (strong - weak);
    Some(Quality {
        apgr: area(&exact, weak, strong),
        cpt50: first_crossing(&exact, part(0.5)),
        cpt80: first_crossing(&exact, part(0.8)),
        apgr_decile: area(&decile, weak, strong),
        cpt50_decile: interpolated(&decile, part(0.5)),
        cpt80_decile: interpolated(&decile, part(0.8)),
    })
}

/// Mean qualities of the fast and of the slow track.
#[must_use]
pub fn means(outcomes: &[Outcome]) -> Option<(f64, f64)> {
    let number = outcomes.len() as f64;
    let sum = |of: fn(&Outcome) -> f64| outcomes.iter().map(of).sum::<f64>() / number;
    (!outcomes.is_empty()).then(|| (sum(|outcome| outcome.weak), sum(|outcome| outcome.strong)))
}

/// All thresholds. Questions with one score move together, so that a constant score is a straight
/// line.
fn exact_points(scores: &[f64], outcomes: &[Outcome]) -> Vec<Point> {
    let number = scores.len() as f64;
    let mut order: Vec<(f64, Outcome)> =
        scores.iter().copied().zip(outcomes.iter().copied()).collect();
    order.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let mut sum: f64 = outcomes.iter().map(|outcome| outcome.weak).sum();
    let mut points = vec![(0.0, sum / number)];
    let mut calls = 0.0;
    for same in order.chunk_by(|(one, _), (other, _)| one.total_cmp(other).is_eq()) {
        calls += same.len() as f64;
        sum += same.iter().map(|(_, outcome)| outcome.strong - outcome.weak).sum::<f64>();
        points.push((100.0 * calls / number, sum / number));
    }
    points
}

/// Thresholds at the tenths of the scores.
fn decile_points(scores: &[f64], outcomes: &[Outcome]) -> Vec<Point> {
    let number = scores.len() as f64;
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut points: Vec<Point> = (0..=10)
        .map(|tenth| {
            let threshold = between(&sorted, (number - 1.0) * f64::from(tenth) / 10.0);
            let is_slow = |score: f64| {
                if tenth == 10 { score > threshold } else { score >= threshold }
            };
            let calls = scores.iter().filter(|score| is_slow(**score)).count() as f64;
            let sum: f64 = scores
                .iter()
                .zip(outcomes)
                .map(|(score, outcome)| if is_slow(*score) { outcome.strong } else { outcome.weak })
                .sum();
            (100.0 * calls / number, sum / number)
        })
        .collect();
    points.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.total_cmp(&other.1)));
    points
}

/// The value below which `share` of sorted values lie, between neighbours in proportion.
#[must_use]
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    between(sorted, sorted.len().saturating_sub(1) as f64 * share)
}

/// The value at a place between two of a sorted list.
fn between(sorted: &[f64], place: f64) -> f64 {
    let below = place as usize;
    let low = sorted.get(below).copied().unwrap_or_default();
    let high = sorted.get(below + 1).copied().unwrap_or(low);
    low + (high - low) * (place - below as f64)
}

/// The area under the points, as a share of the gap.
fn area(points: &[Point], weak: f64, strong: f64) -> f64 {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return 0.0 };
    let pairs = points.iter().zip(points.iter().skip(1));
    let area: f64 = pairs.map(|(a, b)| (b.0 - a.0) / 100.0 * f64::midpoint(a.1, b.1)).sum();
    let span = (last.0 - first.0) / 100.0;
    (area - weak * span) / ((strong - weak) * span)
}

/// The smallest share of calls that reaches `target`.
fn first_crossing(points: &[Point], target: f64) -> f64 {
    for (a, b) in points.iter().zip(points.iter().skip(1)) {
        if b.1 >= target - 1e-12 {
            let flat = b.1 <= a.1;
            return if flat {
                b.0
            } else {
                a.0 + (target - a.1).max(0.0) / (b.1 - a.1) * (b.0 - a.0)
            };
        }
    }
    100.0
}

/// The share of calls at `target`, as interpolation over sorted qualities gives it.
fn interpolated(points: &[Point], target: f64) -> f64 {
    // A bisection, also where qualities are not sorted: as the code that is compared with.
    let (mut low, mut high) = (0, points.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        let (_, quality) = points.get(middle).copied().unwrap_or_default();
        if target < quality { high = middle } else { low = middle + 1 }
    }
    let place = low.max(1).min(points.len().saturating_sub(1));
    let (Some(a), Some(b)) = (points.get(place.saturating_sub(1)), points.get(place)) else {
        return 100.0;
    };
    if (b.1 - a.1).abs() < f64::EPSILON * b.1.abs() {
        return b.0;
    }
    (a.0 + (target - a.1) / (b.1 - a.1) * (b.0 - a.0)).clamp(0.0, 100.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn outcomes() -> Vec<Outcome> {
        [(0.0, 1.0), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)]
            .map(|(weak, strong)| Outcome { weak, strong })
            .to_vec()
    }

    #[test]
    fn equal_scores_are_as_good_as_chance() {
        let quality = judge(&[0.3; 6], &outcomes()).unwrap();
        assert!((quality.apgr - 0.5).abs() < 1e-12);
        assert!((quality.cpt50 - 50.0).abs() < 1e-9 && (quality.cpt80 - 80.0).abs() < 1e-9);
    }

    #[test]
    fn the_best_order_recovers_more_than_the_gap() {
        let gains: Vec<f64> = outcomes().iter().map(|o| o.strong - o.weak).collect();
        assert!(judge(&gains, &outcomes()).unwrap().apgr > 1.0);
        let worst: Vec<f64> = gains.iter().map(|gain| -gain).collect();
        assert!(judge(&worst, &outcomes()).unwrap().apgr < 0.0);
    }

    #[test]
    fn a_slow_track_that_is_not_better_cannot_be_judged() {
        let same = [Outcome { weak: 1.0, strong: 1.0 }];
        assert_eq!(judge(&[0.5], &same), None);
        assert_eq!(judge(&[], &[]), None);
    }
}
