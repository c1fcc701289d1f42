//! What outlives its place in the KV cache: prefixes that had to give way, in memory, and the
//! system parts of chats, on disk, where the next engine finds them.

use std::ops::Range;
use std::time::Instant;

use super::Scheduler;
use super::cache::Memory;
use crate::llama::{Context, RestoreError};
use crate::log;
use crate::scheduler::Sequence;
use crate::snapshot::Store;

/// Fewer tokens are computed about as fast as they are copied.
const TOKENS_MIN: usize = 64;

/// Shortest system part worth a file: computing fewer tokens takes about as long as reading them.
const SAVED_MIN: usize = 128;

/// Bytes of a prefix that is copied to memory when it has to give way: the copy holds up every
/// answer, at some gigabytes a second.
const COPY_BYTES_MAX: usize = 256 << 20;

/// llama.cpp's cache, and copies of parts of it.
#[derive(Debug)]
pub(super) struct Kv {
    pub(super) context: Context,
    pub(super) copies: Option<Store>,
}

impl Memory for Kv {
    fn share(&mut self, from: u32, to: u32, start: usize, length: usize) -> bool {
        self.context.share(from, to, start, length)
    }

    fn truncate(&mut self, sequence: u32, length: usize) {
        self.context.truncate(sequence, length);
    }

    fn fill(&mut self, sequence: u32, tokens: Range<usize>) {
        self.context.fill(sequence, tokens);
    }

    fn close_holes(&mut self, unshared: &[(u32, Range<usize>)]) -> bool {
        self.context.close_holes(unshared)
    }

    fn give_way(&mut self, sequence: u32, tokens: &[u32]) {
        let Some(copies) = self.copies.as_mut().filter(|_| tokens.len() >= TOKENS_MIN) else {
            return;
        };
        let bytes = self.context.saved_bytes(sequence);
        if bytes <= COPY_BYTES_MAX {
            copies.keep(tokens, bytes, || self.context.save_sequence(sequence).ok());
        }
    }
}

impl Kv {
    /// Replaces what `sequence` holds by a copy of these tokens. Whether there was one.
    fn restore(&mut self, sequence: u32, tokens: &[u32]) -> bool {
        let Some(copies) = self.copies.as_mut() else { return false };
        let Some(copy) = copies.load(tokens) else { return false };
        match self.context.restore_sequence(sequence, copy.length(), &copy.state) {
            Ok(()) => true,
            Err(RestoreError::NoRoom) => false,
            Err(error) => {
                log::line(format_args!("a saved prefix was not used: {error}"));
                copies.forget(tokens);
                false
            }
        }
    }
}

impl Scheduler {
    /// Brings back the longest copy of the beginning of the next request, as a kept prefix, if
    /// the cache has nothing like it. Called when the request has its place.
    pub(super) fn thaw(&mut self, now: Instant) {
        if let Some(next) = self.queue.front_mut(now)
            && next.is_new_at_front()
            && let Some(prefix) = self.worth_thawing(now)
        {
            self.cache.adopt(&mut self.kv, &prefix, |kv, sequence| kv.restore(sequence, &prefix));
        }
    }

    fn worth_thawing(&self, now: Instant) -> Option<Vec<u32>> {
        let view = self.queue.front(now)?.view();
        let found = self.kv.copies.as_ref()?.longest(view.tokens);
        let present = self.source(&view, &self.views()).map_or(0, |source| source.length);
        let outstanding: usize = self.running.iter().map(Sequence::outstanding).sum();
        let room = self.cache.room_beside(None).saturating_sub(outstanding);
        let worth = found >= present + TOKENS_MIN && found <= room;
        view.tokens.get(..found).filter(|_| worth).map(<[u32]>::to_vec)
    }

    /// Saves the system part of a chat, unless it is saved already.
    pub(super) fn save_system_part(&mut self, sequence: &Sequence) {
        let Some(system) = sequence.system_part().filter(|part| part.len() >= SAVED_MIN) else {
            return;
        };
        let Some(mut copies) = self.kv.copies.take() else { return };
        let slot = sequence.slot();
        let (whole, held) = (self.kv.context.saved_bytes(slot), sequence.seen().len());
        copies.persist(system, whole / held.max(1) * system.len(), || {
            let copy = |kv: &mut Kv, copy| kv.context.save_sequence(copy).ok();
            self.cache.with_copy(&mut self.kv, slot, system.len(), copy).flatten()
        });
        self.kv.copies = Some(copies);
    }
}
