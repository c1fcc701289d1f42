//! How fast this machine reads memory: the limit of decoding, which reads all weights for a token.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::process::cores;

/// Far more than any cache holds: 1 GiB of words.
const WORDS: usize = (1 << 30) / 8;
/// Of several attempts the best is the machine's, the others were disturbed.
const ATTEMPTS: usize = 5;

/// Bytes a second that all cores read together, each from four places at once.
pub(super) fn read_bandwidth() -> f64 {
    let words = vec![1_u64; WORDS];
    let fastest = (0..ATTEMPTS).map(|_| time_to_read(&words)).min().unwrap_or(Duration::MAX);
    (WORDS * 8) as f64 / fastest.as_secs_f64()
}

fn time_to_read(words: &[u64]) -> Duration {
    let started = Instant::now();
    std::thread::scope(|threads| {
        for part in words.chunks(words.len().div_ceil(cores())) {
            threads.spawn(move || black_box(sum(part)));
        }
    });
    started.elapsed()
}

/// Reads four streams at once, as one alone does not keep the memory busy.
fn sum(words: &[u64]) -> u64 {
    let quarter = words.len() / 4;
    let (a, rest) = words.split_at(quarter);
    let (b, rest) = rest.split_at(quarter);
    let (c, d) = rest.split_at(quarter);
    let mut sums = [0_u64; 4];
    for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
        sums[0] = sums[0].wrapping_add(*a);
        sums[1] = sums[1].wrapping_add(*b);
        sums[2] = sums[2].wrapping_add(*c);
        sums[3] = sums[3].wrapping_add(*d);
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read() {
        assert_eq!(sum(&[1; 400]), 400);
    }
}
