//! The score of a question and the reasons for it.

use std::sync::LazyLock;

use crate::evaluation::quantile;
use crate::features::{self, DENSE, Features};
use crate::kind::Kind;
use crate::model::Model;
use crate::prior;
use crate::training::{self, Example, Interrupted};
use crate::weights::{self, WeightsError};

/// The gain with which a question is scored in the middle.
const MIDDLE_GAIN: f32 = 0.2;
/// How much more gain makes the score e times as likely to be high.
const GAIN_STEP: f32 = 0.06;
/// Parts of a gain that are too small to be named.
const NAMED_MIN: f32 = 0.004;
/// Most measures named for either track.
const NAMED_MAX: usize = 3;
/// Gains in a subject from here on are worth a remark.
const GAINS_MUCH: f32 = 0.2;
/// Parts of the questions that are held back in turn, to judge what was learned.
const FOLDS: usize = 5;

static SHIPPED: LazyLock<Scorer> = LazyLock::new(|| {
    let file = include_bytes!("../weights.bin");
    Scorer::read(file).unwrap_or_else(|_| Scorer::untrained())
});

/// Scores questions. What it knows is in a file of weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Scorer {
    model: Model,
}

/// How much a question needs the slow track.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// 0: surely the fast track; 1: surely the slow track.
    pub value: f64,
    /// What the question was taken for.
    pub kind: Kind,
    /// Sentences for a person, the most important first.
    pub reasons: Vec<String>,
}

/// What came of a training.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The new scorer.
    pub scorer: Scorer,
    /// The score of each example, from a training that had neither seen it nor one much like it.
    pub held_back: Vec<f64>,
}

impl Scorer {
    /// The scorer that comes with tandem.
    #[must_use]
    pub fn shipped() -> &'static Self {
        &SHIPPED
    }

    /// A scorer that knows only what was set by hand.
    #[must_use]
    pub fn untrained() -> Self {
        Self { model: prior::model() }
    }

    /// Reads a file of weights.
    pub fn read(file: &[u8]) -> Result<Self, WeightsError> {
        Ok(Self { model: weights::read(file)? })
    }

    /// The scorer as a file of weights.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        weights::write(&self.model)
    }

    /// The score alone, from 0 to 1.
    #[must_use]
    pub fn value(&self, features: &Features) -> f64 {
        let steps = (self.model.gain(features) - MIDDLE_GAIN) / GAIN_STEP;
        1.0 / (1.0 + (-f64::from(steps)).exp())
    }

    /// The score with its reasons.
    #[must_use]
    pub fn score(&self, prompt: &str) -> Score {
        let features = Features::of(prompt);
        let reasons = self.reasons(&features);
        Score { value: self.value(&features), kind: features.kind, reasons }
    }

    fn reasons(&self, features: &Features) -> Vec<String> {
        let much = self.model.gain(features) >= GAINS_MUCH;
        let remark = if much { ", where the local model gains much from help" } else { "" };
        // That a mathematical problem is about mathematics needs no words.
        let own = match features.kind {
            Kind::Maths => "mathematics",
            Kind::Code => "computing",
            Kind::Choice | Kind::Chat => "",
        };
        let subject = features.subject().filter(|name| *name != own);
        let subject = subject.map(|name| format!(" about {name}")).unwrap_or_default();
        let mut reasons = vec![format!("it is {}{subject}{remark}", features.kind)];
        let head = self.model.head(features.kind);
        let mut parts = [0.0; DENSE];
        for curve in &head.curves {
            if let Some(part) = parts.get_mut(usize::from(curve.place)) {
                *part += curve.of(features);
            }
        }
        head.trees.iter().for_each(|tree| tree.explain(features, &mut parts));
        let mut parts: Vec<(f32, String)> = parts
            .iter()
            .enumerate()
            .filter(|(_, part)| part.abs() >= NAMED_MIN)
            .map(|(place, part)| (*part, features::name(place)))
            .collect();
        let words = head.of_words(features);
        if words.abs() >= NAMED_MIN {
            parts.push((words, "the words in it".to_owned()));
        }
        for (track, sign) in [("slow", 1.0), ("fast", -1.0)] {
            let mut parts: Vec<_> = parts.iter().filter(|(part, _)| part * sign > 0.0).collect();
            parts.sort_by(|one, other| (other.0 * sign).total_cmp(&(one.0 * sign)));
            parts.truncate(NAMED_MAX);
            let names: Vec<&str> = parts.iter().map(|(_, name)| name.as_str()).collect();
            if !names.is_empty() {
                reasons.push(format!("for the {track} track speak {}", list(&names)));
            }
        }
        reasons
    }

    /// The score from which on questions are to be asked of the slow track, so that it gets
    /// `slow_share` of questions like those that were trained with. Unknown without training.
    #[must_use]
    pub fn threshold(&self, slow_share: f64) -> Option<f64> {
        let quantiles: Vec<f64> = self.model.quantiles.iter().copied().map(f64::from).collect();
        (!quantiles.is_empty()).then(|| quantile(&quantiles, 1.0 - slow_share.clamp(0.0, 1.0)))
    }

    /// Learns from graded questions what this scorer does not know yet. `proceed` hears of the
    /// progress, from 0 to 1, and breaks off when it is false.
    pub fn learn(
        &self,
        examples: &[&Example],
        mut proceed: impl FnMut(f32) -> bool,
    ) -> Result<Self, Interrupted> {
        Ok(Self { model: training::learn(&self.model, examples, &mut proceed)? })
    }

    /// [`Self::learn`]s from files, and finds out by cross-validation how good the scores are and how
    /// they are distributed, each file counting as much as another.
    pub fn train(
        &self,
        files: &[Vec<Example>],
        mut proceed: impl FnMut(f32) -> bool,
    ) -> Result<Trained, Interrupted> {
        let all: Vec<&Example> = files.iter().flatten().collect();
        let rounds = (FOLDS + 1) as f32;
        let folds = training::folds(&all, FOLDS);
        let mut held_back = vec![0.0; all.len()];
        for fold in 0..FOLDS {
            let mut proceed = |part: f32| proceed((fold as f32 + part) / rounds);
            let others: Vec<&Example> = all
                .iter()
                .zip(&folds)
                .filter(|(_, of)| **of != fold)
                .map(|(example, _)| *example)
                .collect();
            let scorer = self.learn(&others, &mut proceed)?;
            for ((example, of), score) in all.iter().zip(&folds).zip(&mut held_back) {
                if *of == fold {
                    *score = scorer.value(&example.features);
                }
            }
        }
        let mut proceed = |part: f32| proceed((FOLDS as f32 + part) / rounds);
        let mut scorer = self.learn(&all, &mut proceed)?;
        scorer.model.quantiles = quantiles(files, &held_back);
        Ok(Trained { scorer, held_back })
    }
}

/// The hundredths of the scores; each file counts as much as another.
fn quantiles(files: &[Vec<Example>], scores: &[f64]) -> Vec<f32> {
    let mut rest = scores;
    let mut pooled = Vec::new();
    for file in files.iter().filter(|file| !file.is_empty()) {
        let (own, after) = rest.split_at(file.len().min(rest.len()));
        let mut own = own.to_vec();
        own.sort_by(f64::total_cmp);
        pooled.extend((0..=100).map(|hundredth| quantile(&own, f64::from(hundredth) / 100.0)));
        rest = after;
    }
    pooled.sort_by(f64::total_cmp);
    (0..=100).map(|hundredth| quantile(&pooled, f64::from(hundredth) / 100.0) as f32).collect()
}

/// `a, b and c`.
fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
    }
}
