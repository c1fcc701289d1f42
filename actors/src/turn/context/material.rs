//! Everything that a model could be told with a question, and how what is chosen of it is told.

use std::fmt::Write as _;

use tandem_proto::v1::{ChatMessage, ContextEntry, ContextOutcome, ContextPart, Role, Turn};

use super::account::{entry, turns_stay_local};
use super::choice::Choice;
use super::{PREAMBLE_TOKENS, TEMPLATE_TOKENS};
use crate::memory_store::Summary;
use crate::turn::documents::Quoting;
use crate::turn::history::{answered, asked};

const MEMORIES: &str = "What the user told you before:";
const SUMMARY: &str = "What was said before, in short:";
const PASSAGES: &str = "Passages that may help:";
const RECALLED: &str = "From earlier in this conversation:";
const QUESTION: &str = "The question:";

/// A piece of a document that was found for a question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passage {
    /// By which an answer refers to it, from 1.
    pub number: u32,
    /// What it says.
    pub text: String,
    /// The document that it is from.
    pub source: String,
    /// What the document is called.
    pub title: String,
    /// Where it stands there, for a person; may be empty.
    pub place: String,
    /// Never to be read by a remote provider.
    pub private: bool,
}

/// A fact that is remembered beyond conversations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Names it.
    pub id: String,
    /// The fact.
    pub text: String,
    /// Told with each question, and so in the system message. Else it was found for this one.
    pub standing: bool,
    /// Never to be read by a remote provider.
    pub private: bool,
}

/// A turn and its place in the conversation, from 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::turn) struct Numbered {
    pub(in crate::turn) number: u64,
    pub(in crate::turn) turn: Turn,
}

/// Everything that could be told.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::turn) struct Material {
    pub(in crate::turn) system: String,
    /// Most important first.
    pub(in crate::turn) memories: Vec<Memory>,
    /// Best first.
    pub(in crate::turn) passages: Vec<Passage>,
    /// How they are told.
    pub(in crate::turn) quoting: Quoting,
    pub(in crate::turn) summary: Option<Summary>,
    /// Oldest first.
    pub(in crate::turn) turns: Vec<Numbered>,
    pub(in crate::turn) prompt: String,
    /// Turns before those, which are too much to look at.
    pub(in crate::turn) unread: u64,
    /// What is private, where a remote provider reads.
    pub(in crate::turn) withheld: Vec<ContextEntry>,
}

/// What is told.
#[derive(Debug, Default)]
pub(in crate::turn) struct Dialogue<'a> {
    pub(in crate::turn) system: String,
    /// The recent turns, oldest first.
    pub(in crate::turn) turns: Vec<&'a Turn>,
    pub(in crate::turn) prompt: String,
}

impl Material {
    /// Without anything private.
    pub(in crate::turn) fn public(mut self) -> Self {
        let stays = ContextOutcome::StaysLocal;
        let mut withheld = Vec::new();
        for memory in self.memories.extract_if(.., |memory| memory.private) {
            withheld.push(ContextEntry { name: memory.id, ..entry(ContextPart::Memory, stays, 0) });
        }
        for passage in self.passages.extract_if(.., |passage| passage.private) {
            withheld.push(of_passage(&passage, stays, 0));
        }
        if let Some(summary) = self.summary.take_if(|summary| summary.private) {
            withheld.push(of_summary(&summary, stays, 0));
        }
        let private = self.turns.extract_if(.., |told| told.turn.private);
        withheld.extend(turns_stay_local(private.map(|told| told.number)));
        self.withheld = withheld;
        self
    }

    /// Whether anything is private.
    pub(in crate::turn) fn has_private(&self) -> bool {
        self.memories.iter().any(|memory| memory.private)
            || self.passages.iter().any(|passage| passage.private)
            || self.summary.as_ref().is_some_and(|summary| summary.private)
            || self.turns.iter().any(|told| told.turn.private)
    }

    /// How many turns are withheld from a remote provider.
    pub(in crate::turn) fn turns_withheld(&self) -> u64 {
        let turns = self.withheld.iter().filter(|entry| entry.part() == ContextPart::Turn);
        turns.map(|entry| entry.last - entry.first + 1).sum()
    }

    /// Whether something private is among what was chosen.
    pub(in crate::turn) fn is_private(&self, choice: &Choice) -> bool {
        let private = |told: Option<&Numbered>| told.is_some_and(|told| told.turn.private);
        let summary = self.summary.as_ref().filter(|_| choice.summary);
        choice.memories.iter().any(|at| self.memories.get(*at).is_some_and(|it| it.private))
            || choice.passages.iter().any(|at| self.passages.get(*at).is_some_and(|it| it.private))
            || summary.is_some_and(|summary| summary.private)
            || choice.recalled.iter().any(|at| private(self.turns.get(*at)))
            || self.turns.iter().skip(choice.recent).any(|told| private(Some(told)))
    }

    /// The places of the turns in the conversation.
    pub(in crate::turn) fn numbers(&self) -> Vec<u64> {
        self.turns.iter().map(|told| told.number).collect()
    }

