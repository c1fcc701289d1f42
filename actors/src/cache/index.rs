//! Where each entry of a cache is, how old it is, and what has to go. Knows no files and no clock.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::seal::Id;

/// Where an entry lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u32,
    /// Of what is sealed, in the segment.
    pub(super) offset: u32,
    pub(super) length: u32,
    /// Milliseconds since 1970.
    pub(super) written_ms: u64,
}

/// The entries of a cache. `F` is what a segment is read through.
#[derive(Debug)]
pub(super) struct Index<F> {
    entries: HashMap<Id, Place>,
    /// By number, the oldest first.
    segments: BTreeMap<u32, Segment<F>>,
    ttl: Duration,
    bytes: u64,
}

#[derive(Debug)]
struct Segment<F> {
    file: F,
    bytes: u64,
    newest_ms: u64,
    /// Also those that a later segment has again.
    ids: Vec<Id>,
}

impl<F: Clone> Index<F> {
    pub(super) fn new(ttl: Duration) -> Self {
        Self { entries: HashMap::new(), segments: BTreeMap::new(), ttl, bytes: 0 }
    }

    /// A segment that has `bytes` before its first entry.
    pub(super) fn begin(&mut self, number: u32, file: F, bytes: u64) {
        let segment = Segment { file, bytes, newest_ms: 0, ids: Vec::new() };
        self.segments.insert(number, segment);
        self.bytes += bytes;
    }

    /// An entry that takes `bytes` of its segment in all. It takes the place of an earlier one.
    pub(super) fn add(&mut self, id: Id, place: Place, bytes: u64) {
        let Some(segment) = self.segments.get_mut(&place.segment) else { return };
        segment.bytes += bytes;
        segment.newest_ms = segment.newest_ms.max(place.written_ms);
        segment.ids.push(id);
        self.bytes += bytes;
        self.entries.insert(id, place);
    }

    /// Where an entry can be read, unless it is too old.
    pub(super) fn find(&self, id: &Id, now_ms: u64) -> Option<(Place, F)> {
        let place = self.entries.get(id)?;
        if self.is_old(place.written_ms, now_ms) {
            return None;
        }
        Some((*place, self.segments.get(&place.segment)?.file.clone()))
    }

    /// Forgets an entry that turned out to be damaged.
    pub(super) fn forget(&mut self, id: &Id) {
        self.entries.remove(id);
    }

    /// All entries, in no order.
    pub(super) fn ids(&self) -> Vec<Id> {
        self.entries.keys().copied().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn oldest(&self) -> Option<u32> {
        self.segments.keys().next().copied()
    }

    /// Segments in which every entry is too old.
    pub(super) fn expired(&self, now_ms: u64) -> Vec<u32> {
        let is_old =
            |segment: &Segment<F>| segment.newest_ms > 0 && self.is_old(segment.newest_ms, now_ms);
        self.segments.iter().filter(|(_, it)| is_old(it)).map(|(number, _)| *number).collect()
    }

    /// Forgets a segment. Returns the entries that are gone with it.
    pub(super) fn drop_segment(&mut self, number: u32) -> Vec<Id> {
        let Some(segment) = self.segments.remove(&number) else { return Vec::new() };
        self.bytes -= segment.bytes;
        let mut ids = segment.ids;
        ids.retain(|id| self.entries.get(id).is_some_and(|place| place.segment == number));
        for id in &ids {
            self.entries.remove(id);
        }
        ids
    }

    /// One from the future is as good as old: the clock was set back, and nobody knows by how much.
    fn is_old(&self, written_ms: u64, now_ms: u64) -> bool {
        let age = now_ms.checked_sub(written_ms);
        age.is_none_or(|age| u128::from(age) >= self.ttl.as_millis())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    const TTL: Duration = Duration::from_millis(100);

    fn place(segment: u32, written_ms: u64) -> Place {
        Place { segment, offset: 40, length: 9, written_ms }
    }

    #[test]
    fn an_entry_is_found_until_it_is_too_old() {
        let mut index = Index::new(TTL);
        index.begin(1, "file", 24);
        index.add([1; 16], place(1, 1000), 50);
        assert_eq!(index.find(&[1; 16], 1000), Some((place(1, 1000), "file")));
        assert!(index.find(&[1; 16], 1099).is_some());
        assert_eq!(index.find(&[1; 16], 1100), None);
        assert_eq!(index.find(&[1; 16], 999), None, "it is from the future");
        assert_eq!(index.find(&[2; 16], 1000), None);
        assert_eq!((index.len(), index.bytes()), (1, 74));
    }

    #[test]
    fn a_segment_goes_with_its_entries_but_not_with_those_that_were_written_again() {
        let mut index = Index::new(TTL);
        for segment in 1..=2 {
            index.begin(segment, (), 24);
        }
        index.add([1; 16], place(1, 10), 50);
        index.add([2; 16], place(1, 10), 50);
        index.add([1; 16], place(2, 20), 50);
        assert_eq!(index.oldest(), Some(1));
        assert_eq!(index.drop_segment(1), [[2; 16]]);
        assert!(index.find(&[1; 16], 20).is_some());
        assert_eq!((index.len(), index.bytes(), index.oldest()), (1, 74, Some(2)));
        assert!(index.drop_segment(1).is_empty());
    }

    #[test]
    fn a_segment_is_expired_when_its_newest_entry_is() {
        let mut index = Index::new(TTL);
        index.begin(1, (), 24);
        index.begin(2, (), 24);
        index.add([1; 16], place(1, 10), 1);
        index.add([2; 16], place(1, 60), 1);
        assert!(index.expired(150).is_empty());
        assert_eq!(index.expired(160), [1], "an empty segment is about to be written to");
    }

    proptest! {
        #[test]
        fn bytes_are_those_of_the_segments_and_entries_lie_in_one_that_is_there(
            steps in prop::collection::vec((0_u8..4, 0_u8..8, 1_u64..100), 1..200)
        ) {
            let mut index = Index::new(TTL);
            let mut next = 1;
            for (step, id, bytes) in steps {
                match (step, index.segments.keys().next_back().copied()) {
                    (0, _) | (_, None) => {
                        index.begin(next, (), 24);
                        next += 1;
                    }
                    (1, _) => drop(index.drop_segment(index.oldest().unwrap())),
                    (_, Some(last)) => index.add([id; 16], place(last, bytes), bytes),
                }
                let total: u64 = index.segments.values().map(|segment| segment.bytes).sum();
                prop_assert_eq!(index.bytes(), total);
                for place in index.entries.values() {
                    prop_assert!(index.segments.contains_key(&place.segment));
                }
            }
        }
    }
}
