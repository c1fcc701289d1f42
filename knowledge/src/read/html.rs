//! HTML, by its tags alone: no tree is built, so time and memory grow with the text, however deep it nests.

mod elements;

use html5gum::{DefaultEmitter, HtmlString, StartTag, Token, Tokenizer};

use super::Refusal;
use super::gatherer::Gatherer;
use super::table::Table;
use crate::Kind;
use elements::{Element, attribute};

/// Reads a page.
pub(super) fn read(text: &str, gatherer: &mut Gatherer) -> Result<(), Refusal> {
    read_as(text, Scope::Page, None, gatherer)
}

/// Reads markup inside of another document, which begins on this line of it.
pub(super) fn read_fragment(
    text: &str,
    line: Option<u32>,
    gatherer: &mut Gatherer,
) -> Result<(), Refusal> {
    read_as(text, Scope::Fragment, line, gatherer)
}

/// How much of the markup counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// A page without its chrome.
    Page,
    /// A page with it, because it does not end.
    Everything,
    /// Text of another document.
    Fragment,
}

fn read_as(
    text: &str,
    scope: Scope,
    line: Option<u32>,
    gatherer: &mut Gatherer,
) -> Result<(), Refusal> {
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    let mut reader = Reader::new(scope, line, gatherer);
    for token in Tokenizer::new_with_emitter(text, emitter) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => reader.start(&tag)?,
            Token::EndTag(tag) => reader.end(&tag.name)?,
            Token::String(text) => reader.text(&String::from_utf8_lossy(&text))?,
            Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => (),
        }
    }
    reader.flush()?;
    if reader.skipped.is_some() && scope == Scope::Page {
        gatherer.forget_blocks();
        gatherer.warn(
            "a part that is left out, such as navigation, has no end; the whole page was read"
                .to_owned(),
        );
        return read_as(text, Scope::Everything, line, gatherer);
    }
    Ok(())
}

/// What is open while a page is read.
struct Reader<'a> {
    gatherer: &'a mut Gatherer,
    scope: Scope,
    line: Option<u32>,
    text: String,
    /// The element that is left out with all in it, and how many of its name are open.
    skipped: Option<(HtmlString, usize)>,
    /// What is left out when the title of the page, which stands in it, is over.
    around_title: Option<(HtmlString, usize)>,
    /// Whether the page's main part is over.
    past_main: bool,
    /// Open elements in which `header` and `footer` belong to the text.
    articles: usize,
    heading: Option<u8>,
    titling: bool,
    preformatted: usize,
    /// Whether the block that is open is an item's.
    item: bool,
    /// The next number of each open list, if it has numbers.
    lists: Vec<Option<u64>>,
    table: Option<Table>,
    /// Open tables inside each other; only the outermost has rows.
    tables: usize,
}

impl<'a> Reader<'a> {
    fn new(scope: Scope, line: Option<u32>, gatherer: &'a mut Gatherer) -> Self {
        Self {
            gatherer,
            scope,
            line,
            text: String::new(),
            skipped: None,
            around_title: None,
            past_main: false,
            articles: 0,
            heading: None,
            titling: false,
            preformatted: 0,
            item: false,
            lists: Vec::new(),
            table: None,
            tables: 0,
        }
    }

    fn start(&mut self, tag: &StartTag<()>) -> Result<(), Refusal> {
        let element = Element::of(&tag.name);
        if let Some((name, open)) = &mut self.skipped {
            *open += usize::from(*name == tag.name);
            // The title of the page may stand in what is around it.
            if element == Element::Heading(1) && Element::of(name) == Element::Frame {
                self.around_title = self.skipped.take();
                self.heading = Some(1);
            }
            return Ok(());
        }
        if element.is_skipped(tag, self.scope != Scope::Everything, self.articles > 0) {
            self.skipped = Some((tag.name.clone(), 1));
            return Ok(());
        }
        match element {
            Element::Title => {
                self.flush()?;
                self.titling = true;
            }
            Element::Root => self.describe("language", attribute(tag, "lang")),
            Element::Meta => {
                if let Some(name) = attribute(tag, "name") {
                    self.describe(&name, attribute(tag, "content"));
                }
            }
            Element::Main => {
                self.flush()?;
                if self.scope == Scope::Page && !self.past_main {
                    self.gatherer.forget_all_but_title()?;
                }
                self.past_main = false;
                self.articles += 1;
            }
            Element::Article => {
                self.flush()?;
                self.articles += 1;
            }
            Element::Heading(level) if self.table.is_none() => {
                self.flush()?;
                self.heading = Some(level);
            }
            Element::List { numbered } => {
                self.part()?;
                let first =
                    attribute(tag, "start").and_then(|start| start.parse().ok()).unwrap_or(1);
                self.lists.push(numbered.then_some(first));
                self.gatherer.allow_depth(self.lists.len())?;
            }
            Element::Item => self.begin_item()?,
            Element::Preformatted => {
                self.part()?;
                self.preformatted += 1;
            }
            Element::Table => {
                if self.tables == 0 {
                    self.flush()?;
                    self.table = Some(Table::default());
                }
                self.tables += 1;
                self.gatherer.allow_depth(self.tables)?;
            }
            Element::Row if self.tables == 1 => {
                self.end_cell();
                self.table.iter_mut().for_each(Table::row);
            }
            Element::Cell { head } if self.tables == 1 => {
                self.end_cell();
                if let Some(table) = &mut self.table {
                    table.headed |= head && table.bytes() == 0;
                }
            }
            Element::Break => self.text.push('\n'),
            Element::Picture => {
                if let Some(text) = attribute(tag, "alt") {
                    self.text(&format!(" {text} "))?;
                }
            }
            Element::Block | Element::Heading(_) | Element::Row | Element::Cell { .. } => {
                self.part()?;
            }
            Element::Inline | Element::Chrome | Element::Machinery | Element::Frame => (),
        }
        Ok(())
    }

