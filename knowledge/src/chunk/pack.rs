//! Packing segments into chunks.

use std::ops::Range;

use super::Budget;
use super::segments::Segments;
use crate::{Chunk, Kind};

impl Segments {
    /// Packs the segments into chunks. No chunk has more tokens than the budget, provided that all segments are
    /// counted and [`Segments::divide`] has found none that is too long.
    pub fn pack(&self, budget: Budget) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        let mut before = 0..0;
        while before.end < self.list.len() {
            let range = self.next(&before, budget);
            chunks.push(self.chunk(chunks.len(), &range, budget));
            before = range;
        }
        chunks
    }

    /// The segments of the chunk after another one. It begins in that one if they overlap.
    fn next(&self, before: &Range<usize>, budget: Budget) -> Range<usize> {
        let new = before.end;
        let mut first = self.lead(before, budget);
        let mut end = self.fill(first, new, budget);
        if end <= new {
            // No room for anything new besides what is repeated, or not even for that below the headings.
            first = new;
            end = self.fill(first, new, budget).max(new + 1);
        }
        first..end
    }

    /// The first segment that is repeated from the chunk before: as many whole ones as the overlap holds, and
    /// none across a heading or the edge of a table.
    fn lead(&self, before: &Range<usize>, budget: Budget) -> usize {
        let new = before.end;
        let mut first = new;
        let mut tokens = 0;
        while let Some(above) =
            first.checked_sub(1).filter(|above| *above > before.start && new < self.list.len())
        {
            tokens += self.tokens(above).saturating_add(budget.joint);
            if tokens > budget.overlap || !self.may_lead(above, new) {
                break;
            }
            first = above;
        }
        first
    }

    fn may_lead(&self, above: usize, new: usize) -> bool {
        match (self.list.get(above), self.list.get(new)) {
            (Some(above), Some(new)) => {
                let heading = above.kind == Kind::Heading || new.kind == Kind::Heading;
                let table = above.kind == Kind::Table || new.kind == Kind::Table;
                !heading
                    && (!table
                        || (above.block == new.block
                            && above.table_head.is_some() == new.table_head.is_some()))
            }
            _ => false,
        }
    }

    /// The end of a chunk that begins with a segment and is to have new ones in it.
    fn fill(&self, first: usize, new: usize, budget: Budget) -> usize {
        let room = budget.room();
        let mut tokens = self.fixed_tokens(first, budget);
        let mut text = 0;
        let mut end = first;
        while let Some(segment) = self.list.get(end) {
            let heading = segment.kind == Kind::Heading;
            // A section begins a chunk of its own unless there is little in front of it.
            if heading && end > new && text > room / 3 {
                break;
            }
            let more = self.tokens(end).saturating_add(budget.joint);
            if tokens.saturating_add(more) > room {
                break;
            }
            tokens += more;
            text += if heading { 0 } else { more };
            end += 1;
        }
        if end == self.list.len() {
            return end;
        }
        // Headings at the end go with what they name, if there is anything before them.
        let named = self.run_before(end, budget);
        if named > new { named } else { end }
    }

    /// Tokens of what is put in front of a chunk that begins with this segment.
    fn fixed_tokens(&self, first: usize, budget: Budget) -> u32 {
        let Some(segment) = self.list.get(first) else { return 0 };
        let columns = segment.table_head.map_or(0, |head| self.table_head_tokens(head, budget));
        self.context_tokens(segment.block, budget) + columns
    }

    fn chunk(&self, ordinal: usize, range: &Range<usize>, budget: Budget) -> Chunk {
        let mut text = String::new();
        let segments = self.list.get(range.clone()).unwrap_or_default();
        let Some(first) = segments.first() else {
            return Chunk { ordinal: 0, text, place: crate::Place::default() };
        };
        let columns = first.table_head.filter(|head| self.table_head_tokens(*head, budget) > 0);
        if let Some(head) = columns.and_then(|head| self.list.get(head)) {
            text.push_str(&head.text);
            text.push('\n');
        }
        for (number, segment) in segments.iter().enumerate() {
            if number > 0 {
                text.push_str(segment.joint.text());
            }
            text.push_str(&segment.text);
        }
        let mut place = self.places.get(first.block).cloned().unwrap_or_default();
        // What the tokens leave no room for must not be embedded.
        let shown = self.shown(first.block, budget).len();
        if shown < place.context_headings() {
            place.headings.drain(..place.headings.len() - shown);
        }
        Chunk { ordinal: u32::try_from(ordinal).unwrap_or(u32::MAX), text, place }
    }
}
