//! Puts values back into an answer as it streams.

use std::collections::HashMap;
use std::sync::Arc;

use super::placeholder::{self, Beginning, Key};
use super::{Form, is_word};

/// The values of a turn by the placeholders that stand for them.
pub(super) type Values = Arc<HashMap<Key, String>>;

/// Puts values back into one stream of text. Answer and reasoning are two streams.
///
/// Text is held back only while it may be the beginning of a placeholder.
#[derive(Debug)]
pub struct Restorer {
    values: Values,
    form: Form,
    held: String,
    /// The text so far ends in a letter, digit or underscore.
    after_word: bool,
}

impl Restorer {
    pub(super) fn new(values: Values, form: Form) -> Self {
        Self { values, form, held: String::new(), after_word: false }
    }

    /// Takes the next piece of the stream and returns what is known of it.
    pub fn push(&mut self, piece: &str) -> String {
        if self.values.is_empty() {
            return piece.to_owned();
        }
        self.held.push_str(piece);
        self.read(false)
    }

    /// Returns what is still held back. The stream is over.
    pub fn finish(&mut self) -> String {
        self.read(true)
    }

    fn read(&mut self, ended: bool) -> String {
        let held = std::mem::take(&mut self.held);
        let mut known = String::with_capacity(held.len());
        let mut rest = held.as_str();
        while let Some(letter) = rest.chars().next() {
            let beginning = if may_begin(letter) {
                placeholder::begins(rest, self.after_word, ended)
            } else {
                Beginning::Other
            };
            let value = match beginning {
                Beginning::Incomplete => {
                    rest.clone_into(&mut self.held);
                    break;
                }
                Beginning::Placeholder(key, length) => {
                    self.values.get(&key).map(|value| (value, length))
                }
                Beginning::Other => None,
            };
            let length = if let Some((value, length)) = value {
                known.push_str(&self.form.escaped(value));
                length
            } else {
                known.push(letter);
                letter.len_utf8()
            };
            let (read, left) = rest.split_at(length);
            self.after_word = read.chars().next_back().is_some_and(is_word);
            rest = left;
        }
        known
    }
}

/// Whether a placeholder may begin with `letter`.
fn may_begin(letter: char) -> bool {
    matches!(letter, '[' | '\\' | 'S' | 'E' | 'I' | 'C' | 'N' | 'P')
}
