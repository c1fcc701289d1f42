//! Questions with what both tracks made of them, and scores, as lines of JSON.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

/// One question of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Unique within the file.
    pub id: String,
    /// What was asked.
    pub prompt: String,
    /// A name for questions of one field.
    pub domain: String,
    /// Quality of the fast track's answer: 0 to 1, or 1 to 10.
    pub weak_score: f64,
    /// Quality of the slow track's answer, on the same scale.
    pub strong_score: f64,
    /// The same with faults of the grading repaired.
    pub strong_score_regraded: Option<f64>,
}

/// A question as it is in a file. Who judges answers one by one knows one side at a time.
#[derive(Deserialize)]
struct Graded {
    id: String,
    prompt: String,
    #[serde(default)]
    domain: String,
    #[serde(deserialize_with = "known_or_null")]
    weak_score: Option<f64>,
    #[serde(deserialize_with = "known_or_null")]
    strong_score: Option<f64>,
    strong_score_regraded: Option<f64>,
}

/// Unlike what serde takes for an option by itself, the key has to be there.
fn known_or_null<'de, D: Deserializer<'de>>(value: D) -> Result<Option<f64>, D::Error> {
    Option::deserialize(value)
}

/// A question that is only to be scored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Prompt {
    /// Unique within the file.
    pub id: String,
    /// What was asked.
    pub prompt: String,
}

/// The score of a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// The question's.
    pub id: String,
    /// Higher: more need of the slow track.
    pub score: f64,
}

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DatasetError {
    /// A line is no such record.
    #[error("line {line}: {problem}; expected one JSON object a line with {expected}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What the parser says.
        problem: String,
        /// The keys of a record.
        expected: &'static str,
    },
    /// A number is out of range.
    #[error("line {line}: the {field} is {value}; write a number from 0 to 1, or from 1 to 10")]
    Range {
        /// Counted from 1.
        line: usize,
        /// Which number.
        field: &'static str,
        /// What it is.
        value: String,
    },
    /// Two lines have one id.
    #[error("line {line}: the id {id:?} was used before; ids must be unique in a file")]
    Duplicate {
        /// Counted from 1.
        line: usize,
        /// The id.
        id: String,
    },
    /// A question has no score.
    #[error("{missing} of {all} questions have no score, first {id:?}; score the same file")]
    Unscored {
        /// How many.
        missing: usize,
        /// Of how many.
        all: usize,
        /// The first of them.
        id: String,
    },
    /// There is nothing in it.
    #[error("there are no questions in it")]
    Empty,
    /// Of no question both sides are known.
    #[error(
        "none of the {0} questions has both scores; judge the answers of both tracks to the same question"
    )]
    OneSided(usize),
}

/// Reads questions with outcomes. Two lines with the same prompt of which each has one side, and `null`
/// for the other, are one question; what has no other side is left out.
pub fn questions(text: &str) -> Result<Vec<Question>, DatasetError> {
    let expected = "id, prompt, domain, weak_score and strong_score";
    let lines: Vec<(usize, Graded)> = records(text, expected, |graded: &Graded| &graded.id)?;
    for (line, graded) in &lines {
        let scores = [
            ("weak_score", graded.weak_score),
            ("strong_score", graded.strong_score),
            ("strong_score_regraded", graded.strong_score_regraded),
        ];
        for (field, value) in scores {
            if let Some(value) = value.filter(|value| !(0.0..=10.0).contains(value)) {
                return Err(DatasetError::Range { line: *line, field, value: value.to_string() });
            }
        }
    }
    let all = lines.len();
    let mut weak: HashMap<String, f64> = HashMap::new();
    let mut strong: HashMap<String, f64> = HashMap::new();
    let mut questions = Vec::new();
    for (_, graded) in lines {
        let Graded { id, prompt, domain, weak_score, strong_score, strong_score_regraded } = graded;
        let pair = match (weak_score, strong_score) {
            (Some(weak_score), Some(strong_score)) => Some((weak_score, strong_score)),
            (Some(score), None) => {
                let other = strong.remove(&prompt);
                if other.is_none() {
                    weak.insert(prompt.clone(), score);
                }
                other.map(|other| (score, other))
            }
            (None, Some(score)) => {
                let other = weak.remove(&prompt);
                if other.is_none() {
                    strong.insert(prompt.clone(), score);
                }
                other.map(|other| (other, score))
            }
            (None, None) => None,
        };
        let Some((weak_score, strong_score)) = pair else { continue };
        questions.push(Question {
            id,
            prompt,
            domain,
            weak_score,
            strong_score,
            strong_score_regraded,
        });
    }
    if questions.is_empty() { Err(DatasetError::OneSided(all)) } else { Ok(questions) }
}

