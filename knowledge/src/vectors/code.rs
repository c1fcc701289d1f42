//! Short codes of vectors, and what they say of a vector's product with a query.
//!
//! After a rotation that spreads what a vector is over all of its coordinates, their signs alone give
//! an unbiased estimate of a product, whose error is the same for every model and every vector
//! (`RaBitQ`, Gao & Long, SIGMOD 2024). Eight bits a coordinate then give nearly the product itself.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "coordinates are small numbers by construction"
)]

/// Bits of a query's coordinate in the scan of signs.
pub(super) const PLANES: usize = 4;
/// The greatest value of such a coordinate.
const LEVELS: f32 = 7.0;
/// Standard deviation of the estimate for vectors of length 1, times the root of their dimensions:
/// `sqrt(pi / 2 - 1)` from the signs, and a little from the rounded query.
const DEVIATION: f32 = 0.78;
/// How often the coordinates are mixed; after three times, one that stood alone is in all alike.
const ROUNDS: u64 = 3;

/// A fixed rotation that looks random: signs are flipped and coordinates mixed by Hadamard's transform.
#[derive(Debug)]
pub(super) struct Rotation {
    /// Of each round, the signs by coordinate.
    flips: Vec<Vec<f32>>,
    /// The greatest power of two that the dimensions hold.
    span: usize,
}

impl Rotation {
    /// The rotation for vectors of that many dimensions, always the same one.
    pub(super) fn new(dimensions: usize) -> Self {
        let mut state = 0x7461_6e64_656d_u64;
        let mut flip = |()| if splitmix(&mut state) >> 63 == 0 { 1.0 } else { -1.0 };
        let flips = (0..ROUNDS).map(|_| vec![(); dimensions].into_iter().map(&mut flip).collect());
        Self { flips: flips.collect(), span: 1 << dimensions.max(1).ilog2() }
    }

    /// The vector, turned; its length and its products with others that are turned stay.
    pub(super) fn turn(&self, vector: &[f32]) -> Vec<f32> {
        let mut turned = vector.to_vec();
        for flips in &self.flips {
            for (value, flip) in turned.iter_mut().zip(flips) {
                *value *= flip;
            }
            let behind = turned.len() - self.span;
            hadamard(&mut turned[..self.span]);
            // The powers of two overlap in the middle, so that the rest is mixed in, too.
            if behind > 0 {
                hadamard(&mut turned[behind..]);
            }
        }
        turned
    }
}

/// Hadamard's transform in place, scaled so that lengths stay. The number of values is a power of two.
fn hadamard(values: &mut [f32]) {
    let mut half = 1;
    while half < values.len() {
        for pair in values.chunks_exact_mut(2 * half) {
            let (left, right) = pair.split_at_mut(half);
            for (left, right) in left.iter_mut().zip(right) {
                (*left, *right) = (*left + *right, *left - *right);
            }
        }
        half *= 2;
    }
    let scale = (values.len() as f32).sqrt().recip();
    for value in values {
        *value *= scale;
    }
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What is kept in memory of a vector.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Code {
    /// One bit a coordinate: whether it is positive.
    pub(super) signs: Vec<u64>,
    /// What the sum of a query's coordinates with these signs is multiplied by to estimate the product.
    pub(super) factor: f32,
    /// One byte a coordinate, in steps of `scale`.
    pub(super) steps: Vec<i8>,
    /// Length of a step.
    pub(super) scale: f32,
}

impl Code {
    /// The code of a vector of length 1 that was turned.
    pub(super) fn of(turned: &[f32]) -> Self {
        let sum: f32 = turned.iter().map(|value| value.abs()).sum();
        let (steps, scale) = steps(turned);
        Self { signs: bits(turned, |value| *value > 0.0), factor: sum.recip(), steps, scale }
    }

    /// Bytes of a code on disk.
    pub(super) const fn bytes(dimensions: usize) -> usize {
        words(dimensions) * 8 + dimensions + 8
    }

    /// Writes the code behind `out`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.signs.iter().flat_map(|word| word.to_le_bytes()));
        out.extend(self.steps.iter().flat_map(|step| step.to_le_bytes()));
        out.extend(self.factor.to_le_bytes());
        out.extend(self.scale.to_le_bytes());
    }

    /// Reads what `write` wrote; `None` when it has another length.
    pub(super) fn read(bytes: &[u8], dimensions: usize) -> Option<Self> {
        let (signs, rest) = bytes.split_at_checked(words(dimensions) * 8)?;
        let (steps, rest) = rest.split_at_checked(dimensions)?;
        let (factor, scale) = rest.split_first_chunk::<4>()?;
        Some(Self {
            signs: signs.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect(),
            factor: f32::from_le_bytes(*factor),
            steps: steps.iter().map(|step| i8::from_le_bytes([*step])).collect(),
            scale: f32::from_le_bytes(scale.try_into().ok()?),
        })
    }
}

/// Words of 64 bits that the signs of a vector take.
pub(super) const fn words(dimensions: usize) -> usize {
    dimensions.div_ceil(64)
}