    fn end(&mut self, name: &HtmlString) -> Result<(), Refusal> {
        if let Some((skipped, open)) = &mut self.skipped {
            *open -= usize::from(skipped == name);
            if *open == 0 {
                self.skipped = None;
            }
            return Ok(());
        }
        match Element::of(name) {
            Element::Title => {
                let title = std::mem::take(&mut self.text);
                if self.scope != Scope::Fragment {
                    self.gatherer.title(&title);
                }
                self.titling = false;
            }
            Element::Main => {
                self.flush()?;
                self.past_main = self.scope == Scope::Page;
                self.articles = self.articles.saturating_sub(1);
            }
            Element::Article => {
                self.flush()?;
                self.articles = self.articles.saturating_sub(1);
            }
            Element::List { .. } => {
                self.part()?;
                self.lists.pop();
                self.item = !self.lists.is_empty() && self.table.is_none();
            }
            Element::Preformatted => {
                self.part()?;
                self.preformatted = self.preformatted.saturating_sub(1);
            }
            Element::Table => {
                self.tables = self.tables.saturating_sub(1);
                if self.tables == 0 {
                    self.end_table()?;
                }
            }
            Element::Row | Element::Cell { .. } if self.tables == 1 => self.end_cell(),
            Element::Item => {
                self.part()?;
                self.item = false;
            }
            Element::Heading(1) if self.around_title.is_some() => {
                self.flush()?;
                self.skipped = self.around_title.take();
            }
            Element::Block | Element::Heading(_) => self.part()?,
            _ => (),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Refusal> {
        if self.skipped.is_none() && (self.titling || !self.past_main) {
            let rows = self.table.as_ref().map_or(0, Table::bytes);
            self.gatherer.allow_text(self.text.len() + text.len() + rows)?;
            self.text.push_str(text);
        }
        Ok(())
    }

    fn describe(&mut self, key: &str, value: Option<String>) {
        if let Some(value) = value.filter(|_| self.scope != Scope::Fragment && is_told(key)) {
            self.gatherer.describe(key, &value);
        }
    }

    fn begin_item(&mut self) -> Result<(), Refusal> {
        self.part()?;
        self.item = self.table.is_none();
        if let Some(Some(number)) = self.lists.last_mut() {
            let marker = format!("{number}. ");
            self.text.push_str(&marker);
            *number = number.saturating_add(1);
        }
        Ok(())
    }

    /// What comes next is apart from what came before; in a cell only by a space.
    fn part(&mut self) -> Result<(), Refusal> {
        if self.table.is_some() {
            self.text.push(' ');
            return Ok(());
        }
        self.flush()
    }

    fn end_cell(&mut self) {
        let text = std::mem::take(&mut self.text);
        if let Some(table) = self.table.as_mut().filter(|_| !text.trim().is_empty()) {
            table.cell(&text);
        }
    }

    fn end_table(&mut self) -> Result<(), Refusal> {
        self.end_cell();
        if let Some(table) = self.table.take() {
            let kind = if table.is_layout() { Kind::Paragraph } else { Kind::Table };
            for text in if table.is_layout() { table.cells() } else { vec![table.text()] } {
                self.gatherer.push(kind, &text, self.line)?;
            }
        }
        Ok(())
    }

    /// Gathers the block that is open.
    fn flush(&mut self) -> Result<(), Refusal> {
        if self.table.is_some() {
            self.tables = 0;
            self.end_table()?;
        }
        let text = std::mem::take(&mut self.text);
        match self.heading.take() {
            Some(level) => self.gatherer.head(level, &text, self.line),
            None if self.preformatted > 0 => self.gatherer.push(Kind::Code, &text, self.line),
            None if self.item => self.gatherer.push(Kind::Item, &text, self.line),
            None => self.gatherer.push(Kind::Paragraph, &text, self.line),
        }
    }
}

/// What a page says of itself that is worth keeping; the rest is for browsers.
fn is_told(key: &str) -> bool {
    [
        "language",
        "description",
        "author",
        "keywords",
        "date",
        "subject",
        "dc.title",
        "dc.creator",
        "dc.date",
    ]
    .contains(&key.to_ascii_lowercase().as_str())
}
