//! The vocabulary as the parser of grammars wants it: the bytes of every token, in a trie.

use std::sync::Arc;

use llguidance::toktrie::{ApproximateTokEnv, INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie};

use crate::vocabulary::Vocabulary;

/// Longest token that a grammar may use, in bytes; the trie has a limit not far above.
const TOKEN_BYTES_MAX: usize = 512;

/// Tokens of `vocabulary`, with all those marked as the end that end an answer. Text that a grammar
/// forces is not forced token by token: the model splits it as it likes, and as it was trained to.
pub fn environment(vocabulary: &impl Vocabulary) -> TokEnv {
    let tokens = 0..vocabulary.size();
    let ends: Vec<u32> =
        tokens.clone().filter(|&token| vocabulary.ends_generation(token)).collect();
    let words: Vec<Vec<u8>> = tokens.map(|token| bytes(vocabulary, token)).collect();
    let end = ends.first().copied().unwrap_or(INVALID_TOKEN);
    let mut trie = TokTrie::from(&TokRxInfo::new(vocabulary.size(), end), &words);
    if !ends.is_empty() {
        trie = trie.with_eos_tokens(&ends);
    }
    Arc::new(ApproximateTokEnv::new(trie))
}

/// What a reader sees of the token. A control token gets a mark that no text contains, and one that
/// is too long gets nothing and is never used.
fn bytes(vocabulary: &impl Vocabulary, token: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    if !vocabulary.ends_generation(token) {
        vocabulary.append_text(token, &mut bytes);
    }
    if bytes.is_empty() {
        bytes.push(TokTrie::SPECIAL_TOKEN_MARKER);
        vocabulary.append_bytes(token, &mut bytes);
    }
    if bytes.len() > TOKEN_BYTES_MAX {
        bytes.clear();
    }
    bytes
}
