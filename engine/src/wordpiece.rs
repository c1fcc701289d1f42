//! BERT's tokenizer. llama.cpp has one of its own, which reads Hangul, combined accents and long
//! words differently from the one that the models were trained with. This one differs from that in
//! some 700 characters that Unicode has gained or changed since.

use std::collections::HashMap;

use icu_normalizer::DecomposingNormalizer;
use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, GeneralCategoryGroup};

/// Stands in front of pieces that begin a word, as GGUF files write them.
const WORD_MARK: char = '\u{2581}';

/// A longer word is unknown as a whole.
const WORD_CHARS_MAX: usize = 100;

/// A vocabulary of word pieces, and how text is made alike before it is looked up.
#[derive(Debug)]
pub struct WordPiece {
    pieces: HashMap<String, u32>,
    special: Vec<(String, u32)>,
    unknown: u32,
    lowercase: bool,
    strip_accents: bool,
}

impl WordPiece {
    /// A tokenizer with these pieces. `special` are texts that stand for a token wherever special
    /// tokens are read; `unknown` is the token of words that the pieces cannot make up.
    pub fn new(
        pieces: HashMap<String, u32>,
        special: Vec<(String, u32)>,
        unknown: u32,
        lowercase: bool,
        strip_accents: bool,
    ) -> Self {
        Self { pieces, special, unknown, lowercase, strip_accents }
    }

    /// The first `limit` tokens of `text`; what lies behind them is not looked at.
    pub fn tokenize(&self, text: &str, parse_special: bool, limit: usize) -> Vec<u32> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while tokens.len() < limit {
            let next = if parse_special { self.next_special(rest) } else { None };
            let Some((start, end, special)) = next else {
                self.append(rest, limit, &mut tokens);
                break;
            };
            self.append(&rest[..start], limit, &mut tokens);
            tokens.push(special);
            rest = &rest[end..];
        }
        tokens.truncate(limit);
        tokens
    }

    /// Where the next special token begins and ends, and which it is.
    fn next_special(&self, text: &str) -> Option<(usize, usize, u32)> {
        text.char_indices().find_map(|(at, _)| {
            let here = self.special.iter().filter(|(special, _)| text[at..].starts_with(special));
            let (special, token) = here.max_by_key(|(special, _)| special.len())?;
            Some((at, at + special.len(), *token))
        })
    }

    fn append(&self, text: &str, limit: usize, tokens: &mut Vec<u32>) {
        let clean = text.chars().filter_map(clean).flat_map(spaced);
        if self.strip_accents {
            let plain = DecomposingNormalizer::new_nfd().normalize_iter(clean);
            self.append_words(plain.filter(|&c| !is_accent(c)), limit, tokens);
        } else {
            self.append_words(clean, limit, tokens);
        }
    }

    fn append_words(
        &self,
        letters: impl Iterator<Item = char>,
        limit: usize,
        tokens: &mut Vec<u32>,
    ) {
        let mut word = Word::default();
        for letter in letters {
            if tokens.len() >= limit {
                return;
            }
            if letter.is_whitespace() {
                self.append_word(&mut word, tokens);
            } else if is_punctuation(letter) {
                self.append_word(&mut word, tokens);
                word.push(letter);
                self.append_word(&mut word, tokens);
            } else if self.lowercase {
                for lower in letter.to_lowercase() {
                    word.push(lower);
                }
            } else {
                word.push(letter);
            }
        }
        self.append_word(&mut word, tokens);
    }

    /// Splits a word into the longest pieces, from its beginning on, and empties it.
    fn append_word(&self, word: &mut Word, tokens: &mut Vec<u32>) {
        let Word { marked, chars } = std::mem::take(word);
        if chars == 0 {
            return;
        }
        let before = tokens.len();
        let mut rest = marked.as_str();
        while !rest.is_empty() && chars <= WORD_CHARS_MAX {
            // The mark alone is no piece of a word.
            let shortest = usize::from(rest.len() == marked.len());
            let ends = rest.char_indices().map(|(at, letter)| at + letter.len_utf8());
            let ends: Vec<usize> = ends.skip(shortest).collect();
            let piece = ends
                .into_iter()
                .rev()
                .find_map(|end| self.pieces.get(&rest[..end]).map(|&token| (token, end)));
            let Some((token, end)) = piece else { break };
            tokens.push(token);
            rest = &rest[end..];
        }
        if !rest.is_empty() {
            tokens.truncate(before);
            tokens.push(self.unknown);
        }
    }
}

/// A word that is being read, behind the mark.
#[derive(Debug)]
struct Word {
    marked: String,
    chars: usize,
}

impl Default for Word {
    fn default() -> Self {
        Self { marked: WORD_MARK.to_string(), chars: 0 }
    }
}

impl Word {
    /// Of a word that is too long in any case, the rest need not be kept.
    fn push(&mut self, letter: char) {
        self.chars += 1;
        if self.chars <= WORD_CHARS_MAX {
            self.marked.push(letter);
        }
    }
}

