//! What is remembered of the user that a question is asked with.
//!
//! What is pinned is told with each question, in the system message, where it stays the same. What has
//! to do with this question is told right before it, as older turns are, so that the engine computes no
//! more than the end anew.

use std::collections::{BTreeMap, BTreeSet};

use tandem_config::Redact;
use tandem_proto::v1;
use tracing::warn;

use super::context::Memory;
use super::run::Question;
use super::words::telling_words;
use crate::memory_store::MemoryStore;
use crate::router::Services;
use crate::{Error, Result};

/// Most memories that are found for a question.
const FOUND_MAX: usize = 5;
/// As much of a question as they are looked for with.
const QUESTION_BYTES_MAX: usize = 4 << 10;
/// Longest text that a person looks for them with.
const QUERY_BYTES_MAX: usize = 1000;
/// One in so many of the words of a memory, or of the question if that has fewer, is in both, at least.
const SHARED_ONE_IN: usize = 4;

/// What a question is asked with. It is asked without when the store does not answer.
pub(super) async fn for_question(question: &Question, services: &Services) -> Vec<Memory> {
    if !question.tells_memories {
        return Vec::new();
    }
    let known = services.store.memories().await.unwrap_or_else(|error| {
        warn!(%error, "a question is asked without what is remembered");
        [].into()
    });
    let stays = |memory: &v1::Memory| {
        let found = services.settings.redact == Redact::Local
            && !services.settings.redaction.find(&memory.text).is_empty();
        memory.private || found
    };
    relevant(&known, &question.prompt)
        .into_iter()
        .map(|memory| Memory {
            id: memory.id.clone(),
            text: memory.text.clone(),
            standing: memory.pinned,
            private: stays(memory),
        })
        .collect()
}

/// What would be told with a question of these words, of 1 to 1000 bytes.
pub(crate) async fn find_memories(store: &MemoryStore, query: &str) -> Result<Vec<v1::Memory>> {
    if query.trim().is_empty() || query.len() > QUERY_BYTES_MAX {
        let problem = format!("has {} bytes; allowed are 1 to {QUERY_BYTES_MAX}", query.len());
        return Err(Error::invalid("query", problem));
    }
    Ok(relevant(&store.memories().await?, query).into_iter().cloned().collect())
}

/// The pinned ones, as they come, and those that share rare words with a question, best first and of
/// equals the one that comes first.
fn relevant<'a>(known: &'a [v1::Memory], question: &str) -> Vec<&'a v1::Memory> {
    let (mut told, others): (Vec<_>, Vec<_>) = known.iter().partition(|memory| memory.pinned);
    let asked = telling_words(&question[..question.floor_char_boundary(QUESTION_BYTES_MAX)]);
    if asked.is_empty() {
        return told;
    }
    let shared: Vec<(&v1::Memory, usize, BTreeSet<String>)> = others
        .into_iter()
        .map(|memory| {
            let words = telling_words(&memory.text);
            let all = words.len();
            (memory, all, words.into_iter().filter(|word| asked.contains(word)).collect())
        })
        .collect();
    let mut common: BTreeMap<&str, usize> = BTreeMap::new();
    for word in shared.iter().flat_map(|(.., words)| words) {
        *common.entry(word).or_default() += 1;
    }
    let rarity = |word: &String| {
        let times = common.get(word.as_str()).copied().unwrap_or(1);
        (1.0 + as_f64(shared.len()) / as_f64(times)).ln()
    };
    let mut found: Vec<(f64, &v1::Memory)> = shared
        .iter()
        .filter(|(_, all, words)| {
            let fewer = (*all).min(asked.len());
            !words.is_empty() && words.len() * SHARED_ONE_IN >= fewer
        })
        .map(|(memory, _, words)| (words.iter().map(rarity).sum(), *memory))
        .collect();
    found.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    told.extend(found.into_iter().take(FOUND_MAX).map(|(_, memory)| memory));
    told
}

#[allow(clippy::cast_precision_loss, reason = "numbers of memories are far below 2^52")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(texts: &[&str]) -> Vec<v1::Memory> {
        let memory = |text: &&str| v1::Memory {
            text: text.trim_start_matches('!').to_owned(),
            pinned: text.starts_with('!'),
            ..v1::Memory::default()
        };
        texts.iter().map(memory).collect()
    }

    fn told<'a>(known: &'a [v1::Memory], question: &str) -> Vec<&'a str> {
        relevant(known, question).into_iter().map(|memory| memory.text.as_str()).collect()
    }

    #[test]
    fn a_question_is_asked_with_what_is_pinned_and_what_it_is_about() {
        let known = known(&[
            "!Answer in metric units.",
            "My dog is called Rex.",
            "My name is Ada.",
            "I am allergic to nuts.",
            "Ich wohne in Bremen.",
        ]);
        let pinned = "Answer in metric units.";
        assert_eq!(told(&known, "What is my dog called?"), [pinned, "My dog is called Rex."]);
        assert_eq!(
            told(&known, "What can I bake without nuts?"),
            [pinned, "I am allergic to nuts."]
        );
        assert_eq!(told(&known, "Wie ist das Wetter in Bremen?"), [pinned, "Ich wohne in Bremen."]);
        assert_eq!(told(&known, "What is the capital of Peru?"), [pinned]);
        assert_eq!(told(&known, "What is it?"), [pinned]);
        assert_eq!(told(&known, ""), [pinned]);
        assert_eq!(told(&[], "What is my dog called?"), [""; 0]);
    }

    #[test]
    fn what_shares_rarer_words_comes_first_and_of_equals_the_latest() {
        let known = known(&[
            "My dog sleeps.",
            "My dog eats nuts.",
            "My dog runs.",
            "My cat eats fish.",
            "My dog barks.",
            "My dog swims.",
            "My dog digs.",
        ]);
        let told = told(&known, "Which fish may my dog have?");
        assert_eq!(
            told,
            [
                "My cat eats fish.",
                "My dog sleeps.",
                "My dog eats nuts.",
                "My dog runs.",
                "My dog barks."
            ]
        );
    }

    #[test]
    fn a_long_text_is_not_about_everything_that_it_mentions() {
        let known =
            known(&["My aunt from Lima sells red and blue umbrellas near the harbour market"]);
        let article =
            format!("Summarise: {} market {}", "stock rise ".repeat(50), "bond ".repeat(9));
        assert_eq!(told(&known, &article), [""; 0]);
        assert_eq!(told(&known, "Where does my aunt live?").len(), 1);
        assert_eq!(told(&known, &"é dog".repeat(5000)), [""; 0]);
    }
}
