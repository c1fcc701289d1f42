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
//! | `o` attempt                          | a request to a provider, not yet summed up   |
//! | `d` day, track, provider, model      | `UsageTally` of a day                        |
//! | `v` conversation, day                | `UsageTally` of a conversation on a day      |
//! | `h` day                              | how hard the questions of a day were         |
//! | `n` number                           | what changed, for the search index to follow |
//! | `s` conversation                     | `Summary` of its first turns                 |
//! | `k` memory                           | `Memory`, something known of the user        |
//! | `l` conversation                     | how many turns were looked through for those |

use tandem_proto::v1::VariantName;
use uuid::Uuid;

/// Turns lie in pieces of at most this size. sled moves a page of more than 128 KiB to a file of
/// its own, which it never syncs, and a page holds up to 17 values.
pub(super) const PIECE_BYTES: usize = 4096;

/// Version of this table.
pub(super) const SCHEMA: &[u8] = b"mschema";

/// Which store this is: another one after a restore or a compaction.
pub(super) const IDENTITY: &[u8] = b"midentity";
/// The batch that was last added to the sums.
pub(super) const LAST_SUMS: &[u8] = b"msums";

/// Before all turns.
pub(super) const TURNS: &[u8] = b"t";
/// Behind all turns.
pub(super) const TURNS_TO: &[u8] = b"u";

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

/// The conversation from a key of [`conversation`].
pub(super) fn read_conversation(key: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(key.get(1..)?).ok()
}

/// What the keys of all pieces of a turn begin with.
pub(super) fn turn(id: Uuid, sequence: u64) -> [u8; 25] {
    key(b't', &[id.as_bytes(), &sequence.to_be_bytes()])
}

/// Conversation and sequence from a key of [`piece`].
pub(super) fn read_turn(key: &[u8]) -> Option<(Uuid, u64)> {
    Some((Uuid::from_slice(key.get(1..17)?).ok()?, read_piece(key)?.0))
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

/// What the keys of all attempts begin with.
pub(super) const ATTEMPTS: &[u8] = b"o";
/// The last record of the egress ledger.
pub(super) const LEDGER_HEAD: &[u8] = b"mledger";

pub(super) fn attempt(id: Uuid) -> [u8; 17] {
    key(b'o', &[id.as_bytes()])
}

/// The attempt from a key of [`attempt`].
pub(super) fn read_attempt(key: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(key.get(1..)?).ok()
}

/// Days are counted from 1970 on. Names of providers have no zeros.
pub(super) fn usage(day: u32, fast: bool, provider: &str, model: &str) -> Vec<u8> {
    let names = [provider.as_bytes(), b"\0", model.as_bytes()].concat();
    [&usage_from(day)[..], &[u8::from(!fast)], &names].concat()
}

/// Before all usage of this day and those after it.
pub(super) fn usage_from(day: u32) -> [u8; 5] {
    key(b'd', &[&day.to_be_bytes()])
}

/// Day, whether it was the fast track, provider and model from a key of [`usage`].
pub(super) fn read_usage(key: &[u8]) -> Option<(u32, bool, String, String)> {
    let (day, rest) = key.get(1..)?.split_first_chunk()?;
    let (slow, names) = rest.split_first()?;
    let (provider, model) = std::str::from_utf8(names).ok()?.split_once('\0')?;
    Some((u32::from_be_bytes(*day), *slow == 0, provider.to_owned(), model.to_owned()))
}

/// What the keys of all usage by conversations begin with.
pub(super) const CONVERSATION_USAGE: &[u8] = b"v";

/// What the keys of a conversation's usage begin with.
pub(super) fn usage_of(conversation: Uuid) -> [u8; 17] {
    key(b'v', &[conversation.as_bytes()])
}

pub(super) fn conversation_usage(conversation: Uuid, day: u32) -> [u8; 21] {
    key(b'v', &[conversation.as_bytes(), &day.to_be_bytes()])
}

/// Conversation and day from a key of [`conversation_usage`].
pub(super) fn read_conversation_usage(key: &[u8]) -> Option<(Uuid, u32)> {
    let (id, day) = key.get(1..)?.split_first_chunk::<16>()?;
    Some((Uuid::from_bytes(*id), u32::from_be_bytes(day.try_into().ok()?)))
}

pub(super) fn summary(conversation: Uuid) -> [u8; 17] {
    key(b's', &[conversation.as_bytes()])
}

/// The conversation from a key of [`summary`].
pub(super) fn read_summary(key: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(key.get(1..)?).ok()
}

/// What the keys of all memories begin with.
pub(super) const MEMORIES: &[u8] = b"k";

pub(super) fn memory(id: Uuid) -> [u8; 17] {
    key(b'k', &[id.as_bytes()])
}

/// The memory from a key of [`memory`].
pub(super) fn read_memory(key: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(key.get(1..)?).ok()
}

pub(super) fn heard(conversation: Uuid) -> [u8; 17] {
    key(b'l', &[conversation.as_bytes()])
}

/// The conversation from a key of [`heard`].
pub(super) fn read_heard(key: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(key.get(1..)?).ok()
}

pub(super) fn demand(day: u32) -> [u8; 5] {
    key(b'h', &[&day.to_be_bytes()])
}

/// The day from a key of [`demand`].
pub(super) fn read_demand(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(key.get(1..)?.try_into().ok()?))
}

