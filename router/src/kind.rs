//! Which kind of task a question is. The kinds are scored apart, as what makes one of them hard says
//! nothing about another.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::features::tally::Tally;
use crate::options::Parts;
use crate::vocabulary::Class;

/// Kinds of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A question with options to choose from.
    Choice,
    /// Something to be calculated or proved.
    Maths,
    /// Programs.
    Code,
    /// Everything else.
    Chat,
}

impl Kind {
    /// All kinds, in the order of the weights file.
    pub const ALL: [Self; 4] = [Self::Choice, Self::Maths, Self::Code, Self::Chat];
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Choice => "a multiple-choice question",
            Self::Maths => "a mathematical problem",
            Self::Code => "a programming task",
            Self::Chat => "a free question",
        })
    }
}

/// What hardly stands in other texts than programs.
const CODE_MARKS: [&str; 20] = [
    "```", "();", "){", ") {", "#include", "fn ", "def ", "</", "/>", "=>", "->", "import ",
    "SELECT ", "print(", "const ", "public ", "return ", "==", "!=", "std::",
];

/// Longer texts are rather read than calculated, whatever numbers they have.
const DOCUMENT_LETTERS: usize = 1000;

/// How many marks of code a text has, each counted once.
pub(crate) fn code_marks(text: &str) -> usize {
    CODE_MARKS.iter().filter(|mark| text.contains(**mark)).count()
}

/// The kind of a question, from its parts and the counts of its stem.
pub(crate) fn of(parts: &Parts<'_>, stem: &Tally) -> Kind {
    let count = |class: Class| usize::from(stem.classes[class as usize]);
    let has = |class: Class| count(class) > 0;
    let amounts = stem.numbers + count(Class::Comparison) + count(Class::Spelled);
    let asks_amount = has(Class::Amount) || stem.numbers > 0 && has(Class::How) && amounts > 2;
    let calculates = has(Class::Whole) || has(Class::Calculation) || has(Class::EveryOne);
    let is_document = stem.letters > DOCUMENT_LETTERS || has(Class::Rewriting);
    let programming = count(Class::Programming);
    if !parts.options.is_empty() {
        Kind::Choice
    } else if parts.stem.contains("```")
        || code_marks(parts.stem) >= 2
        || programming >= 2
        || programming == 1 && !has(Class::Amount) && amounts < 3
    {
        Kind::Code
    } else if is_document {
        Kind::Chat
    } else if amounts >= 2 && asks_amount
        || amounts >= 2 && stem.numbers > 0 && (calculates || stem.money + stem.percents > 0)
        || stem.operators + stem.formulas > 0 && stem.numbers + stem.variables >= 2
        || has(Class::Mathematics) && (has(Class::Calculation) || has(Class::Proof))
        || count(Class::Mathematics) >= 3
    {
        Kind::Maths
    } else {
        Kind::Chat
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Features;

    #[test]
    fn each_kind_is_recognised() {
        let expected = [
            (Kind::Choice, "Which is a metal?\nA. Iron\nB. Air\nC. Wood\nD. Water"),
            (Kind::Maths, "Tom has 3 apples and buys 4 more. How many apples has he?"),
            (Kind::Maths, "Prove the theorem of Pythagoras"),
            (Kind::Maths, "Solve x^2 - 5x + 6 = 0"),
            (Kind::Maths, "Budi punya 12 kelereng dan membeli 5 lagi. Berapa jumlah kelerengnya?"),
            (Kind::Code, "Implement a queue in Rust"),
            (Kind::Code, "What does this do?\n```\nx = 1\n```"),
            (Kind::Chat, "What is the capital of France?"),
            (Kind::Chat, "Extract the prices: apples cost $3, pears cost $4 and plums $5 in total"),
            (Kind::Chat, "Write a poem about autumn"),
            (Kind::Chat, "Siapa presiden pertama Indonesia?"),
            (Kind::Chat, ""),
        ];
        for (kind, prompt) in expected {
            assert_eq!(Features::of(prompt).kind(), kind, "{prompt}");
        }
    }
}