/// Spaces for all kinds of them, and nothing for what has no form.
fn clean(letter: char) -> Option<char> {
    let formless = match letter {
        '\t' | '\n' | '\r' => false,
        '\0' | char::REPLACEMENT_CHARACTER => true,
        // Not those that Unicode has not assigned.
        _ => matches!(
            category(letter),
            GeneralCategory::Control | GeneralCategory::Format | GeneralCategory::PrivateUse
        ),
    };
    let letter = if letter.is_whitespace() { ' ' } else { letter };
    (!formless).then_some(letter)
}

/// Ideographs are words of their own.
fn spaced(letter: char) -> impl Iterator<Item = char> {
    let space = is_ideograph(letter).then_some(' ');
    space.into_iter().chain([letter]).chain(space)
}

fn is_accent(letter: char) -> bool {
    category(letter) == GeneralCategory::NonspacingMark
}

fn is_punctuation(letter: char) -> bool {
    letter.is_ascii_punctuation() || GeneralCategoryGroup::Punctuation.contains(category(letter))
}

fn category(letter: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(letter)
}

/// The ranges that the reference implementation has.
fn is_ideograph(letter: char) -> bool {
    matches!(
        letter,
        '\u{4E00}'..='\u{9FFF}'
            | '\u{3400}'..='\u{4DBF}'
            | '\u{20000}'..='\u{2A6DF}'
            | '\u{2A700}'..='\u{2B73F}'
            | '\u{2B740}'..='\u{2B81F}'
            | '\u{2B920}'..='\u{2CEAF}'
            | '\u{F900}'..='\u{FAFF}'
            | '\u{2F800}'..='\u{2FA1F}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNKNOWN: u32 = 1;
    const MASK: u32 = 2;

    fn wordpiece(lowercase: bool) -> WordPiece {
        let pieces = ["▁un", "aff", "able", "▁a", "a", "▁,", "▁日", "▁본", "\u{1161}", "▁\u{1112}"];
        let pieces = pieces.iter().zip(10..).map(|(&piece, token)| (piece.to_owned(), token));
        let special = vec![("[MASK]".to_owned(), MASK)];
        WordPiece::new(pieces.collect(), special, UNKNOWN, lowercase, lowercase)
    }

    fn tokens(text: &str) -> Vec<u32> {
        wordpiece(true).tokenize(text, true, usize::MAX)
    }

    #[test]
    fn a_word_is_split_into_the_longest_pieces() {
        assert_eq!(tokens("unaffable"), [10, 11, 12]);
        assert_eq!(tokens("aaa"), [13, 14, 14]);
        assert_eq!(tokens(""), [0; 0]);
    }

    #[test]
    fn a_word_that_the_pieces_do_not_make_up_is_unknown_as_a_whole() {
        assert_eq!(tokens("unaffectable a"), [UNKNOWN, 13]);
        assert_eq!(tokens("▁"), [UNKNOWN], "the mark of word beginnings is a letter like others");
    }

    #[test]
    fn case_accents_and_kinds_of_space_make_no_difference() {
        assert_eq!(tokens("\u{a0}ÚNAFFÀBLE\u{2003}A\r\n\u{200b}a"), tokens("unaffable a a"));
        assert_eq!(tokens("a\u{301}"), tokens("a"), "an accent of its own");
        assert_eq!(wordpiece(false).tokenize("UN un", true, 9), [UNKNOWN, 10]);
    }

    #[test]
    fn letters_without_a_form_are_passed_over_and_unknown_ones_are_not() {
        assert_eq!(tokens("u\u{ad}n\u{e000}\u{0}\u{7f}aff\u{fffd}able"), tokens("unaffable"));
        assert_eq!(tokens("a\u{378}a"), [UNKNOWN], "not assigned");
    }

    #[test]
    fn punctuation_and_ideographs_are_words_of_their_own() {
        assert_eq!(tokens("un,aa日un"), [10, 15, 13, 14, 16, 10]);
    }

    #[test]
    fn hangul_is_read_letter_by_letter() {
        assert_eq!(tokens("하"), [19, 18]);
    }

    #[test]
    fn a_word_of_more_than_a_hundred_letters_is_unknown() {
        let pieces = tokens(&"a".repeat(100));
        assert_eq!((pieces.len(), pieces[0], pieces[99]), (100, 13, 14));
        assert_eq!(tokens(&"a".repeat(101)), [UNKNOWN]);
        assert_eq!(tokens(&"a".repeat(1 << 20)), [UNKNOWN]);
    }

    #[test]
    fn special_tokens_are_read_only_when_asked() {
        assert_eq!(tokens("un[MASK]un"), [10, MASK, 10]);
        assert_eq!(wordpiece(true).tokenize("[MASK]", false, 9), [UNKNOWN; 3]);
    }

    #[test]
    fn no_more_tokens_are_made_than_asked_for() {
        for limit in 0..8 {
            let text = "unaffable [MASK] a a a";
            assert_eq!(wordpiece(true).tokenize(text, true, limit), tokens(text)[..limit.min(7)]);
        }
    }
}
