//! How fast a context computes, so that the daemon can compare settings.

use std::time::{Duration, Instant};

use tandem_proto::engine::Measured;

use crate::llama::{Batch, Context, DecodeError};

/// Tokens of the prompt.
const PROMPT: u32 = 128;
/// Runs of which the median counts.
const RUNS: usize = 9;
/// After this time no further run of a measurement begins.
const TIME: Duration = Duration::from_secs(4);
/// After this time all measuring is broken off, even in the middle of a run.
const TIME_MAX: Duration = Duration::from_secs(20);

/// Measures on a context that nobody uses yet, and leaves it empty. What it has too little room or
/// too little time for is 0.
pub fn measure(context: &mut Context, vocabulary: u32) -> Result<Measured, DecodeError> {
    let end = Instant::now() + TIME_MAX;
    context.set_pulse(Box::new(move || Instant::now() >= end));
    let measured = Measured {
        prefill_us_128: prefill(context, vocabulary)?,
        decode_us_1: decode(context, vocabulary, 1)?,
        decode_us_4: decode(context, vocabulary, 4)?,
        decode_us_16: decode(context, vocabulary, 16)?,
    };
    context.set_pulse(Box::new(|| false));
    context.clear();
    Ok(measured)
}

fn prefill(context: &mut Context, vocabulary: u32) -> Result<u64, DecodeError> {
    if PROMPT > context.batch_max() || PROMPT > context.tokens() {
        return Ok(0);
    }
    let mut batch = Batch::default();
    median(|_| {
        context.clear();
        batch.clear();
        for n in 0..PROMPT {
            batch.push(token(n, vocabulary), n, 0, n + 1 == PROMPT);
        }
        computed(context, &mut batch)
    })
}

/// One step of as many sequences, each behind what earlier steps computed.
fn decode(context: &mut Context, vocabulary: u32, rows: u32) -> Result<u64, DecodeError> {
    let cells = u64::from(rows) * RUNS as u64;
    if rows > context.sequences() || rows > context.batch_max() || cells > context.tokens().into() {
        return Ok(0);
    }
    context.clear();
    let mut batch = Batch::default();
    median(|run| {
        batch.clear();
        for sequence in 0..rows {
            batch.push(token(run + sequence, vocabulary), run, sequence, true);
        }
        computed(context, &mut batch)
    })
}

/// The time of a step in microseconds; `None` when it was broken off.
fn computed(context: &mut Context, batch: &mut Batch) -> Result<Option<u64>, DecodeError> {
    let begin = Instant::now();
    match context.decode(batch) {
        // Logits are computed when they are asked for.
        Ok(()) => drop(context.logits(0)),
        Err(DecodeError::Aborted) => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(Some(u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX)))
}

/// The median time of some runs, of which the number is given to each; 0 when not one was
/// completed.
fn median(
    mut run: impl FnMut(u32) -> Result<Option<u64>, DecodeError>,
) -> Result<u64, DecodeError> {
    let begin = Instant::now();
    let mut times = Vec::new();
    for number in (0..).take(RUNS) {
        if number > 0 && begin.elapsed() > TIME {
            break;
        }
        match run(number)? {
            Some(time) => times.push(time),
            None => break,
        }
    }
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied().unwrap_or(0))
}

/// Tokens from all over the vocabulary.
fn token(n: u32, vocabulary: u32) -> u32 {
    n.wrapping_mul(97) % vocabulary.max(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_median_is_of_the_runs_that_were_completed() {
        let times = [5, 900, 3, 4, 6, 7, 1, 2, 8];
        assert_eq!(median(|run| Ok(Some(times[run as usize]))).unwrap(), 5);
        assert_eq!(median(|run| Ok((run < 3).then(|| times[run as usize]))).unwrap(), 5);
        assert_eq!(median(|_| Ok(None)).unwrap(), 0);
        assert!(median(|_| Err(DecodeError::Failed(-1))).is_err());
    }
}
