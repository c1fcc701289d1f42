//! Truncation to the tokens closest to a logit until they have a share of the probability.
//!
//! Nucleus sampling keeps those closest to the largest logit, locally typical sampling those
//! closest to the mean: one search serves both. It widens until the share is reached and sorts
//! only what the last step added, since a sorted vocabulary costs more than a small model's step.

use std::cmp::Ordering;

use super::Candidate;
use super::row::{self, Curve, Select};

/// What to keep.
#[derive(Debug, Clone, Copy)]
pub struct Closest {
    /// The logit in the middle.
    pub center: f32,
    /// Share of the probability.
    pub share: f32,
    /// Whether the share must be passed and not only reached.
    pub beyond: bool,
}

/// Distance of the first search.
const WIDTH: f32 = 1.0;

/// Growth from one search to the next.
const WIDENING: f32 = 1.5;

/// Distance from the largest logit at which weights vanish.
const FAR: f32 = 88.0;

impl Closest {
    fn enough(self, sum: f64, total: f64) -> bool {
        let needed = f64::from(self.share) * total;
        if self.beyond { sum > needed } else { sum >= needed }
    }

    fn distance(self, candidate: Candidate) -> f32 {
        (candidate.logit - self.center).abs()
    }

    fn order(self, a: Candidate, b: Candidate) -> Ordering {
        self.distance(a).total_cmp(&self.distance(b)).then_with(|| a.order(&b))
    }

    /// Fills `out` with what is kept of a whole row, in the order of the vocabulary.
    pub fn of_row(
        self,
        logits: &[f32],
        curve: Curve,
        select: &mut Select,
        out: &mut Vec<Candidate>,
    ) {
        let total = row::total(logits, curve);
        let (mut sure, mut sum, mut width) = (f32::NEG_INFINITY, 0.0, WIDTH);
        loop {
            let within = row::total_within(logits, curve, self.center, width);
            if self.enough(within, total) || width > FAR + (curve.peak - self.center) {
                break;
            }
            (sure, sum) = (width, within);
            width *= WIDENING;
        }
        // A little more, as this difference is rounded otherwise than the distances are.
        select.at_least(logits, self.center - width * 1.001, out);
        out.retain(|&candidate| self.distance(candidate) <= width);
        let mut band: Vec<Candidate> =
            out.iter().copied().filter(|&candidate| self.distance(candidate) > sure).collect();
        if let Some(last) = self.cut(&mut band, curve, sum, total) {
            out.retain(|&candidate| self.order(candidate, last).is_le());
        }
    }

    /// Keeps of `candidates` what is closest; they stay in an order of no meaning.
    pub fn of_list(self, candidates: &mut Vec<Candidate>, curve: Curve) {
        let total = candidates.iter().map(|c| f64::from(curve.weight(c.logit))).sum();
        let mut sorted = candidates.clone();
        if let Some(last) = self.cut(&mut sorted, curve, 0.0, total) {
            candidates.retain(|&candidate| self.order(candidate, last).is_le());
        }
    }

    /// The candidate with which the share is reached, when `sum` is reached without them. Sorts.
    fn cut(
        self,
        band: &mut [Candidate],
        curve: Curve,
        mut sum: f64,
        total: f64,
    ) -> Option<Candidate> {
        band.sort_unstable_by(|&a, &b| self.order(a, b));
        band.iter().copied().find(|candidate| {
            sum += f64::from(curve.weight(candidate.logit));
            self.enough(sum, total)
        })
    }
}
