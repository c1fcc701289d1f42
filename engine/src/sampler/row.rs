//! Passes over a row of logits, written so that the compiler turns them into vector code.

use std::f32::consts::{LN_2, LOG2_E};

use super::Candidate;

/// Values handled side by side.
const LANES: usize = 16;

/// Values whose exponentials are summed in single precision before the sum goes on in double.
const SUM_BLOCK: usize = 1024;

/// Values that share one entry in the table of block peaks.
const PEAK_BLOCK: usize = 64;

/// The largest logit; `None` for an empty row or one with a value that is not finite.
pub fn peak(row: &[f32]) -> Option<f32> {
    let (chunks, rest) = row.as_chunks::<LANES>();
    let mut peaks = [f32::NEG_INFINITY; LANES];
    // Stays 0 unless a value is infinite or not a number.
    let mut taint = [0.0_f32; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            peaks[lane] = peaks[lane].max(chunk[lane]);
            taint[lane] += chunk[lane] * 0.0;
        }
    }
    let peak = peaks.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
    let finite = taint.iter().all(|lane| *lane == 0.0) && rest.iter().all(|v| v.is_finite());
    (finite && !row.is_empty()).then_some(peak)
}

/// The first token with this logit; 0 when there is none.
pub fn first(row: &[f32], logit: f32) -> u32 {
    let found = row.iter().position(|&value| value >= logit);
    found.and_then(|at| u32::try_from(at).ok()).unwrap_or(0)
}

/// Logarithm of the sum of the exponentials of all logits, of which `peak` is the largest.
pub fn log_total(row: &[f32], peak: f32) -> f32 {
    let total: f64 = row.chunks(SUM_BLOCK).map(|block| f64::from(exp_sum(block, peak))).sum();
    #[allow(clippy::cast_possible_truncation, reason = "logits have no more precision")]
    let log = total.ln() as f32;
    peak + log
}

fn exp_sum(block: &[f32], peak: f32) -> f32 {
    let (chunks, rest) = block.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            sums[lane] += exp(chunk[lane] - peak);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|&value| exp(value - peak)).sum::<f32>()
}

/// e to the power of a number that is not positive, to single precision. The standard library's
/// function is exact to the last bit, but not vectorized.
fn exp(x: f32) -> f32 {
    /// Adding it rounds a small number to an integer, found in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // Below this the result would be no normal number.
    let scaled = x.max(-87.0) * LOG2_E;
    let shifted = scaled + ROUND;
    let fraction = scaled - (shifted - ROUND);
    // Taylor series of 2^fraction, for a fraction of at most a half.
    let mut power = 1.540_353e-4;
    for coefficient in [1.333_355_8e-3, 9.618_129e-3, 5.550_411e-2, 0.240_226_5, LN_2, 1.0] {
        power = power * fraction + coefficient;
    }
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    power * f32::from_bits(exponent << 23)
}

/// Fills `out` with every token, in the order of the vocabulary.
pub fn all(row: &[f32], out: &mut Vec<Candidate>) {
    out.clear();
    out.extend((0..).zip(row).map(|(token, &logit)| Candidate { logit, token }));
}

/// Selection of the likeliest tokens; keeps its buffers.
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
        let threshold = self.threshold(row, count);
        for (block, &peak) in self.peaks.iter().enumerate() {
            if peak < threshold {
                continue;
            }
            let start = block * PEAK_BLOCK;
            let values = row.iter().enumerate().skip(start).take(PEAK_BLOCK);
            out.extend(
                values.filter(|&(_, &logit)| logit >= threshold).filter_map(|(at, &logit)| {
                    Some(Candidate { logit, token: at.try_into().ok()? })
                }),
            );
        }
        if out.len() > count {
            out.select_nth_unstable_by(count - 1, Candidate::order);
            out.truncate(count);
        }
        out.sort_unstable_by(Candidate::order);
    }

    /// A logit that at least `count` tokens reach: each of the `count` blocks with the highest
    /// peaks has one. Leaves only few tokens to look at.
    fn threshold(&mut self, row: &[f32], count: usize) -> f32 {
        self.peaks.clear();
        self.peaks.extend(
            row.chunks(PEAK_BLOCK)
                .map(|block| block.iter().copied().fold(f32::NEG_INFINITY, f32::max)),
        );
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
