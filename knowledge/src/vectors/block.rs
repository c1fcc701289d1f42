//! Codes of many vectors, laid out for the scan.

use super::code::{Code, Probe, words};

/// Rows of a block. One block is copied when rows are added while somebody searches.
pub(super) const ROWS: usize = 1024;
/// Rows whose signs are compared in one loop, as many as a word has bits. It is long enough for the
/// compiler to take several rows at once rather than several words of one row.
pub(super) const LANES: usize = 64;

/// Up to [`ROWS`] vectors.
#[derive(Debug, Clone, Default)]
pub(super) struct Block {
    /// Of each row, the number of its chunk, ascending.
    pub(super) ids: Vec<u64>,
    /// Of each group of rows, one word after the other, the words of all its rows.
    signs: Vec<[u64; LANES]>,
    /// Of each group, the factors of its rows; 0 where there is none yet.
    factors: Vec<[f32; LANES]>,
    /// Of one row after the other.
    steps: Vec<i8>,
    scales: Vec<f32>,
}

impl Block {
    /// Adds a row. Its number is greater than those before.
    pub(super) fn push(&mut self, id: u64, code: &Code) {
        let lane = self.ids.len() % LANES;
        if lane == 0 {
            self.signs.extend(vec![[0; LANES]; code.signs.len()]);
            self.factors.push([0.0; LANES]);
        }
        let group = self.signs.len() - code.signs.len();
        for (words, word) in self.signs[group..].iter_mut().zip(&code.signs) {
            words[lane] = *word;
        }
        if let Some(factors) = self.factors.last_mut() {
            factors[lane] = code.factor;
        }
        self.ids.push(id);
        self.steps.extend(&code.steps);
        self.scales.push(code.scale);
    }

    /// Estimates the products of the query with the rows that `mask` has, a bit for each. The others get
    /// the least number. There are as many estimates as bits.
    pub(super) fn estimate(&self, probe: &Probe, mask: &[u64], estimates: &mut [f32]) {
        let groups = self.signs.chunks_exact(probe.planes.len()).zip(&self.factors);
        let estimates = estimates.as_chunks_mut::<LANES>().0;
        for (((signs, factors), mask), estimates) in groups.zip(mask).zip(estimates) {
            if *mask == 0 {
                *estimates = [f32::NEG_INFINITY; LANES];
                continue;
            }
            let mut sums = [0_i64; LANES];
            for (words, planes) in signs.iter().zip(&probe.planes) {
                for (sum, word) in sums.iter_mut().zip(words) {
                    let [one, two, four, eight] =
                        planes.map(|plane| i64::from((word & plane).count_ones()));
                    // The last plane is the sign of the query's coordinates.
                    *sum += one + 2 * two + 4 * four - 8 * eight;
                }
            }
            for (lane, ((estimate, sum), factor)) in
                estimates.iter_mut().zip(sums).zip(factors).enumerate()
            {
                #[allow(clippy::cast_precision_loss, reason = "at most eight times the dimensions")]
                let guess = factor * (probe.slope * sum as f32 - probe.offset);
                *estimate = if mask >> lane & 1 == 1 { guess } else { f32::NEG_INFINITY };
            }
        }
    }

    /// Nearly the product of the query with a row of this block.
    pub(super) fn product(&self, probe: &Probe, row: usize) -> f32 {
        let dimensions = probe.steps.len();
        let steps = self.steps.get(row * dimensions..(row + 1) * dimensions);
        let scale = self.scales.get(row);
        steps.zip(scale).map_or(f32::NEG_INFINITY, |(steps, scale)| probe.product(steps, *scale))
    }

    /// Bytes in memory of a row.
    pub(super) const fn row_bytes(dimensions: usize) -> usize {
        size_of::<u64>() + words(dimensions) * 8 + dimensions + 2 * size_of::<f32>()
    }
}
