//! Some of all rows.

use super::block::{LANES, ROWS};

/// Some rows, a bit each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mask {
    /// A word for as many rows as are compared at once.
    pub(super) bits: Vec<u64>,
    count: usize,
}

impl Mask {
    /// None of so many rows.
    pub(crate) fn none(rows: usize) -> Self {
        Self { bits: vec![0; rows.div_ceil(ROWS) * ROWS / LANES], count: 0 }
    }

    /// Adds a row; one that is beyond the mask stays out.
    pub(crate) fn add(&mut self, row: usize) {
        if let Some(bits) = self.bits.get_mut(row / LANES) {
            let bit = 1_u64 << (row % LANES);
            self.count += usize::from(*bits & bit == 0);
            *bits |= bit;
        }
    }

    /// Takes the first `rows` rows out.
    pub(crate) fn skip(&mut self, rows: usize) {
        for (word, bits) in self.bits.iter_mut().enumerate() {
            let out = u32::try_from(rows.saturating_sub(word * LANES)).unwrap_or(u32::MAX);
            *bits &= u64::MAX.checked_shl(out).unwrap_or(0);
        }
        self.count = self.bits.iter().map(|bits| bits.count_ones() as usize).sum();
    }

    /// Whether the row is in.
    pub(crate) fn has(&self, row: usize) -> bool {
        self.bits.get(row / LANES).is_some_and(|bits| bits >> (row % LANES) & 1 == 1)
    }

    /// How many rows are in.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }
}
