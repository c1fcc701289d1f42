//! Remembers the tokens of conversations, so that a prompt that goes on with one is the same tokens
//! as before and not only the same text.
//!
//! A model may write a word in other tokens than the tokenizer would. The next prompt of the
//! conversation holds the answer as text; tokenized anew, it would no longer begin with what is in
//! the KV cache. So the tokens are kept beside the text that they make. Both stay in this process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Conversations kept at most.
const ENTRIES_MAX: usize = 64;

/// Their bytes.
const BYTES_MAX: usize = 16 << 20;

/// The conversations that were carried on last.
#[derive(Debug, Default)]
pub struct Transcripts {
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    /// The most recent one last.
    entries: VecDeque<Entry>,
    bytes: usize,
}

/// One conversation up to its last answer.
#[derive(Debug)]
struct Entry {
    /// Prompt and answer.
    text: String,
    tokens: Vec<u32>,
    /// Lengths of text and tokens at the end of each answer; the last ones are those of all.
    ends: Vec<(usize, usize)>,
}

impl Transcripts {
    /// The tokens of the longest remembered beginning of `text`, and its length in bytes. Only what
    /// ends at a seam counts: `is_seam` is asked with the texts on both sides.
    pub fn beginning_of(
        &self,
        text: &str,
        is_seam: impl Fn(&str, &str) -> bool,
    ) -> Option<(Vec<u32>, usize)> {
        let mut kept = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let candidates = kept.entries.iter().enumerate().flat_map(|(at, entry)| {
            let common = common_length(&entry.text, text);
            let ends = entry.ends.iter().filter(move |(bytes, _)| *bytes <= common);
            ends.map(move |&(bytes, tokens)| (bytes, at, tokens))
        });
        let mut candidates: Vec<_> = candidates.collect();
        // The longest first; of the same length, the most recent.
        candidates.sort_unstable_by(|a, b| b.cmp(a));
        let (bytes, at, tokens) = candidates.into_iter().find(|(bytes, ..)| {
            text.split_at_checked(*bytes).is_some_and(|(before, behind)| is_seam(before, behind))
        })?;
        let found = kept.entries.get(at)?.tokens.get(..tokens)?.to_vec();
        if let Some(entry) = kept.entries.remove(at) {
            kept.entries.push_back(entry);
        }
        Some((found, bytes))
    }

    /// Remembers that `text` is made of `tokens`.
    fn remember(&self, text: String, tokens: Vec<u32>) {
        let mut kept = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ends = Vec::new();
        // The conversation before this answer.
        let before = kept
            .entries
            .iter()
            .position(|entry| text.starts_with(&entry.text) && tokens.starts_with(&entry.tokens));
        if let Some(entry) = before.and_then(|at| kept.entries.remove(at)) {
            kept.bytes -= entry.bytes();
            ends = entry.ends;
        }
        let end = (text.len(), tokens.len());
        if ends.last() != Some(&end) {
            ends.push(end);
        }
        let entry = Entry { text, tokens, ends };
        kept.bytes += entry.bytes();
        kept.entries.push_back(entry);
        while kept.entries.len() > ENTRIES_MAX || kept.bytes > BYTES_MAX {
            let Some(oldest) = kept.entries.pop_front() else { break };
            kept.bytes -= oldest.bytes();
        }
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        self.text.len() + size_of_val(&*self.tokens) + size_of_val(&*self.ends) + size_of::<Self>()
    }
}

/// The text of a prompt whose answer is to be remembered with it.
#[derive(Debug)]
pub struct Draft {
    transcripts: Arc<Transcripts>,
    prompt: String,
}

impl Draft {
    /// `prompt` is the rendered text.
    pub fn new(transcripts: Arc<Transcripts>, prompt: String) -> Self {
        Self { transcripts, prompt }
    }

    /// Remembers the prompt with its `answer`, both made of `tokens`.
    pub fn keep(self, answer: &str, tokens: &[u32]) {
        let Self { transcripts, prompt: mut text } = self;
        text.push_str(answer);
        transcripts.remember(text, tokens.to_vec());
    }
}

