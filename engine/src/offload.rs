//! How much of a model fits into the memory of graphics processors.

use crate::llama::Layers;

/// Bytes of each graphics processor that are left alone, for intermediate results and for other
/// programs: as much as llama.cpp's own tools leave.
const RESERVE_BYTES: u64 = 1 << 30;

/// How much a context keeps of each token.
#[derive(Debug, Clone, Copy)]
pub struct Cells {
    /// Tokens.
    pub tokens: u32,
    /// Keys and values are kept as blocks of 8-bit numbers, not as numbers of 16 bits.
    pub quantized: bool,
}

/// Layers that fit, the output counting as the first of them: llama.cpp hands over a model from its
/// end. `free` has the bytes that each graphics processor has to spare.
pub fn layers_that_fit(free: &[u64], layers: &Layers, cells: Cells) -> u32 {
    let cache = cells.bytes(layers.cell);
    let behind = layers.weights.iter().rev().map(|weights| weights.saturating_add(cache));
    let parts: Vec<u64> = std::iter::once(layers.output).chain(behind).collect();
    // A layer is on one processor: each but the last may have room left that is too small for one.
    let waste = parts.iter().copied().max().unwrap_or(0);
    let waste = waste.saturating_mul(free.len().saturating_sub(1) as u64);
    let room: u64 = free.iter().map(|free| free.saturating_sub(RESERVE_BYTES)).sum();
    let mut left = room.saturating_sub(waste);
    let mut fitting = 0;
    for part in parts {
        let Some(rest) = left.checked_sub(part) else { break };
        left = rest;
        fitting += 1;
    }
    fitting
}

impl Cells {
    /// Bytes of one layer's cache, where a token leaves so many numbers in it.
    fn bytes(self, numbers: u64) -> u64 {
        let numbers = numbers.saturating_mul(self.tokens.into());
        // A block of 32 numbers has a scale of 16 bits.
        if self.quantized { numbers.saturating_mul(34) / 32 } else { numbers.saturating_mul(2) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Ten layers of 100 MiB and an output of 300 MiB; 1024 tokens take 2 MiB of a layer's cache.
    fn layers() -> Layers {
        Layers { weights: vec![100 * MIB; 10], output: 300 * MIB, cell: 1024 }
    }

    fn fitting(free_mib: &[u64], tokens: u32, quantized: bool) -> u32 {
        let free: Vec<u64> = free_mib.iter().map(|mib| mib * MIB).collect();
        layers_that_fit(&free, &layers(), Cells { tokens, quantized })
    }

    #[test]
    fn the_output_comes_first_and_then_as_many_layers_as_fit_behind_the_reserve() {
        assert_eq!(fitting(&[], 1024, false), 0);
        assert_eq!(fitting(&[1024], 1024, false), 0);
        assert_eq!(fitting(&[1024 + 299], 1024, false), 0);
        assert_eq!(fitting(&[1024 + 300], 1024, false), 1);
        assert_eq!(fitting(&[1024 + 300 + 3 * 102], 1024, false), 4);
        assert_eq!(fitting(&[1024 + 300 + 3 * 102 - 1], 1024, false), 3);
        assert_eq!(fitting(&[100_000], 1024, false), 11);
    }

    #[test]
    fn a_longer_context_leaves_less_room_and_eight_bits_make_some() {
        let free = [1024 + 300 + 10 * 102];
        assert_eq!(fitting(&free, 1024, false), 11);
        assert_eq!(fitting(&free, 64 * 1024, false), 5);
        assert_eq!(fitting(&free, 64 * 1024, true), 7);
    }

    #[test]
    fn several_processors_share_the_layers_and_each_may_waste_some_room() {
        assert_eq!(fitting(&[1024 + 300, 1024 + 300], 1024, false), 1);
        assert_eq!(fitting(&[1024 + 300, 1024 + 300 + 204], 1024, false), 3);
        assert_eq!(fitting(&[10_000, 10_000, 0], 1024, false), 11);
    }

    #[test]
    fn absurd_sizes_fit_nowhere() {
        let layers = Layers { weights: vec![u64::MAX; 3], output: 0, cell: u64::MAX };
        let cells = Cells { tokens: u32::MAX, quantized: true };
        assert_eq!(layers_that_fit(&[u64::MAX], &layers, cells), 1);
    }
}
