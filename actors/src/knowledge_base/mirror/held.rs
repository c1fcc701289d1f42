//! Which chunks a copy has: numbers, kept as ranges, as they are given one after the other.

use std::ops::RangeInclusive;

use rangemap::RangeInclusiveSet;
use serde::{Deserialize, Serialize};

/// A set of numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub(super) struct Held(RangeInclusiveSet<u64>);

impl Held {
    pub(super) fn add(&mut self, ids: &[u64]) {
        for id in ids {
            self.0.insert(*id..=*id);
        }
    }

    pub(super) fn remove(&mut self, ids: &[u64]) {
        for id in ids {
            self.0.remove(*id..=*id);
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|range| range.end() - range.start() + 1).sum()
    }

    /// Those of `wanted`, which ascend, that are missing, and those that are too many.
    pub(super) fn compare(&self, wanted: &[u64]) -> (Vec<u64>, Vec<u64>) {
        let (mut missing, mut extra) = (Vec::new(), Vec::new());
        let mut wanted = wanted.iter().copied().peekable();
        for id in self.0.iter().cloned().flatten() {
            while let Some(before) = wanted.next_if(|wanted| *wanted < id) {
                missing.push(before);
            }
            if wanted.next_if_eq(&id).is_none() {
                extra.push(id);
            }
        }
        missing.extend(wanted);
        (missing, extra)
    }
}

impl From<Vec<(u64, u64)>> for Held {
    fn from(ranges: Vec<(u64, u64)>) -> Self {
        // A range that ends before it begins is none.
        let ranges = ranges.into_iter().filter(|(first, last)| first <= last);
        Self(ranges.map(|(first, last)| first..=last).collect())
    }
}

impl From<Held> for Vec<(u64, u64)> {
    fn from(held: Held) -> Self {
        held.0.into_iter().map(RangeInclusive::into_inner).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn numbers_in_a_row_are_one_range_on_disk() {
        let mut held = Held::default();
        held.add(&[1, 2, 3, 7, 4]);
        held.remove(&[2, 9]);
        assert_eq!(serde_json::to_string(&held).unwrap(), "[[1,1],[3,4],[7,7]]");
        let again: Held = serde_json::from_str("[[3,4],[1,1],[7,7],[9,8]]").unwrap();
        assert_eq!((again.count(), &again), (4, &held));
    }

    proptest! {
        #[test]
        fn what_is_missing_and_what_is_too_many_make_one_set_the_other(
            there in prop::collection::btree_set(0..200_u64, 0..80),
            wanted in prop::collection::btree_set(0..200_u64, 0..80),
        ) {
            let mut held = Held::default();
            held.add(&there.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(held.count(), there.len() as u64);
            let wanted: Vec<u64> = wanted.into_iter().collect();
            let (missing, extra) = held.compare(&wanted);
            held.remove(&extra);
            held.add(&missing);
            prop_assert_eq!(held.compare(&wanted), (Vec::new(), Vec::new()));
            let kept: BTreeSet<u64> = there.iter().copied().filter(|id| !extra.contains(id)).collect();
            prop_assert!(missing.iter().all(|id| !kept.contains(id)));
            prop_assert_eq!(missing.len() + kept.len(), wanted.len());
        }
    }
}
