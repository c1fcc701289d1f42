//! Markdown.

use pulldown_cmark::{Event, HeadingLevel, MetadataBlockKind, Options, Parser, Tag, TagEnd};

use super::gatherer::Gatherer;
use super::table::Table;
use super::{Refusal, html};
use crate::Kind;

pub(super) fn read(text: &str, gatherer: &mut Gatherer) -> Result<(), Refusal> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_MATH
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS;
    let mut reader = Reader::new(text, gatherer);
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        match event {
            Event::Start(tag) => reader.start(&tag, range.start)?,
            Event::End(tag) => reader.end(tag)?,
            Event::Text(text)
            | Event::Code(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text) => reader.text(&text),
            Event::Html(markup) => reader.text.push_str(&markup),
            Event::InlineHtml(_) | Event::FootnoteReference(_) => (),
            Event::SoftBreak | Event::HardBreak => reader.text.push('\n'),
            Event::Rule => reader.flush()?,
            Event::TaskListMarker(done) => reader.text.push_str(if done { "[x] " } else { "[ ] " }),
        }
    }
    reader.flush()
}

/// What is open while a document is read.
struct Reader<'a> {
    gatherer: &'a mut Gatherer,
    /// Where each line begins.
    lines: Vec<usize>,
    /// The text of the block that is open.
    text: String,
    /// Line where it begins.
    line: Option<u32>,
    kind: Kind,
    depth: usize,
    images: usize,
    /// Whether the block has text besides that of pictures: a row of badges has none.
    worded: bool,
    /// The next number of each open list, if it has numbers.
    lists: Vec<Option<u64>>,
    table: Option<Table>,
}

impl<'a> Reader<'a> {
    fn new(text: &str, gatherer: &'a mut Gatherer) -> Self {
        let lines =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self {
            gatherer,
            lines,
            text: String::new(),
            line: None,
            kind: Kind::Paragraph,
            depth: 0,
            images: 0,
            worded: false,
            lists: Vec::new(),
            table: None,
        }
    }

    fn start(&mut self, tag: &Tag<'_>, at: usize) -> Result<(), Refusal> {
        self.depth += 1;
        self.gatherer.allow_depth(self.depth)?;
        match tag {
            Tag::Image { .. } => self.images += 1,
            Tag::Paragraph if self.kind == Kind::Item && self.text.trim().is_empty() => (),
            Tag::Paragraph | Tag::BlockQuote(_) | Tag::FootnoteDefinition(_) => {
                self.open(self.kind, at)?;
            }
            Tag::Heading { .. } => self.open(Kind::Heading, at)?,
            Tag::CodeBlock(_) => self.open(Kind::Code, at)?,
            Tag::HtmlBlock | Tag::MetadataBlock(_) => self.open(Kind::Paragraph, at)?,
            Tag::List(first) => {
                self.flush()?;
                self.lists.push(*first);
            }
            Tag::Item => {
                self.open(Kind::Item, at)?;
                if let Some(Some(number)) = self.lists.last_mut() {
                    self.text = format!("{number}. ");
                    *number = number.saturating_add(1);
                }
            }
            Tag::Table(_) => {
                self.open(Kind::Table, at)?;
                self.table = Some(Table::headed());
            }
            Tag::TableHead | Tag::TableRow => self.table.iter_mut().for_each(Table::row),
            _ => (),
        }
        Ok(())
    }

    fn end(&mut self, tag: TagEnd) -> Result<(), Refusal> {
        self.depth = self.depth.saturating_sub(1);
        match tag {
            TagEnd::Image => self.images = self.images.saturating_sub(1),
            TagEnd::Paragraph | TagEnd::CodeBlock => self.flush()?,
            TagEnd::Item => {
                self.flush()?;
                self.kind = Kind::Paragraph;
            }
            TagEnd::List(_) => {
                self.lists.pop();
                self.kind = if self.lists.is_empty() { Kind::Paragraph } else { Kind::Item };
            }
            TagEnd::Heading(level) => {
                let text = std::mem::take(&mut self.text);
                self.gatherer.head(number(level), &text, self.line)?;
                self.close();
            }
            TagEnd::HtmlBlock => {
                let markup = std::mem::take(&mut self.text);
                html::read_fragment(&markup, self.line, self.gatherer)?;
                self.close();
            }
            TagEnd::MetadataBlock(kind) => {
                let text = std::mem::take(&mut self.text);
                front_matter(&text, kind, self.gatherer);
                self.close();
            }
            TagEnd::TableCell => {
                let text = std::mem::take(&mut self.text);
                if let Some(table) = &mut self.table {
                    table.cell(&text);
                    self.gatherer.allow_text(table.bytes())?;
                }
            }
            TagEnd::Table => {
                if let Some(table) = self.table.take() {
                    self.gatherer.push(Kind::Table, &table.text(), self.line)?;
                }
                self.close();
            }
            _ => (),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) {
        self.worded |= self.images == 0 && !text.trim().is_empty();
        self.text.push_str(text);
    }

    /// Begins a block, after what may be open.
    fn open(&mut self, kind: Kind, at: usize) -> Result<(), Refusal> {
        self.flush()?;
        self.kind = kind;
        let line = self.lines.partition_point(|line| *line <= at);
        self.line = u32::try_from(line).ok();
        Ok(())
    }

    /// Gathers the block that is open.
    fn flush(&mut self) -> Result<(), Refusal> {
        let text = std::mem::take(&mut self.text);
        if self.worded {
            self.gatherer.push(self.kind, &text, self.line)?;
        }
        self.close();
        Ok(())
    }

    fn close(&mut self) {
        self.worded = false;
        self.kind = if self.lists.is_empty() { Kind::Paragraph } else { Kind::Item };
    }
}

fn number(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

/// Keeps what stands as `key: value`, or as `key = value`, at the left edge; lists run together.
fn front_matter(text: &str, kind: MetadataBlockKind, gatherer: &mut Gatherer) {
    let sign = match kind {
        MetadataBlockKind::YamlStyle => ':',
        MetadataBlockKind::PlusesStyle => '=',
    };
    let mut entries: Vec<(&str, String)> = Vec::new();
    for line in text.lines() {
        let item = line.trim_start().strip_prefix("- ");
        match (item, line.split_once(sign)) {
            (Some(item), _) => {
                if let Some((_, value)) = entries.last_mut() {
                    value.push_str(if value.is_empty() { "" } else { ", " });
                    value.push_str(bare(item));
                }
            }
            (None, Some((key, value))) if !key.starts_with([' ', '\t', '#', '[']) => {
                entries.push((key, bare(value).to_owned()));
            }
            _ => (),
        }
    }
    for (key, value) in entries {
        if key.trim().eq_ignore_ascii_case("title") {
            gatherer.title(&value);
        } else {
            gatherer.describe(key, &value);
        }
    }
}

/// A value without quotes and brackets.
fn bare(value: &str) -> &str {
    value.trim().trim_matches(['"', '\'', '[', ']']).trim()
}