/// Bytes that two texts begin with in common.
fn common_length(a: &str, b: &str) -> usize {
    // Whole blocks are compared as memory: the scheduler may wait for this.
    const BLOCK: usize = 64;
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let blocks = a.chunks_exact(BLOCK).zip(b.chunks_exact(BLOCK));
    let start = blocks.take_while(|(a, b)| a == b).count() * BLOCK;
    start + a.iter().zip(b).skip(start).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn is_seam(_: &str, behind: &str) -> bool {
        behind.starts_with('<')
    }

    fn keep(transcripts: &Arc<Transcripts>, prompt: &str, answer: &str, tokens: &[u32]) {
        Draft::new(Arc::clone(transcripts), prompt.to_owned()).keep(answer, tokens);
    }

    fn shelf(transcripts: &Transcripts) -> (usize, usize) {
        let shelf = transcripts.shelf.lock().unwrap();
        assert_eq!(shelf.bytes, shelf.entries.iter().map(Entry::bytes).sum::<usize>());
        (shelf.entries.len(), shelf.bytes)
    }

    #[test]
    fn the_longest_beginning_is_found_and_only_at_a_seam() {
        let transcripts = Arc::default();
        keep(&transcripts, "<u>hi<a>", "hello", &[1, 2, 3]);
        assert_eq!(
            transcripts.beginning_of("<u>hi<a>hello<u>", is_seam),
            Some((vec![1, 2, 3], 13))
        );
        assert_eq!(transcripts.beginning_of("<u>hi<a>hello there<u>", is_seam), None);
        assert_eq!(transcripts.beginning_of("<u>hi<a>hello", is_seam), None);
        assert_eq!(transcripts.beginning_of("<u>hi<a>hell", is_seam), None);
        keep(&transcripts, "<u>hi<a>hello<u>and<a>", "then", &[1, 2, 3, 4, 5]);
        let third = "<u>hi<a>hello<u>and<a>then<u>";
        assert_eq!(transcripts.beginning_of(third, is_seam).unwrap().0, [1, 2, 3, 4, 5]);
        assert_eq!(shelf(&transcripts).0, 1, "one conversation takes one entry");
    }

    #[test]
    fn a_conversation_that_forks_is_known_up_to_the_fork() {
        let transcripts = Arc::default();
        keep(&transcripts, "<u>hi<a>", "hello", &[1, 2, 3]);
        keep(&transcripts, "<u>hi<a>hello<u>and<a>", "then", &[1, 2, 3, 4, 5]);
        let fork = "<u>hi<a>hello<u>or<a>";
        assert_eq!(transcripts.beginning_of(fork, is_seam), Some((vec![1, 2, 3], 13)));
        keep(&transcripts, fork, "else", &[1, 2, 3, 6]);
        assert_eq!(shelf(&transcripts).0, 2);
        let first = transcripts.beginning_of("<u>hi<a>hello<u>and<a>then<", is_seam);
        assert_eq!(first.unwrap().0, [1, 2, 3, 4, 5]);
        let second = transcripts.beginning_of("<u>hi<a>hello<u>or<a>else<", is_seam);
        assert_eq!(second.unwrap().0, [1, 2, 3, 6]);
    }

    #[test]
    fn of_the_same_text_the_latest_tokens_count() {
        let transcripts = Arc::default();
        keep(&transcripts, "<a>", "x", &[1, 2]);
        keep(&transcripts, "<a>", "x", &[1, 3]);
        assert_eq!(transcripts.beginning_of("<a>x<", is_seam).unwrap().0, [1, 3]);
        keep(&transcripts, "<a>", "x", &[1, 3]);
        assert_eq!(shelf(&transcripts).0, 2, "the same again takes no more");
    }

    #[test]
    fn a_cut_in_the_middle_of_a_letter_is_no_seam() {
        let transcripts = Arc::default();
        keep(&transcripts, "", "é", &[1]);
        assert_eq!(transcripts.beginning_of("è<", |_, _| true), None);
    }

    #[test]
    fn no_more_is_kept_than_is_allowed_and_what_was_used_last_stays() {
        let transcripts = Arc::default();
        for number in 0..ENTRIES_MAX {
            keep(&transcripts, &format!("<{number:03}>"), "x", &[0]);
        }
        assert!(transcripts.beginning_of("<000>x<", is_seam).is_some());
        keep(&transcripts, "<new>", "x", &[0]);
        assert_eq!(shelf(&transcripts).0, ENTRIES_MAX);
        assert!(transcripts.beginning_of("<000>x<", is_seam).is_some());
        assert!(transcripts.beginning_of("<001>x<", is_seam).is_none());
        let long = "y".repeat(BYTES_MAX / 3);
        for number in 0..9 {
            keep(&transcripts, &format!("<{number:03}>"), &long, &[0]);
            assert!(shelf(&transcripts).1 <= BYTES_MAX);
        }
        assert_eq!(shelf(&transcripts).0, 2);
        keep(&transcripts, "", &"y".repeat(BYTES_MAX), &[0]);
        assert_eq!(shelf(&transcripts), (0, 0), "too long to be remembered at all");
    }
}
