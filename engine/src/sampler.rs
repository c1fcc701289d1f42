//! Chooses the next token from a row of logits. Works on the row itself: a pass over it costs
//! microseconds, where a copy into a list of candidates would cost a tenth of a small model's step.
//!
//! The steps and their order are llama.cpp's: bias and penalties, `top_k`, `typical_p`, `top_p`,
//! `min_p`, temperature. Draws go through what is left in the order of the vocabulary.

mod closest;
mod mirostat;
mod random;
mod row;

use std::cmp::Ordering;

use self::closest::Closest;
pub use self::mirostat::Mirostat;
use self::row::Curve;
use crate::confidence::Reading;
use crate::sampling::Settings;

/// A chosen token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// The token.
    pub token: u32,
    /// How sure the model was of it.
    pub reading: Reading,
    /// Logarithm of the sum of exponentials of the row; a logit less this is a log-probability.
    log_total: f32,
}

/// The model produced logits that are not numbers.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("the model produced logits that are not numbers")]
pub struct NotFinite;

/// What a choice depends on besides settings and history.
#[derive(Debug, Default)]
pub struct Limits<'a> {
    /// One bit a token, the lowest first; others are never chosen. At least one is set.
    pub allowed: Option<&'a [u32]>,
    /// Used instead of the settings that cut off unlikely tokens.
    pub mirostat: Option<&'a mut Mirostat>,
}

