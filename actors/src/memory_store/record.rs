//! What conversations and turns are in the store, and what they may be.

use prost::Message;
use prost_types::Timestamp;
use tandem_proto::v1::{Conversation, Turn};
use uuid::Uuid;

use super::changes::Changes;
use super::{codec, key};
use crate::{Error, Result};

/// Longest title that a caller may give.
pub(super) const TITLE_BYTES_MAX: usize = 200;
/// Longest turn, all fields together.
pub(super) const TURN_BYTES_MAX: usize = 16 << 20;

pub(super) fn insert_conversation(batch: &mut Changes, id: Uuid, conversation: &Conversation) {
    batch.insert(key::conversation(id), codec::encode(conversation));
    batch.insert(update_key(id, conversation), &[]);
}

pub(super) fn insert_turn(changes: &mut Changes, id: Uuid, sequence: u64, turn: &Turn) {
    for (piece, value) in (0..).zip(codec::encode(turn).chunks(key::PIECE_BYTES)) {
        changes.insert(key::piece(id, sequence, piece), value);
    }
}

pub(super) fn check_title(title: &str) -> Result<()> {
    if title.len() > TITLE_BYTES_MAX {
        let problem = format!("{} bytes; at most {TITLE_BYTES_MAX} are allowed", title.len());
        return Err(Error::invalid("title", problem));
    }
    Ok(())
}

pub(super) fn check_turn(turn: &Turn) -> Result<()> {
    let bytes = turn.encoded_len();
    if bytes > TURN_BYTES_MAX {
        let problem = format!("prompt and answer have {bytes} bytes; at most {TURN_BYTES_MAX}");
        return Err(Error::invalid("turn", problem));
    }
    Ok(())
}

pub(super) fn update_key(id: Uuid, conversation: &Conversation) -> [u8; 25] {
    key::update(micros(&conversation.updated.unwrap_or_default()), id)
}

/// Microseconds since 1970; 0 for a time before.
pub(super) fn micros(time: &Timestamp) -> u64 {
    let (seconds, nanos) = (u64::try_from(time.seconds), u64::try_from(time.nanos));
    let micros = seconds.unwrap_or(0).saturating_mul(1_000_000);
    micros.saturating_add(nanos.unwrap_or(0) / 1000)
}

pub(super) fn timestamp(micros: u64) -> Timestamp {
    let nanos = i32::try_from(micros % 1_000_000 * 1000).unwrap_or(0);
    Timestamp { seconds: i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX), nanos }
}