/// What the keys of the journal begin with.
pub(super) const JOURNAL: &[u8] = b"n";

pub(super) fn journal(number: u64) -> [u8; 9] {
    key(b'n', &[&number.to_be_bytes()])
}

/// The number from a key of [`journal`].
pub(super) fn read_journal(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(1..)?.try_into().ok()?))
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
    fn usage_lies_by_day() {
        let in_order =
            [usage(1, false, "z", "z"), usage(2, true, "a", "b"), usage(256, true, "", "")];
        assert!(in_order.is_sorted());
        assert!(usage_from(2).as_slice() < in_order[1].as_slice());
        assert!(usage_from(3).as_slice() > in_order[1].as_slice());
    }

    #[test]
    fn keys_read_back_and_foreign_ones_do_not() {
        assert_eq!(read_piece(&piece(A, 300, 70)), Some((300, 70)));
        assert_eq!(read_update(&update(12, B)), Some((12, B)));
        assert_eq!(read_attempt(&attempt(B)), Some(B));
        let used = Some((700, false, "far".to_owned(), "large".to_owned()));
        assert_eq!(read_usage(&usage(700, false, "far", "large")), used);
        assert_eq!(read_conversation_usage(&conversation_usage(B, 300)), Some((B, 300)));
        assert_eq!(read_demand(&demand(300)), Some(300));
        assert_eq!(read_journal(&journal(300)), Some(300));
        assert_eq!(read_turn(&piece(B, 300, 70)), Some((B, 300)));
        assert_eq!(read_conversation(&conversation(A)), Some(A));
        assert_eq!((read_memory(&memory(A)), read_heard(&heard(B))), (Some(A), Some(B)));
        assert_eq!((read_usage(b"d12"), read_demand(b"h"), read_attempt(b"o")), (None, None, None));
        assert_eq!(read_piece(&turns(A)), None);
        assert_eq!(read_update(b"u123"), None);
        assert_eq!(read_piece(&[0; 40]), None);
    }

    #[test]
    fn kinds_do_not_mix() {
        let keys: [&[u8]; 13] = [
            SCHEMA,
            &conversation(A),
            &piece(A, 0, 0),
            &update(0, A),
            &engine_choice("c"),
            &attempt(A),
            &usage(1, true, "p", "m"),
            &conversation_usage(A, 1),
            &demand(1),
            &journal(1),
            &summary(A),
            &memory(A),
            &heard(A),
        ];
        let mut kinds: Vec<u8> = keys.iter().map(|key| key[0]).collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), keys.len());
    }
}
