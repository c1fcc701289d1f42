//! How long everything is that could be told: asked of a tokenizer, estimated, or bounded.

use super::choice::{Choice, Lengths, RECALLED_MAX};
use super::estimate;
use super::material::{Material, passage_as_told};
use crate::turn::history::{answered, asked};

/// Tokens of a heading, or of what stands around an item of a list.
const HEADING_TOKENS: u32 = 16;
/// Bytes of a token in ordinary text, at most on average.
const BYTES_PER_TOKEN_MAX: usize = 8;

/// Tokens of everything in a [`Material`], without what a template adds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::turn) struct Sizes {
    pub(super) system: u32,
    pub(super) prompt: u32,
    pub(super) memories: Vec<u32>,
    pub(super) passages: Vec<u32>,
    /// All passages together, with what is said around them.
    pub(super) quoted: u32,
    pub(super) summary: u32,
    pub(super) turns: Vec<u32>,
}

impl Sizes {
    /// With lengths that real tokenizers seldom exceed.
    pub(in crate::turn) fn estimated(material: &Material) -> Self {
        Self::of(material, estimate)
    }

    /// From the lengths of [`texts`]. What was not asked for has a length that no tokenizer exceeds.
    pub(in crate::turn) fn counted(material: &Material, turns: &[usize], counts: &[u32]) -> Self {
        let mut sizes = Self::of(material, |text| u32::try_from(text.len()).unwrap_or(u32::MAX));
        let mut counts = counts.iter().copied();
        let slots = [&mut sizes.system, &mut sizes.prompt, &mut sizes.summary, &mut sizes.quoted];
        let slots = slots.into_iter();
        let slots = slots.chain(&mut sizes.memories).chain(&mut sizes.passages);
        for slot in slots {
            *slot = counts.next().unwrap_or(*slot);
        }
        for at in turns {
            if let (Some(slot), Some(asked)) = (sizes.turns.get_mut(*at), counts.next()) {
                *slot = asked.saturating_add(counts.next().unwrap_or(*slot));
            }
        }
        sizes
    }

    fn of(material: &Material, length: impl Fn(&str) -> u32) -> Self {
        let summary = material.summary.as_ref();
        Self {
            quoted: length(&material.all_quoted()),
            system: length(&material.system),
            prompt: length(&material.prompt),
            memories: material.memories.iter().map(|memory| length(&memory.text)).collect(),
            passages: material.passages.iter().map(|it| length(&passage_as_told(it))).collect(),
            summary: summary.map_or(0, |summary| length(&summary.text)),
            turns: material
                .turns
                .iter()
                .map(|told| {
                    length(&asked(&told.turn)).saturating_add(length(&answered(&told.turn)))
                })
                .collect(),
        }
    }

    /// What is said around passages, when all of them are read; never more when some are.
    fn around_passages(&self) -> u32 {
        let passages = self.passages.iter().fold(0_u32, |sum, length| sum.saturating_add(*length));
        self.quoted.saturating_sub(passages)
    }

    /// With what headings add, and the template to each message: `around`. `beside` is the length of
    /// what else comes with the question.
    pub(in crate::turn) fn lengths(
        &self,
        material: &Material,
        around: u32,
        beside: u32,
    ) -> Lengths {
        let message = |length: &u32| length.saturating_add(around);
        let item = |length: &u32| length.saturating_add(HEADING_TOKENS);
        let said = message(&self.prompt).saturating_add(beside);
        Lengths {
            fixed: message(&self.system)
                .saturating_add(said)
                .saturating_add(self.around_passages()),
            memories: self.memories.iter().map(item).collect(),
            passages: self.passages.iter().map(item).collect(),
            summary: material.summary.as_ref().map(|_| item(&self.summary)),
            turns: self.turns.iter().map(|length| length.saturating_add(2 * around)).collect(),
            unread: material.unread > 0,
        }
    }

    /// Of everything that was chosen.
    pub(in crate::turn) fn chosen(&self, choice: &Choice) -> u32 {
        let of = |lengths: &[u32], places: &[usize]| {
            let lengths = places.iter().filter_map(|at| lengths.get(*at));
            lengths.fold(0_u32, |sum, length| sum.saturating_add(*length))
        };
        let recent = self.turns.get(choice.recent..).unwrap_or_default();
        [
            self.system,
            self.prompt,
            of(&self.memories, &choice.memories),
            of(&self.passages, &choice.passages),
            if choice.passages.is_empty() { 0 } else { self.around_passages() },
            if choice.summary { self.summary } else { 0 },
            of(&self.turns, &choice.recalled),
            recent.iter().fold(0, |sum, length| sum.saturating_add(*length)),
        ]
        .into_iter()
        .fold(0, u32::saturating_add)
    }
}

/// What has to be counted for [`Sizes::counted`].
pub(in crate::turn) fn texts(material: &Material, turns: &[usize]) -> Vec<String> {
    let summary = material.summary.as_ref();
    let summary = summary.map(|summary| summary.text.clone()).unwrap_or_default();
    let quoted = material.all_quoted();
    let mut texts = vec![material.system.clone(), material.prompt.clone(), summary, quoted];
    texts.extend(material.memories.iter().map(|memory| memory.text.clone()));
    texts.extend(material.passages.iter().map(passage_as_told));
    for told in turns.iter().filter_map(|at| material.turns.get(*at)) {
        texts.push(asked(&told.turn).into_owned());
        texts.push(answered(&told.turn).into_owned());
    }
    texts
}

/// The turns that could be read within `budget` tokens: those of the others that have most to do with
/// the question, and the newest ones, which begin at the place that comes with them.
pub(in crate::turn) fn in_reach(
    material: &Material,
    scores: &[f64],
    turns_max: usize,
    budget: u32,
) -> (Vec<usize>, usize) {
    let mut left = (budget as usize).saturating_mul(BYTES_PER_TOKEN_MAX);
    let newest = material.turns.iter().rev().take(turns_max).take_while(|told| {
        let bytes = asked(&told.turn).len() + answered(&told.turn).len();
        let fits = bytes <= left;
        left = left.saturating_sub(bytes);
        fits
    });
    let recent = material.turns.len() - newest.count();
    let score = |at: &usize| scores.get(*at).copied().unwrap_or(0.0);
    let mut older: Vec<usize> = (0..recent).filter(|at| score(at) > 0.0).collect();
    older.sort_by(|a, b| score(b).total_cmp(&score(a)).then(b.cmp(a)));
    older.truncate(RECALLED_MAX);
    (older.into_iter().chain(recent..material.turns.len()).collect(), recent)
}
