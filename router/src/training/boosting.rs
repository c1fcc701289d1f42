//! Gradient boosting for squared errors: each tree learns what those before it left over.

use super::Interrupted;
use super::random::Random;
use crate::features::{DENSE, Features};
use crate::trees::{Child, Split, Tree};

/// Most values that a measure is cut into.
const BINS: usize = 48;
/// Enough for any recipe; a leaf's number is one byte.
const LEAVES_MAX: usize = 64;

/// How trees are grown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recipe {
    pub(super) trees: usize,
    pub(super) leaves: usize,
    /// Fewest questions in a leaf.
    pub(super) leaf_min: usize,
    /// How much of what it says a tree may say.
    pub(super) rate: f32,
    /// Pulls leaves to zero, as so many questions without any gain would.
    pub(super) shrinkage: f32,
    /// One of so many measures is looked at for each split.
    pub(super) one_of: u64,
}

/// Grows trees that estimate `targets`.
pub(super) fn grow(
    rows: &[&Features],
    targets: &[f32],
    recipe: Recipe,
    random: &mut Random,
    mut proceed: impl FnMut(f32) -> bool,
) -> Result<Vec<Tree>, Interrupted> {
    let bins = Bins::of(rows);
    let mut residuals = targets.to_vec();
    let mut trees = Vec::with_capacity(recipe.trees);
    for round in 0..recipe.trees {
        if !proceed(round as f32 / recipe.trees as f32) {
            return Err(Interrupted);
        }
        let (tree, leaf_of) = bins.tree(&residuals, recipe, random);
        for (residual, leaf) in residuals.iter_mut().zip(&leaf_of) {
            *residual -= tree.leaves.get(usize::from(*leaf)).copied().unwrap_or_default();
        }
        trees.push(tree);
    }
    Ok(trees)
}

/// The measures of all questions, each as the number of the interval that it lies in.
struct Bins {
    rows: usize,
    /// By measure, then by question.
    codes: Vec<u8>,
    /// Upper ends of the intervals of each measure.
    edges: Vec<Vec<f32>>,
}

/// Questions that are in one leaf so far.
struct Group {
    members: Vec<u32>,
    /// The better of its possible splits.
    best: Option<Best>,
    /// Which split leads here, and whether from below.
    from: Option<(usize, bool)>,
    sum: f32,
}

#[derive(Clone, Copy)]
struct Best {
    place: usize,
    bin: u8,
    improvement: f32,
}

impl Bins {
    fn of(rows: &[&Features]) -> Self {
        let mut codes = Vec::with_capacity(rows.len() * DENSE);
        let mut edges = Vec::with_capacity(DENSE);
        for place in 0..DENSE {
            let mut values: Vec<f32> = rows.iter().map(|row| row.dense[place]).collect();
            let ends = edges_of(values.clone());
            codes.extend(values.drain(..).map(|v| ends.partition_point(|end| *end < v) as u8));
            edges.push(ends);
        }
        Self { rows: rows.len(), codes, edges }
    }

    fn codes(&self, place: usize) -> &[u8] {
        &self.codes[place * self.rows..(place + 1) * self.rows]
    }

