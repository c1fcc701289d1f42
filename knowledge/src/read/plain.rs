//! Plain text: paragraphs between empty lines, underlined headings, lists, indented blocks.

use super::Refusal;
use super::gatherer::Gatherer;
use crate::Kind;

/// Most kinds of underline that are told apart as levels.
const LEVELS: usize = 6;

pub(super) fn read(text: &str, gatherer: &mut Gatherer) -> Result<(), Refusal> {
    let mut styles = Vec::new();
    let mut lines = numbered(text).peekable();
    let mut over = None;
    while let Some((number, line)) = lines.next() {
        let above = std::mem::replace(&mut over, adornment(line));
        if line.trim().is_empty() || over.is_some() || is_target(line) {
            continue;
        }
        let under = lines.peek().and_then(|(_, under)| adornment(under));
        if let Some(under) =
            under.filter(|_| underlines(line, lines.peek().map(|(_, under)| *under)))
        {
            gatherer.head(level(&mut styles, (under, above == Some(under))), line, Some(number))?;
            lines.next();
            continue;
        }
        let mut block = vec![line];
        while let Some((_, next)) =
            lines.next_if(|(_, next)| !next.trim().is_empty() && (!marked(next) || is_code(line)))
        {
            block.push(next);
        }
        push(&block, number, gatherer)?;
    }
    Ok(())
}

/// The lines of a text with their numbers, from 1 on. Form feeds end lines too.
fn numbered(text: &str) -> impl Iterator<Item = (u32, &str)> {
    text.split('\n')
        .zip(1..)
        .map(|(line, number)| (number, line.trim_end().trim_start_matches('\u{c}')))
}

fn push(lines: &[&str], number: u32, gatherer: &mut Gatherer) -> Result<(), Refusal> {
    let kind = match lines {
        [first, ..] if marked(first) => Kind::Item,
        lines if lines.iter().all(|line| is_code(line)) => Kind::Code,
        _ => Kind::Paragraph,
    };
    let text = lines.join("\n");
    let text = match kind {
        Kind::Item => text.trim_start().trim_start_matches(['-', '*', '•', '+']),
        _ => &text,
    };
    gatherer.push(kind, text, Some(number))
}

/// Whether a line begins an item of a list.
fn marked(line: &str) -> bool {
    let line = line.trim_start();
    let after = line.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let bullet = line.chars().next().is_some_and(|first| "-*•+".contains(first))
        && line.chars().nth(1) == Some(' ');
    let digits = line.len() - after.len();
    bullet || ((1..=3).contains(&digits) && (after.starts_with(". ") || after.starts_with(") ")))
}

fn is_code(line: &str) -> bool {
    line.starts_with("    ") || line.starts_with('\t')
}

/// The character that a line consists of, if it is one that underlines headings.
fn adornment(line: &str) -> Option<char> {
    let first = line.chars().next().filter(|first| "=-~^\"'`#*+.:_".contains(*first))?;
    (line.len() >= 3 && line.chars().all(|other| other == first)).then_some(first)
}

/// Whether the line below is about as long as the one that it would underline.
fn underlines(line: &str, under: Option<&str>) -> bool {
    let length = line.trim().chars().count();
    !is_code(line)
        && length > 0
        && under.is_some_and(|under| under.len() + 2 >= length && under.len() <= length + 12)
}

/// Whether a line only names a place for links, in reStructuredText.
fn is_target(line: &str) -> bool {
    line.starts_with(".. _") && line.ends_with(':')
}

/// Underlines, alone or with a line above, are levels in the order in which they come.
fn level(styles: &mut Vec<(char, bool)>, style: (char, bool)) -> u8 {
    let found = styles.iter().position(|known| *known == style).unwrap_or_else(|| {
        if styles.len() < LEVELS {
            styles.push(style);
        }
        styles.len() - 1
    });
    u8::try_from(found + 1).unwrap_or(u8::MAX)
}
