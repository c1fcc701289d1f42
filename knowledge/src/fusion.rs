//! Several orders of the same things made one.

use std::collections::HashMap;

/// How little a place near the top is worth more than the next (Cormack, Clarke and Büttcher, SIGIR 2009).
const RANK: f32 = 60.0;

/// Fuses lists, best first, by reciprocal rank: what several lists have, or one has near its top, comes
/// first. Scores of the lists do not matter, so they may mean different things. Equal sums are ordered by
/// number.
pub fn fuse(lists: &[Vec<u64>]) -> Vec<(u64, f32)> {
    let mut sums: HashMap<u64, f32> = HashMap::new();
    for list in lists {
        let mut rank = RANK;
        for id in list {
            rank += 1.0;
            *sums.entry(*id).or_default() += rank.recip();
        }
    }
    let mut fused: Vec<(u64, f32)> = sums.into_iter().collect();
    fused.sort_unstable_by(|left, right| right.1.total_cmp(&left.1).then(left.0.cmp(&right.0)));
    fused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_lists_have_comes_before_the_first_of_either() {
        let fused = fuse(&[vec![1, 2, 3], vec![4, 3, 5]]);
        let order: Vec<u64> = fused.iter().map(|(id, _)| *id).collect();
        assert_eq!(order, [3, 1, 4, 2, 5]);
        assert!((fused[0].1 - (1.0 / 63.0 + 1.0 / 62.0)).abs() < 1e-6);
    }

    #[test]
    fn one_list_keeps_its_order_and_none_is_empty() {
        let order: Vec<u64> = fuse(&[vec![9, 1, 5]]).into_iter().map(|(id, _)| id).collect();
        assert_eq!(order, [9, 1, 5]);
        assert_eq!(fuse(&[]), []);
    }
}