    /// Question and answer of each turn.
    pub(in crate::turn) fn turns_in_words(&self) -> Vec<String> {
        let words = |told: &Numbered| format!("{}\n{}", asked(&told.turn), answered(&told.turn));
        self.turns.iter().map(words).collect()
    }

    /// There is nothing but system prompt and question.
    pub(in crate::turn) fn is_plain(&self) -> bool {
        self.turns.is_empty() && self.memories.is_empty() && self.passages.is_empty()
    }

    /// What was chosen, as it is told. What differs from question to question comes last, so that
    /// as much as possible of the prompt is the same as for the question before.
    pub(in crate::turn) fn told(&self, choice: &Choice) -> Dialogue<'_> {
        let mut system = vec![self.system.clone()];
        let memories = choice.memories.iter().filter_map(|at| self.memories.get(*at));
        let (standing, found): (Vec<_>, Vec<_>) = memories.partition(|memory| memory.standing);
        system.extend(listed(&standing));
        if let Some(summary) = self.summary.as_ref().filter(|_| choice.summary) {
            system.push(format!("{SUMMARY}\n{}", summary.text));
        }

        let mut prompt: Vec<String> = listed(&found).into_iter().collect();
        let passages: Vec<_> =
            choice.passages.iter().filter_map(|at| self.passages.get(*at)).collect();
        if !passages.is_empty() {
            prompt.push(self.quoted(&passages));
        }
        let recalled: Vec<_> =
            choice.recalled.iter().filter_map(|at| self.turns.get(*at)).collect();
        if !recalled.is_empty() {
            prompt.push(RECALLED.to_owned());
            prompt.extend(recalled.into_iter().map(|Numbered { turn, .. }| {
                format!("User: {}\nAssistant: {}", asked(turn), answered(turn))
            }));
        }
        let question = if prompt.is_empty() || self.prompt.is_empty() {
            self.prompt.clone()
        } else {
            format!("{QUESTION}\n{}", self.prompt)
        };
        prompt.push(question);
        Dialogue {
            system: paragraphs(system),
            turns: self.turns.iter().skip(choice.recent).map(|told| &told.turn).collect(),
            prompt: paragraphs(prompt),
        }
    }
}

impl Material {
    fn quoted(&self, passages: &[&Passage]) -> String {
        self.quoting.tell(passages).unwrap_or_else(|| {
            let told = passages.iter().map(|passage| passage_as_told(passage));
            paragraphs(std::iter::once(PASSAGES.to_owned()).chain(told).collect())
        })
    }

    /// All passages as they are told together.
    pub(super) fn all_quoted(&self) -> String {
        let passages: Vec<&Passage> = self.passages.iter().collect();
        if passages.is_empty() { String::new() } else { self.quoted(&passages) }
    }
}

impl Dialogue<'_> {
    /// Everything that is said, in words.
    pub(in crate::turn) fn messages(&self) -> Vec<ChatMessage> {
        let message = |role: Role, content: &str| ChatMessage {
            role: role.into(),
            content: content.to_owned(),
            ..ChatMessage::default()
        };
        let mut messages = Vec::new();
        if !self.system.is_empty() {
            messages.push(message(Role::System, &self.system));
        }
        for turn in &self.turns {
            messages.push(message(Role::User, &asked(turn)));
            messages.push(message(Role::Assistant, &answered(turn)));
        }
        messages.push(message(Role::User, &self.prompt));
        messages
    }
}

/// A length in tokens that these messages stay below, whatever the tokenizer: no token has less than
/// a byte.
pub(in crate::turn) fn tokens_max(messages: &[ChatMessage]) -> u32 {
    let bytes: usize = messages.iter().map(|message| message.content.len()).sum();
    let template = u32::try_from(messages.len()).unwrap_or(u32::MAX);
    let template = template.saturating_mul(TEMPLATE_TOKENS).saturating_add(PREAMBLE_TOKENS);
    u32::try_from(bytes).unwrap_or(u32::MAX).saturating_add(template)
}

/// A passage with its number, by which an answer can refer to it.
pub(super) fn passage_as_told(passage: &Passage) -> String {
    let mut told = format!("[{}]", passage.number);
    if !passage.source.is_empty() {
        let _ = write!(told, " {}", passage.source);
    }
    let _ = write!(told, "\n{}", passage.text);
    told
}

pub(super) fn of_passage(passage: &Passage, outcome: ContextOutcome, tokens: u32) -> ContextEntry {
    let number = passage.number.into();
    let name = passage.source.clone();
    ContextEntry {
        first: number,
        last: number,
        name,
        ..entry(ContextPart::Passage, outcome, tokens)
    }
}

pub(super) fn of_summary(summary: &Summary, outcome: ContextOutcome, tokens: u32) -> ContextEntry {
    ContextEntry { first: 1, last: summary.covers, ..entry(ContextPart::Summary, outcome, tokens) }
}

/// Memories below their heading; nothing without any.
fn listed(memories: &[&Memory]) -> Option<String> {
    let lines: Vec<_> = memories.iter().map(|memory| format!("\n- {}", memory.text)).collect();
    (!lines.is_empty()).then(|| format!("{MEMORIES}{}", lines.concat()))
}

fn paragraphs(mut parts: Vec<String>) -> String {
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}
