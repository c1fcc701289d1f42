//! What a model read with a question, and what it did not.

use std::fmt::Write as _;

use serde::Serialize;
use tandem_client::v1;

use super::{filled, name};

/// The account of a context.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Context {
    pub(crate) tokens: u32,
    pub(crate) estimated: bool,
    pub(crate) entries: Vec<Entry>,
}

/// One part, or a range of turns that were left out alike. Places count from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    pub(crate) part: String,
    pub(crate) outcome: String,
    pub(crate) first: Option<u64>,
    pub(crate) last: Option<u64>,
    pub(crate) name: Option<String>,
    pub(crate) tokens: u32,
}

impl From<v1::ContextLedger> for Context {
    fn from(ledger: v1::ContextLedger) -> Self {
        Self {
            tokens: ledger.tokens,
            estimated: ledger.estimated,
            entries: ledger.entries.into_iter().map(Entry::from).collect(),
        }
    }
}

impl From<v1::ContextEntry> for Entry {
    fn from(entry: v1::ContextEntry) -> Self {
        Self {
            part: name(entry.part().as_str_name(), "CONTEXT_PART_"),
            outcome: name(entry.outcome().as_str_name(), "CONTEXT_OUTCOME_"),
            first: Some(entry.first).filter(|place| *place > 0),
            last: Some(entry.last).filter(|place| *place > 0),
            name: filled(entry.name),
            tokens: entry.tokens,
        }
    }
}

impl Context {
    /// A line for each part; recent turns, which follow each other, together.
    pub(crate) fn in_words(&self) -> String {
        let about = if self.estimated { "about " } else { "" };
        let mut words = format!("context: {about}{} tokens", self.tokens);
        let mut entries = self.entries.iter().peekable();
        while let Some(first) = entries.next() {
            let mut entry = first.clone();
            while let Some(next) = entries.next_if(|next| entry.goes_on_with(next)) {
                entry.last = next.last;
                entry.tokens += next.tokens;
            }
            let _ = write!(words, "\n  - {}: ", entry.what());
            let _ = match entry.outcome.as_str() {
                "kept" => write!(words, "{about}{} tokens", entry.tokens),
                "summarised" => write!(words, "in the summary"),
                "dropped" => write!(words, "left out"),
                "stays_local" => write!(words, "private, stays on this machine"),
                other => write!(words, "{other}"),
            };
        }
        words
    }
}

impl Entry {
    fn goes_on_with(&self, next: &Self) -> bool {
        let is_turn = self.part == "turn" && next.part == "turn" && self.outcome == next.outcome;
        is_turn && self.last.map(|last| last + 1) == next.first
    }

    fn what(&self) -> String {
        let what = match self.part.as_str() {
            "system" => "system prompt",
            "template" => "chat template and headings",
            "recalled_turn" => "again, as it matters",
            other => other,
        };
        let name = self.name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
        match (self.part.as_str(), self.first, self.last) {
            ("passage", Some(number), _) => format!("passage {number}{name}"),
            ("recalled_turn", Some(number), _) => format!("turn {number}, {what}"),
            ("turn", Some(first), Some(last)) if first == last => format!("turn {first}"),
            (_, Some(first), Some(last)) => {
                let turns = if self.part == "turn" { "turns" } else { "summary of turns" };
                format!("{turns} {first} to {last}")
            }
            _ => format!("{what}{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(
        part: v1::ContextPart,
        outcome: v1::ContextOutcome,
        (first, last): (u64, u64),
        tokens: u32,
    ) -> v1::ContextEntry {
        let (part, outcome) = (part.into(), outcome.into());
        v1::ContextEntry { part, outcome, first, last, tokens, ..v1::ContextEntry::default() }
    }

    #[test]
    fn every_part_has_its_line_and_turns_that_follow_each_other_share_one() {
        use v1::{ContextOutcome as Outcome, ContextPart as Part};
        let memory = entry(Part::Memory, Outcome::Kept, (0, 0), 4);
        let passage = entry(Part::Passage, Outcome::Kept, (2, 2), 30);
        let ledger = v1::ContextLedger {
            entries: vec![
                entry(Part::System, Outcome::Kept, (0, 0), 6),
                v1::ContextEntry { name: "tea".into(), ..memory },
                entry(Part::Summary, Outcome::Kept, (1, 9), 20),
                entry(Part::Turn, Outcome::Kept, (12, 12), 10),
                entry(Part::Turn, Outcome::Kept, (13, 13), 15),
                v1::ContextEntry { name: "notes.md".into(), ..passage },
                entry(Part::RecalledTurn, Outcome::Kept, (4, 4), 12),
                entry(Part::Question, Outcome::Kept, (0, 0), 5),
                entry(Part::Template, Outcome::Kept, (0, 0), 18),
                entry(Part::Turn, Outcome::Summarised, (1, 3), 0),
                entry(Part::Turn, Outcome::Dropped, (10, 10), 0),
                entry(Part::Turn, Outcome::StaysLocal, (11, 11), 0),
            ],
            tokens: 120,
            estimated: false,
        };
        let words = Context::from(ledger).in_words();
        let expected = "context: 120 tokens\n  - system prompt: 6 tokens\n  - memory (tea): 4 tokens\n  \
            - summary of turns 1 to 9: 20 tokens\n  - turns 12 to 13: 25 tokens\n  \
            - passage 2 (notes.md): 30 tokens\n  - turn 4, again, as it matters: 12 tokens\n  \
            - question: 5 tokens\n  - chat template and headings: 18 tokens\n  \
            - turns 1 to 3: in the summary\n  - turn 10: left out\n  \
            - turn 11: private, stays on this machine";
        assert_eq!(words, expected);
    }
}
