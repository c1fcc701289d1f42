//! Checks sampling settings from the wire and gives unset ones their defaults.

use std::fmt::Display;
use std::ops::RangeInclusive;

use tandem_proto::v1::Sampling;

/// Most stop strings in a request.
const STOPS_MAX: usize = 16;
/// Longest stop string in bytes.
const STOP_BYTES_MAX: usize = 256;
/// Most biased tokens in a request.
const BIASES_MAX: usize = 1024;
/// Smallest value of settings whose range excludes 0.
const ABOVE_ZERO: f32 = f32::MIN_POSITIVE;

/// Settings in their ranges.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// 0 takes the likeliest token.
    pub temperature: f32,
    /// 0 keeps all tokens.
    pub top_k: usize,
    /// 1 is off.
    pub top_p: f32,
    /// 0 is off.
    pub min_p: f32,
    /// 1 is off.
    pub typical_p: f32,
    /// 1 is off.
    pub repeat_penalty: f32,
    /// Tokens that the penalties look back on.
    pub repeat_last_n: usize,
    /// 0 is off.
    pub presence_penalty: f32,
    /// 0 is off.
    pub frequency_penalty: f32,
    /// Names the sequence of random draws.
    pub seed: u64,
    /// Longest answer in tokens, at least 1.
    pub max_tokens: u32,
    /// Strings that end the answer.
    pub stop: Vec<String>,
    /// Added to logits; every token is in the vocabulary.
    pub logit_bias: Vec<(u32, f32)>,
    /// Target in bits and rate of learning of mirostat, if it is on.
    pub mirostat: Option<(f32, f32)>,
    /// Alternatives to report with every token, if log-probabilities were asked for.
    pub logprobs: Option<usize>,
}

/// A setting outside its range.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("sampling.{field}: {found}; allowed: {allowed}")]
pub struct OutOfRange {
    field: &'static str,
    found: String,
    allowed: &'static str,
}

impl Settings {
    /// Checks `wire` for a model with `vocabulary` tokens.
    pub fn new(wire: &Sampling, vocabulary: u32) -> Result<Self, OutOfRange> {
        Ok(Self {
            temperature: number("temperature", wire.temperature, 0.7, 0.0..=5.0, "0 to 5")?,
            top_k: count("top_k", wire.top_k, 40, 0..=1_000_000, "0 to 1,000,000")?,
            top_p: number("top_p", wire.top_p, 0.95, ABOVE_ZERO..=1.0, "above 0, at most 1")?,
            min_p: number("min_p", wire.min_p, 0.05, 0.0..=1.0, "0 to 1")?,
            typical_p: number(
                "typical_p",
                wire.typical_p,
                1.0,
                ABOVE_ZERO..=1.0,
                "above 0, at most 1",
            )?,
            repeat_penalty: number(
                "repeat_penalty",
                wire.repeat_penalty,
                1.0,
                0.1..=10.0,
                "0.1 to 10",
            )?,
            repeat_last_n: count("repeat_last_n", wire.repeat_last_n, 64, 0..=4096, "0 to 4096")?,
            presence_penalty: number(
                "presence_penalty",
                wire.presence_penalty,
                0.0,
                -10.0..=10.0,
                "-10 to 10",
            )?,
            frequency_penalty: number(
                "frequency_penalty",
                wire.frequency_penalty,
                0.0,
                -10.0..=10.0,
                "-10 to 10",
            )?,
            seed: wire.seed.ok_or_else(|| out_of_range("seed", "unset", "any, but set"))?,
            max_tokens: wire
                .max_tokens
                .filter(|&tokens| tokens > 0)
                .ok_or_else(|| out_of_range("max_tokens", "unset or 0", "1 to the context"))?,
            stop: stops(&wire.stop)?,
            logit_bias: biases(wire, vocabulary)?,
            mirostat: mirostat(wire)?,
            logprobs: match wire.logprobs {
                None => None,
                some => Some(count("logprobs", some, 0, 0..=20, "0 to 20")?),
            },
        })
    }

