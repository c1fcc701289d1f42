//! The search for the rows that are nearest to a query. It compares the signs of all rows, then eight bits
//! a coordinate of those that could be among the nearest as far as the error of signs is known, then the
//! vectors of the best.

use super::View;
use super::best::Best;
use super::block::{LANES, ROWS};
use super::code::{Probe, dot};
use super::mask::Mask;

/// Up to so many rows each is compared by eight bits a coordinate.
const ALL: usize = 4096;
/// Rows by which the product is estimated that the nearest have at least.
const FIRST: usize = 64;
/// By how many standard deviations of the estimate a row may look worse than it is. Of those that the
/// search has to find, less than one in forty looks worse by more, and of real embeddings one in a
/// thousand, as most of them are clearly nearer than the rest.
const MARGIN: f32 = 2.0;
/// Rows whose vectors are compared beside those that were asked for, as eight bits round.
const SPARE: usize = 16;
/// Estimates that are looked at together.
const STRIDE: usize = 32;

impl View {
    /// The rows of the mask that are nearest to the query, best first, each with its cosine. The query has
    /// length 1.
    pub(crate) fn nearest(&self, query: &[f32], count: usize, mask: &Mask) -> Vec<(usize, f32)> {
        if query.len() != self.dimensions || count == 0 || mask.count() == 0 {
            return Vec::new();
        }
        let probe = Probe::of(&self.rotation.turn(query));
        let estimates = self.estimates(&probe, mask);
        let least = self.least(&probe, &estimates, count, mask.count());
        let mut close = Best::of(count + SPARE);
        for (stride, some) in estimates.chunks(STRIDE).enumerate() {
            if !any(some, least) {
                continue;
            }
            for (at, estimate) in some.iter().enumerate() {
                if *estimate > least {
                    let row = stride * STRIDE + at;
                    close.add(self.product(&probe, row), row);
                }
            }
        }
        let mut exact = Best::of(count);
        for (product, row) in close.sorted() {
            let vector = self.exact(row);
            exact.add(vector.map_or(product, |vector| dot(query, &vector)), row);
        }
        exact.sorted().into_iter().map(|(product, row)| (row, product)).collect()
    }

    /// What the signs of all rows say.
    fn estimates(&self, probe: &Probe, mask: &Mask) -> Vec<f32> {
        let mut estimates = vec![f32::NEG_INFINITY; self.blocks.len() * ROWS];
        let rows = estimates.chunks_mut(ROWS).zip(mask.bits.chunks(ROWS / LANES));
        for (block, (estimates, mask)) in self.blocks.iter().zip(rows) {
            block.estimate(probe, mask, estimates);
        }
        estimates
    }

    /// What the estimate of one of the nearest is at least: the product that as many are known to have,
    /// less the error of an estimate.
    fn least(&self, probe: &Probe, estimates: &[f32], count: usize, rows: usize) -> f32 {
        if rows <= ALL {
            return f32::NEG_INFINITY;
        }
        let mut first = Best::of(FIRST.max(2 * count));
        for (stride, some) in estimates.chunks(STRIDE).enumerate() {
            if any(some, first.least) {
                for (at, estimate) in some.iter().enumerate() {
                    first.add(*estimate, stride * STRIDE + at);
                }
            }
        }
        let mut known = Best::of(count);
        for (_, row) in first.sorted() {
            known.add(self.product(probe, row), row);
        }
        let known = known.sorted();
        let last = known.get(count - 1).map_or(f32::NEG_INFINITY, |(product, _)| *product);
        last - MARGIN * probe.deviation
    }

    fn product(&self, probe: &Probe, row: usize) -> f32 {
        let block = self.blocks.get(row / ROWS);
        block.map_or(f32::NEG_INFINITY, |block| block.product(probe, row % ROWS))
    }
}

fn any(estimates: &[f32], least: f32) -> bool {
    // Without a way out of the loop the compiler compares many at once.
    let count = |count: u32, estimate: &f32| count + u32::from(*estimate > least);
    estimates.iter().fold(0, count) > 0
}
