//! Where the recent turns begin that are told as they were.
//!
//! The engine computes nothing anew as long as a prompt begins like the one before. So a
//! conversation that has outgrown its budget must not lose its oldest turn each time that it gets a
//! new one. Where it is cut depends on how round the number of the turn is: among all turns from
//! which three quarters of the room or more are filled, it begins with the roundest.
//! That stays the same while the conversation grows by a quarter of the room, needs no memory, and
//! survives a restart.

use std::cmp::Reverse;

/// Index of the first turn to be told, `lengths.len()` when not even the newest fits. `lengths` are
/// tokens, oldest turn first, and `numbers` the places of the turns in the conversation, from 1. At
/// most `turns_max` are told, and no more than `room` tokens.
pub(super) fn start(lengths: &[u32], numbers: &[u64], room: u32, turns_max: usize) -> usize {
    let by_length = first_within(lengths, room);
    let by_count = lengths.len().saturating_sub(turns_max);
    let least = by_length.max(by_count);
    if least == 0 || least == lengths.len() {
        return least;
    }
    let enough = room - room / 4;
    let roomy = first_within(lengths, enough.saturating_sub(1)).saturating_sub(1);
    let few = if by_count == 0 { 0 } else { by_count + turns_max / 4 };
    let most = if by_length == 0 { few } else { roomy.max(few) };
    // The newest turn is told whenever it fits.
    let most = most.clamp(least, lengths.len() - 1);
    let roundness = |at: &usize| numbers.get(*at).map_or(0, |number| (number - 1).trailing_zeros());
    (least..=most).min_by_key(|at| Reverse(roundness(at))).unwrap_or(least)
}

/// The first turn from which on all together have at most `room` tokens.
fn first_within(lengths: &[u32], room: u32) -> usize {
    let mut left = room;
    let fit = lengths.iter().rev().take_while(|length| {
        let fits = **length <= left;
        left = left.saturating_sub(**length);
        fits
    });
    lengths.len() - fit.count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(count: usize) -> Vec<u64> {
        (1..).take(count).collect()
    }

    #[test]
    fn what_fits_is_told_from_the_beginning() {
        assert_eq!(start(&[10; 5], &numbers(5), 50, 64), 0);
        assert_eq!(start(&[], &[], 50, 64), 0);
    }

    #[test]
    fn a_newest_turn_that_does_not_fit_leaves_nothing() {
        assert_eq!(start(&[10, 60], &numbers(2), 50, 64), 2);
        assert_eq!(start(&[10, 50], &numbers(2), 50, 64), 1);
        assert_eq!(start(&[10, 10], &numbers(2), 50, 0), 2);
    }

    #[test]
    fn a_growing_conversation_is_cut_anew_only_once_in_a_while() {
        for (room, turns_max) in [(1600, 1000), (100_000, 16)] {
            let mut cuts = vec![0];
            for count in 1..500 {
                let at = start(&vec![100; count], &numbers(count), room, turns_max);
                assert!(count - at <= 16 && (count - at >= 12 || at == 0), "{at} of {count}");
                cuts.push(at);
            }
            assert!(cuts.is_sorted(), "what was left out does not come back");
            cuts.dedup();
            assert!(cuts.len() < 500 / 3, "{} cuts", cuts.len());
        }
    }

    proptest! {
        #[test]
        fn the_room_is_kept_to_and_well_used(
            lengths in prop::collection::vec(1_u32..400, 0..80),
            offset in 0_u64..1000,
            room in 0_u32..4000,
            turns_max in 0_usize..64,
        ) {
            let numbers: Vec<u64> = (offset + 1..).take(lengths.len()).collect();
            let at = start(&lengths, &numbers, room, turns_max);
            let told: u32 = lengths[at..].iter().sum();
            prop_assert!(told <= room && lengths.len() - at <= turns_max);
            if at > 0 {
                let more: u32 = lengths[at - 1..].iter().sum();
                let count = lengths.len() - at;
                let full = more > room || count == turns_max;
                let enough = told >= room - room / 4 || count >= turns_max - turns_max / 4;
                prop_assert!(full || enough);
            }
        }
    }
}
