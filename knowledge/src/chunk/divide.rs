//! Dividing segments that are too long for a chunk.

use super::Budget;
use super::segments::{Joint, Segment, Segments};
use crate::Kind;

/// A part is made this much shorter than its share of the tokens, as tokens are not spread evenly.
const CAUTION: (usize, usize) = (9, 10);

impl Segments {
    /// Divides the segments that do not fit into a chunk with the headings that go with them, between words where
    /// it can. Says whether there were any: their parts are to be counted then, and looked at again. This comes
    /// to an end, as parts get shorter each time, and a text has no more tokens than bytes.
    pub fn divide(&mut self, budget: Budget) -> bool {
        if (0..self.list.len()).all(|number| self.tokens(number) <= self.most(number, budget)) {
            return false;
        }
        let mut numbers = Vec::with_capacity(self.list.len());
        let mut divided = Vec::with_capacity(self.list.len() + 1);
        for number in 0..self.list.len() {
            let (tokens, most) = (self.tokens(number), self.most(number, budget));
            numbers.push(divided.len());
            let Some(segment) = self.list.get(number) else { continue };
            let table_head = segment.table_head.and_then(|head| numbers.get(head).copied());
            let segment = Segment { table_head, ..segment.clone() };
            if tokens <= most {
                divided.push(segment);
            } else {
                parts(&segment, tokens, most, &mut divided);
            }
        }
        self.list = divided;
        true
    }

    /// The most tokens that a segment may have.
    fn most(&self, number: usize, budget: Budget) -> u32 {
        let Some(segment) = self.list.get(number) else { return 0 };
        if self.names_others(number) {
            // What would be repeated or kept with others is held to its share of a chunk, unless it is alone in it.
            return budget.room() - self.context_tokens(segment.block, budget) - budget.joint;
        }
        let run = self.run_before(number, budget);
        let first = self.list.get(run).map_or(segment.block, |first| first.block);
        let headings: u32 = (run..number).map(|heading| self.tokens(heading) + budget.joint).sum();
        let columns = segment.table_head.map_or(0, |head| self.table_head_tokens(head, budget));
        // It may be the first of its chunk, or stand below the headings that are directly above it.
        let context = self
            .context_tokens(segment.block, budget)
            .max(self.context_tokens(first, budget) + headings);
        budget.room() - context - columns - budget.joint
    }

    /// The first of the headings, names of columns among them, directly above a segment that are kept with it:
    /// as many as their share holds.
    pub(super) fn run_before(&self, number: usize, budget: Budget) -> usize {
        let mut tokens = 0;
        let mut first = number;
        while let Some(above) = first.checked_sub(1) {
            tokens += self.tokens(above).saturating_add(budget.joint);
            if tokens > budget.share() || !self.names_others(above) {
                break;
            }
            first = above;
        }
        first
    }

    /// Tokens of the headings that go in front of a block.
    pub(super) fn context_tokens(&self, block: usize, budget: Budget) -> u32 {
        self.shown(block, budget)
            .iter()
            .map(|heading| self.heading_tokens(*heading, budget.joint))
            .sum()
    }

    /// The headings that go in front of a block: the innermost, as many as their share of a chunk holds.
    pub(super) fn shown(&self, block: usize, budget: Budget) -> &[usize] {
        let context = self.contexts.get(block).map(Vec::as_slice).unwrap_or_default();
        let mut tokens = 0_u32;
        let fits = |heading: &&usize| {
            tokens = tokens.saturating_add(self.heading_tokens(**heading, budget.joint));
            tokens <= budget.share()
        };
        let shown = context.iter().rev().take_while(fits).count();
        context.get(context.len() - shown..).unwrap_or_default()
    }

    /// Tokens of the names of a table's columns where they are repeated; 0 when they are too long for it.
    pub(super) fn table_head_tokens(&self, head: usize, budget: Budget) -> u32 {
        let tokens = self.tokens(head).saturating_add(budget.joint);
        if tokens > budget.share() || !self.is_table_head(head) { 0 } else { tokens }
    }

    /// Whether a segment makes no sense without those after it.
    fn names_others(&self, number: usize) -> bool {
        let heading = self.list.get(number).is_some_and(|segment| segment.kind == Kind::Heading);
        heading || self.is_table_head(number)
    }

    fn is_table_head(&self, number: usize) -> bool {
        self.list.get(number + 1).is_some_and(|next| next.table_head == Some(number))
    }
}

/// Divides a segment into parts that have about as many tokens as allowed, in any case fewer than it has.
fn parts(segment: &Segment, tokens: u32, most: u32, divided: &mut Vec<Segment>) {
    let share = segment.text.len() as u128 * u128::from(most) * CAUTION.0 as u128;
    let bytes = share / (u128::from(tokens.max(1)) * CAUTION.1 as u128);
    let bytes =
        usize::try_from(bytes).unwrap_or(usize::MAX).clamp(1, segment.text.len().div_ceil(2));
    let mut rest = segment.text.as_str();
    let mut joint = segment.joint;
    while !rest.is_empty() {
        let (part, next_joint, after) = first_part(rest, bytes);
        let whole = Segment { text: part.to_owned(), joint, tokens: None, ..segment.clone() };
        divided.push(whole);
        (rest, joint) = (after, next_joint);
    }
}

/// The first words of a text that have this many bytes at most, how the rest joins them, and the rest.
/// A word that is longer is cut between letters.
fn first_part(text: &str, bytes: usize) -> (&str, Joint, &str) {
    if text.len() <= bytes {
        return (text, Joint::Space, "");
    }
    let end = text.floor_char_boundary(bytes);
    let letter = text.chars().next().map_or(1, char::len_utf8);
    let (fits, _) = text.split_at(end.max(letter));
    match fits.char_indices().rfind(|(at, letter)| *at > 0 && letter.is_whitespace()) {
        Some((at, space)) if !fits.get(..at).unwrap_or_default().trim().is_empty() => {
            let joint = if space == '\n' { Joint::Line } else { Joint::Space };
            let (part, rest) = text.split_at(at);
            (part, joint, rest.get(space.len_utf8()..).unwrap_or_default())
        }
        _ => {
            let (part, rest) = text.split_at(fits.len());
            (part, Joint::Nothing, rest)
        }
    }
}
