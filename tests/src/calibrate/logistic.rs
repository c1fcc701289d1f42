//! The logistic rule and how it is fitted: Newton's method on standardized features, with an L2
//! penalty on all coefficients but the bias.

use serde::Serialize;
use tandem_client::v1::Certainty;

use super::Graded;

/// The statistics that the rule is made of, by their names in a model catalog.
pub const FEATURES: [&str; 5] =
    ["logprob_mean", "logprob_low", "entropy_most", "margin_mean", "tokens_ln"];

/// Coefficients: the bias, then one for each feature.
const SIZE: usize = FEATURES.len() + 1;

/// Newton's method needs less than ten; the penalty makes the minimum unique.
const ITERATIONS_MAX: usize = 50;

/// As in [`FEATURES`].
pub(super) fn features(certainty: &Certainty) -> [f64; FEATURES.len()] {
    [
        certainty.logprob_mean,
        certainty.logprob_low,
        certainty.entropy_most,
        certainty.margin_mean,
        f64::from(certainty.tokens.max(1)).ln(),
    ]
}

/// How statistics become a confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rule {
    /// Log-odds to begin with.
    pub bias: f64,
    /// What a unit of each feature adds, in the order of [`FEATURES`].
    pub coefficients: [f64; FEATURES.len()],
}

impl Rule {
    /// The likeliest rule behind these answers, drawn towards no coefficients by `penalty`.
    pub fn fit<'a>(answers: impl Iterator<Item = &'a Graded> + Clone, penalty: f64) -> Self {
        let scale = Scale::of(&answers);
        let rows: Vec<([f64; SIZE], f64)> = answers
            .map(|answer| (scale.apply(&answer.features), f64::from(u8::from(answer.right))))
            .collect();
        let mut weights = [0.0; SIZE];
        let mut loss = penalized_loss(&rows, &weights, penalty);
        for _ in 0..ITERATIONS_MAX {
            let Some(mut step) = newton_step(&rows, &weights, penalty) else { break };
            // A whole step can lead too far where the curve is flat.
            let better = (0..30).find_map(|_| {
                let tried = std::array::from_fn(|at| weights[at] - step[at]);
                let tried_loss = penalized_loss(&rows, &tried, penalty);
                step = step.map(|part| part / 2.0);
                (tried_loss < loss).then_some((tried, tried_loss))
            });
            let Some((tried, tried_loss)) = better else { break };
            (weights, loss) = (tried, tried_loss);
        }
        scale.undo(&weights)
    }

    /// From 0 to 1.
    pub fn confidence(&self, features: &[f64; FEATURES.len()]) -> f64 {
        let sum: f64 = self.coefficients.iter().zip(features).map(|(c, feature)| c * feature).sum();
        sigmoid(self.bias + sum)
    }
}

/// A confidence for each answer from a rule that was fitted without it: to those of `folds` parts of
/// the answers, in turns, that it is not in.
pub fn out_of_fold(answers: &[Graded], folds: usize, penalty: f64) -> Vec<f64> {
    let folds = folds.max(2);
    let others = |fold| {
        answers.iter().enumerate().filter(move |(at, _)| at % folds != fold).map(|(_, it)| it)
    };
    let rules: Vec<Rule> = (0..folds).map(|fold| Rule::fit(others(fold), penalty)).collect();
    answers
        .iter()
        .zip(rules.iter().cycle())
        .map(|(it, rule)| rule.confidence(&it.features))
        .collect()
}

fn sigmoid(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// Brings features to mean 0 and deviation 1, so that the penalty treats them alike.
struct Scale {
    means: [f64; FEATURES.len()],
    deviations: [f64; FEATURES.len()],
}

impl Scale {
    fn of<'a>(answers: &(impl Iterator<Item = &'a Graded> + Clone)) -> Self {
        let count = answers.clone().count().max(1) as f64;
        let mean = |value: &dyn Fn(&Graded) -> f64| answers.clone().map(value).sum::<f64>() / count;
        let means: [f64; FEATURES.len()] = std::array::from_fn(|at| mean(&|it| it.features[at]));
        let deviations = std::array::from_fn(|at| {
            let variance = mean(&|it| (it.features[at] - means[at]).powi(2));
            // A feature that never varies says nothing.
            if variance > 1e-12 { variance.sqrt() } else { f64::INFINITY }
        });
        Self { means, deviations }
    }

    /// With the 1 of the bias in front.
    fn apply(&self, features: &[f64; FEATURES.len()]) -> [f64; SIZE] {
        std::array::from_fn(|at| match at.checked_sub(1) {
            None => 1.0,
            Some(at) => (features[at] - self.means[at]) / self.deviations[at],
        })
    }

    /// The same rule for features as they were.
    fn undo(&self, weights: &[f64; SIZE]) -> Rule {
        let coefficients = std::array::from_fn(|at| weights[at + 1] / self.deviations[at]);
        let shift: f64 = coefficients.iter().zip(&self.means).map(|(c, mean)| c * mean).sum();
        Rule { bias: weights[0] - shift, coefficients }
    }
}

fn dot(left: &[f64; SIZE], right: &[f64; SIZE]) -> f64 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

