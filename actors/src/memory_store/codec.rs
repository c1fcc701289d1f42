//! How a value lies in the store: one byte of format, the CRC-32 of the rest, and the rest, a
//! protobuf message.

use prost::Message;

const FORMAT: u8 = 1;
const CHECKSUM_BYTES: usize = size_of::<u32>();

/// Why a value cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    #[error("is cut short")]
    CutShort,
    #[error("has the unknown format {0}")]
    Format(u8),
    #[error("does not match its checksum")]
    Checksum,
    #[error("is not the message it should be: {0}")]
    Message(#[from] prost::DecodeError),
}

pub(super) fn encode(message: &impl Message) -> Vec<u8> {
    let mut value = Vec::with_capacity(1 + CHECKSUM_BYTES + message.encoded_len());
    let payload = message.encode_to_vec();
    value.push(FORMAT);
    value.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    value.extend_from_slice(&payload);
    value
}

pub(super) fn decode<M: Message + Default>(value: &[u8]) -> Result<M, Damage> {
    let (format, rest) = value.split_first().ok_or(Damage::CutShort)?;
    if *format != FORMAT {
        return Err(Damage::Format(*format));
    }
    let (checksum, payload) = rest.split_first_chunk().ok_or(Damage::CutShort)?;
    if crc32fast::hash(payload) != u32::from_le_bytes(*checksum) {
        return Err(Damage::Checksum);
    }
    Ok(M::decode(payload)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tandem_proto::v1::Turn;

    use super::*;

    fn turn() -> Turn {
        Turn { prompt: "why?".to_owned(), answer: "because".to_owned(), ..Turn::default() }
    }

    #[test]
    fn a_value_reads_back_as_it_was_written() {
        assert_eq!(decode::<Turn>(&encode(&turn())).unwrap(), turn());
        assert_eq!(decode::<Turn>(&encode(&Turn::default())).unwrap(), Turn::default());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let value = encode(&turn());
        for bit in 0..value.len() * 8 {
            let mut damaged = value.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<Turn>(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        let value = encode(&turn());
        for length in 0..value.len() {
            assert!(decode::<Turn>(&value[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_later_format_is_refused_and_not_guessed_at() {
        let mut value = encode(&turn());
        value[0] = FORMAT + 1;
        assert!(matches!(decode::<Turn>(&value), Err(Damage::Format(2))));
    }
}
