//! Learns heads from questions of which both tracks' answers were graded.
//!
//! What is learned is the gain of the slow track, not whether the fast one fails: where both fail, help
//! is wasted. A single gain is mostly noise, so that each is drawn toward the mean of its domain.

use std::collections::HashMap;

use crate::dataset::Question;
use crate::features::Features;
use crate::kind::Kind;
use crate::model::Model;

mod boosting;
mod folds;
pub(crate) mod random;
mod ridge;

pub use folds::folds;
use random::Random;

/// A head is learned from so many questions of its kind; with fewer, it stays as it was.
pub const QUESTIONS_MIN: usize = 200;
/// The mean gain of a domain counts as if it had so many more questions with the mean of all.
const DOMAIN_PRIOR: f32 = 10.0;

/// Training was broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted;

/// A question with its measures, ready to learn from and to be scored.
#[derive(Debug, Clone)]
pub struct Example {
    pub(crate) features: Features,
    /// From -1 to 1.
    pub(crate) gain: f32,
    pub(crate) domain: String,
}

/// How a kind of task is learned. Found by cross-validation on the public questions.
#[derive(Debug, Clone, Copy)]
struct Recipe {
    trees: Option<boosting::Recipe>,
    /// How far a gain is drawn toward the mean of its domain, for trees and for words.
    drawn: (f32, f32),
    words: ridge::Recipe,
    /// What trees and words count for.
    shares: (f32, f32),
}

const CHOICE: Recipe = Recipe {
    trees: Some(boosting::Recipe {
        trees: 100,
        leaves: 16,
        leaf_min: 60,
        rate: 0.05,
        shrinkage: 50.0,
        one_of: 3,
    }),
    drawn: (0.5, 0.7),
    words: ridge::Recipe { penalty: 60.0, rarity: 1.0 },
    shares: (0.5, 0.5),
};

const OTHERS: Recipe = Recipe {
    trees: None,
    drawn: (0.0, 0.0),
    words: ridge::Recipe { penalty: 4.0, rarity: 0.0 },
    shares: (0.0, 1.0),
};

impl Example {
    /// Measures the questions of one file. Scores above 1 mean that the file's scale is 1 to 10.
    /// Where a grade was repaired, its mean with the first one counts.
    #[must_use]
    pub fn of(questions: &[Question]) -> Vec<Self> {
        let scale = if is_of_ten(questions) { 9.0 } else { 1.0 };
        questions
            .iter()
            .map(|question| {
                let regraded = question.strong_score_regraded.unwrap_or(question.strong_score);
                let strong = f64::midpoint(question.strong_score, regraded);
                Self {
                    features: Features::of(&question.prompt),
                    gain: ((strong - question.weak_score) / scale) as f32,
                    domain: question.domain.clone(),
                }
            })
            .collect()
    }

    /// The question's measures.
    #[must_use]
    pub fn features(&self) -> &Features {
        &self.features
    }
}

fn is_of_ten(questions: &[Question]) -> bool {
    questions.iter().any(|question| question.weak_score.max(question.strong_score) > 1.0)
}

/// Learns from `examples` what `base` does not know yet. `proceed` hears of the progress, from 0 to
/// 1, and breaks the training off when it is false.
pub(crate) fn learn(
    base: &Model,
    examples: &[&Example],
    proceed: &mut dyn FnMut(f32) -> bool,
) -> Result<Model, Interrupted> {
    let mut model = base.clone();
    for kind in Kind::ALL {
        let of_kind: Vec<&Example> =
            examples.iter().copied().filter(|example| example.features.kind == kind).collect();
        if of_kind.len() >= QUESTIONS_MIN {
            let recipe = if kind == Kind::Choice { CHOICE } else { OTHERS };
            learn_kind(&mut model, kind, &of_kind, recipe, proceed)?;
        }
    }
    Ok(model)
}

fn learn_kind(
    model: &mut Model,
    kind: Kind,
    examples: &[&Example],
    recipe: Recipe,
    proceed: &mut dyn FnMut(f32) -> bool,
) -> Result<(), Interrupted> {
    let number = examples.len() as f32;
    let known: Vec<f32> = examples.iter().map(|example| model.gain(&example.features)).collect();
    let shift =
        examples.iter().zip(&known).map(|(example, known)| example.gain - known).sum::<f32>()
            / number;
    let residuals = |drawn: f32| -> Vec<f32> {
        let targets = targets(examples, drawn);
        targets.iter().zip(&known).map(|(target, known)| target - known - shift).collect()
    };
    let rows: Vec<&Features> = examples.iter().map(|example| &example.features).collect();
    let mut trees = match recipe.trees {
        Some(trees) => {
            let mut random = Random::new(kind as u64);
            let proceed = |part| proceed(0.9 * part);
            boosting::grow(&rows, &residuals(recipe.drawn.0), trees, &mut random, proceed)?
        }
        None => Vec::new(),
    };
    trees.iter_mut().flat_map(|tree| &mut tree.leaves).for_each(|leaf| *leaf *= recipe.shares.0);
    let weights = ridge::solve(&rows, &residuals(recipe.drawn.1), recipe.words);
    if !proceed(1.0) {
        return Err(Interrupted);
    }
    let head = &mut model.heads[kind as usize];
    head.intercept += shift;
    head.trees.append(&mut trees);
    let mut words = head.words();
    for (word, weight) in words.iter_mut().zip(weights) {
        *word += recipe.shares.1 * weight;
    }
    head.set_words(&words);
    Ok(())
}

/// The gains, each drawn toward the mean of its domain.
fn targets(examples: &[&Example], drawn: f32) -> Vec<f32> {
    let mean = examples.iter().map(|example| example.gain).sum::<f32>() / examples.len() as f32;
    let mut domains: HashMap<&str, (f32, f32)> = HashMap::new();
    for example in examples {
        let (sum, number) = domains.entry(&example.domain).or_default();
        *sum += example.gain;
        *number += 1.0;
    }
    examples
        .iter()
        .map(|example| {
            let (sum, number) = domains.get(example.domain.as_str()).copied().unwrap_or_default();
            let domain = (sum + DOMAIN_PRIOR * mean) / (number + DOMAIN_PRIOR);
            (1.0 - drawn) * example.gain + drawn * domain
        })
        .collect()
}
