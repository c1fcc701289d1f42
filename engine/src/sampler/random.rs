//! Random numbers that depend on nothing but the seed and the token's index, so that an answer
//! taken up in the middle goes on with the very draws that it would have made.

/// Weyl constant of `SplitMix64`: 2^64 over the golden ratio.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// A number in `0.0..1.0` for draw `index` under `seed`.
pub fn uniform(seed: u64, index: u64) -> f64 {
    // The seed is mixed first: neighbouring seeds would otherwise share shifted sequences.
    let bits = mix(mix(seed).wrapping_add(STRIDE.wrapping_mul(index.wrapping_add(1))));
    // As many bits as a mantissa holds.
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
    let mantissa = (bits >> 11) as f64;
    mantissa * (f64::EPSILON / 2.0)
}

/// The output function of `SplitMix64` (Steele, Lea and Flood, 2014).
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(STRIDE);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        // First output for seed 0 in the reference implementation.
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn draws_are_spread_evenly_for_indexes_and_for_seeds() {
        let by_index = |n| uniform(42, n);
        let by_seed = |n| uniform(n, 0);
        for draw in [by_index as fn(u64) -> f64, by_seed] {
            let mut buckets = [0_u32; 10];
            for n in 0..10_000 {
                let value = draw(n);
                assert!((0.0..1.0).contains(&value));
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0..10")]
                let bucket = (value * 10.0) as usize;
                buckets[bucket] += 1;
            }
            assert!(buckets.iter().all(|count| (850..1150).contains(count)), "{buckets:?}");
        }
    }
}