/// A query as the codes are compared with it.
#[derive(Debug)]
pub(super) struct Probe {
    /// Of each word of signs, the bits of the query's coordinates, in two's complement.
    pub(super) planes: Vec<[u64; PLANES]>,
    /// What a sum over the set bits is multiplied by.
    pub(super) slope: f32,
    /// What is taken off then.
    pub(super) offset: f32,
    /// One byte a coordinate.
    pub(super) steps: Vec<i8>,
    /// Length of a step.
    pub(super) scale: f32,
    /// Standard deviation of an estimate from signs.
    pub(super) deviation: f32,
}

impl Probe {
    /// A query of length 1 that was turned.
    pub(super) fn of(turned: &[f32]) -> Self {
        let most = turned.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        let step = most / LEVELS;
        let levels: Vec<i8> = turned.iter().map(|value| (value / step).round() as i8).collect();
        let planes: Vec<Vec<u64>> =
            (0..PLANES).map(|plane| bits(&levels, |level| level >> plane & 1 == 1)).collect();
        let sum: f32 = levels.iter().map(|level| f32::from(*level)).sum();
        let (steps, scale) = steps(turned);
        Self {
            planes: (0..words(turned.len()))
                .map(|word| std::array::from_fn(|plane| planes[plane][word]))
                .collect(),
            // The sum with signs is twice that over the set bits, less that over all.
            slope: 2.0 * step,
            offset: step * sum,
            steps,
            scale,
            deviation: DEVIATION / (turned.len() as f32).sqrt(),
        }
    }

    /// The product with a vector of these steps of this length.
    pub(super) fn product(&self, steps: &[i8], scale: f32) -> f32 {
        let products = self.steps.iter().zip(steps).map(|(a, b)| i32::from(*a) * i32::from(*b));
        products.sum::<i32>() as f32 * self.scale * scale
    }
}

fn steps(turned: &[f32]) -> (Vec<i8>, f32) {
    let most = turned.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let scale = most / f32::from(i8::MAX);
    (turned.iter().map(|value| (value / scale).round() as i8).collect(), scale)
}

fn bits<T>(values: &[T], bit: impl Fn(&T) -> bool) -> Vec<u64> {
    let word = |values: &[T]| {
        values.iter().enumerate().fold(0, |word, (at, value)| word | u64::from(bit(value)) << at)
    };
    values.chunks(64).map(word).collect()
}

/// The product of two vectors.
pub(crate) fn dot(left: &[f32], right: &[f32]) -> f32 {
    // Sums of their own let the compiler use wide registers.
    const LANES: usize = 16;
    let (lefts, left) = left.as_chunks::<LANES>();
    let (rights, right) = right.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (left, right) in lefts.iter().zip(rights) {
        for lane in 0..LANES {
            sums[lane] += left[lane] * right[lane];
        }
    }
    let rest: f32 = left.iter().zip(right).map(|(left, right)| left * right).sum();
    sums.iter().sum::<f32>() + rest
}

/// The vector at length 1; `None` when it has no direction or is not made of numbers. One that has that
/// length, but for rounding, stays as it is.
pub(crate) fn unit(vector: &[f32]) -> Option<Vec<f32>> {
    let length = dot(vector, vector).sqrt();
    if (length - 1.0).abs() < 1e-6 {
        return Some(vector.to_vec());
    }
    let unit = || vector.iter().map(|value| value / length).collect();
    (length.is_finite() && length > f32::MIN_POSITIVE).then(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::tests::vectors;

    #[test]
    fn a_rotation_keeps_lengths_and_products() {
        for dimensions in [1, 2, 3, 64, 100, 384, 385] {
            let rotation = Rotation::new(dimensions);
            let pair = vectors(2, dimensions, 1);
            let turned: Vec<_> = pair.iter().map(|vector| rotation.turn(vector)).collect();
            assert!((dot(&turned[0], &turned[0]) - 1.0).abs() < 1e-4, "{dimensions}");
            assert!((dot(&turned[0], &turned[1]) - dot(&pair[0], &pair[1])).abs() < 1e-4);
        }
    }

    #[test]
    fn a_rotation_spreads_a_single_coordinate_over_all() {
        let mut single = vec![0.0; 384];
        single[3] = 1.0;
        let turned = Rotation::new(384).turn(&single);
        let most = turned.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        assert!(most < 0.3, "{most}");
    }

    #[test]
    fn eight_bits_give_nearly_the_product_and_bytes_give_the_code_back() {
        let rotation = Rotation::new(384);
        let all = vectors(100, 384, 2);
        let probe = Probe::of(&rotation.turn(&all[0]));
        for vector in &all {
            let code = Code::of(&rotation.turn(vector));
            let product = probe.product(&code.steps, code.scale);
            assert!((product - dot(&all[0], vector)).abs() < 0.005);
            let mut bytes = Vec::new();
            code.write(&mut bytes);
            assert_eq!(bytes.len(), Code::bytes(384));
            assert_eq!(Code::read(&bytes, 384), Some(code));
            assert_eq!(Code::read(&bytes[1..], 384), None);
        }
    }

    #[test]
    fn what_has_no_direction_is_no_vector() {
        assert_eq!(unit(&[0.0, 0.0]), None);
        assert_eq!(unit(&[f32::NAN, 1.0]), None);
        assert_eq!(unit(&[f32::INFINITY, 1.0]), None);
        assert_eq!(unit(&[3.0, 4.0]), Some(vec![0.6, 0.8]));
    }
}
