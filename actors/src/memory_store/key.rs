//! Where things lie in the store. The order of the keys is the order in which they are listed.
//!
//! | key                                  | value                                        |
//! |--------------------------------------|----------------------------------------------|
//! | `m` name                             | facts about the store itself                 |
//! | `c` conversation                     | `Conversation`                               |
//! | `t` conversation, sequence, piece    | a piece of a `Turn`, see [`PIECE_BYTES`]     |
//! | `u` age, conversation                | nothing; conversations by their last update  |
//! | `e` name                             | settings that an engine ran well with        |
//! | `f` turn                             | `Feedback` on a turn                         |
//! | `x` experiment, 0, variant           | `Outcomes` of a variant                      |

use tandem_proto::v1::VariantName;
use uuid::Uuid;

/// Turns lie in pieces of at most this size. sled moves a page of more than 128 KiB to a file of
/// its own, which it never syncs, and a page holds up to 17 values.
pub(super) const PIECE_BYTES: usize = 4096;

/// Version of this table.
pub(super) const SCHEMA: &[u8] = b"mschema";

/// Before all entries by update.
pub(super) const UPDATES_FROM: &[u8] = b"u";
/// Behind all entries by update.
pub(super) const UPDATES_TO: &[u8] = b"v";

pub(super) fn conversation(id: Uuid) -> [u8; 17] {
    key(b'c', &[id.as_bytes()])
}

/// What the keys of all turns of a conversation begin with.
pub(super) fn turns(id: Uuid) -> [u8; 17] {
    key(b't', &[id.as_bytes()])
}

pub(super) fn piece(id: Uuid, sequence: u64, piece: u16) -> [u8; 27] {
    key(b't', &[id.as_bytes(), &sequence.to_be_bytes(), &piece.to_be_bytes()])
}

/// Sequence and piece from a key of [`piece`].
pub(super) fn read_piece(key: &[u8]) -> Option<(u64, u16)> {
    let (sequence, piece) = key.get(17..)?.split_first_chunk()?;
    Some((u64::from_be_bytes(*sequence), u16::from_be_bytes(piece.try_into().ok()?)))
}

/// The later the update, the earlier the key.
pub(super) fn update(micros: u64, id: Uuid) -> [u8; 25] {
    key(b'u', &[&(u64::MAX - micros).to_be_bytes(), id.as_bytes()])
}

/// Time and conversation from a key of [`update`].
pub(super) fn read_update(key: &[u8]) -> Option<(u64, Uuid)> {
    let (age, id) = key.get(1..)?.split_first_chunk()?;
    Some((u64::MAX - u64::from_be_bytes(*age), Uuid::from_slice(id).ok()?))
}

pub(super) fn engine_choice(name: &str) -> Vec<u8> {
    [b"e", name.as_bytes()].concat()
}

/// Before all verdicts.
pub(super) const FEEDBACK: &[u8] = b"f";
/// Behind all verdicts.
pub(super) const FEEDBACK_TO: &[u8] = b"g";

pub(super) fn feedback(turn: &str) -> Vec<u8> {
    [FEEDBACK, turn.as_bytes()].concat()
}

/// What the keys of all outcomes begin with.
pub(super) const OUTCOMES: &[u8] = b"x";

/// Names have no zero in them.
pub(super) fn outcomes(variant: &VariantName) -> Vec<u8> {
    [OUTCOMES, variant.experiment.as_bytes(), b"\0", variant.variant.as_bytes()].concat()
}

/// The variant from a key of [`outcomes`].
pub(super) fn read_outcomes(key: &[u8]) -> Option<VariantName> {
    let (experiment, variant) = std::str::from_utf8(key.get(1..)?).ok()?.split_once('\0')?;
    Some(VariantName { experiment: experiment.to_owned(), variant: variant.to_owned() })
}

fn key<const N: usize>(kind: u8, parts: &[&[u8]]) -> [u8; N] {
    let mut key = [0; N];
    let bytes = std::iter::once(&kind).chain(parts.iter().copied().flatten());
    key.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
    key
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const A: Uuid = Uuid::from_u128(7);
    const B: Uuid = Uuid::from_u128(8);

    #[test]
    fn turns_lie_by_conversation_then_by_sequence_then_by_piece() {
        let in_order = [
            piece(A, 0, 0),
            piece(A, 0, 1),
            piece(A, 0, 256),
            piece(A, 1, 0),
            piece(A, 255, 0),
            piece(A, 256, 0),
            piece(A, u64::MAX, 9),
            piece(B, 0, 0),
        ];
        assert!(in_order.is_sorted());
        assert!(in_order[..7].iter().all(|key| key.starts_with(&turns(A))));
        assert!(!in_order[7].starts_with(&turns(A)));
    }

    #[test]
    fn the_latest_update_lies_first() {
        let in_order = [update(u64::MAX, A), update(1000, A), update(999, A), update(0, A)];
        assert!(in_order.is_sorted());
        assert!(update(5, A) < update(5, B));
        for key in in_order {
            assert!(UPDATES_FROM < key.as_slice() && key.as_slice() < UPDATES_TO);
        }
    }

    #[test]
    fn keys_read_back_and_foreign_ones_do_not() {
        assert_eq!(read_piece(&piece(A, 300, 70)), Some((300, 70)));
        assert_eq!(read_update(&update(12, B)), Some((12, B)));
        assert_eq!(read_piece(&turns(A)), None);
        assert_eq!(read_update(b"u123"), None);
        assert_eq!(read_piece(&[0; 40]), None);
    }

    #[test]
    fn kinds_do_not_mix() {
        let keys: [&[u8]; 5] =
            [SCHEMA, &conversation(A), &piece(A, 0, 0), &update(0, A), &engine_choice("c")];
        let mut kinds: Vec<u8> = keys.iter().map(|key| key[0]).collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), keys.len());
    }
}
