//! Chooses the next token from a row of logits. Works on the row itself: a pass over it costs
//! microseconds, where a copy into a list of candidates would cost a tenth of a small model's step.

mod random;
mod row;

use std::cmp::Ordering;

use crate::sampling::Settings;

/// A chosen token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// The token.
    pub token: u32,
    /// Its natural-log probability under the model, before any setting took effect.
    pub logprob: f32,
    /// Logarithm of the sum of exponentials of the row; a logit less this is a log-probability.
    log_total: f32,
}

/// The model produced logits that are not numbers.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("the model produced logits that are not numbers")]
pub struct NotFinite;

/// Buffers that live from token to token.
#[derive(Debug, Default)]
pub struct Sampler {
    adjusted: Vec<f32>,
    recent: Vec<u32>,
    candidates: Vec<Candidate>,
    weights: Vec<f64>,
    select: row::Select,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Candidate {
    logit: f32,
    token: u32,
}

impl Candidate {
    /// Likeliest first; the lower token among equals, so that the order is total.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that sorting asks for")]
    fn order(&self, other: &Self) -> Ordering {
        other.logit.total_cmp(&self.logit).then(self.token.cmp(&other.token))
    }
}

impl Sampler {
    /// Chooses the token with number `index` of an answer. `history` is prompt and answer so far.
    pub fn sample(
        &mut self,
        row: &[f32],
        settings: &Settings,
        history: &[u32],
        index: u64,
    ) -> Result<Draw, NotFinite> {
        let peak = row::peak(row).ok_or(NotFinite)?;
        let log_total = row::log_total(row, peak);
        let token = if settings.is_plain_greedy() {
            row::first(row, peak)
        } else {
            self.choose(row, settings, history, index)
        };
        let logit = usize::try_from(token).ok().and_then(|token| row.get(token));
        let logprob = logit.ok_or(NotFinite)? - log_total;
        Ok(Draw { token, logprob, log_total })
    }

    /// The `count` likeliest tokens of the row with their log-probabilities, likeliest first.
    pub fn likeliest(
        &mut self,
        row: &[f32],
        draw: &Draw,
        count: usize,
    ) -> impl Iterator<Item = (u32, f32)> {
        let log_total = draw.log_total;
        self.select.top(row, count, &mut self.candidates);
        self.candidates.iter().map(move |entry| (entry.token, entry.logit - log_total))
    }

    fn choose(&mut self, row: &[f32], settings: &Settings, history: &[u32], index: u64) -> u32 {
        self.adjust(row, settings, history);
        if settings.temperature == 0.0 {
            let peak = row::peak(&self.adjusted).unwrap_or(f32::MAX);
            return row::first(&self.adjusted, peak);
        }
        self.select_candidates(settings);
        if settings.typical_p < 1.0 {
            self.keep_typical(settings.typical_p);
        }
        if settings.top_p < 1.0 {
            self.keep_nucleus(settings.top_p);
        }
        if settings.min_p > 0.0 {
            let least = self.candidate_peak() + settings.min_p.ln();
            self.candidates.retain(|candidate| candidate.logit >= least);
        }
        self.draw(settings.temperature, random::uniform(settings.seed, index))
    }

    /// Copies the row and applies bias and penalties, as llama.cpp defines them.
    fn adjust(&mut self, row: &[f32], settings: &Settings, history: &[u32]) {
        self.adjusted.clear();
        self.adjusted.extend_from_slice(row);
        for &(token, bias) in &settings.logit_bias {
            if let Some(logit) = self.adjusted.get_mut(token as usize) {
                *logit += bias;
            }
        }
        if !settings.penalizes() {
            return;
        }
        let start = history.len().saturating_sub(settings.repeat_last_n);
        self.recent.clear();
        self.recent.extend_from_slice(history.get(start..).unwrap_or_default());
        self.recent.sort_unstable();
        for run in self.recent.chunk_by(|a, b| a == b) {
            let Some(logit) = run.first().and_then(|&t| self.adjusted.get_mut(t as usize)) else {
                continue;
            };
            // A negative logit divided would become likelier.
            if *logit <= 0.0 {
                *logit *= settings.repeat_penalty;
            } else {
                *logit /= settings.repeat_penalty;
            }
            #[allow(clippy::cast_precision_loss, reason = "at most 4096 tokens")]
            let occurrences = run.len() as f32;
            *logit -= occurrences * settings.frequency_penalty + settings.presence_penalty;
        }
    }

    /// Fills `candidates`: sorted when a later step needs them so.
    fn select_candidates(&mut self, settings: &Settings) {
        if settings.top_k > 0 || settings.typical_p < 1.0 || settings.top_p < 1.0 {
            let count = if settings.top_k > 0 { settings.top_k } else { self.adjusted.len() };
            self.select.top(&self.adjusted, count, &mut self.candidates);
        } else {
            row::all(&self.adjusted, &mut self.candidates);
        }
    }

    /// Keeps the smallest set whose information content is closest to the expected one.
    fn keep_typical(&mut self, typical_p: f32) {
        self.weigh(1.0);
        let entropy: f64 = self.weights.iter().filter(|&&p| p > 0.0).map(|&p| -p * p.ln()).sum();
        let mut ranked: Vec<(f64, f64, Candidate)> = self
            .weights
            .iter()
            .zip(&self.candidates)
            .map(|(&p, &candidate)| ((-p.ln() - entropy).abs(), p, candidate))
            .collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.2.order(&b.2)));
        let mut sum = 0.0;
        let enough = ranked.iter().position(|&(_, p, _)| {
            sum += p;
            sum > f64::from(typical_p)
        });
        ranked.truncate(enough.map_or(ranked.len(), |last| last + 1));
        self.candidates.clear();
        self.candidates.extend(ranked.iter().map(|&(_, _, candidate)| candidate));
        self.candidates.sort_unstable_by(Candidate::order);
    }

    /// Keeps the smallest set of likeliest tokens whose probability reaches `top_p`.
    fn keep_nucleus(&mut self, top_p: f32) {
        self.weigh(1.0);
        let mut sum = 0.0;
        let enough = self.weights.iter().position(|&p| {
            sum += p;
            sum >= f64::from(top_p)
        });
        self.candidates.truncate(enough.map_or(self.candidates.len(), |last| last + 1));
    }

    /// Inverts the cumulative distribution at `point` in `0..1`.
    fn draw(&mut self, temperature: f32, point: f64) -> u32 {
        self.weigh(f64::from(temperature));
        let mut sum = 0.0;
        let drawn = self.weights.iter().position(|&p| {
            sum += p;
            point < sum
        });
        // Rounding can leave the sum below `point`: then it is the last token that counts.
        let drawn = drawn.or_else(|| self.weights.iter().rposition(|&p| p > 0.0));
        drawn.and_then(|at| self.candidates.get(at)).map_or(0, |candidate| candidate.token)
    }

    /// Fills `weights` with the probabilities of the candidates at `temperature`.
    fn weigh(&mut self, temperature: f64) {
        let peak = f64::from(self.candidate_peak());
        self.weights.clear();
        self.weights.extend(
            self.candidates.iter().map(|c| ((f64::from(c.logit) - peak) / temperature).exp()),
        );
        let total: f64 = self.weights.iter().sum();
        self.weights.iter_mut().for_each(|weight| *weight /= total);
    }

    fn candidate_peak(&self) -> f32 {
        self.candidates.iter().map(|candidate| candidate.logit).fold(f32::MIN, f32::max)
    }
}

#[cfg(test)]
mod tests;
