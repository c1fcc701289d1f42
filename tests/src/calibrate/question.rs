//! Questions whose answers are known, and what counts as such an answer.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// A question as it is in the file, one JSON object a line.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Question {
    /// Names it; what is before the first dash names the benchmark.
    pub id: String,
    /// What is asked, with the options if there are any.
    pub prompt: String,
    /// What it is about.
    pub domain: String,
    /// The right answer: a letter from A to D, or a number.
    pub answer: String,
}

impl Question {
    /// Reads a file of them.
    pub fn read_all(jsonl: &str) -> Result<Vec<Self>> {
        let lines = jsonl.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let parse = |(at, line)| {
            let question: Self =
                serde_json::from_str(line).with_context(|| format!("line {}", at + 1))?;
            question.gold().with_context(|| format!("line {}", at + 1))?;
            Ok(question)
        };
        lines.map(parse).collect()
    }

    /// The right answer.
    pub fn gold(&self) -> Result<Gold> {
        let answer = self.answer.trim();
        if let [letter @ b'A'..=b'D'] = answer.as_bytes() {
            return Ok(Gold::Letter(char::from(*letter)));
        }
        match last_number(answer) {
            Some(number) => Ok(Gold::Number(number)),
            None => bail!("{:?}: {answer:?} is neither a letter from A to D nor a number", self.id),
        }
    }
}

/// A right answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Gold {
    /// One of the options.
    Letter(char),
    /// The result of a calculation.
    Number(f64),
}

impl Gold {
    /// What is added to the question.
    pub fn instruction(self) -> &'static str {
        match self {
            Self::Letter(_) => "Answer with the letter of the right option only.",
            Self::Number(_) => "Think step by step. End with the result as a number.",
        }
    }

    /// Tokens that an answer may have.
    pub fn max_tokens(self) -> u32 {
        match self {
            Self::Letter(_) => 32,
            Self::Number(_) => 256,
        }
    }

    /// Whether a text gives this answer.
    pub fn is_answered_by(self, text: &str) -> bool {
        match self {
            Self::Letter(letter) => first_option(text) == Some(letter),
            Self::Number(number) => last_number(text)
                .is_some_and(|found| (found - number).abs() <= 1e-6 * number.abs().max(1.0)),
        }
    }
}

/// The first letter from A to D that stands alone and is no article.
fn first_option(text: &str) -> Option<char> {
    let mut before = ' ';
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        let mut ahead = rest.clone();
        let after = ahead.next().unwrap_or(' ');
        let alone = !before.is_alphanumeric() && !after.is_alphanumeric() && after != '\'';
        let is_article =
            letter == 'A' && after == ' ' && ahead.next().is_some_and(char::is_lowercase);
        if alone && !is_article && ('A'..='D').contains(&letter) {
            return Some(letter);
        }
        before = letter;
    }
    None
}

/// The last number; thousands may be set off by commas.
fn last_number(text: &str) -> Option<f64> {
    let parts = text.split(|c: char| !c.is_ascii_digit() && !['.', ',', '-'].contains(&c));
    let number = |part: &str| {
        let digits = part.trim_end_matches(['.', ',', '-']).trim_start_matches(['.', ',']);
        // The minus of "5-3" is no sign.
        let from = digits.rfind('-').filter(|&at| at > 0).map_or(0, |at| at + 1);
        digits.get(from..)?.replace(',', "").parse::<f64>().ok()
    };
    parts.rev().find_map(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_found_in_what_a_model_says_about_it() {
        for (text, option) in [
            ("B", Some('B')),
            ("B. The belief that", Some('B')),
            ("The correct answer is (C).", Some('C')),
            ("A common answer is D", Some('D')),
            ("A. A common", Some('A')),
            ("**A**", Some('A')),
            ("Because DNA", None),
            ("a, b or c", None),
            ("", None),
        ] {
            assert_eq!(first_option(text), option, "{text:?}");
        }
    }

    #[test]
    fn the_last_number_is_the_result() {
        for (text, number) in [
            ("She has 3 + 4 = 7 apples.", Some(7.0)),
            ("#### 70,000", Some(70_000.0)),
            ("It costs $12.50, in all $1,234.5.", Some(1234.5)),
            ("5-3", Some(3.0)),
            ("minus: -4", Some(-4.0)),
            ("none - at all.", None),
            ("", None),
        ] {
            assert_eq!(last_number(text), number, "{text:?}");
        }
    }

    #[test]
    fn a_question_says_how_it_is_graded() {
        let line = |answer: &str| {
            format!(r#"{{"id":"b-1","prompt":"p","domain":"d","answer":"{answer}","other":1}}"#)
        };
        let gold = |answer| Question::read_all(&line(answer)).map(|all| all[0].gold().unwrap());
        assert_eq!(gold("C").unwrap(), Gold::Letter('C'));
        assert_eq!(gold("1,200").unwrap(), Gold::Number(1200.0));
        assert!(gold("blue").is_err());
        assert!(Gold::Number(18.0).is_answered_by("so 18.0"));
        assert!(!Gold::Number(18.0).is_answered_by("so 181"));
        assert!(!Gold::Letter('A').is_answered_by("I do not know"));
    }
}
