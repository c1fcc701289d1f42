//! Counts of one part of a question: of what is asked, or of one option.

use super::count_classes;
use super::token::{Token, tokens};
use crate::vocabulary::{CLASSES, hash, pair};

/// Letters from which on a word is long.
const LONG_WORD: usize = 9;

/// The counts of one part.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// Letters, digits and signs, without spaces.
    pub(crate) letters: usize,
    pub(crate) words: usize,
    pub(crate) word_letters: usize,
    pub(crate) long_words: usize,
    pub(crate) sentences: usize,
    pub(crate) numbers: usize,
    pub(crate) digits_max: usize,
    pub(crate) fractions: usize,
    pub(crate) percents: usize,
    pub(crate) money: usize,
    pub(crate) operators: usize,
    pub(crate) formulas: usize,
    pub(crate) variables: usize,
    pub(crate) questions: usize,
    pub(crate) commas: usize,
    pub(crate) quotes: usize,
    pub(crate) brackets: usize,
    /// Words with a capital that do not begin a sentence.
    pub(crate) names: usize,
    /// Words of three letters or more, all of them capitals.
    pub(crate) capitals: usize,
    pub(crate) foreign: usize,
    pub(crate) classes: Classes,
    /// Hashes of words, sorted, each once.
    vocabulary: Vec<u64>,
    /// Hashes of numbers, likewise.
    values: Vec<u64>,
}

/// Counts by class of words.
#[derive(Debug, Clone)]
pub(crate) struct Classes([u16; CLASSES]);

impl Default for Classes {
    fn default() -> Self {
        Self([0; CLASSES])
    }
}

impl std::ops::Deref for Classes {
    type Target = [u16; CLASSES];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Tally {
    /// Counts, and tells of every word and every pair of neighbours.
    pub(crate) fn of(text: &str, mut tell: impl FnMut(u64)) -> Self {
        let mut tally = Self::default();
        let mut before = None;
        let mut begins_sentence = true;
        let mut lower = String::new();
        for token in tokens(text) {
            let key = match token {
                Token::Word(word) => {
                    lower.clear();
                    lower.extend(word.chars().flat_map(char::to_lowercase));
                    tally.word(word, begins_sentence);
                    let key = hash(&lower);
                    tally.vocabulary.push(key);
                    begins_sentence = false;
                    Some(key)
                }
                Token::Number(number) => {
                    begins_sentence = false;
                    Some(tally.number(number))
                }
                Token::Sign(sign) => {
                    begins_sentence |= matches!(sign, '.' | '?' | '!' | ':' | '"' | '\u{2022}');
                    tally.sign(sign)
                }
            };
            let Some(key) = key else { continue };
            tell(key);
            count_classes(&mut tally.classes.0, key);
            if let Some(before) = before {
                let both = pair(before, key);
                tell(both);
                count_classes(&mut tally.classes.0, both);
            }
            before = Some(key);
        }
        if !begins_sentence {
            tally.sentences += 1;
        }
        for hashes in [&mut tally.vocabulary, &mut tally.values] {
            hashes.sort_unstable();
            hashes.dedup();
        }
        tally
    }

    fn word(&mut self, word: &str, begins_sentence: bool) {
        let letters = word.chars().count();
        self.letters += letters;
        self.words += 1;
        self.word_letters += letters;
        self.long_words += usize::from(letters >= LONG_WORD);
        self.foreign += word.chars().filter(|letter| !letter.is_ascii()).count();
        let capital = word.starts_with(char::is_uppercase);
        let capitals = letters > 2 && word.chars().all(char::is_uppercase);
        self.capitals += usize::from(capitals);
        self.names += usize::from(capital && !capitals && letters > 1 && !begins_sentence);
        self.variables += usize::from(letters == 1 && !matches!(word, "a" | "A" | "I"));
    }

    /// Numbers are alike as words when they have as many digits.
    fn number(&mut self, number: &str) -> u64 {
        let digits = number.bytes().filter(u8::is_ascii_digit).count();
        let fraction = number.contains(['.', '/']);
        self.letters += number.len();
        self.numbers += 1;
        self.digits_max = self.digits_max.max(digits.min(12));
        self.fractions += usize::from(fraction);
        self.values.push(hash(number));
        hash(if fraction { "#." } else { "#" }).wrapping_add(digits.min(6) as u64)
    }

    /// Signs of formulas and code are like words.
    fn sign(&mut self, sign: char) -> Option<u64> {
        self.letters += 1;
        match sign {
            '.' | '!' => self.sentences += 1,
            '?' => {
                self.sentences += 1;
                self.questions += 1;
            }
            ',' | ';' => self.commas += 1,
            '"' => self.quotes += 1,
            '(' | ')' | '[' | ']' => self.brackets += 1,
            '\'' | ':' | '-' | '_' | '\u{2022}' | '*' => {}
            _ => {
                self.percents += usize::from(sign == '%');
                self.money += usize::from(matches!(sign, '$' | '\u{20ac}' | '\u{a3}'));
                self.operators += usize::from(matches!(
                    sign,
                    '=' | '+'
                        | '/'
                        | '<'
                        | '>'
                        | '^'
                        | '\u{d7}'
                        | '\u{f7}'
                        | '\u{2264}'
                        | '\u{2265}'
                ));
                self.formulas += usize::from(matches!(
                    sign,
                    '\\' | '{' | '}' | '^' | '|' | '\u{2200}'..='\u{22ff}'
                ));
                return Some(hash(sign.encode_utf8(&mut [0; 4])));
            }
        }
        None
    }

    pub(crate) fn distinct_words(&self) -> usize {
        self.vocabulary.len()
    }

    pub(crate) fn distinct_numbers(&self) -> usize {
        self.values.len()
    }

    /// The share of its words that are in `other`, too.
    pub(crate) fn contained_in(&self, other: &Self) -> f32 {
        let shared = self.vocabulary.iter().filter(|word| other.has(**word)).count();
        shared as f32 / self.vocabulary.len().max(1) as f32
    }

    /// Shared words, of all words of both.
    pub(crate) fn likeness(&self, other: &Self) -> f32 {
        let shared = self.vocabulary.iter().filter(|word| other.has(**word)).count();
        let all = self.vocabulary.len() + other.vocabulary.len() - shared;
        shared as f32 / all.max(1) as f32
    }

    fn has(&self, word: u64) -> bool {
        self.vocabulary.binary_search(&word).is_ok()
    }

    /// Both together, as far as sums go.
    pub(crate) fn plus(mut self, other: &Self) -> Self {
        self.words += other.words;
        self.word_letters += other.word_letters;
        self.long_words += other.long_words;
        self.numbers += other.numbers;
        self.fractions += other.fractions;
        self.percents += other.percents;
        self.operators += other.operators;
        self.formulas += other.formulas;
        self.variables += other.variables;
        self.brackets += other.brackets;
        self.foreign += other.foreign;
        for (sum, count) in self.classes.0.iter_mut().zip(other.classes.iter()) {
            *sum = sum.saturating_add(*count);
        }
        self
    }
}
