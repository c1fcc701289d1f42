//! What is to be known about scores on one set of questions.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::{Outcome, Quality, judge, means};
use crate::dataset::Question;
use crate::training::random::Random;

/// How often questions are drawn anew for the interval.
const RESAMPLES: usize = 200;

/// Which grades and questions count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Take repaired grades where there are any.
    pub regraded: bool,
    /// Domains to leave out.
    pub excluded_domains: Vec<String>,
}

/// The quality of scores on a set of questions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Number of questions.
    pub n: usize,
    /// Mean quality of the fast track.
    pub weak_mean: f64,
    /// Mean quality of the slow track.
    pub strong_mean: f64,
    /// Share of questions that the slow track answers better.
    pub strong_better: f64,
    /// Share of questions that the fast track answers better.
    pub weak_better: f64,
    /// How good the scores are.
    pub router: Quality,
    /// How good the best order is.
    pub oracle: Quality,
    /// APGR is within these with a probability of 95 %, as far as the choice of questions goes.
    pub apgr_ci95: [f64; 2],
    /// Number of different scores.
    pub distinct_scores: usize,
    /// By domain.
    pub domains: BTreeMap<String, Domain>,
}

/// The questions of one domain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Domain {
    /// How many.
    pub n: usize,
    /// Their mean score.
    pub mean_score: f64,
    /// By how much the slow track is better on average.
    pub gain: f64,
    /// APGR within the domain; none where the slow track is not better.
    pub apgr: Option<f64>,
}

impl Selection {
    /// The outcome of a question, if it counts.
    #[must_use]
    pub fn outcome(&self, question: &Question) -> Option<Outcome> {
        let regraded = question.strong_score_regraded.filter(|_| self.regraded);
        let strong = regraded.unwrap_or(question.strong_score);
        let counts = !self.excluded_domains.contains(&question.domain);
        counts.then_some(Outcome { weak: question.weak_score, strong })
    }
}

impl Report {
    /// Judges `scores`, one for each question. None where no questions are left and where the slow
    /// track is not better on average.
    #[must_use]
    pub fn of(questions: &[Question], scores: &[f64], selection: &Selection) -> Option<Self> {
        let selected: Vec<(&Question, f64, Outcome)> = questions
            .iter()
            .zip(scores)
            .filter_map(|(question, score)| Some((question, *score, selection.outcome(question)?)))
            .collect();
        let scores: Vec<f64> = selected.iter().map(|(_, score, _)| *score).collect();
        let outcomes: Vec<Outcome> = selected.iter().map(|(_, _, outcome)| *outcome).collect();
        let (weak_mean, strong_mean) = means(&outcomes)?;
        let share = |is: fn(&Outcome) -> bool| {
            outcomes.iter().filter(|outcome| is(outcome)).count() as f64 / outcomes.len() as f64
        };
        let gains: Vec<f64> =
            outcomes.iter().map(|outcome| outcome.strong - outcome.weak).collect();
        let mut domains: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, (question, _, _)) in selected.iter().enumerate() {
            domains.entry(question.domain.clone()).or_default().push(place);
        }
        let domains = domains
            .into_iter()
            .map(|(name, places)| (name, Domain::of(&places, &scores, &outcomes)))
            .collect();
        Some(Self {
            n: outcomes.len(),
            weak_mean,
            strong_mean,
            strong_better: share(|outcome| outcome.strong > outcome.weak),
            weak_better: share(|outcome| outcome.strong < outcome.weak),
            router: judge(&scores, &outcomes)?,
            oracle: judge(&gains, &outcomes)?,
            apgr_ci95: interval(&scores, &outcomes),
            distinct_scores: scores
                .iter()
                .map(|score| score.to_bits())
                .collect::<HashSet<_>>()
                .len(),
            domains,
        })
    }
}

impl Domain {
    fn of(places: &[usize], scores: &[f64], outcomes: &[Outcome]) -> Self {
        let scores: Vec<f64> = places.iter().filter_map(|at| scores.get(*at).copied()).collect();
        let outcomes: Vec<Outcome> =
            places.iter().filter_map(|at| outcomes.get(*at).copied()).collect();
        let (weak, strong) = means(&outcomes).unwrap_or_default();
        Self {
            n: places.len(),
            mean_score: scores.iter().sum::<f64>() / places.len().max(1) as f64,
            gain: strong - weak,
            apgr: judge(&scores, &outcomes).map(|quality| quality.apgr),
        }
    }
}

/// Where APGR lies for other questions of the same sort.
fn interval(scores: &[f64], outcomes: &[Outcome]) -> [f64; 2] {
    let mut random = Random::new(0);
    let mut found: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let (scores, outcomes): (Vec<f64>, Vec<Outcome>) = (0..scores.len())
                .map(|_| random.below(scores.len() as u64) as usize)
                .filter_map(|at| Some((*scores.get(at)?, *outcomes.get(at)?)))
                .unzip();
            judge(&scores, &outcomes).map(|quality| quality.apgr)
        })
        .collect();
    found.sort_by(f64::total_cmp);
    [0.025, 0.975].map(|share| super::quantile(&found, share))
}
