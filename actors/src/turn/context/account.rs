//! The account of a context: what was read, what was not, and why.

use tandem_proto::v1::{ContextEntry, ContextLedger, ContextOutcome, ContextPart};

use super::choice::Choice;
use super::material::{Material, of_passage, of_summary};
use super::sizes::Sizes;

/// Of a context that was chosen.
#[derive(Debug)]
pub(in crate::turn) struct Account<'a> {
    pub(in crate::turn) material: &'a Material,
    pub(in crate::turn) choice: &'a Choice,
    pub(in crate::turn) sizes: &'a Sizes,
    /// Tokens of what came with the question beside its words.
    pub(in crate::turn) beside: u32,
}

impl Account<'_> {
    /// With the length of the whole prompt as the engine that read it counts it; without, all
    /// lengths are estimates.
    pub(in crate::turn) fn ledger(&self, prompt_tokens: Option<u32>) -> ContextLedger {
        let Self { material, choice, sizes, beside } = *self;
        let kept = ContextOutcome::Kept;
        let mut entries = Vec::new();
        if !material.system.is_empty() {
            entries.push(entry(ContextPart::System, kept, sizes.system));
        }
        let (mut lost, mut recent, mut recalled) = (Vec::new(), Vec::new(), Vec::new());
        let mut found = Vec::new();
        for (at, (memory, length)) in material.memories.iter().zip(&sizes.memories).enumerate() {
            let name = memory.id.clone();
            if choice.memories.contains(&at) {
                let told = if memory.standing { &mut entries } else { &mut found };
                told.push(ContextEntry { name, ..entry(ContextPart::Memory, kept, *length) });
            } else {
                let dropped = entry(ContextPart::Memory, ContextOutcome::Dropped, 0);
                lost.push(ContextEntry { name, ..dropped });
            }
        }
        if let Some(summary) = &material.summary {
            if choice.summary {
                entries.push(of_summary(summary, kept, sizes.summary));
            } else if choice.recent > 0 || material.unread > 0 {
                lost.push(of_summary(summary, ContextOutcome::Dropped, 0));
            }
        }
        let mut passages = Vec::new();
        for (at, (passage, length)) in material.passages.iter().zip(&sizes.passages).enumerate() {
            if choice.passages.contains(&at) {
                passages.push(of_passage(passage, kept, *length));
            } else {
                lost.push(of_passage(passage, ContextOutcome::Dropped, 0));
            }
        }
        let covers = material.summary.as_ref().filter(|_| choice.summary).map_or(0, |it| it.covers);
        let mut left_out = Ranges::default();
        if material.unread > 0 {
            left_out.add_range(1, material.unread.min(covers), ContextOutcome::Summarised);
            left_out.add_range(covers + 1, material.unread, ContextOutcome::Dropped);
        }
        for (at, (told, length)) in material.turns.iter().zip(&sizes.turns).enumerate() {
            let number = told.number;
            let turn =
                |part| ContextEntry { first: number, last: number, ..entry(part, kept, *length) };
            if at >= choice.recent {
                recent.push(turn(ContextPart::Turn));
            } else if choice.recalled.contains(&at) {
                recalled.push(turn(ContextPart::RecalledTurn));
            } else if number <= covers {
                left_out.add(number, ContextOutcome::Summarised);
            } else {
                left_out.add(number, ContextOutcome::Dropped);
            }
        }
        entries.append(&mut recent);
        entries.append(&mut found);
        entries.append(&mut passages);
        entries.append(&mut recalled);
        let question = sizes.prompt.saturating_add(beside);
        entries.push(entry(ContextPart::Question, kept, question));
        let said = entries.iter().fold(0_u32, |sum, entry| sum.saturating_add(entry.tokens));
        let tokens = prompt_tokens.unwrap_or(said);
        if tokens > said {
            entries.push(entry(ContextPart::Template, kept, tokens - said));
        }
        entries.append(&mut lost);
        entries.append(&mut left_out.entries);
        entries.extend(material.withheld.iter().cloned());
        ContextLedger { entries, tokens, estimated: prompt_tokens.is_none() }
    }
}

/// An entry without a name and a place.
pub(super) fn entry(part: ContextPart, outcome: ContextOutcome, tokens: u32) -> ContextEntry {
    let (part, outcome) = (part.into(), outcome.into());
    ContextEntry { part, outcome, tokens, ..ContextEntry::default() }
}

/// The turns of these places, in order, that no provider reads.
pub(super) fn turns_stay_local(numbers: impl Iterator<Item = u64>) -> Vec<ContextEntry> {
    let mut ranges = Ranges::default();
    numbers.for_each(|number| ranges.add(number, ContextOutcome::StaysLocal));
    ranges.entries
}

/// Turns that were not read, neighbours of the same outcome together.
#[derive(Debug, Default)]
struct Ranges {
    entries: Vec<ContextEntry>,
}

impl Ranges {
    fn add(&mut self, number: u64, outcome: ContextOutcome) {
        self.add_range(number, number, outcome);
    }

    /// `last` below `first` is nothing.
    fn add_range(&mut self, first: u64, last: u64, outcome: ContextOutcome) {
        if last < first {
            return;
        }
        match self.entries.last_mut() {
            Some(before) if before.last + 1 == first && before.outcome() == outcome => {
                before.last = last;
            }
            _ => self.entries.push(ContextEntry {
                first,
                last,
                ..entry(ContextPart::Turn, outcome, 0)
            }),
        }
    }
}
