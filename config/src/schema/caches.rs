//! Settings of the caches.

use std::time::Duration;

use super::{DAY, Visitor};
use crate::{
    EmbeddingCache, ResponseCache,
    kind::{Flag, Fraction, Optional, Size, Time},
};

const TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=DAY.saturating_mul(3650);
/// Places in a file of a cache are kept in 32 bits, and the index in memory.
const BYTES_MAX: u64 = 4 << 30;

pub(super) fn visit_embedding_cache(cache: &mut EmbeddingCache, v: &mut impl Visitor) {
    v.setting("ttl", "how long an embedding is kept", &mut cache.ttl, &Time(TTL));
    v.setting(
        "bytes_max",
        "disk for embeddings, encrypted; the oldest go first; 0 keeps none",
        &mut cache.bytes_max,
        &Size(0..=BYTES_MAX),
    );
}

pub(super) fn visit_response_cache(cache: &mut ResponseCache, v: &mut impl Visitor) {
    v.setting(
        "enabled",
        "keep answers, encrypted, and give them again to the same question",
        &mut cache.enabled,
        &Flag,
    );
    v.setting("ttl", "how long an answer is kept", &mut cache.ttl, &Time(TTL));
    v.setting(
        "bytes_max",
        "disk for answers; the oldest go first",
        &mut cache.bytes_max,
        &Size(64 << 10..=BYTES_MAX),
    );
    v.setting(
        "similarity",
        "cosine from which a question in other words counts as the same; else none does",
        &mut cache.similarity,
        &Optional(Fraction, "0.8"),
    );
}
