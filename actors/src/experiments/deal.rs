//! Dealing conversations out to the parts of an experiment.

use sha2::{Digest as _, Sha256};

/// Two random numbers that follow from an experiment and a conversation, the same at any time and
/// on any machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hand {
    taking_part: u64,
    variant: u64,
}

impl Hand {
    pub(super) fn new(experiment: &str, salt: &str, key: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [experiment, salt, key] {
            // With its length, so that no two triples are the same text.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let hash = hash.finalize();
        let number = |from: usize| {
            hash.iter().skip(from).take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
        };
        Self { taking_part: number(0), variant: number(8) }
    }

    /// Whether it is among the `share` of all, 0 to 1.
    pub(super) fn is_in(self, share: f64) -> bool {
        unit(self.taking_part) < share
    }

    /// One of the parts, as often as its weight says.
    pub(super) fn pick<T>(self, parts: impl Iterator<Item = (T, u32)> + Clone) -> Option<T> {
        let all: u64 = parts.clone().map(|(_, weight)| u64::from(weight)).sum();
        // Below `all`, as the random number is below 2^64.
        let place = (u128::from(self.variant) * u128::from(all)) >> 64;
        let mut below = 0_u128;
        parts.into_iter().find_map(|(part, weight)| {
            below += u128::from(weight);
            (place < below).then_some(part)
        })
    }
}

/// From 0 to below 1.
fn unit(number: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "53 bits are all that a float has")]
    let number = (number >> 11) as f64;
    number / f64::from(1_u32 << 31) / f64::from(1_u32 << 22)
}
