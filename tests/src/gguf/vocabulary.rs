//! A vocabulary of the kind that `SentencePiece` makes: any text has tokens, by bytes if need be, and
//! English has one for about every three letters.

use std::collections::HashSet;

/// Stands for a space.
const SPACE: char = '▁';

const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const BYTE: i32 = 6;

/// Tokens with how they are merged and what they are, by id.
#[derive(Debug)]
pub(super) struct Vocabulary {
    pub(super) tokens: Vec<String>,
    /// Of two merges the one with the higher score is done first.
    pub(super) scores: Vec<f32>,
    pub(super) kinds: Vec<i32>,
}

impl Vocabulary {
    /// Begins a text.
    pub(super) const BOS: u32 = 1;
    /// So many tokens at the beginning are no text of their own.
    pub(super) const SPECIAL: u64 = 5 + 256;
    /// Ends an answer: `<|im_end|>`.
    pub(super) const END_OF_TURN: u32 = 4;

    /// Exactly `size` tokens, at least 400.
    pub(super) fn new(size: usize) -> Self {
        let mut made = Self { tokens: Vec::new(), scores: Vec::new(), kinds: Vec::new() };
        made.push("<unk>".to_owned(), UNKNOWN);
        for control in ["<s>", "</s>", "<|im_start|>", "<|im_end|>"] {
            made.push(control.to_owned(), CONTROL);
        }
        for byte in 0..=255_u8 {
            made.push(format!("<0x{byte:02X}>"), BYTE);
        }
        let mut known = HashSet::new();
        for piece in pieces() {
            if made.tokens.len() == size {
                break;
            }
            if known.insert(piece.clone()) {
                made.push(piece, NORMAL);
            }
        }
        assert_eq!(made.tokens.len(), size, "there are not that many pieces");
        made
    }

    fn push(&mut self, token: String, kind: i32) {
        let rank = self.tokens.len() as f32;
        self.scores.push(if kind == NORMAL { -rank } else { 0.0 });
        self.tokens.push(token);
        self.kinds.push(kind);
    }
}

/// Every piece that is longer than a character is made of two that come before it, or it could
/// never come about.
fn pieces() -> impl Iterator<Item = String> {
    // The most frequent letters of English come first.
    let letters = || "etaoinshrdlcumwfgypbvkjxqz".chars();
    let single = std::iter::once(SPACE)
        .chain(letters())
        .chain(('!'..='~').filter(|sign| !sign.is_ascii_lowercase()));
    let starts = letters().map(|letter| format!("{SPACE}{letter}"));
    let capitals = ('A'..='Z').map(|letter| format!("{SPACE}{letter}"));
    let pairs = move || letters().flat_map(move |a| letters().map(move |b| format!("{a}{b}")));
    let triples =
        move || pairs().flat_map(move |pair| letters().map(move |c| format!("{pair}{c}")));
    single
        .map(String::from)
        .chain(starts)
        .chain(capitals)
        .chain(pairs())
        .chain(pairs().map(|pair| format!("{SPACE}{pair}")))
        .chain(triples())
        .chain(triples().map(|triple| format!("{SPACE}{triple}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vocabulary_has_the_size_of_llamas_and_no_token_twice() {
        let made = Vocabulary::new(32_000);
        let different: HashSet<_> = made.tokens.iter().collect();
        assert_eq!(different.len(), 32_000);
        assert_eq!((made.scores.len(), made.kinds.len()), (32_000, 32_000));
        assert_eq!(made.tokens[Vocabulary::BOS as usize], "<s>");
        assert_eq!(made.tokens[Vocabulary::END_OF_TURN as usize], "<|im_end|>");
    }

    #[test]
    fn every_longer_piece_can_be_merged_from_shorter_ones() {
        let made = Vocabulary::new(32_000);
        let known: HashSet<&str> = made.tokens.iter().map(String::as_str).collect();
        for piece in made
            .tokens
            .iter()
            .skip(Vocabulary::SPECIAL as usize)
            .filter(|piece| piece.chars().count() > 1)
        {
            let cuts = piece.char_indices().skip(1);
            let mut halves = cuts.map(|(cut, _)| piece.split_at(cut));
            assert!(halves.any(|(a, b)| known.contains(a) && known.contains(b)), "{piece}");
        }
    }
}