/// Reads prompts. Further keys are passed over.
pub fn prompts(text: &str) -> Result<Vec<Prompt>, DatasetError> {
    let prompts = records(text, "id and prompt", |prompt: &Prompt| &prompt.id)?;
    Ok(prompts.into_iter().map(|(_, prompt)| prompt).collect())
}

/// Reads scores and puts them into the order of `ids`.
pub fn scores<'a>(
    text: &str,
    ids: impl ExactSizeIterator<Item = &'a str> + Clone,
) -> Result<Vec<f64>, DatasetError> {
    let records = records(text, "id and score", |scored: &Scored| &scored.id)?;
    let scores: HashMap<&str, f64> =
        records.iter().map(|(_, scored)| (scored.id.as_str(), scored.score)).collect();
    let all = ids.len();
    let mut without = ids.clone().filter(|id| !scores.contains_key(id));
    if let Some(id) = without.next() {
        return Err(DatasetError::Unscored {
            missing: 1 + without.count(),
            all,
            id: id.to_owned(),
        });
    }
    Ok(ids.filter_map(|id| scores.get(id).copied()).collect())
}

/// The records of a file with their line numbers. There is at least one.
fn records<T: for<'a> Deserialize<'a>>(
    text: &str,
    expected: &'static str,
    id: impl Fn(&T) -> &String,
) -> Result<Vec<(usize, T)>, DatasetError> {
    let mut seen = HashSet::new();
    let mut records = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        if content.trim().is_empty() {
            continue;
        }
        let record: T = serde_json::from_str(content).map_err(|error| DatasetError::Line {
            line,
            problem: problem(&error),
            expected,
        })?;
        if !seen.insert(id(&record).clone()) {
            return Err(DatasetError::Duplicate { line, id: id(&record).clone() });
        }
        records.push((line, record));
    }
    if records.is_empty() { Err(DatasetError::Empty) } else { Ok(records) }
}

/// The parser's words; every text that it saw was its line 1.
fn problem(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const GOOD: &str = r#"{"id":"a","prompt":"p","domain":"d","weak_score":0,"strong_score":1}"#;

    fn error(text: &str) -> String {
        questions(text).map_or_else(|error| error.to_string(), |_| "no error".to_owned())
    }

    #[test]
    fn verdicts_on_both_tracks_answers_to_one_question_make_a_pair() {
        let line = |id: &str, prompt: &str, weak: &str, strong: &str| {
            format!(
                r#"{{"id":"{id}","prompt":"{prompt}","domain":"feedback","weak_score":{weak},"strong_score":{strong}}}"#
            )
        };
        let lines = [
            line("a", "why?", "0.0", "null"),
            line("b", "how?", "1.0", "null"),
            line("c", "why?", "null", "1.0"),
        ];
        let pairs = questions(&lines.join("\n")).unwrap();
        assert_eq!(pairs.len(), 1);
        assert_eq!(
            (pairs[0].prompt.as_str(), pairs[0].weak_score, pairs[0].strong_score),
            ("why?", 0.0, 1.0)
        );
        assert_eq!(questions(&lines[0]), Err(DatasetError::OneSided(1)));
        let missing = questions(r#"{"id":"a","prompt":"why?","domain":"","weak_score":1.0}"#);
        assert!(matches!(missing, Err(DatasetError::Line { line: 1, .. })));
    }

    #[test]
    fn a_wrong_line_is_named() {
        assert!(error(&format!("{GOOD}\n\nnonsense")).starts_with("line 3: expected ident"));
        assert!(
            error(r#"{"id":"a","prompt":"p"}"#).starts_with("line 1: missing field `weak_score`")
        );
        assert!(
            error(&format!("{GOOD}\n{GOOD}")).starts_with("line 2: the id \"a\" was used before")
        );
        let high = GOOD.replace(":1}", ":11}");
        assert!(error(&high).starts_with("line 1: the strong_score is 11"), "{}", error(&high));
        assert_eq!(error("\n \n"), "there are no questions in it");
    }

    #[test]
    fn scores_come_in_the_order_of_the_questions() {
        let text =
            "{\"id\":\"b\",\"score\":2}\n{\"id\":\"a\",\"score\":1}\n{\"id\":\"c\",\"score\":3}";
        assert_eq!(scores(text, ["a", "b"].into_iter()), Ok(vec![1.0, 2.0]));
        let missing = scores(text, ["a", "x", "y"].into_iter());
        let id = "x".to_owned();
        assert_eq!(missing, Err(DatasetError::Unscored { missing: 2, all: 3, id }));
    }
}
