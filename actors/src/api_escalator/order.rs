//! In which order providers are asked. Pure: randomness is passed in.

use tandem_config::Choice;

use crate::provider::Rank;

/// The ranks' positions, first to be asked first. `random` gives numbers from 0 up to 1.
pub(super) fn order(choice: Choice, ranks: &[Rank], random: impl Fn() -> f64) -> Vec<usize> {
    let key = |rank: &Rank| match choice {
        Choice::Ordered => (f64::from(rank.priority), rank.burden),
        Choice::Weighted => (wait(rank.weight, random()), rank.burden),
    };
    let mut keyed: Vec<_> = ranks.iter().map(key).enumerate().collect();
    // Stable: equals stay in the order of their names.
    keyed.sort_by(|(_, a), (_, b)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    keyed.into_iter().map(|(position, _)| position).collect()
}

/// How long something takes to happen that happens `weight` times in a unit of time. Of several such
/// things, each happens first as often as its share of the weights.
fn wait(weight: u32, random: f64) -> f64 {
    if weight == 0 { f64::INFINITY } else { -(1.0 - random).ln() / f64::from(weight) }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn rank(priority: u32, weight: u32, burden: f64) -> Rank {
        Rank { priority, weight, burden }
    }

    #[test]
    fn the_lowest_priority_goes_first_and_the_least_burdened_among_equals() {
        let ranks = [rank(2, 1, 0.1), rank(1, 1, 9.0), rank(1, 1, 0.5), rank(1, 1, 0.5)];
        assert_eq!(order(Choice::Ordered, &ranks, || 0.5), [2, 3, 1, 0]);
    }

    #[test]
    fn each_is_first_as_often_as_its_weight_says() {
        let ranks = [rank(1, 3, 0.1), rank(1, 0, 0.1), rank(9, 1, 5.0)];
        // Evenly spread, and without a pattern from one number to the next.
        let golden = Cell::new(0.5_f64);
        let random = || {
            golden.set((golden.get() * 9_821.0 + 0.211_327).fract());
            golden.get()
        };
        let mut first = [0; 3];
        for _ in 0..10_000 {
            let order = order(Choice::Weighted, &ranks, random);
            assert_eq!(order[2], 1, "weight 0 comes last");
            first[order[0]] += 1;
        }
        assert!((7_300..7_700).contains(&first[0]), "{first:?}");
    }
}