    /// Whether the likeliest token is simply the one with the largest logit.
    pub fn is_plain_greedy(&self) -> bool {
        self.temperature == 0.0 && self.logit_bias.is_empty() && !self.penalizes()
    }

    /// Whether recent tokens change logits.
    #[allow(clippy::float_cmp, reason = "exactly 1 is what turns the penalty off")]
    pub fn penalizes(&self) -> bool {
        self.repeat_last_n > 0
            && (self.repeat_penalty != 1.0
                || self.presence_penalty != 0.0
                || self.frequency_penalty != 0.0)
    }
}

fn mirostat(wire: &Sampling) -> Result<Option<(f32, f32)>, OutOfRange> {
    let field = |name, value, default, end, allowed| {
        number(name, value, default, ABOVE_ZERO..=end, allowed)
    };
    let tau = field("mirostat_tau", wire.mirostat_tau, 5.0, 20.0, "above 0, at most 20")?;
    let eta = field("mirostat_eta", wire.mirostat_eta, 0.1, 1.0, "above 0, at most 1")?;
    match wire.mirostat {
        None | Some(0) => Ok(None),
        Some(2) => Ok(Some((tau, eta))),
        Some(other) => Err(out_of_range("mirostat", other, "0, which is off, and 2")),
    }
}

fn number(
    field: &'static str,
    value: Option<f32>,
    default: f32,
    range: RangeInclusive<f32>,
    allowed: &'static str,
) -> Result<f32, OutOfRange> {
    let value = value.unwrap_or(default);
    // Not a number is in no range.
    range.contains(&value).then_some(value).ok_or_else(|| out_of_range(field, value, allowed))
}

fn count(
    field: &'static str,
    value: Option<u32>,
    default: u32,
    range: RangeInclusive<u32>,
    allowed: &'static str,
) -> Result<usize, OutOfRange> {
    let value = value.unwrap_or(default);
    if !range.contains(&value) {
        return Err(out_of_range(field, value, allowed));
    }
    usize::try_from(value).map_err(|_| out_of_range(field, value, allowed))
}

fn stops(stops: &[String]) -> Result<Vec<String>, OutOfRange> {
    if stops.len() > STOPS_MAX {
        return Err(out_of_range("stop", format_args!("{} strings", stops.len()), "at most 16"));
    }
    match stops.iter().find(|stop| stop.is_empty() || stop.len() > STOP_BYTES_MAX) {
        Some(stop) => {
            let found = format_args!("a string of {} bytes", stop.len());
            Err(out_of_range("stop", found, "1 to 256 bytes each"))
        }
        None => Ok(stops.to_vec()),
    }
}

fn biases(wire: &Sampling, vocabulary: u32) -> Result<Vec<(u32, f32)>, OutOfRange> {
    let biases = &wire.logit_bias;
    if biases.len() > BIASES_MAX {
        let found = format_args!("{} entries", biases.len());
        return Err(out_of_range("logit_bias", found, "at most 1024"));
    }
    for entry in biases {
        if entry.token >= vocabulary {
            let found = format_args!("token {}", entry.token);
            return Err(out_of_range("logit_bias", found, "tokens of this model's vocabulary"));
        }
        number("logit_bias", Some(entry.bias), 0.0, -100.0..=100.0, "biases from -100 to 100")?;
    }
    Ok(biases.iter().map(|entry| (entry.token, entry.bias)).collect())
}

fn out_of_range(field: &'static str, found: impl Display, allowed: &'static str) -> OutOfRange {
    OutOfRange { field, found: found.to_string(), allowed }
}

