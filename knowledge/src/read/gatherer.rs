//! Gathers the blocks of a document and holds them to its limits.

use std::collections::BTreeMap;

use super::{Limits, Reading, Refusal};
use crate::{Block, Kind, Place};

/// Longest heading, in bytes, that is repeated in the place of each block below it.
const HEADING_BYTES: usize = 150;
/// Longest value, in characters, that is kept of what a document says of itself.
const METADATA_CHARACTERS: usize = 500;
/// Most entries that are kept of what a document says of itself.
const METADATA_ENTRIES: usize = 64;
/// Most warnings about one document.
const WARNINGS: usize = 20;

/// Gathers one document.
#[derive(Debug)]
pub(super) struct Gatherer {
    limits: Limits,
    text: usize,
    reading: Reading,
    /// The headings above what comes next, with their levels.
    headings: Vec<(u8, String)>,
    page: Option<u32>,
}

impl Gatherer {
    pub(super) fn new(limits: Limits) -> Self {
        let reading = Reading {
            title: None,
            blocks: Vec::new(),
            metadata: BTreeMap::new(),
            warnings: Vec::new(),
        };
        Self { limits, text: 0, reading, headings: Vec::new(), page: None }
    }

    /// What follows stands on this page.
    pub(super) fn turn_to(&mut self, page: u32) {
        self.page = Some(page);
    }

    /// Adds a block; an empty one is passed over. White space runs together except in code and tables.
    pub(super) fn push(
        &mut self,
        kind: Kind,
        text: &str,
        line: Option<u32>,
    ) -> Result<(), Refusal> {
        let text = match kind {
            Kind::Code => text.trim_end().trim_start_matches(['\n', '\r']).to_owned(),
            Kind::Table => text.trim_end().to_owned(),
            Kind::Heading | Kind::Paragraph | Kind::Item => squeezed(text),
        };
        if text.is_empty() {
            return Ok(());
        }
        self.text += text.len();
        if self.text > self.limits.text {
            return Err(Refusal::TooMuchText { text_max: self.limits.text });
        }
        if self.reading.blocks.len() == self.limits.blocks {
            return Err(Refusal::TooManyBlocks { blocks_max: self.limits.blocks });
        }
        let headings = self.headings.iter().map(|(_, heading)| heading.clone()).collect();
        self.reading.blocks.push(Block {
            kind,
            text,
            place: Place { page: self.page, line, headings },
        });
        Ok(())
    }

    /// Adds a heading, of level 1 for the outermost.
    pub(super) fn head(&mut self, level: u8, text: &str, line: Option<u32>) -> Result<(), Refusal> {
        let text = squeezed(text);
        // Signs that pages put there to link to the heading.
        let text = text.trim_matches(['¶', '§', ' ']);
        if text.is_empty() {
            return Ok(());
        }
        while self.headings.last().is_some_and(|(above, _)| *above >= level) {
            self.headings.pop();
        }
        self.push(Kind::Heading, text, line)?;
        self.headings.push((
            level,
            text.get(..text.floor_char_boundary(HEADING_BYTES)).unwrap_or(text).to_owned(),
        ));
        Ok(())
    }

    /// Refuses a document whose containers stand this deep.
    pub(super) fn allow_depth(&self, depth: usize) -> Result<(), Refusal> {
        if depth > self.limits.nesting {
            return Err(Refusal::TooDeep { nesting_max: self.limits.nesting });
        }
        Ok(())
    }

    /// Refuses a document of which a reader already holds this much text that is not in blocks yet.
    pub(super) fn allow_text(&self, pending: usize) -> Result<(), Refusal> {
        if self.text + pending > self.limits.text {
            return Err(Refusal::TooMuchText { text_max: self.limits.text });
        }
        Ok(())
    }

    /// Names the document; the first name counts.
    pub(super) fn title(&mut self, title: &str) {
        let title = shortened(&squeezed(title));
        if self.reading.title.is_none() && !title.is_empty() {
            self.reading.title = Some(title);
        }
    }

    /// Keeps what the document says of itself; the first word counts.
    pub(super) fn describe(&mut self, key: &str, value: &str) {
        let key: String = key
            .trim()
            .chars()
            .map(
                |letter| {
                    if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' }
                },
            )
            .take(METADATA_CHARACTERS)
            .collect();
        let value = shortened(&squeezed(value));
        if !key.is_empty() && !value.is_empty() && self.reading.metadata.len() < METADATA_ENTRIES {
            self.reading.metadata.entry(key).or_insert(value);
        }
    }

    pub(super) fn warn(&mut self, warning: String) {
        if self.reading.warnings.len() < WARNINGS {
            self.reading.warnings.push(warning);
        }
    }

    /// What was gathered so far turns out to be no part of the text.
    pub(super) fn forget_blocks(&mut self) {
        self.reading.blocks.clear();
        self.headings.clear();
        self.text = 0;
    }

    /// What was gathered so far turns out to be no part of the text, but for the page's title.
    pub(super) fn forget_all_but_title(&mut self) -> Result<(), Refusal> {
        let title = self.headings.first().filter(|(level, _)| *level == 1).cloned();
        self.forget_blocks();
        title.map_or(Ok(()), |(level, title)| self.head(level, &title, None))
    }

    /// The document. Without a title of its own, its first heading of the first level is one.
    pub(super) fn finish(self) -> Result<Reading, Refusal> {
        let mut reading = self.reading;
        if reading.blocks.is_empty() {
            return Err(Refusal::Empty);
        }
        if reading.title.is_none() {
            let first = reading.blocks.iter().find(|block| block.kind == Kind::Heading);
            reading.title = first
                .filter(|heading| heading.place.headings.is_empty())
                .map(|heading| shortened(&heading.text));
        }
        Ok(reading)
    }
}

/// The words of a text with one space between them.
pub(super) fn squeezed(text: &str) -> String {
    let mut squeezed = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !squeezed.is_empty() {
            squeezed.push(' ');
        }
        squeezed.push_str(word);
    }
    squeezed
}

fn shortened(text: &str) -> String {
    text.chars().take(METADATA_CHARACTERS).collect()
}
