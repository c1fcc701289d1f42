//! Weights of words and pairs: least squares with a penalty, by conjugate gradients.

use crate::features::{BUCKETS, Features};

/// Steps; the penalty makes the problem so well-behaved that more change nothing.
const STEPS: usize = 60;
/// Words in fewer questions are not learned from.
const QUESTIONS_MIN: u32 = 2;

/// How weights are found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recipe {
    pub(super) penalty: f64,
    /// How much more a rare word may weigh: the power of the logarithm of its rarity.
    pub(super) rarity: f64,
}

/// The weight of each bucket, such that their weighted sum over a question estimates its target.
pub(super) fn solve(rows: &[&Features], targets: &[f32], recipe: Recipe) -> Vec<f32> {
    let scale = scales(rows, recipe.rarity);
    let rows: Vec<Vec<(usize, f64)>> = rows
        .iter()
        .map(|row| {
            let weight = f64::from(row.bucket_weight());
            let signed = |&(bucket, negative): &(u16, bool)| {
                let bucket = usize::from(bucket);
                (bucket, scale[bucket] * if negative { -weight } else { weight })
            };
            row.buckets.iter().map(signed).filter(|(_, value)| *value != 0.0).collect()
        })
        .collect();
    let times = |vector: &[f64]| -> Vec<f64> {
        rows.iter().map(|row| row.iter().map(|&(at, value)| value * vector[at]).sum()).collect()
    };
    let transposed = |sides: &[f64]| {
        let mut sums = vec![0.0; BUCKETS];
        for (row, side) in rows.iter().zip(sides) {
            for &(at, value) in row {
                sums[at] += value * side;
            }
        }
        sums
    };
    let targets: Vec<f64> = targets.iter().map(|target| f64::from(*target)).collect();
    let mut weights = vec![0.0; BUCKETS];
    let mut rest = transposed(&targets);
    let mut direction = rest.clone();
    let mut length = dot(&rest, &rest);
    for _ in 0..STEPS {
        if length < 1e-12 {
            break;
        }
        let mut image = transposed(&times(&direction));
        image.iter_mut().zip(&direction).for_each(|(image, at)| *image += recipe.penalty * at);
        let step = length / dot(&direction, &image);
        weights.iter_mut().zip(&direction).for_each(|(weight, at)| *weight += step * at);
        rest.iter_mut().zip(&image).for_each(|(rest, at)| *rest -= step * at);
        let shorter = dot(&rest, &rest);
        let turn = shorter / length;
        direction.iter_mut().zip(&rest).for_each(|(at, rest)| *at = rest + turn * *at);
        length = shorter;
    }
    weights.iter().zip(&scale).map(|(weight, scale)| (weight * scale) as f32).collect()
}

/// How much each bucket may weigh.
fn scales(rows: &[&Features], rarity: f64) -> Vec<f64> {
    let mut questions = vec![0_u32; BUCKETS];
    for row in rows {
        row.buckets.iter().for_each(|(bucket, _)| questions[usize::from(*bucket)] += 1);
    }
    let all = rows.len() as f64 + 1.0;
    let scale = |number: &u32| {
        let rare = (all / (f64::from(*number) + 1.0)).ln().powf(rarity);
        if *number < QUESTIONS_MIN { 0.0 } else { rare }
    };
    questions.iter().map(scale).collect()
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}
