//! The model's vocabulary: text to tokens and back.

use std::os::raw::c_char;

use llama_cpp_sys_2 as sys;

use super::{Model, text};
use crate::vocabulary::Vocabulary;

impl Model {
    /// Splits `text` into tokens, without a begin token. `parse_special` reads the text of control
    /// tokens as these tokens. `None` when the text is longer than llama.cpp can take.
    pub fn tokenize(&self, text: &str, parse_special: bool) -> Option<Vec<u32>> {
        if let Some(wordpiece) = &self.wordpiece {
            return Some(wordpiece.tokenize(text, parse_special, usize::MAX));
        }
        let length = i32::try_from(text.len()).ok()?;
        // Seldom more than one token a byte; otherwise the first call says how many.
        let mut tokens: Vec<sys::llama_token> = vec![0; text.len() + 8];
        loop {
            let capacity = i32::try_from(tokens.len()).ok()?;
            // SAFETY: the vocabulary is live; both pointers are good for the lengths given.
            let count = unsafe {
                sys::llama_tokenize(
                    self.vocabulary.as_ptr(),
                    text.as_ptr().cast(),
                    length,
                    tokens.as_mut_ptr(),
                    capacity,
                    false,
                    parse_special,
                )
            };
            match usize::try_from(count) {
                Ok(count) => {
                    return tokens.get(..count)?.iter().map(|&t| u32::try_from(t).ok()).collect();
                }
                Err(_) => tokens.resize(usize::try_from(count.checked_neg()?).ok()?, 0),
            }
        }
    }

    /// The text of `tokens`, control tokens included. `None` when it is longer than llama.cpp can
    /// make, or a token is unknown.
    pub fn detokenize(&self, tokens: &[u32]) -> Option<Vec<u8>> {
        let tokens: Vec<sys::llama_token> =
            tokens.iter().map(|&token| self.checked(token)).collect::<Option<_>>()?;
        let count = i32::try_from(tokens.len()).ok()?;
        let mut bytes = vec![0_u8; tokens.len().checked_mul(8)?.max(64)];
        loop {
            let capacity = i32::try_from(bytes.len()).ok()?;
            // SAFETY: the vocabulary is live; both pointers are good for the lengths given, and
            // every token is in the vocabulary.
            let length = unsafe {
                sys::llama_detokenize(
                    self.vocabulary.as_ptr(),
                    tokens.as_ptr(),
                    count,
                    bytes.as_mut_ptr().cast(),
                    capacity,
                    false,
                    true,
                )
            };
            if let Ok(length) = usize::try_from(length) {
                bytes.truncate(length);
                return Some(bytes);
            }
            bytes.resize(usize::try_from(length.checked_neg()?).ok()?, 0);
        }
    }

    /// The begin token, when the model wants its prompts to start with it.
    pub fn begin_token(&self) -> Option<u32> {
        // SAFETY: the vocabulary is live.
        let wanted = unsafe { sys::llama_vocab_get_add_bos(self.vocabulary.as_ptr()) };
        wanted.then(|| self.begin()).flatten()
    }

    /// Text of the begin token; empty when there is none.
    pub fn begin_text(&self) -> String {
        self.begin().map_or_else(String::new, |token| self.token_text(token))
    }

    /// Text of the end token; empty when there is none.
    pub fn end_text(&self) -> String {
        // SAFETY: the vocabulary is live.
        let token = unsafe { sys::llama_vocab_eos(self.vocabulary.as_ptr()) };
        u32::try_from(token).map_or_else(|_| String::new(), |token| self.token_text(token))
    }

    /// Whether there is text at all in the vocabulary.
    pub fn has_texts(&self) -> bool {
        // SAFETY: the vocabulary is live.
        let kind = unsafe { sys::llama_vocab_type(self.vocabulary.as_ptr()) };
        kind != sys::LLAMA_VOCAB_TYPE_NONE
    }

    /// Texts of the tokens that steer the model and that no user may write: control tokens, and
    /// those that some models only call user-defined although `template` writes them, which are
    /// told from mark-up such as `</think>` by their form `<|…|>`.
    pub fn control_texts(&self, template: &str) -> Vec<String> {
        let steers = |&token: &u32| {
            let text = self.token_text(token);
            self.is_control(token)
                || (text.starts_with("<|") && text.ends_with("|>") && template.contains(&text))
        };
        (0..self.size()).filter(steers).map(|token| self.token_text(token)).collect()
    }

    pub(super) fn is_control(&self, token: u32) -> bool {
        let Some(id) = self.checked(token) else { return false };
        // SAFETY: the vocabulary is live and contains the token.
        let attributes = unsafe { sys::llama_vocab_get_attr(self.vocabulary.as_ptr(), id) };
        attributes & (sys::LLAMA_TOKEN_ATTR_CONTROL | sys::LLAMA_TOKEN_ATTR_UNKNOWN) != 0
            || self.ends_generation(token)
    }

    fn begin(&self) -> Option<u32> {
        // SAFETY: the vocabulary is live.
        let token = unsafe { sys::llama_vocab_bos(self.vocabulary.as_ptr()) };
        u32::try_from(token).ok()
    }

    pub(super) fn token_text(&self, token: u32) -> String {
        let Some(token) = self.checked(token) else { return String::new() };
        // SAFETY: the vocabulary contains the token; the result is a NUL-terminated string in it.
        unsafe { text(sys::llama_vocab_get_text(self.vocabulary.as_ptr(), token)) }
    }

    /// The token as llama.cpp names it, when the vocabulary has it.
    fn checked(&self, token: u32) -> Option<sys::llama_token> {
        (token < self.size()).then(|| sys::llama_token::try_from(token).ok()).flatten()
    }

    fn append_piece(&self, token: u32, special: bool, out: &mut Vec<u8>) {
        let Some(token) = self.checked(token) else { return };
        let start = out.len();
        let mut room: i32 = 32;
        loop {
            out.resize(start + usize::try_from(room).unwrap_or(0), 0);
            let buffer: *mut c_char = out[start..].as_mut_ptr().cast();
            // SAFETY: the vocabulary contains the token; the buffer has `room` bytes.
            let length = unsafe {
                let vocabulary = self.vocabulary.as_ptr();
                sys::llama_token_to_piece(vocabulary, token, buffer, room, 0, special)
            };
            if let Ok(length) = usize::try_from(length) {
                out.truncate(start + length);
                return;
            }
            room = length.saturating_neg();
        }
    }
}

impl Vocabulary for Model {
    fn size(&self) -> u32 {
        // SAFETY: the vocabulary is live.
        let size = unsafe { sys::llama_vocab_n_tokens(self.vocabulary.as_ptr()) };
        u32::try_from(size).unwrap_or(0)
    }

    fn ends_generation(&self, token: u32) -> bool {
        let Some(token) = self.checked(token) else { return false };
        // SAFETY: the vocabulary is live and contains the token.
        unsafe { sys::llama_vocab_is_eog(self.vocabulary.as_ptr(), token) }
    }

    fn append_text(&self, token: u32, out: &mut Vec<u8>) {
        self.append_piece(token, false, out);
    }

    fn append_bytes(&self, token: u32, out: &mut Vec<u8>) {
        self.append_piece(token, true, out);
    }
}
