//! Parts of a data set to be held back in turn, such that no question has a near-duplicate in another
//! part.

use std::collections::HashMap;

use super::Example;
use super::random::Random;

/// Hashes of a question's words that must all be the least for two to be compared.
const ROWS: usize = 4;
/// How often that is tried.
const BANDS: usize = 6;
/// Questions that share so much of their words and pairs are near-duplicates.
const LIKENESS: f64 = 0.6;

/// The part of each example, from 0 to below `number`. Of the same examples always the same.
#[must_use]
pub fn folds(examples: &[&Example], number: usize) -> Vec<usize> {
    let groups = groups(examples);
    let mut random = Random::new(number as u64);
    let mut order: Vec<usize> = (0..examples.len()).collect();
    random.shuffle(&mut order);
    let mut fold_of = HashMap::new();
    let mut sizes = vec![0_usize; number];
    let mut folds = vec![0; examples.len()];
    for place in order {
        let least = (0..number).min_by_key(|fold| sizes[*fold]).unwrap_or_default();
        let fold = *fold_of.entry(groups[place]).or_insert(least);
        sizes[fold] += 1;
        folds[place] = fold;
    }
    folds
}

/// The first of the near-duplicates of each example.
fn groups(examples: &[&Example]) -> Vec<usize> {
    let words: Vec<Vec<u16>> = examples
        .iter()
        .map(|example| {
            let mut words: Vec<u16> = example.features.buckets.iter().map(|word| word.0).collect();
            words.sort_unstable();
            words
        })
        .collect();
    let mut groups: Vec<usize> = (0..examples.len()).collect();
    for band in 0..BANDS {
        let mut first: HashMap<[u64; ROWS], usize> = HashMap::new();
        for (place, own) in words.iter().enumerate() {
            let key = std::array::from_fn(|row| least(own, (band * ROWS + row) as u64));
            let other = *first.entry(key).or_insert(place);
            if likeness(own, &words[other]) >= LIKENESS {
                let (a, b) = (root(&groups, place), root(&groups, other));
                groups[a.max(b)] = a.min(b);
            }
        }
    }
    (0..examples.len()).map(|place| root(&groups, place)).collect()
}

fn least(words: &[u16], seed: u64) -> u64 {
    let mix = |word: &u16| {
        let mixed = (u64::from(*word) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ seed << 32);
        (mixed ^ mixed >> 31).wrapping_mul(0x94d0_49bb_1331_11eb + 2 * seed)
    };
    words.iter().map(mix).min().unwrap_or_default()
}

fn root(groups: &[usize], mut place: usize) -> usize {
    while groups[place] != place {
        place = groups[place];
    }
    place
}

/// Shared words, of all words of both. Both are sorted.
fn likeness(one: &[u16], other: &[u16]) -> f64 {
    let shared = one.iter().filter(|word| other.binary_search(word).is_ok()).count();
    shared as f64 / (one.len() + other.len() - shared).max(1) as f64
}
