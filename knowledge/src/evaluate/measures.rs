//! Recall, reciprocal rank and gain, and how sure their means are.

use serde::Serialize;

use super::questions::Question;

/// Samples that are drawn for a confidence interval.
const SAMPLES: usize = 2000;
/// Part of the samples' means outside of the interval, on either side.
const TAIL: f64 = 0.025;

/// How a search did on one question.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Passages that the question has.
    relevant: usize,
    /// Rank, from 1 on, of each passage that was found, smallest first.
    ranks: Vec<usize>,
}

/// A mean and its confidence interval of 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// How a search did on a question set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Questions that count: those that can be answered.
    pub questions: usize,
    /// Results that were looked at.
    pub k: usize,
    /// Part of the passages that are among the first `k`.
    pub recall: Estimate,
    /// One divided by the rank of the first passage, or 0 when it is not among the first `k`.
    pub mrr: Estimate,
    /// Gain of the passages among the first `k`, less at lower ranks, compared to the best order.
    pub ndcg: Estimate,
}

/// Judges what was found for a question: sources and texts, best first. A passage counts once, at its best rank.
pub fn judge<'a>(
    question: &Question,
    found: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Judgement {
    let mut missing: Vec<_> = question.relevant.iter().collect();
    let mut ranks = Vec::new();
    for (rank, (source, text)) in (1..).zip(found) {
        let before = missing.len();
        missing.retain(|passage| !passage.is(source, text));
        ranks.extend(std::iter::repeat_n(rank, before - missing.len()));
    }
    Judgement { relevant: question.relevant.len(), ranks }
}

impl Judgement {
    /// Part of the passages that are among the first `k`.
    pub fn recall(&self, k: usize) -> f64 {
        ratio(self.within(k).count(), self.relevant)
    }

    /// One divided by the rank of the first passage, or 0 when it is not among the first `k`.
    pub fn reciprocal_rank(&self, k: usize) -> f64 {
        self.within(k).next().map_or(0.0, |rank| ratio(1, rank))
    }

    /// Gain of the passages among the first `k`, compared to the best order. One result can hold several
    /// passages; they are then taken to follow each other, so that no order is better than the best.
    pub fn ndcg(&self, k: usize) -> f64 {
        let best: f64 = (1..=self.relevant.min(k)).map(discount).sum();
        let mut last = 0;
        let gain: f64 = self
            .within(k)
            .map(|rank| {
                last = rank.max(last + 1);
                discount(last)
            })
            .sum();
        if best > 0.0 { (gain / best).min(1.0) } else { 0.0 }
    }

    fn within(&self, k: usize) -> impl Iterator<Item = usize> {
        self.ranks.iter().copied().take_while(move |rank| *rank <= k)
    }
}

/// Sums up judgements, of questions that can be answered; others have no passage to find and do not count.
/// The same seed gives the same intervals.
pub fn report(judgements: &[Judgement], k: usize, seed: u64) -> Report {
    let counted: Vec<_> = judgements.iter().filter(|judgement| judgement.relevant > 0).collect();
    let of = |measure: fn(&Judgement, usize) -> f64| {
        let values: Vec<f64> = counted.iter().map(|judgement| measure(judgement, k)).collect();
        estimate(&values, seed)
    };
    Report {
        questions: counted.len(),
        k,
        recall: of(Judgement::recall),
        mrr: of(Judgement::reciprocal_rank),
        ndcg: of(Judgement::ndcg),
    }
}

/// The mean of values, and the interval in which 95 % of the means of samples of them lie.
fn estimate(values: &[f64], seed: u64) -> Estimate {
    if values.is_empty() {
        return Estimate { mean: 0.0, low: 0.0, high: 0.0 };
    }
    let mut random = SplitMix(seed);
    let mut means: Vec<f64> = (0..SAMPLES)
        .map(|_| {
            let sum: f64 =
                (0..values.len()).filter_map(|_| values.get(random.below(values.len()))).sum();
            sum / count(values.len())
        })
        .collect();
    means.sort_by(f64::total_cmp);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a few thousand"
    )]
    let tail = (count(SAMPLES) * TAIL) as usize;
    let at = |place: usize| means.get(place).copied().unwrap_or_default();
    Estimate {
        mean: values.iter().sum::<f64>() / count(values.len()),
        low: at(tail),
        high: at(SAMPLES - 1 - tail),
    }
}

fn discount(rank: usize) -> f64 {
    1.0 / (count(rank) + 1.0).log2()
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { count(part) / count(whole) }
}

fn count(number: usize) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "counts of questions and ranks")]
    let count = number as f64;
    count
}

/// Random numbers (Steele, Lea and Flood 2014), the same everywhere.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        usize::try_from((u128::from(bits) * end as u128) >> 64).unwrap_or_default()
    }
}