#[cfg(test)]
pub mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use tandem_proto::v1::LogitBias;

    fn wire() -> Sampling {
        Sampling { seed: Some(1), max_tokens: Some(8), ..Sampling::default() }
    }

    /// Settings that change nothing: temperature 1, nothing cut off.
    pub fn neutral() -> Settings {
        Settings {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            ..Settings::new(&wire(), 100).unwrap()
        }
    }

    #[test]
    fn values_at_the_ends_of_their_ranges_are_taken() {
        let low = Sampling {
            temperature: Some(0.0),
            top_p: Some(ABOVE_ZERO),
            min_p: Some(0.0),
            typical_p: Some(ABOVE_ZERO),
            repeat_penalty: Some(0.1),
            repeat_last_n: Some(0),
            presence_penalty: Some(-10.0),
            frequency_penalty: Some(-10.0),
            logprobs: Some(0),
            ..wire()
        };
        let high = Sampling {
            temperature: Some(5.0),
            top_k: Some(1_000_000),
            top_p: Some(1.0),
            min_p: Some(1.0),
            typical_p: Some(1.0),
            repeat_penalty: Some(10.0),
            repeat_last_n: Some(4096),
            presence_penalty: Some(10.0),
            frequency_penalty: Some(10.0),
            stop: vec!["x".repeat(256); 16],
            logit_bias: vec![LogitBias { token: 99, bias: 100.0 }; 1024],
            logprobs: Some(20),
            mirostat: Some(2),
            mirostat_tau: Some(20.0),
            mirostat_eta: Some(1.0),
            ..wire()
        };
        for wire in [low, high] {
            assert!(Settings::new(&wire, 100).is_ok(), "{wire:?}");
        }
    }

    #[test]
    fn values_outside_their_ranges_are_refused_by_name() {
        let bias = |token, bias| vec![LogitBias { token, bias }];
        let cases = [
            ("temperature", Sampling { temperature: Some(5.1), ..wire() }),
            ("temperature", Sampling { temperature: Some(-0.1), ..wire() }),
            ("temperature", Sampling { temperature: Some(f32::NAN), ..wire() }),
            ("temperature", Sampling { temperature: Some(f32::INFINITY), ..wire() }),
            ("top_k", Sampling { top_k: Some(1_000_001), ..wire() }),
            ("top_p", Sampling { top_p: Some(0.0), ..wire() }),
            ("top_p", Sampling { top_p: Some(f32::NAN), ..wire() }),
            ("min_p", Sampling { min_p: Some(1.1), ..wire() }),
            ("typical_p", Sampling { typical_p: Some(0.0), ..wire() }),
            ("repeat_penalty", Sampling { repeat_penalty: Some(0.0), ..wire() }),
            ("repeat_last_n", Sampling { repeat_last_n: Some(4097), ..wire() }),
            ("presence_penalty", Sampling { presence_penalty: Some(10.5), ..wire() }),
            ("frequency_penalty", Sampling { frequency_penalty: Some(-10.5), ..wire() }),
            ("seed", Sampling { seed: None, ..wire() }),
            ("max_tokens", Sampling { max_tokens: None, ..wire() }),
            ("max_tokens", Sampling { max_tokens: Some(0), ..wire() }),
            ("stop", Sampling { stop: vec![String::new()], ..wire() }),
            ("stop", Sampling { stop: vec!["x".repeat(257)], ..wire() }),
            ("stop", Sampling { stop: vec!["x".to_owned(); 17], ..wire() }),
            ("logit_bias", Sampling { logit_bias: bias(100, 0.0), ..wire() }),
            ("logit_bias", Sampling { logit_bias: bias(1, 101.0), ..wire() }),
            ("logit_bias", Sampling { logit_bias: bias(1, f32::NAN), ..wire() }),
            ("logprobs", Sampling { logprobs: Some(21), ..wire() }),
            ("mirostat", Sampling { mirostat: Some(1), ..wire() }),
            ("mirostat_tau", Sampling { mirostat_tau: Some(0.0), ..wire() }),
            ("mirostat_eta", Sampling { mirostat_eta: Some(1.5), ..wire() }),
        ];
        for (field, wire) in cases {
            let refused = Settings::new(&wire, 100).unwrap_err();
            assert_eq!(refused.field, field);
            assert!(refused.to_string().contains(refused.allowed), "{refused}");
        }
        let many = vec![LogitBias { token: 1, bias: 0.0 }; 1025];
        assert!(Settings::new(&Sampling { logit_bias: many, ..wire() }, 100).is_err());
    }
}
