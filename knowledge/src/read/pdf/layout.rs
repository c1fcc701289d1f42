//! From glyphs on pages to paragraphs.

use std::collections::{BTreeMap, HashMap};

use super::super::Refusal;
use super::super::gatherer::Gatherer;
use crate::Kind;

/// Part of the size of the letters that parts two words.
const WORD_GAP: f64 = 0.12;
/// Part of the size of the letters by which the next line is lower.
const LINE_STEP: f64 = 0.5;
/// Times the size of the letters by which the next line of the same paragraph is lower at most.
const PARAGRAPH_STEP: f64 = 1.6;
/// Headings are larger than the text by this factor at least.
const HEADING_SIZE: f64 = 1.12;
/// Headings are no longer than this, in bytes.
const HEADING_BYTES: usize = 200;
/// Sizes of headings that are told apart as levels.
const LEVELS: usize = 6;
/// A line at the edge of at least this many pages, and of half of them, is a running title.
const RUNNING_PAGES: usize = 4;

/// A letter, or more, on a page. Lengths are in points, y grows upwards.
#[derive(Debug)]
pub(super) struct Glyph<'a> {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) size: f64,
    pub(super) text: &'a str,
}

/// A line of text on a page.
#[derive(Debug)]
struct Line {
    page: u32,
    y: f64,
    size: f64,
    text: String,
    /// Whether it is the first or the last one of its page.
    edge: bool,
}

/// Gathers the lines of a document.
#[derive(Debug, Default)]
pub(super) struct Layout {
    lines: Vec<Line>,
    /// Lines of the pages before the one that is open.
    settled: usize,
    page: u32,
    /// Where the last glyph of the line that is open ends.
    end: f64,
    /// Whether the next glyph begins a word, so that it may stand anywhere.
    word: bool,
    open: bool,
    bytes: usize,
}

impl Layout {
    pub(super) fn begin_page(&mut self, page: u32) {
        self.page = page;
        self.settled = self.lines.len();
        self.open = false;
    }

    pub(super) fn end_page(&mut self) {
        self.lines
            .iter_mut()
            .skip(self.settled)
            .for_each(|line| line.text.truncate(line.text.trim_end().len()));
        let page = self.lines.get_mut(self.settled..).unwrap_or_default();
        let (first, last) =
            (page.iter().position(Line::is_worded), page.iter().rposition(Line::is_worded));
        for edge in first.into_iter().chain(last) {
            if let Some(line) = page.get_mut(edge) {
                line.edge = true;
            }
        }
    }

    pub(super) fn begin_word(&mut self) {
        self.word = true;
    }

    /// Bytes of text gathered.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn add(&mut self, glyph: &Glyph<'_>) {
        // A few pages have glyphs without a place or a size; their text still counts.
        let at = |value: f64| if value.is_finite() { value } else { 0.0 };
        let (x, y, size) = (at(glyph.x), at(glyph.y), at(glyph.size).max(0.1));
        let text = spelled(glyph.text);
        self.bytes += text.len() + 1;
        let word = std::mem::take(&mut self.word);
        match self.lines.last_mut().filter(|_| self.open) {
            Some(line)
                if !word
                    || (y - line.y).abs() <= LINE_STEP * size && x >= self.end - 4.0 * size =>
            {
                if word && x > self.end + WORD_GAP * size && !line.text.ends_with(' ') {
                    line.text.push(' ');
                }
                line.text.push_str(&text);
                line.size = line.size.max(size);
            }
            _ => {
                self.open = true;
                self.lines.push(Line { page: self.page, y, size, text, edge: false });
            }
        }
        self.end = x + at(glyph.width);
    }

    /// Makes blocks of the lines.
    pub(super) fn gather(self, gatherer: &mut Gatherer) -> Result<(), Refusal> {
        let sizes = self.heading_sizes();
        let running = self.running_titles();
        let mut paragraph: Vec<&Line> = Vec::new();
        for line in self
            .lines
            .iter()
            .filter(|line| line.is_worded() && !(line.edge && running.contains_key(&line.shape())))
        {
            if paragraph.last().is_some_and(|above| !line.continues(above)) {
                push(&paragraph, &sizes, gatherer)?;
                paragraph.clear();
            }
            paragraph.push(line);
        }
        push(&paragraph, &sizes, gatherer)
    }

    /// The sizes of letters that headings have, largest first.
    fn heading_sizes(&self) -> Vec<i64> {
        let mut letters: BTreeMap<i64, usize> = BTreeMap::new();
        for line in &self.lines {
            *letters.entry(rounded(line.size)).or_default() += line.text.len();
        }
        let body = letters.iter().max_by_key(|(_, letters)| **letters).map_or(0, |(size, _)| *size);
        let larger =
            letters.into_keys().rev().filter(|size| exact(*size) > exact(body) * HEADING_SIZE);
        larger.take(LEVELS).collect()
    }

    /// What stands at the edge of most pages, with digits made alike.
    fn running_titles(&self) -> HashMap<String, usize> {
        let pages = self.lines.last().map_or(0, |line| line.page as usize);
        let mut titles: HashMap<String, usize> = HashMap::new();
        for line in self.lines.iter().filter(|line| line.edge) {
            *titles.entry(line.shape()).or_default() += 1;
        }
        titles.retain(|_, times| *times >= RUNNING_PAGES && *times * 2 >= pages);
        titles
    }
}

