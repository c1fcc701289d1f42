//! Conversions between the kinds of floating-point numbers.

use safetensors::tensor::Dtype;

use tandem_models::gguf::Kind;

/// How elements are stored in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Elements {
    F32,
    F16,
    Bf16,
}

impl Elements {
    /// The kinds that models come in.
    pub(super) fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::F32),
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::Bf16),
            _ => None,
        }
    }

    /// Bytes of one element.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Converts whole elements. Fails with the first that is not finite once converted.
    pub(super) fn convert(self, bytes: &[u8], to: Kind) -> Result<Vec<u8>, f32> {
        let mut converted = Vec::with_capacity(bytes.len());
        for element in bytes.chunks_exact(self.bytes()) {
            let value = match *element {
                [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
                [a, b] if self == Self::F16 => from_f16(u16::from_le_bytes([a, b])),
                [a, b] => f32::from_bits(u32::from(u16::from_le_bytes([a, b])) << 16),
                _ => f32::NAN,
            };
            let fits = match to {
                Kind::F32 => value.is_finite(),
                Kind::F16 => to_f16(value) & INFINITY_F16 != INFINITY_F16,
            };
            if !fits {
                return Err(value);
            }
            match to {
                Kind::F32 => converted.extend(value.to_le_bytes()),
                Kind::F16 => converted.extend(to_f16(value).to_le_bytes()),
            }
        }
        Ok(converted)
    }
}

/// All bits of the exponent; with others below them, not a number.
const INFINITY_F16: u16 = 0x7C00;

/// The nearest half-precision number, the even one of two; infinity beyond the largest.
fn to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = u16::try_from(bits >> 16 & 0x8000).unwrap_or(0);
    let magnitude = bits & 0x7FFF_FFFF;
    let rounded = match magnitude {
        0x7F80_0001.. => 0x7E00,
        // From halfway between the largest number and the one that would follow.
        0x477F_F000.. => u32::from(INFINITY_F16),
        // Numbers with a full exponent: drop 13 bits of the fraction and move the bias.
        0x3880_0000.. => shift_rounded(magnitude - (112 << 23), 13),
        // Smaller ones in steps of 2^-24; the implied first bit becomes an explicit one.
        0x3300_0000.. => {
            let fraction = magnitude & 0x007F_FFFF | 0x0080_0000;
            shift_rounded(fraction, 126 - (magnitude >> 23))
        }
        _ => 0,
    };
    sign | u16::try_from(rounded).unwrap_or(INFINITY_F16)
}

/// Drops bits, rounding to the nearest, to the even one of two.
fn shift_rounded(value: u32, shift: u32) -> u32 {
    let half = 1 << (shift - 1);
    let odd = value >> shift & 1;
    (value + half - 1 + odd) >> shift
}

fn from_f16(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let fraction = f32::from(bits & 0x3FF);
    let magnitude = match bits >> 10 & 0x1F {
        0 => fraction * 2_f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        exponent => (1024.0 + fraction) * 2_f32.powi(i32::from(exponent) - 25),
    };
    sign * magnitude
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::float_cmp, reason = "tests")]
    use super::*;

    #[test]
    fn every_half_precision_number_survives_the_way_there_and_back() {
        for bits in 0..=u16::MAX {
            let value = from_f16(bits);
            if !value.is_nan() {
                assert_eq!(to_f16(value), bits, "{bits:#06x} {value}");
            }
        }
    }

    #[test]
    fn between_two_the_nearest_is_taken_and_the_even_one_in_the_middle() {
        for bits in 0..INFINITY_F16 - 1 {
            let (below, above) = (from_f16(bits), from_f16(bits + 1));
            let middle = f32::midpoint(below, above);
            let even = if bits % 2 == 0 { bits } else { bits + 1 };
            assert_eq!(to_f16(middle), even, "{middle:e}");
            assert_eq!(to_f16(middle.next_down()), bits, "{middle:e}");
            assert_eq!(to_f16(middle.next_up()), bits + 1, "{middle:e}");
            assert_eq!(to_f16(-middle), even | 0x8000, "{middle:e}");
        }
    }

    #[test]
    fn what_is_too_large_becomes_infinite() {
        assert_eq!(to_f16(65_504.0), 0x7BFF);
        assert_eq!(to_f16(65_519.99), 0x7BFF);
        assert_eq!(to_f16(65_520.0), INFINITY_F16);
        assert_eq!(to_f16(f32::MAX), INFINITY_F16);
        assert!(from_f16(to_f16(f32::NAN)).is_nan());
    }

    #[test]
    fn all_kinds_of_elements_are_converted() {
        let one = 1_f32.to_le_bytes();
        assert_eq!(Elements::F32.convert(&one, Kind::F32).unwrap(), one);
        assert_eq!(Elements::F32.convert(&one, Kind::F16).unwrap(), [0x00, 0x3C]);
        assert_eq!(Elements::F16.convert(&[0x00, 0x3C], Kind::F32).unwrap(), one);
        assert_eq!(Elements::Bf16.convert(&[0x80, 0x3F], Kind::F32).unwrap(), one);
    }

    #[test]
    fn elements_that_are_no_numbers_are_refused() {
        let bad = [1_f32.to_le_bytes(), f32::INFINITY.to_le_bytes()].concat();
        assert_eq!(Elements::F32.convert(&bad, Kind::F32), Err(f32::INFINITY));
        assert_eq!(Elements::F32.convert(&1e6_f32.to_le_bytes(), Kind::F16), Err(1e6));
        assert!(Elements::F16.convert(&[0x00, 0x7E], Kind::F32).is_err());
    }
}
