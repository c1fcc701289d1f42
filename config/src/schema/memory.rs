//! The settings of contexts and of what is kept.

use std::time::Duration;

use super::{DAY, TOKENS_MAX, Visitor, caches};
use crate::{
    ContextStrategy, Memory,
    kind::{Flag, Integer, OneOf, Size, Text, Time},
};

const STRATEGIES: OneOf<ContextStrategy> = OneOf(&[
    ("recent", ContextStrategy::Recent),
    ("summary", ContextStrategy::Summary),
    ("retrieval", ContextStrategy::Retrieval),
    ("mixed", ContextStrategy::Mixed),
]);

pub(super) fn visit_memory(memory: &mut Memory, v: &mut impl Visitor) {
    v.setting(
        "context_tokens",
        "most tokens of the context built for a question in a conversation",
        &mut memory.context_tokens,
        &Integer(256..=TOKENS_MAX),
    );
    v.setting(
        "system_prompt",
        "first message of every context",
        &mut memory.system_prompt,
        &Text(0..=64 << 10),
    );
    v.setting(
        "turns_max",
        "most recent turns that are told as they were",
        &mut memory.turns_max,
        &Integer(0..=10_000),
    );
    v.setting(
        "context_strategy",
        "what is told of turns that do not fit: a summary, those that matter, or both",
        &mut memory.context_strategy,
        &STRATEGIES,
    );
    v.setting(
        "retrieval_percent",
        "most of a full context for passages and older turns that matter, in percent",
        &mut memory.retrieval_percent,
        &Integer(0..=60),
    );
    v.setting(
        "summary_percent",
        "most of a full context for the summary, in percent",
        &mut memory.summary_percent,
        &Integer(0..=30),
    );
    v.setting(
        "retention",
        "how long a conversation is kept that nobody goes on with; 0 is for ever",
        &mut memory.retention,
        &Time(Duration::ZERO..=3650 * DAY),
    );
    v.setting(
        "size_max",
        "bytes of conversations, past which the oldest are deleted; 0 is any number",
        &mut memory.size_max,
        &Size(0..=1 << 50),
    );
    v.setting(
        "facts",
        "find facts about the user in conversations when nobody asks anything",
        &mut memory.facts,
        &Flag,
    );
    v.setting(
        "facts_max",
        "most facts that are remembered; past it, those go that were of no use for longest",
        &mut memory.facts_max,
        &Integer(1..=10_000),
    );
    v.setting(
        "tell_facts",
        "tell models those that are pinned or have to do with the question",
        &mut memory.tell_facts,
        &Flag,
    );
    v.table("embedding_cache", |v| caches::visit_embedding_cache(&mut memory.embedding_cache, v));
    v.table("response_cache", |v| caches::visit_response_cache(&mut memory.response_cache, v));
}