fn penalized_loss(rows: &[([f64; SIZE], f64)], weights: &[f64; SIZE], penalty: f64) -> f64 {
    let loss = |(row, right): &([f64; SIZE], f64)| {
        let log_odds = dot(row, weights);
        // ln(1 + e^x) without overflow.
        log_odds.max(0.0) + (-log_odds.abs()).exp().ln_1p() - right * log_odds
    };
    let squares: f64 = weights[1..].iter().map(|weight| weight * weight).sum();
    rows.iter().map(loss).sum::<f64>() + penalty / 2.0 * squares
}

/// The gradient divided by the curvature; `None` where that has no inverse.
fn newton_step(
    rows: &[([f64; SIZE], f64)],
    weights: &[f64; SIZE],
    penalty: f64,
) -> Option<[f64; SIZE]> {
    let mut gradient = [0.0; SIZE];
    let mut curvature = [[0.0; SIZE]; SIZE];
    for (row, right) in rows {
        let confidence = sigmoid(dot(row, weights));
        for i in 0..SIZE {
            gradient[i] += (confidence - right) * row[i];
            for j in 0..SIZE {
                curvature[i][j] += confidence * (1.0 - confidence) * row[i] * row[j];
            }
        }
    }
    for i in 1..SIZE {
        gradient[i] += penalty * weights[i];
        curvature[i][i] += penalty;
    }
    solve(curvature, gradient)
}

/// Gauss's elimination with the largest pivot of each column.
fn solve(mut matrix: [[f64; SIZE]; SIZE], mut right: [f64; SIZE]) -> Option<[f64; SIZE]> {
    for column in 0..SIZE {
        let rows = column..SIZE;
        let pivot =
            rows.max_by(|&a, &b| matrix[a][column].abs().total_cmp(&matrix[b][column].abs()))?;
        matrix.swap(column, pivot);
        right.swap(column, pivot);
        if matrix[column][column].abs() < 1e-12 {
            return None;
        }
        for row in column + 1..SIZE {
            let factor = matrix[row][column] / matrix[column][column];
            let (above, below) = matrix.split_at_mut(row);
            for (left, pivot) in below[0][column..].iter_mut().zip(&above[column][column..]) {
                *left -= factor * pivot;
            }
            right[row] -= factor * right[column];
        }
    }
    for row in (0..SIZE).rev() {
        let known: f64 = (row + 1..SIZE).map(|at| matrix[row][at] * right[at]).sum();
        right[row] = (right[row] - known) / matrix[row][row];
    }
    Some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(features: [f64; FEATURES.len()], right: bool) -> Graded {
        Graded {
            id: "b-1".to_owned(),
            domain: String::new(),
            right,
            confidence: 0.5,
            features,
            text: String::new(),
        }
    }

    /// Answers that a rule with two coefficients judges well; the numbers come from a linear
    /// congruence.
    fn answers(count: usize) -> Vec<Graded> {
        let mut state = 7_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888);
            (state >> 33) as f64 / f64::from(1_u32 << 31)
        };
        let answer = |_| {
            let features = std::array::from_fn(|at| if at == 2 { 4.0 } else { uniform() * 2.0 });
            let odds = 1.0 + 3.0 * features[0] - 4.0 * features[3];
            answer(features, uniform() < sigmoid(odds))
        };
        (0..count).map(answer).collect()
    }

    #[test]
    fn the_rule_behind_many_answers_is_found() {
        let answers = answers(20_000);
        let rule = Rule::fit(answers.iter(), 1.0);
        for (found, expected) in rule.coefficients.iter().zip([3.0, 0.0, 0.0, -4.0, 0.0]) {
            assert!((found - expected).abs() < 0.25, "{rule:?}");
        }
        assert!((rule.bias - 1.0).abs() < 0.25, "{rule:?}");
    }

    #[test]
    fn with_nothing_to_tell_answers_apart_confidence_is_the_share_of_right_ones() {
        let answers: Vec<_> = (0..10).map(|at| answer([1.0; 5], at < 3)).collect();
        let rule = Rule::fit(answers.iter(), 1.0);
        assert!((rule.confidence(&[1.0; 5]) - 0.3).abs() < 1e-6, "{rule:?}");
    }

    #[test]
    fn a_penalty_keeps_a_rule_finite_that_could_be_always_right() {
        let answers: Vec<_> =
            (0..20).map(|at| answer([f64::from(at), 0.0, 0.0, 0.0, 0.0], at >= 10)).collect();
        let rule = Rule::fit(answers.iter(), 1.0);
        assert!(rule.coefficients[0] > 0.0 && rule.coefficients[0] < 10.0, "{rule:?}");
        assert!(rule.confidence(&[19.0, 0.0, 0.0, 0.0, 0.0]) > 0.9);
    }

    #[test]
    fn no_answer_is_judged_by_a_rule_that_has_seen_it() {
        let mut answers = answers(300);
        let before = out_of_fold(&answers, 5, 1.0);
        answers[7].right = !answers[7].right;
        let after = out_of_fold(&answers, 5, 1.0);
        for at in 0..answers.len() {
            assert_eq!(before[at].to_bits() == after[at].to_bits(), at % 5 == 2, "{at}");
        }
    }
}