/// Buffers that live from token to token.
#[derive(Debug, Default)]
pub struct Sampler {
    adjusted: Vec<f32>,
    recent: Vec<u32>,
    candidates: Vec<Candidate>,
    select: row::Select,
    wheel: row::Wheel,
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
        limits: Limits<'_>,
    ) -> Result<Draw, NotFinite> {
        let outline = Outline::new(row)?;
        let token = if settings.is_plain_greedy() && limits.allowed.is_none() {
            row::first(row, outline.peak)
        } else {
            let adjusted = self.adjust(row, settings, history, limits.allowed);
            let point = random::uniform(settings.seed, index);
            let token = self.choose(adjusted.as_deref().unwrap_or(row), settings, point, limits);
            self.adjusted = adjusted.unwrap_or_default();
            token
        };
        let reading = outline.reading(row, token)?;
        Ok(Draw { token, reading, log_total: outline.log_total })
    }

    /// Takes notice of a token chosen earlier from this row, with the same settings. How sure the
    /// model was of it.
    pub fn observe(
        &mut self,
        row: &[f32],
        settings: &Settings,
        history: &[u32],
        token: u32,
        limits: Limits<'_>,
    ) -> Result<Reading, NotFinite> {
        let reading = Outline::new(row)?.reading(row, token)?;
        if let Some(mirostat) = limits.mirostat
            && settings.temperature > 0.0
        {
            let adjusted = self.adjust(row, settings, history, limits.allowed);
            let curve = self.keep_unsurprising(
                adjusted.as_deref().unwrap_or(row),
                settings.temperature,
                mirostat,
            );
            let at = self.candidates.iter().position(|candidate| candidate.token == token);
            mirostat.learn(self.probability(at.unwrap_or(0), curve));
            self.adjusted = adjusted.unwrap_or_default();
        }
        Ok(reading)
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

    fn choose(
        &mut self,
        logits: &[f32],
        settings: &Settings,
        point: f64,
        limits: Limits<'_>,
    ) -> u32 {
        if settings.temperature == 0.0 {
            return row::first(logits, row::largest(logits));
        }
        if let Some(mirostat) = limits.mirostat {
            let curve = self.keep_unsurprising(logits, settings.temperature, mirostat);
            let at = self.draw(curve, point);
            mirostat.learn(self.probability(at, curve));
            return self.candidates.get(at).map_or(0, |candidate| candidate.token);
        }
        let peak = row::largest(logits);
        if !self.truncate(logits, peak, settings) {
            return self.wheel.draw(logits, curve(peak, settings.temperature), point);
        }
        let curve = curve(self.candidate_peak(), settings.temperature);
        let at = self.draw(curve, point);
        self.candidates.get(at).map_or(0, |candidate| candidate.token)
    }

    /// A copy of the row with bias and penalties, as llama.cpp defines them, and without what is
    /// forbidden; `None` when that is the row itself.
    fn adjust(
        &mut self,
        row: &[f32],
        settings: &Settings,
        history: &[u32],
        allowed: Option<&[u32]>,
    ) -> Option<Vec<f32>> {
        if allowed.is_none() && settings.logit_bias.is_empty() && !settings.penalizes() {
            return None;
        }
        let mut adjusted = std::mem::take(&mut self.adjusted);
        adjusted.clear();
        adjusted.extend_from_slice(row);
        if let Some(allowed) = allowed {
            forbid(&mut adjusted, allowed);
        }
        for &(token, bias) in &settings.logit_bias {
            if let Some(logit) = adjusted.get_mut(token as usize) {
                *logit += bias;
            }
        }
        if settings.penalizes() {
            self.penalize(&mut adjusted, settings, history);
        }
        Some(adjusted)
    }

    fn penalize(&mut self, adjusted: &mut [f32], settings: &Settings, history: &[u32]) {
        let start = history.len().saturating_sub(settings.repeat_last_n);
        self.recent.clear();
        self.recent.extend_from_slice(history.get(start..).unwrap_or_default());
        self.recent.sort_unstable();
        for run in self.recent.chunk_by(|a, b| a == b) {
            let Some(logit) = run.first().and_then(|&t| adjusted.get_mut(t as usize)) else {
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

    /// Fills `candidates` with the tokens that the settings leave, in the order of the vocabulary.
    /// Whether they cut off anything; if not, `candidates` means nothing.
    fn truncate(&mut self, logits: &[f32], peak: f32, settings: &Settings) -> bool {
        let plain = Curve { peak, sharpness: 1.0 };
        let (typical_p, top_p) = (settings.typical_p, settings.top_p);
        let (top_k, typical, nucleus) =
            ((1..logits.len()).contains(&settings.top_k), typical_p < 1.0, top_p < 1.0);
        let out = &mut self.candidates;
        // The first step works on the row, the others on what it left.
        if top_k {
            self.select.top(logits, settings.top_k, out);
        } else if typical {
            let center = row::mean(logits, plain);
            let typical = Closest { center, share: typical_p, beyond: true };
            typical.of_row(logits, plain, &mut self.select, out);
        } else if nucleus {
            let nucleus = Closest { center: peak, share: top_p, beyond: false };
            nucleus.of_row(logits, plain, &mut self.select, out);
        } else if settings.min_p > 0.0 {
            self.select.at_least(logits, peak + settings.min_p.ln(), out);
            return true;
        } else {
            return false;
        }
        if top_k && typical {
            let listed: Vec<f32> = self.candidates.iter().map(|c| c.logit).collect();
            let typical =
                Closest { center: row::mean(&listed, plain), share: typical_p, beyond: true };
            typical.of_list(&mut self.candidates, plain);
        }
        let left = Curve { peak: self.candidate_peak(), sharpness: 1.0 };
        if (top_k || typical) && nucleus {
            let nucleus = Closest { center: left.peak, share: top_p, beyond: false };
            nucleus.of_list(&mut self.candidates, left);
        }
        if settings.min_p > 0.0 {
            let least = left.peak + settings.min_p.ln();
            self.candidates.retain(|candidate| candidate.logit >= least);
        }
        if top_k {
            self.candidates.sort_unstable_by_key(|candidate| candidate.token);
        }
        true
    }

    /// Fills `candidates` with the tokens that mirostat allows: the likeliest one at least.
    fn keep_unsurprising(
        &mut self,
        logits: &[f32],
        temperature: f32,
        mirostat: &Mirostat,
    ) -> Curve {
        let curve = curve(row::largest(logits), temperature);
        #[allow(clippy::cast_possible_truncation, reason = "logits have no more precision")]
        let log_total = row::total(logits, curve).ln() as f32;
        let below = (log_total - mirostat.depth()) / curve.sharpness;
        if below <= 0.0 {
            self.select.at_least(logits, curve.peak + below, &mut self.candidates);
        } else {
            self.select.top(logits, 1, &mut self.candidates);
        }
        curve
    }

    /// Inverts the cumulative distribution of the candidates at `point` in `0..1`.
    fn draw(&self, curve: Curve, point: f64) -> usize {
        let mut left = point * self.total(curve);
        row::pick(self.candidates.iter().map(|c| curve.weight(c.logit)), &mut left)
    }

    /// The probability of one candidate among all.
    fn probability(&self, at: usize, curve: Curve) -> f64 {
        let weight = self.candidates.get(at).map_or(0.0, |c| curve.weight(c.logit));
        f64::from(weight) / self.total(curve)
    }

    fn total(&self, curve: Curve) -> f64 {
        self.candidates.iter().map(|c| f64::from(curve.weight(c.logit))).sum()
    }

    fn candidate_peak(&self) -> f32 {
        self.candidates.iter().map(|candidate| candidate.logit).fold(f32::MIN, f32::max)
    }
}

/// A row in a few numbers.
#[derive(Debug, Clone, Copy)]
struct Outline {
    /// The largest logit.
    peak: f32,
    log_total: f32,
    entropy: f32,
    /// Between the probabilities of the likeliest two tokens.
    margin: f32,
}

impl Outline {
    fn new(row: &[f32]) -> Result<Self, NotFinite> {
        let (peak, second) = row::peaks(row).ok_or(NotFinite)?;
        let (log_total, entropy) = row::log_total_and_entropy(row, peak);
        let margin = (peak - log_total).exp() - (second - log_total).exp();
        Ok(Self { peak, log_total, entropy, margin })
    }

    fn reading(&self, row: &[f32], token: u32) -> Result<Reading, NotFinite> {
        let logit = row.get(token as usize).ok_or(NotFinite)?;
        let Self { log_total, entropy, margin, .. } = *self;
        Ok(Reading { logprob: logit - log_total, entropy, margin })
    }
}

fn curve(peak: f32, temperature: f32) -> Curve {
    // Below that, nothing but the peak has any weight.
    Curve { peak, sharpness: 1.0 / temperature.max(1e-6) }
}

/// Makes impossible what is not in `allowed`.
fn forbid(logits: &mut [f32], allowed: &[u32]) {
    let words = allowed.iter().copied().chain(std::iter::repeat(0));
    for (logits, word) in logits.chunks_mut(32).zip(words) {
        if word == u32::MAX {
            continue;
        }
        for (bit, logit) in logits.iter_mut().enumerate() {
            if word >> bit & 1 == 0 {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
