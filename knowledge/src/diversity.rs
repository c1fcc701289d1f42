//! Choosing what is relevant and not yet said.

use crate::vectors::dot;

/// Something that may be chosen.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    /// How relevant it is, more is better.
    pub(crate) score: f32,
    /// Its vector, of length 1; without one it is like nothing else.
    pub(crate) vector: Option<Vec<f32>>,
}

/// Chooses `count` by maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998): one after the other
/// what has most of relevance, less its likeness to what was chosen before. `diversity` weighs them: 0
/// keeps the order of relevance, 1 looks at likeness only, after the first. The result has their places.
#[allow(clippy::indexing_slicing, reason = "places are those of the choices")]
pub(crate) fn diversify(choices: &[Choice], count: usize, diversity: f32) -> Vec<usize> {
    let diversity = diversity.clamp(0.0, 1.0);
    let most = choices.iter().map(|choice| choice.score).fold(f32::MIN_POSITIVE, f32::max);
    let mut left: Vec<usize> = (0..choices.len()).collect();
    // The greatest likeness of each to what was chosen.
    let mut likeness = vec![0.0_f32; choices.len()];
    let mut chosen = Vec::with_capacity(count.min(choices.len()));
    while chosen.len() < count {
        let worth = |at: usize| {
            let relevance = choices[at].score / most;
            if chosen.is_empty() {
                return relevance;
            }
            (1.0 - diversity) * relevance - diversity * likeness[at]
        };
        // Of equal ones the earlier.
        let better = |a: &usize, b: &usize| worth(*a).total_cmp(&worth(*b)).then(b.cmp(a));
        let Some(next) = left.iter().copied().max_by(better) else { break };
        left.retain(|at| *at != next);
        chosen.push(next);
        for at in &left {
            if let (Some(left), Some(right)) = (&choices[*at].vector, &choices[next].vector) {
                likeness[*at] = likeness[*at].max(dot(left, right));
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices() -> Vec<Choice> {
        let at = |score, angle: f32| Choice { score, vector: Some(vec![angle.cos(), angle.sin()]) };
        vec![at(1.0, 0.0), at(0.95, 0.01), at(0.9, 1.2), at(0.1, 1.5)]
    }

    #[test]
    fn without_diversity_the_most_relevant_are_chosen() {
        assert_eq!(diversify(&choices(), 3, 0.0), [0, 1, 2]);
    }

    #[test]
    fn what_repeats_the_first_comes_last() {
        assert_eq!(diversify(&choices(), 2, 0.5), [0, 2]);
        assert_eq!(diversify(&choices(), 9, 1.0), [0, 3, 2, 1]);
    }

    #[test]
    fn what_has_no_vector_is_like_nothing() {
        let mut choices = choices();
        choices[1].vector = None;
        assert_eq!(diversify(&choices, 2, 0.5), [0, 1]);
        assert!(diversify(&[], 2, 0.5).is_empty());
    }
}
