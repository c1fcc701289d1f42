//! What tandem says by itself when no model can answer, in the language of the question.
//!
//! The texts are in `replies/`, a file a language.

use std::collections::HashSet;
use std::sync::LazyLock;

use serde::Deserialize;

/// Longest question that a reply is looked for.
const QUESTION_BYTES_MAX: usize = 200;
/// As much of a question as its language is told from.
const LANGUAGE_BYTES_MAX: usize = 4096;

/// The first is that of questions which show no language.
static LANGUAGES: LazyLock<[Language; 2]> = LazyLock::new(|| {
    [
        read("en", include_str!("../../replies/en.toml")),
        read("id", include_str!("../../replies/id.toml")),
    ]
});

#[derive(Debug, Default, Deserialize)]
struct Language {
    #[serde(skip)]
    code: &'static str,
    words: Vec<String>,
    apology: String,
    not_in_documents: String,
    replies: Vec<Reply>,
}

#[derive(Debug, Deserialize)]
struct Reply {
    questions: Vec<String>,
    text: String,
}

/// The reply to a question that has one.
pub(super) fn find(question: &str) -> Option<String> {
    if question.len() > QUESTION_BYTES_MAX {
        return None;
    }
    let asked = words(question).collect::<Vec<_>>().join(" ");
    let replies = LANGUAGES.iter().flat_map(|language| &language.replies);
    let reply = replies.into_iter().find(|reply| reply.questions.contains(&asked))?;
    Some(reply.text.clone())
}

/// A sentence for when nobody can answer.
pub(super) fn apology(question: &str) -> String {
    asked_in(question).apology.clone()
}

/// A sentence for when the user's documents have nothing to do with a question.
pub(super) fn not_in_documents(question: &str) -> String {
    asked_in(question).not_in_documents.clone()
}

/// Whether a text has a word of the question that is not among the commonest of a language.
pub(super) fn shares_a_word(question: &str, text: &str) -> bool {
    let common = |word: &String| LANGUAGES.iter().any(|language| language.words.contains(word));
    let there: HashSet<String> = words(text).collect();
    words(question).any(|word| !common(&word) && there.contains(&word))
}

/// The language of a question, as templates are named.
pub(super) fn language(question: &str) -> &'static str {
    asked_in(question).code
}

fn asked_in(question: &str) -> &'static Language {
    let end = question.floor_char_boundary(LANGUAGE_BYTES_MAX);
    let asked: Vec<String> = words(&question[..end]).collect();
    let known =
        |language: &Language| asked.iter().filter(|word| language.words.contains(word)).count();
    let [first, rest @ ..] = &*LANGUAGES;
    rest.iter()
        .fold(first, |best, language| if known(language) > known(best) { language } else { best })
}

/// In lower case, without punctuation.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase())
        .filter(|word| !word.is_empty())
}

/// A file that cannot be read has no replies; a test holds that all can.
fn read(code: &'static str, text: &str) -> Language {
    Language { code, ..toml::from_str(text).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_language_has_replies_that_can_be_found() {
        for language in &*LANGUAGES {
            assert!(!language.apology.is_empty() && language.replies.len() > 4);
            assert!(!language.not_in_documents.is_empty());
            for reply in &language.replies {
                for question in &reply.questions {
                    assert_eq!(find(question).as_ref(), Some(&reply.text), "{question}");
                }
            }
        }
    }

    #[test]
    fn a_text_that_has_only_common_words_of_a_question_shares_none() {
        let text = "Mrs Tanaka waters the plants while we are away.";
        assert!(shares_a_word("Who waters the flowers?", text));
        assert!(!shares_a_word("What is the capital of Peru?", text));
        assert!(!shares_a_word("", text));
    }

    #[test]
    fn case_and_punctuation_make_no_difference_but_other_words_do() {
        assert_eq!(find("  Hello!\n"), find("hello"));
        assert!(find("Terima kasih :)").unwrap().contains("Sama-sama"));
        assert_eq!(find("hello, what is the capital of France?"), None);
        assert_eq!(find(""), None);
    }

    #[test]
    fn the_apology_is_in_the_language_of_the_question() {
        assert!(apology("What is the capital of France?").starts_with("I cannot"));
        assert!(apology("Apa ibu kota Indonesia dan siapa presidennya?").starts_with("Saya"));
        assert!(not_in_documents("Siapa yang menulis ini?").starts_with("Dokumen"));
        assert_eq!((language("Siapa yang menulis ini?"), language("1 + 1")), ("id", "en"));
        assert!(apology("なぜ？").starts_with("I cannot"));
        assert!(apology(&"é".repeat(10_000)).starts_with("I cannot"));
    }
}
