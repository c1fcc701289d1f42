//! Segments: what chunks are made of.

use std::collections::HashMap;

use super::sentences::sentences;
use crate::read::HEAD_RULE;
use crate::{Block, Kind, Place};

/// How a segment joins the one before it when both are in one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joint {
    /// It is the rest of a word.
    Nothing,
    /// The next words of the same block.
    Space,
    /// A line of its own.
    Line,
    /// Another block.
    Blank,
}

impl Joint {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Space => " ",
            Self::Line => "\n",
            Self::Blank => "\n\n",
        }
    }
}

/// A sentence, a line of code, a row of a table, a heading, or a part of one.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) text: String,
    pub(super) joint: Joint,
    pub(super) kind: Kind,
    /// Its block's number.
    pub(super) block: usize,
    /// Number of the segment with the names of the columns, in the rows below it.
    pub(super) table_head: Option<usize>,
    /// Tokens, once they are counted.
    pub(super) tokens: Option<u32>,
}

/// A heading that goes in front of chunks.
#[derive(Debug)]
pub(super) struct Heading {
    text: String,
    tokens: Option<u32>,
}

/// A document in segments, whose tokens are being counted.
#[derive(Debug)]
pub struct Segments {
    pub(super) list: Vec<Segment>,
    /// The place of each block.
    pub(super) places: Vec<Place>,
    /// For each block, the headings above it that can go in front of it, outermost first.
    pub(super) contexts: Vec<Vec<usize>>,
    pub(super) headings: Vec<Heading>,
}

impl Segments {
    /// The segments of a document.
    pub fn of(blocks: &[Block]) -> Self {
        let mut list = Vec::new();
        let mut contexts = Vec::with_capacity(blocks.len());
        let mut headings = Vec::new();
        let mut known: HashMap<&str, usize> = HashMap::new();
        for (number, block) in blocks.iter().enumerate() {
            let above = &block.place.headings;
            let shown = above.len() - block.place.context_headings();
            contexts.push(
                above
                    .iter()
                    .skip(shown)
                    .map(|heading| {
                        *known.entry(heading).or_insert_with(|| {
                            headings.push(Heading { text: heading.clone(), tokens: None });
                            headings.len() - 1
                        })
                    })
                    .collect(),
            );
            segment(number, block, &mut list);
        }
        Self {
            list,
            places: blocks.iter().map(|block| block.place.clone()).collect(),
            contexts,
            headings,
        }
    }

    /// The texts whose tokens are to be counted.
    pub fn uncounted(&self) -> Vec<&str> {
        let headings = self
            .headings
            .iter()
            .filter(|heading| heading.tokens.is_none())
            .map(|heading| heading.text.as_str());
        let list = self
            .list
            .iter()
            .filter(|segment| segment.tokens.is_none())
            .map(|segment| segment.text.as_str());
        headings.chain(list).collect()
    }

    /// Takes the counts of [`Segments::uncounted`], in its order; texts that have none stay uncounted.
    pub fn count(&mut self, counts: &[u32]) {
        let headings = self.headings.iter_mut().map(|heading| &mut heading.tokens);
        let list = self.list.iter_mut().map(|segment| &mut segment.tokens);
        for (tokens, count) in headings.chain(list).filter(|tokens| tokens.is_none()).zip(counts) {
            *tokens = Some(*count);
        }
    }

    /// Tokens of a segment. One that nobody has counted has as many as bytes, which is never too few.
    pub(super) fn tokens(&self, number: usize) -> u32 {
        self.list
            .get(number)
            .map_or(0, |segment| segment.tokens.unwrap_or_else(|| bytes(&segment.text)))
    }

    /// Tokens of a heading, with what parts it from the next.
    pub(super) fn heading_tokens(&self, number: usize, joint: u32) -> u32 {
        let tokens = self
            .headings
            .get(number)
            .map_or(0, |heading| heading.tokens.unwrap_or_else(|| bytes(&heading.text)));
        tokens.saturating_add(1).saturating_add(joint)
    }
}

/// No tokenizer makes more tokens of a text than it has bytes.
fn bytes(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

fn segment(number: usize, block: &Block, list: &mut Vec<Segment>) {
    let first = match (block.kind, list.last()) {
        // The items of a list stay together on lines of their own.
        (Kind::Item, Some(Segment { kind: Kind::Item, .. })) => Joint::Line,
        _ => Joint::Blank,
    };
    let mut add = |text: String, joint, table_head| {
        let joint =
            if list.last().is_some_and(|last| last.block == number) { joint } else { first };
        list.push(Segment {
            text,
            joint,
            kind: block.kind,
            block: number,
            table_head,
            tokens: None,
        });
        list.len() - 1
    };
    match block.kind {
        Kind::Heading => {
            add(block.text.clone(), Joint::Space, None);
        }
        Kind::Paragraph | Kind::Item => sentences(&block.text).for_each(|text| {
            add(text.to_owned(), Joint::Space, None);
        }),
        Kind::Code => lines(&block.text).for_each(|text| {
            add(text.to_owned(), Joint::Line, None);
        }),
        Kind::Table => {
            let (head, rows) = table_head(&block.text);
            let head = head.map(|head| add(head.to_owned(), Joint::Line, None));
            lines(rows).for_each(|text| {
                add(text.to_owned(), Joint::Line, head);
            });
        }
    }
}

/// The lines of a text; empty ones go with the line before them.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.find('\n').unwrap_or(rest.len());
        let after = rest.get(end..).unwrap_or_default();
        let next = after.len() - after.trim_start_matches(['\n', '\r']).len();
        // Of the line ends, all but the one that joins the lines belong to the first of them.
        let (line, others) = rest.split_at(end + next.saturating_sub(1));
        rest = others.strip_prefix(['\n', '\r']).unwrap_or(others);
        Some(line)
    })
}

/// The names of the columns with the rule below them, and the rows.
fn table_head(text: &str) -> (Option<&str>, &str) {
    let Some((first, below)) = text.split_once('\n') else { return (None, text) };
    let (rule, rows) = below.split_once('\n').unwrap_or((below, ""));
    if rule.starts_with(HEAD_RULE) && rule.chars().all(|sign| "-| ".contains(sign)) {
        (text.get(..first.len() + 1 + rule.len()), rows)
    } else {
        (None, text)
    }
}
