//! What became of a turn, added to what became of others.

use std::time::Duration;

use tandem_proto::v1::{Moments, Outcomes, Track, VariantName, Verdict};

/// What became of one turn that is part of experiments.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Its variants.
    pub variants: Vec<VariantName>,
    /// How it was answered; `None` when it ended with an error.
    pub answer: Option<OutcomeAnswer>,
}

/// How a turn was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct OutcomeAnswer {
    /// Whose answer counts.
    pub track: Track,
    /// The other track had to take over.
    pub fell_back: bool,
    /// From question to first token.
    pub first_token: Duration,
    /// From question to end.
    pub total: Duration,
    /// In millionths of the currency, where a price is known.
    pub cost_micros: Option<u64>,
}

/// Adds one turn to those of a variant.
pub(crate) fn add(outcomes: &mut Outcomes, outcome: &Outcome) {
    let Some(answer) = &outcome.answer else {
        outcomes.failed += 1;
        return;
    };
    outcomes.answered += 1;
    outcomes.slow += u64::from(answer.track == Track::Slow);
    outcomes.fell_back += u64::from(answer.fell_back);
    observe(&mut outcomes.first_token_ms, milliseconds(answer.first_token));
    observe(&mut outcomes.total_ms, milliseconds(answer.total));
    if let Some(cost) = answer.cost_micros {
        #[allow(clippy::cast_precision_loss, reason = "exact up to nine billion of the currency")]
        observe(&mut outcomes.cost_micros, cost as f64);
    }
}

/// Counts a verdict in the place of an earlier one on the same turn.
pub(crate) fn verdict(outcomes: &mut Outcomes, before: Verdict, now: Verdict) {
    match before {
        Verdict::Up => outcomes.up = outcomes.up.saturating_sub(1),
        Verdict::Down => outcomes.down = outcomes.down.saturating_sub(1),
        Verdict::Unspecified => (),
    }
    match now {
        Verdict::Up => outcomes.up += 1,
        Verdict::Down => outcomes.down += 1,
        Verdict::Unspecified => (),
    }
}

/// Welford's way, which loses nothing to large sums.
fn observe(moments: &mut Option<Moments>, value: f64) {
    let moments = moments.get_or_insert_default();
    moments.count += 1;
    #[allow(clippy::cast_precision_loss, reason = "a count of turns")]
    let count = moments.count as f64;
    let from_old = value - moments.mean;
    moments.mean += from_old / count;
    moments.squares += from_old * (value - moments.mean);
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
