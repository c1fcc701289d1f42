//! Passes over a row of logits, written so that the compiler turns them into vector code.

use std::f32::consts::{LN_2, LOG2_E};

use super::Candidate;

/// Values handled side by side.
const LANES: usize = 16;

/// Values whose weights are summed in single precision before the sum goes on in double.
const SUM_BLOCK: usize = 256;

/// Values that share one entry in the table of block peaks.
const PEAK_BLOCK: usize = 64;

/// The largest two logits, the second below all numbers if there is but one; `None` for an empty row
/// or one with a value that is not finite.
pub fn peaks(row: &[f32]) -> Option<(f32, f32)> {
    let (chunks, rest) = row.as_chunks::<LANES>();
    let mut peaks = [f32::NEG_INFINITY; LANES];
    let mut seconds = [f32::NEG_INFINITY; LANES];
    // Stays 0 unless a value is infinite or not a number.
    let mut taint = [0.0_f32; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            seconds[lane] = seconds[lane].max(peaks[lane].min(chunk[lane]));
            peaks[lane] = peaks[lane].max(chunk[lane]);
            taint[lane] += chunk[lane] * 0.0;
        }
    }
    let largest_two = peaks
        .iter()
        .chain(&seconds)
        .chain(rest)
        .fold((f32::NEG_INFINITY, f32::NEG_INFINITY), |(first, second), &logit| {
            (first.max(logit), second.max(first.min(logit)))
        });
    let finite = taint.iter().all(|lane| *lane == 0.0) && rest.iter().all(|v| v.is_finite());
    (finite && !row.is_empty()).then_some(largest_two)
}

/// The largest of numbers that may be infinite.
pub fn largest(row: &[f32]) -> f32 {
    let (chunks, rest) = row.as_chunks::<LANES>();
    let mut peaks = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            peaks[lane] = peaks[lane].max(chunk[lane]);
        }
    }
    peaks.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

/// The first token with this logit; 0 when there is none.
pub fn first(row: &[f32], logit: f32) -> u32 {
    let found = row.iter().position(|&value| value >= logit);
    found.and_then(|at| u32::try_from(at).ok()).unwrap_or(0)
}

/// Logarithm of the sum of the exponentials of all logits, of which `peak` is the largest, and the
/// entropy of their probabilities in nats.
#[allow(clippy::cast_possible_truncation, reason = "logits have no more precision")]
pub fn log_total_and_entropy(row: &[f32], peak: f32) -> (f32, f32) {
    let (total, moment) = moments(row, Curve { peak, sharpness: 1.0 });
    let log = total.ln();
    (peak + log as f32, (log - moment / total).max(0.0) as f32)
}

/// How logits become weights: the weight of `peak`, the largest logit, is 1.
#[derive(Debug, Clone, Copy)]
pub struct Curve {
    /// The largest logit.
    pub peak: f32,
    /// The inverse of the temperature.
    pub sharpness: f32,
}

impl Curve {
    /// The weight of a logit: its probability but for a factor.
    #[inline]
    pub fn weight(self, logit: f32) -> f32 {
        exp((logit - self.peak) * self.sharpness)
    }
}

/// Sum of `value` over the row, which is to be vector code.
#[inline]
fn sum(row: &[f32], value: impl Fn(f32) -> f32 + Copy) -> f64 {
    row.chunks(SUM_BLOCK).map(|block| f64::from(block_sum(block, value))).sum()
}

#[inline]
fn block_sum(block: &[f32], value: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = block.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            sums[lane] += value(chunk[lane]);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|&logit| value(logit)).sum::<f32>()
}

/// Sum of all weights.
pub fn total(row: &[f32], curve: Curve) -> f64 {
    sum(row, |logit| curve.weight(logit))
}

/// Sum of the weights of logits that are no farther than `width` from `center`.
pub fn total_within(row: &[f32], curve: Curve, center: f32, width: f32) -> f64 {
    sum(row, |logit| {
        let weight = curve.weight(logit);
        if (logit - center).abs() <= width { weight } else { 0.0 }
    })
}

/// The mean logit under the probabilities. A token with this logit is as surprising as the whole
/// row is expected to be.
pub fn mean(row: &[f32], curve: Curve) -> f32 {
    let (total, moment) = moments(row, curve);
    #[allow(clippy::cast_possible_truncation, reason = "logits have no more precision")]
    let mean = (moment / total) as f32;
    curve.peak + mean
}

/// Sum of all weights, and of the logits' distances from the peak times their weights, in one pass.
fn moments(row: &[f32], curve: Curve) -> (f64, f64) {
    let value = |logit| {
        let weight = curve.weight(logit);
        // A forbidden token has a weight of 0 and no distance worth multiplying it with.
        (weight, weight * (logit - curve.peak).max(-1e3))
    };
    row.chunks(SUM_BLOCK).fold((0.0, 0.0), |(total, moment), block| {
        let (chunks, rest) = block.as_chunks::<LANES>();
        let (mut totals, mut moments) = ([0.0_f32; LANES], [0.0_f32; LANES]);
        for chunk in chunks {
            for lane in 0..LANES {
                let (weight, distance) = value(chunk[lane]);
                totals[lane] += weight;
                moments[lane] += distance;
            }
        }
        let (mut last_total, mut last_moment) = (0.0, 0.0);
        for &logit in rest {
            let (weight, distance) = value(logit);
            last_total += weight;
            last_moment += distance;
        }
        (
            total + f64::from(totals.iter().sum::<f32>() + last_total),
            moment + f64::from(moments.iter().sum::<f32>() + last_moment),
        )
    })
}

