//! Question sets: a question on each line, in JSON.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A question, and where its answer stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Its name, which no other has.
    pub id: String,
    /// The question, as a person asks it.
    pub question: String,
    /// The passages that answer it; none when nothing does.
    #[serde(default)]
    pub relevant: Vec<Passage>,
    /// Whether the documents answer it; so unless it is said otherwise.
    #[serde(default = "answerable")]
    pub answerable: bool,
}

/// A passage that answers a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passage {
    /// The document: its whole source, or the end of it from the beginning of a folder's or file's name on.
    pub source: String,
    /// Words of the passage, as they follow each other; white space and case make no difference.
    pub contains: String,
}

const fn answerable() -> bool {
    true
}

/// Reads a question set.
pub fn load_questions(path: &Path) -> Result<Vec<Question>> {
    let text =
        fs::read_to_string(path).map_err(|error| Error::Io { path: path.to_owned(), error })?;
    parse_questions(path, &text)
}

/// Reads a question set from a text, which comes from this file. Empty lines are passed over.
pub fn parse_questions(path: &Path, text: &str) -> Result<Vec<Question>> {
    let mut questions: Vec<Question> = Vec::new();
    let mut ids = HashSet::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let wrong = |detail: String| Error::Question { path: path.to_owned(), line, detail };
        let question: Question =
            serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if question.question.trim().is_empty() {
            return Err(wrong("the question is empty".to_owned()));
        }
        if question.answerable == question.relevant.is_empty() {
            return Err(wrong(
                "a question has relevant passages exactly when it is answerable".to_owned(),
            ));
        }
        if question
            .relevant
            .iter()
            .any(|passage| passage.source.is_empty() || passage.contains.trim().is_empty())
        {
            return Err(wrong("a relevant passage needs a source and what it contains".to_owned()));
        }
        if !ids.insert(question.id.clone()) {
            return Err(wrong(format!("the id {} is taken by a line above", question.id)));
        }
        questions.push(question);
    }
    Ok(questions)
}

impl Passage {
    /// Whether a text found in a document is this passage.
    pub fn is(&self, source: &str, text: &str) -> bool {
        let end = source.strip_suffix(self.source.as_str());
        end.is_some_and(|before| {
            before.is_empty() || before.ends_with('/') || self.source.starts_with('/')
        }) && plain(text).contains(&plain(&self.contains))
    }
}

/// A text in small letters with one space between words.
fn plain(text: &str) -> String {
    text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}
