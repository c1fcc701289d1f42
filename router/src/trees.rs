//! Small decision trees, the sum of which estimates a gain.

use crate::features::{DENSE, Features};

/// A tree over measures. The first split is the root; a tree without splits is its only leaf.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Tree {
    pub(crate) splits: Vec<Split>,
    pub(crate) leaves: Vec<f32>,
}

/// Where a question goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Split {
    /// Which of the dense features.
    pub(crate) place: u16,
    /// Up to here it goes below.
    pub(crate) threshold: f32,
    pub(crate) below: Child,
    pub(crate) above: Child,
}

/// What follows a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Child {
    /// A split behind this one.
    Split(u8),
    /// A leaf.
    Leaf(u8),
}

impl Tree {
    /// What it says about a question.
    pub(crate) fn of(&self, features: &Features) -> f32 {
        let mut at = if self.splits.is_empty() { Child::Leaf(0) } else { Child::Split(0) };
        loop {
            match at {
                Child::Leaf(leaf) => {
                    return self.leaves.get(usize::from(leaf)).copied().unwrap_or_default();
                }
                Child::Split(split) => {
                    let Some(split) = self.splits.get(usize::from(split)) else { return 0.0 };
                    let value = features.dense.get(usize::from(split.place)).copied();
                    let is_below = value.unwrap_or_default() <= split.threshold;
                    at = if is_below { split.below } else { split.above };
                }
            }
        }
    }

    /// Adds to `parts` what each measure contributes: by how much the mean of the leaves that can be
    /// reached changes at each split.
    pub(crate) fn explain(&self, features: &Features, parts: &mut [f32; DENSE]) {
        let mut means = vec![0.0; self.splits.len()];
        let mean = |means: &[f32], child: Child| match child {
            Child::Split(split) => means.get(usize::from(split)).copied().unwrap_or_default(),
            Child::Leaf(leaf) => self.leaves.get(usize::from(leaf)).copied().unwrap_or_default(),
        };
        for (place, split) in self.splits.iter().enumerate().rev() {
            means[place] = f32::midpoint(mean(&means, split.below), mean(&means, split.above));
        }
        let mut at = 0;
        while let Some(split) = self.splits.get(at) {
            let measure = usize::from(split.place);
            let child =
                if features.dense[measure] <= split.threshold { split.below } else { split.above };
            parts[measure] += mean(&means, child) - means[at];
            match child {
                Child::Split(next) => at = usize::from(next),
                Child::Leaf(_) => break,
            }
        }
    }

    /// Whether every way through it ends, at a leaf that it has.
    pub(crate) fn is_sound(&self) -> bool {
        let leads_on = |(place, split): (usize, &Split)| {
            usize::from(split.place) < DENSE
                && [split.below, split.above].iter().all(|child| match *child {
                    Child::Split(next) => {
                        usize::from(next) > place && usize::from(next) < self.splits.len()
                    }
                    Child::Leaf(leaf) => usize::from(leaf) < self.leaves.len(),
                })
        };
        !self.leaves.is_empty() && self.splits.iter().enumerate().all(leads_on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let split = |threshold, below, above| Split { place: 0, threshold, below, above };
        Tree {
            splits: vec![
                split(2.0, Child::Leaf(0), Child::Split(1)),
                split(4.0, Child::Leaf(1), Child::Leaf(2)),
            ],
            leaves: vec![-1.0, 0.5, 1.0],
        }
    }

    #[test]
    fn a_question_falls_into_the_leaf_of_its_measures() {
        let mut features = Features::of("");
        for (value, leaf) in [(0.0, -1.0), (2.0, -1.0), (3.0, 0.5), (5.0, 1.0)] {
            features.dense[0] = value;
            assert!((tree().of(&features) - leaf).abs() < 1e-6, "{value}");
        }
    }

    #[test]
    fn a_tree_that_leads_in_a_circle_or_to_nothing_is_not_sound() {
        assert!(tree().is_sound());
        for child in [Child::Split(0), Child::Split(1), Child::Split(2), Child::Leaf(3)] {
            let mut tree = tree();
            tree.splits[1].below = child;
            assert!(!tree.is_sound(), "{child:?}");
        }
        assert!(!Tree::default().is_sound());
    }
}
