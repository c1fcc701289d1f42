//! Which parts of a file are still to be fetched, and in which order. Pure.

use std::collections::VecDeque;
use std::ops::Range;

/// Bytes that are written, flushed and taken down together. A crash loses one for each connection.
pub(crate) const PIECE_BYTES: u64 = 1 << 20;
/// Most pieces of one request, so that no connection is left alone with a long rest.
const REQUEST_PIECES_MAX: u64 = 64;

/// Number of pieces in a file.
pub(super) fn pieces(size: u64) -> u64 {
    size.div_ceil(PIECE_BYTES)
}

/// The bytes of some pieces of a file.
pub(super) fn bytes(pieces: &Range<u64>, size: u64) -> Range<u64> {
    let begin = |piece: u64| piece.saturating_mul(PIECE_BYTES).min(size);
    begin(pieces.start)..begin(pieces.end)
}

/// What is still to be asked for, as ranges of pieces.
#[derive(Debug)]
pub(super) struct Plan {
    waiting: VecDeque<Range<u64>>,
}

impl Plan {
    /// All pieces that are not `done`, for so many connections. Where the source gives no ranges,
    /// everything in one.
    pub(super) fn new(done: &[bool], connections: usize, ranged: bool) -> Self {
        let mut waiting = VecDeque::new();
        let missing = done.iter().filter(|done| !**done).count() as u64;
        if !ranged {
            waiting.extend((missing > 0).then_some(0..done.len() as u64));
            return Self { waiting };
        }
        let fair = missing.div_ceil(connections.max(1) as u64);
        let longest = fair.clamp(1, REQUEST_PIECES_MAX);
        let mut open: Option<Range<u64>> = None;
        for (piece, done) in (0..).zip(done) {
            match &mut open {
                Some(range) if !done && range.end - range.start < longest => range.end = piece + 1,
                _ => {
                    waiting.extend(open.take());
                    open = (!done).then_some(piece..piece + 1);
                }
            }
        }
        waiting.extend(open);
        Self { waiting }
    }

    /// The next request.
    pub(super) fn next(&mut self) -> Option<Range<u64>> {
        self.waiting.pop_front()
    }

    /// Takes back what did not come.
    pub(super) fn give_back(&mut self, rest: Range<u64>) {
        if !rest.is_empty() {
            self.waiting.push_front(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut plan: Plan) -> Vec<Range<u64>> {
        std::iter::from_fn(|| plan.next()).collect()
    }

    #[test]
    fn what_is_missing_is_shared_among_the_connections() {
        assert_eq!(all(Plan::new(&[false; 8], 4, true)), [0..2, 2..4, 4..6, 6..8]);
        assert_eq!(all(Plan::new(&[false; 7], 2, true)), [0..4, 4..7]);
        let done = [true, false, true, true, false, false];
        assert_eq!(all(Plan::new(&done, 1, true)), [1..2, 4..6]);
        assert!(all(Plan::new(&[true; 3], 4, true)).is_empty());
        let long = all(Plan::new(&[false; 200], 1, true));
        assert_eq!(long, [0..64, 64..128, 128..192, 192..200]);
    }

    #[test]
    fn every_missing_piece_is_planned_once_and_no_other() {
        for pattern in 0_u32..1 << 10 {
            let done: Vec<bool> = (0..10).map(|bit| pattern >> bit & 1 == 1).collect();
            for connections in 1..5 {
                let planned: Vec<u64> =
                    all(Plan::new(&done, connections, true)).into_iter().flatten().collect();
                let missing: Vec<u64> =
                    (0..10).filter(|&piece| pattern >> piece & 1 == 0).collect();
                assert_eq!(planned, missing);
            }
        }
    }

    #[test]
    fn a_source_without_ranges_is_asked_for_everything_at_once() {
        let asked = all(Plan::new(&[true, false, true], 4, false));
        assert_eq!((asked.first(), asked.len()), (Some(&(0..3)), 1));
        assert!(all(Plan::new(&[true; 3], 4, false)).is_empty());
    }

    #[test]
    fn what_did_not_come_is_asked_for_next() {
        let mut plan = Plan::new(&[false; 4], 2, true);
        assert_eq!(plan.next(), Some(0..2));
        plan.give_back(1..2);
        plan.give_back(2..2);
        assert_eq!(all(plan), [1..2, 2..4]);
    }

    #[test]
    fn the_last_piece_may_be_short() {
        let size = 2 * PIECE_BYTES + 5;
        assert_eq!(pieces(size), 3);
        assert_eq!(bytes(&(1..3), size), PIECE_BYTES..size);
        assert_eq!(pieces(0), 0);
    }
}