/// e to the power of a number that is not positive, to single precision; 0 where that would be no
/// normal number. The standard library's function is exact to the last bit, but not vectorized.
#[inline]
fn exp(x: f32) -> f32 {
    /// Adding it rounds a small number to an integer, found in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LEAST: f32 = -87.0;
    let scaled = x.max(LEAST) * LOG2_E;
    let shifted = scaled + ROUND;
    let fraction = scaled - (shifted - ROUND);
    // Taylor series of 2^fraction, for a fraction of at most a half.
    let mut power = 1.540_353e-4;
    for coefficient in [1.333_355_8e-3, 9.618_129e-3, 5.550_411e-2, 0.240_226_5, LN_2, 1.0] {
        power = power * fraction + coefficient;
    }
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    let result = power * f32::from_bits(exponent << 23);
    if x < LEAST { 0.0 } else { result }
}

/// Draws from a whole row; keeps its buffer.
#[derive(Debug, Default)]
pub struct Wheel {
    blocks: Vec<f32>,
}

impl Wheel {
    /// Inverts the cumulative distribution, in the order of the vocabulary, at `point` in `0..1`.
    pub fn draw(&mut self, row: &[f32], curve: Curve, point: f64) -> u32 {
        self.blocks.clear();
        let blocks = row.chunks(SUM_BLOCK);
        self.blocks.extend(blocks.map(|block| block_sum(block, |logit| curve.weight(logit))));
        let mut left = point * self.blocks.iter().map(|&sum| f64::from(sum)).sum::<f64>();
        let block = pick(self.blocks.iter().copied(), &mut left);
        let start = block * SUM_BLOCK;
        let weights = row.iter().skip(start).take(SUM_BLOCK).map(|&logit| curve.weight(logit));
        u32::try_from(start + pick(weights, &mut left)).unwrap_or(0)
    }
}

/// The weight in which `left` falls, which is reduced by those before. Rounding can leave it
/// beyond all: then it is the last weight that counts.
pub fn pick(weights: impl Iterator<Item = f32>, left: &mut f64) -> usize {
    let mut last = 0;
    for (at, weight) in weights.enumerate() {
        if weight > 0.0 {
            last = at;
        }
        if *left < f64::from(weight) {
            break;
        }
        *left -= f64::from(weight);
    }
    last
}

/// Selection of tokens by their logits; keeps its buffers.
#[derive(Debug, Default)]
pub struct Select {
    peaks: Vec<f32>,
    ranked: Vec<f32>,
}

impl Select {
    /// Fills `out` with the `count` likeliest tokens, likeliest first.
    pub fn top(&mut self, row: &[f32], count: usize, out: &mut Vec<Candidate>) {
        out.clear();
        if count == 0 {
            return;
        }
        self.survey(row);
        let threshold = self.reached_by(count);
        self.gather(row, threshold, out);
        if out.len() > count {
            out.select_nth_unstable_by(count - 1, Candidate::order);
            out.truncate(count);
        }
        out.sort_unstable_by(Candidate::order);
    }

    /// Fills `out` with the tokens that reach `threshold`, in the order of the vocabulary.
    pub fn at_least(&mut self, row: &[f32], threshold: f32, out: &mut Vec<Candidate>) {
        out.clear();
        self.survey(row);
        self.gather(row, threshold, out);
    }

    fn survey(&mut self, row: &[f32]) {
        self.peaks.clear();
        self.peaks.extend(row.chunks(PEAK_BLOCK).map(largest));
    }

    fn gather(&self, row: &[f32], threshold: f32, out: &mut Vec<Candidate>) {
        // No forbidden token.
        let threshold = threshold.max(f32::MIN);
        for ((block, values), &peak) in row.chunks(PEAK_BLOCK).enumerate().zip(&self.peaks) {
            if peak < threshold {
                continue;
            }
            let Ok(start) = u32::try_from(block * PEAK_BLOCK) else { return };
            let tokens = (start..).zip(values);
            out.extend(
                tokens
                    .filter(|&(_, &logit)| logit >= threshold)
                    .map(|(token, &logit)| Candidate { logit, token }),
            );
        }
    }

    /// A logit that at least `count` tokens reach: each of the `count` blocks with the highest
    /// peaks has one. Leaves only few tokens to look at.
    fn reached_by(&mut self, count: usize) -> f32 {
        if count >= self.peaks.len() {
            return f32::NEG_INFINITY;
        }
        self.ranked.clear();
        self.ranked.extend_from_slice(&self.peaks);
        let (_, threshold, _) =
            self.ranked.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
        *threshold
    }
}
