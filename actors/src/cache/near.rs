//! Which questions are close to another one: their vectors, in memory. Knows no files and no clock.

use std::collections::{HashMap, HashSet};

use super::seal::{Digest, Id};

/// The vectors of answered questions. Only questions of one scope are compared: in all but their
/// words they are the same.
#[derive(Debug, Default)]
pub(super) struct Vectors {
    by_scope: HashMap<Digest, Vec<(Id, Vec<f32>)>>,
}

impl Vectors {
    /// `vector` has length 1.
    pub(super) fn add(&mut self, scope: Digest, id: Id, vector: Vec<f32>) {
        let entries = self.by_scope.entry(scope).or_default();
        entries.retain(|(known, _)| *known != id);
        entries.push((id, vector));
    }

    pub(super) fn remove(&mut self, ids: &[Id]) {
        let gone: HashSet<&Id> = ids.iter().collect();
        self.by_scope.retain(|_, entries| {
            entries.retain(|(id, _)| !gone.contains(id));
            !entries.is_empty()
        });
    }

    pub(super) fn clear(&mut self) {
        self.by_scope.clear();
    }

    /// At most `count_max` with a cosine of at least `least`, the closest first.
    pub(super) fn nearest(
        &self,
        scope: &Digest,
        vector: &[f32],
        least: f64,
        count_max: usize,
    ) -> Vec<(Id, f64)> {
        let entries = self.by_scope.get(scope).map(Vec::as_slice).unwrap_or_default();
        let mut near: Vec<(Id, f64)> = entries
            .iter()
            .filter(|(_, other)| other.len() == vector.len())
            .map(|(id, other)| (*id, dot(vector, other)))
            .filter(|(_, cosine)| *cosine >= least)
            .collect();
        near.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        near.truncate(count_max);
        near
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let sum: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    f64::from(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPE: Digest = [1; 32];

    #[test]
    fn the_closest_of_the_scope_come_first_and_those_too_far_away_not_at_all() {
        let mut vectors = Vectors::default();
        vectors.add(SCOPE, [1; 16], vec![1.0, 0.0]);
        vectors.add(SCOPE, [2; 16], vec![0.8, 0.6]);
        vectors.add(SCOPE, [3; 16], vec![0.0, 1.0]);
        vectors.add([2; 32], [4; 16], vec![0.8, 0.6]);
        vectors.add(SCOPE, [5; 16], vec![0.8, 0.6, 0.0]);
        let ids = |least, most| -> Vec<u8> {
            let near = vectors.nearest(&SCOPE, &[0.8, 0.6], least, most);
            near.iter().map(|(id, _)| id[0]).collect()
        };
        assert_eq!(ids(0.7, 9), [2, 1]);
        assert_eq!(ids(0.7, 1), [2]);
        assert_eq!(ids(0.0, 9), [2, 1, 3]);
    }

    #[test]
    fn what_was_removed_or_replaced_is_not_found() {
        let mut vectors = Vectors::default();
        vectors.add(SCOPE, [1; 16], vec![1.0, 0.0]);
        vectors.add(SCOPE, [1; 16], vec![0.0, 1.0]);
        assert!(vectors.nearest(&SCOPE, &[1.0, 0.0], 0.5, 9).is_empty());
        assert_eq!(vectors.nearest(&SCOPE, &[0.0, 1.0], 0.5, 9).len(), 1);
        vectors.remove(&[[1; 16]]);
        assert!(vectors.by_scope.is_empty());
    }
}