impl Line {
    fn is_worded(&self) -> bool {
        !self.text.trim().is_empty()
    }

    fn shape(&self) -> String {
        self.text
            .trim()
            .chars()
            .map(|letter| if letter.is_ascii_digit() { '0' } else { letter })
            .collect::<String>()
            .replace("00", "0")
    }

    /// Whether it belongs to the same paragraph as the one above.
    fn continues(&self, above: &Line) -> bool {
        let step = above.y - self.y;
        self.page == above.page
            && rounded(self.size) == rounded(above.size)
            && step > -LINE_STEP * self.size
            && step < PARAGRAPH_STEP * self.size
            && !self.text.trim_start().starts_with(['•', '▪', '◦'])
    }
}

fn push(lines: &[&Line], sizes: &[i64], gatherer: &mut Gatherer) -> Result<(), Refusal> {
    let Some(first) = lines.first() else { return Ok(()) };
    gatherer.turn_to(first.page);
    let mut text = String::new();
    for line in lines {
        let next = line.text.trim();
        // A word that was divided between two lines.
        let divided = text.ends_with('-')
            && text.chars().rev().nth(1).is_some_and(char::is_alphabetic)
            && next.starts_with(|letter: char| letter.is_lowercase());
        if divided {
            text.pop();
        } else if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(next);
    }
    let level = sizes.iter().position(|size| *size == rounded(first.size));
    match level.and_then(|level| u8::try_from(level + 1).ok()) {
        Some(level) if text.len() <= HEADING_BYTES => gatherer.head(level, &text, None),
        _ if text.starts_with(['•', '▪', '◦']) => {
            gatherer.push(Kind::Item, text.trim_start_matches(['•', '▪', '◦']), None)
        }
        _ => gatherer.push(Kind::Paragraph, &text, None),
    }
}

/// Letters that are printed as one sign, spelled out.
fn spelled(text: &str) -> String {
    let mut spelled = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            'ﬀ' => spelled.push_str("ff"),
            'ﬁ' => spelled.push_str("fi"),
            'ﬂ' => spelled.push_str("fl"),
            'ﬃ' => spelled.push_str("ffi"),
            'ﬄ' => spelled.push_str("ffl"),
            // Soft hyphens and what else is not seen.
            '\u{ad}' => (),
            letter if letter.is_control() => (),
            letter => spelled.push(letter),
        }
    }
    spelled
}

/// A size in half points, so that sizes compare.
fn rounded(size: f64) -> i64 {
    #[allow(clippy::cast_possible_truncation, reason = "a size that is out of range is cut to it")]
    let halves = (size * 2.0).round() as i64;
    halves
}

fn exact(halves: i64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "sizes of letters are small")]
    let exact = halves as f64;
    exact
}
