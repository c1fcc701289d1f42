//! What was learned: one head for each kind of task, which estimates the gain of the slow track.

use crate::features::{BUCKETS, Features};
use crate::kind::Kind;
use crate::trees::Tree;

/// The learned part of a router.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Model {
    /// One for each of [`Kind::ALL`].
    pub(crate) heads: [Head; Kind::ALL.len()],
    /// Scores that 0 %, 1 % … 100 % of typical questions do not exceed; empty when not known.
    pub(crate) quantiles: Vec<f32>,
}

/// Estimates the gain for one kind of task: how much better the slow track's answer is, from -1 to 1.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Head {
    pub(crate) intercept: f32,
    /// One for each measure that counts.
    pub(crate) curves: Vec<Curve>,
    pub(crate) trees: Vec<Tree>,
    /// Weights of words and pairs; empty when they do not count.
    pub(crate) words: Vec<i8>,
    /// What one step of them means.
    pub(crate) words_scale: f32,
}

/// What a measure contributes: straight between knots, constant outside.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Curve {
    /// Which of the dense features.
    pub(crate) place: u16,
    /// Value of the feature and contribution, by rising value.
    pub(crate) knots: Vec<(f32, f32)>,
}

impl Model {
    pub(crate) fn head(&self, kind: Kind) -> &Head {
        &self.heads[kind as usize]
    }

    /// The estimated gain.
    pub(crate) fn gain(&self, features: &Features) -> f32 {
        self.head(features.kind).gain(features)
    }
}

impl Head {
    fn gain(&self, features: &Features) -> f32 {
        let curves: f32 = self.curves.iter().map(|curve| curve.of(features)).sum();
        let trees: f32 = self.trees.iter().map(|tree| tree.of(features)).sum();
        self.intercept + curves + trees + self.of_words(features)
    }

    /// What words and pairs contribute.
    pub(crate) fn of_words(&self, features: &Features) -> f32 {
        if self.words.len() != BUCKETS {
            return 0.0;
        }
        let sum: i32 = features
            .buckets
            .iter()
            .map(|&(bucket, negative)| {
                let weight = i32::from(self.words[usize::from(bucket)]);
                if negative { -weight } else { weight }
            })
            .sum();
        sum as f32 * self.words_scale * features.bucket_weight()
    }

    /// Stores word weights in steps of a 127th of the greatest.
    pub(crate) fn set_words(&mut self, weights: &[f32]) {
        let greatest = weights.iter().fold(0.0_f32, |greatest, weight| greatest.max(weight.abs()));
        self.words_scale = if greatest > 0.0 { greatest / 127.0 } else { 1.0 };
        self.words =
            weights.iter().map(|weight| (weight / self.words_scale).round() as i8).collect();
    }

    /// The word weights in full.
    pub(crate) fn words(&self) -> Vec<f32> {
        let mut weights: Vec<f32> =
            self.words.iter().map(|weight| f32::from(*weight) * self.words_scale).collect();
        weights.resize(BUCKETS, 0.0);
        weights
    }
}

impl Curve {
    /// Its contribution to a question's gain.
    pub(crate) fn of(&self, features: &Features) -> f32 {
        let value = features.dense.get(usize::from(self.place)).copied().unwrap_or_default();
        self.at(value)
    }

    /// Its value at `x`.
    pub(crate) fn at(&self, x: f32) -> f32 {
        let after = self.knots.partition_point(|knot| knot.0 <= x);
        let left = after.checked_sub(1).and_then(|before| self.knots.get(before));
        match (left, self.knots.get(after)) {
            (Some(left), Some(right)) => {
                left.1 + (right.1 - left.1) * (x - left.0) / (right.0 - left.0)
            }
            (Some(only), None) | (None, Some(only)) => only.1,
            (None, None) => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_straight_between_knots_and_constant_outside() {
        let curve = Curve { place: 0, knots: vec![(1.0, 2.0), (3.0, 6.0)] };
        for (x, y) in [(0.0, 2.0), (1.0, 2.0), (2.0, 4.0), (3.0, 6.0), (9.0, 6.0)] {
            assert!((curve.at(x) - y).abs() < 1e-6, "{x}");
        }
    }

    #[test]
    fn stored_word_weights_are_off_by_half_a_step_at_most() {
        let weights: Vec<f32> = (0..BUCKETS).map(|i| (i as f32).sin()).collect();
        let mut head = Head::default();
        head.set_words(&weights);
        let worst = weights
            .iter()
            .zip(head.words())
            .map(|(weight, stored)| (weight - stored).abs())
            .fold(0.0, f32::max);
        assert!(worst <= head.words_scale * 0.51);
    }
}