    /// One tree, and the leaf of each question.
    fn tree(&self, residuals: &[f32], recipe: Recipe, random: &mut Random) -> (Tree, Vec<u8>) {
        let all: Vec<u32> = (0..self.rows as u32).collect();
        let mut groups = vec![self.group(all, None, residuals, recipe, random)];
        let mut splits: Vec<Split> = Vec::new();
        while groups.len() < recipe.leaves.min(LEAVES_MAX) {
            let improvement = |group: &Group| group.best.map_or(0.0, |best| best.improvement);
            let chosen = groups
                .iter()
                .enumerate()
                .max_by(|a, b| improvement(a.1).total_cmp(&improvement(b.1)))
                .map(|(place, _)| place);
            let Some(place) = chosen else { break };
            let Some(best) = groups[place].best else { break };
            let group = groups.swap_remove(place);
            let number = splits.len();
            link(&mut splits, group.from, Child::Split(number as u8));
            let (below, above) = (Child::Leaf(0), Child::Leaf(0));
            let threshold = self.edges[best.place][usize::from(best.bin)];
            splits.push(Split { place: best.place as u16, threshold, below, above });
            let codes = self.codes(best.place);
            let (low, high): (Vec<u32>, Vec<u32>) =
                group.members.iter().partition(|member| codes[**member as usize] <= best.bin);
            for (members, is_below) in [(low, true), (high, false)] {
                let from = Some((number, is_below));
                groups.push(self.group(members, from, residuals, recipe, random));
            }
        }
        let mut leaf_of = vec![0; self.rows];
        let mut leaves = Vec::with_capacity(groups.len());
        for (leaf, group) in (0..=u8::MAX).zip(&groups) {
            link(&mut splits, group.from, Child::Leaf(leaf));
            let size = group.members.len() as f32;
            leaves.push(recipe.rate * group.sum / (size + recipe.shrinkage));
            for member in &group.members {
                leaf_of[*member as usize] = leaf;
            }
        }
        (Tree { splits, leaves }, leaf_of)
    }

    fn group(
        &self,
        members: Vec<u32>,
        from: Option<(usize, bool)>,
        residuals: &[f32],
        recipe: Recipe,
        random: &mut Random,
    ) -> Group {
        let sum = members.iter().map(|member| residuals[*member as usize]).sum();
        let mut best: Option<Best> = None;
        if members.len() >= 2 * recipe.leaf_min {
            for place in (0..DENSE).filter(|place| self.edges[*place].len() > 1) {
                if random.below(recipe.one_of) > 0 {
                    continue;
                }
                let found = self.best_split(place, &members, sum, residuals, recipe);
                best = best
                    .into_iter()
                    .chain(found)
                    .max_by(|a, b| a.improvement.total_cmp(&b.improvement));
            }
        }
        Group { members, best, from, sum }
    }

    /// The best split of some questions by one measure.
    fn best_split(
        &self,
        place: usize,
        members: &[u32],
        sum: f32,
        residuals: &[f32],
        recipe: Recipe,
    ) -> Option<Best> {
        let codes = self.codes(place);
        let mut bins = [(0.0_f32, 0_usize); BINS];
        for member in members {
            let bin = &mut bins[usize::from(codes[*member as usize])];
            bin.0 += residuals[*member as usize];
            bin.1 += 1;
        }
        let strength = |sum: f32, size: usize| sum * sum / (size as f32 + recipe.shrinkage);
        let whole = strength(sum, members.len());
        let (mut low, mut size) = (0.0, 0);
        let mut best: Option<Best> = None;
        for (bin, (part, number)) in bins.iter().enumerate().take(self.edges[place].len() - 1) {
            low += part;
            size += number;
            if size < recipe.leaf_min || members.len() - size < recipe.leaf_min {
                continue;
            }
            let improvement =
                strength(low, size) + strength(sum - low, members.len() - size) - whole;
            if improvement > best.map_or(0.0, |best| best.improvement) {
                best = Some(Best { place, bin: bin as u8, improvement });
            }
        }
        best
    }
}

/// Lets a split lead to `child`.
fn link(splits: &mut [Split], from: Option<(usize, bool)>, child: Child) {
    if let Some((split, is_below)) = from
        && let Some(split) = splits.get_mut(split)
    {
        *if is_below { &mut split.below } else { &mut split.above } = child;
    }
}

/// The ends of at most [`BINS`] intervals with as many values in each. The last one holds all.
fn edges_of(mut values: Vec<f32>) -> Vec<f32> {
    values.sort_by(f32::total_cmp);
    let mut edges: Vec<f32> =
        (1..BINS).filter_map(|bin| values.get(bin * values.len() / BINS).copied()).collect();
    edges.extend(values.last());
    edges.dedup();
    edges
}
