//! The sampler against llama.cpp's own samplers, which the engine links anyway: what survives and
//! how likely it is, for random settings over random rows.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "tests"
)]

use super::*;
use crate::llama::chain::Chain;
use crate::sampling::tests::neutral;

/// Random numbers for one case.
struct Case {
    seed: u64,
    drawn: u64,
}

impl Case {
    fn number(&mut self) -> f64 {
        self.drawn += 1;
        random::uniform(self.seed, self.drawn)
    }

    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.number() as f32
    }

    fn below(&mut self, end: usize) -> usize {
        (self.number() * end as f64) as usize
    }

    /// One of these, the first half of the time.
    fn maybe(&mut self, off: f32, low: f32, high: f32) -> f32 {
        if self.number() < 0.5 { off } else { self.between(low, high) }
    }

    /// Peaked or flat, with ties or without. llama.cpp's entropy is no number when a probability
    /// vanishes, so none does.
    fn row(&mut self) -> Vec<f32> {
        let size = [1, 2, 7, 64, 65, 300, 1_025, 5_000][self.below(8)];
        let (spread, power) = (self.between(0.5, 40.0), 1 + self.below(6) as i32);
        let step = [0.0, 0.125, 1.0][self.below(3)];
        (0..size)
            .map(|_| {
                let logit = self.number().powi(power) as f32 * spread - 10.0;
                if step > 0.0 { (logit / step).round() * step } else { logit }
            })
            .collect()
    }

    fn settings(&mut self, size: usize) -> Settings {
        let biases = self.below(4);
        Settings {
            temperature: self.between(0.1, 3.0),
            top_k: if self.number() < 0.5 { 0 } else { self.below(2 * size) },
            typical_p: self.maybe(1.0, 0.05, 1.0),
            top_p: self.maybe(1.0, 0.02, 1.0),
            min_p: self.maybe(0.0, 0.0, 0.6),
            repeat_penalty: self.maybe(1.0, 0.5, 2.0),
            presence_penalty: self.maybe(0.0, -2.0, 2.0),
            frequency_penalty: self.maybe(0.0, -1.0, 1.0),
            repeat_last_n: self.below(80),
            // llama.cpp adds no two biases to one token when it has to search.
            logit_bias: (0..biases.min(size))
                .map(|token| (token as u32, self.between(-8.0, 8.0)))
                .collect(),
            ..neutral()
        }
    }
}

/// What our settings leave, with probabilities, in the order of the vocabulary.
fn survivors(row: &[f32], settings: &Settings, history: &[u32]) -> Vec<(u32, f64)> {
    let mut sampler = Sampler::default();
    let adjusted = sampler.adjust(row, settings, history, None);
    let logits = adjusted.as_deref().unwrap_or(row);
    let peak = row::largest(logits);
    if !sampler.truncate(logits, peak, settings) {
        sampler.select.at_least(logits, f32::MIN, &mut sampler.candidates);
    }
    let curve = curve(sampler.candidate_peak(), settings.temperature);
    (0..sampler.candidates.len())
        .map(|at| (sampler.candidates[at].token, sampler.probability(at, curve)))
        .collect()
}

fn probabilities(logits: &[(u32, f32)]) -> Vec<(u32, f64)> {
    let peak = logits.iter().map(|entry| entry.1).fold(f32::MIN, f32::max);
    let weight = |logit: f32| f64::from(logit - peak).exp();
    let total: f64 = logits.iter().map(|entry| weight(entry.1)).sum();
    logits.iter().map(|&(token, logit)| (token, weight(logit) / total)).collect()
}

/// Which of equally likely tokens survive is chance in llama.cpp, so likelihoods are compared.
fn ranked(survivors: &[(u32, f64)]) -> Vec<f64> {
    let mut likelihoods: Vec<f64> = survivors.iter().map(|entry| entry.1).collect();
    likelihoods.sort_by(|a, b| b.total_cmp(a));
    likelihoods
}

#[test]
fn hundreds_of_random_settings_leave_what_llama_cpp_leaves() {
    let mut rounded = 0;
    for seed in 0..1_500 {
        let mut case = Case { seed, drawn: 0 };
        let row = case.row();
        let settings = case.settings(row.len());
        let history: Vec<u32> =
            (0..case.below(120)).map(|_| case.below(row.len()) as u32).collect();
        let ours = survivors(&row, &settings, &history);
        let (left, _) = Chain::new(&settings, row.len(), &history).apply(&row);
        let theirs = ranked(&probabilities(&left));
        assert!(ours.is_sorted_by_key(|entry| entry.0), "case {seed}");
        let ours = ranked(&ours);
        // llama.cpp sums single-precision numbers one by one: on thousands of them it is off by
        // more than the last token's probability now and then.
        let same = ours.len() == theirs.len()
            && ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() <= 2e-5 * a.max(*b) + 1e-9);
        if !same {
            rounded += 1;
            let apart = ours.len().abs_diff(theirs.len());
            assert!(
                apart <= 1 + ours.len() / 100,
                "case {seed}: {} and {} of {} survive {settings:?}",
                ours.len(),
                theirs.len(),
                row.len(),
            );
        }
    }
    assert!(rounded <= 30, "{rounded} of 1500 cases differ");
}

#[test]
fn tokens_as_likely_as_each_other_are_cut_where_llama_cpp_cuts() {
    for (top_p, typical_p, kept) in [(0.5, 1.0, 2), (0.51, 1.0, 3), (1.0, 0.5, 3), (1.0, 0.49, 2)] {
        let settings = Settings { top_p, typical_p, ..neutral() };
        let row = [1.0; 4];
        assert_eq!(survivors(&row, &settings, &[]).len(), kept);
        assert_eq!(Chain::new(&settings, 4, &[]).apply(&row).0.len(), kept);
    }
}

#[test]
fn mirostat_leaves_and_learns_what_llama_cpp_leaves_and_learns() {
    for seed in 0..60 {
        let mut case = Case { seed, drawn: 0 };
        let (temperature, tau, eta) =
            (case.between(0.2, 2.0), case.between(0.5, 8.0), case.between(0.01, 0.5));
        let settings = Settings { temperature, ..neutral() };
        let mut chain = Chain::mirostat(temperature, tau, eta, seed as u32);
        let mut mirostat = Mirostat::new(tau, eta);
        let mut sampler = Sampler::default();
        for _ in 0..20 {
            let row = case.row();
            let (left, drawn) = chain.apply(&row);
            let token = left[drawn.unwrap()].0;
            sampler.keep_unsurprising(&row, temperature, &mirostat);
            let (ours, theirs) = (sampler.candidates.len(), left.len());
            assert!(ours.abs_diff(theirs) <= theirs / 100, "case {seed}: {ours} and {theirs}");
            let limits = Limits { mirostat: Some(&mut mirostat), ..Limits::default() };
            sampler.observe(&row, &settings, &[], token, limits).unwrap();
        }
    }
}
