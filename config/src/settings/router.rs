//! The settings of the router.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::Budget;

/// How a question finds its track, and how many may be under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Router {
    /// Policy of a question that names none.
    pub policy: Policy,
    /// Policies of questions that name none, by the client that asks.
    pub clients: BTreeMap<String, Policy>,
    /// Whether the slow track is left alone, as without a network.
    pub offline: bool,
    /// Turns that run together.
    pub running_max: u32,
    /// Turns that wait behind them; the next one is refused.
    pub waiting_max: u32,
    /// Longest time from question to answer when the request has no deadline.
    pub deadline: Duration,
    /// Score from which a question goes to the slow track, 0 to 1.
    pub slow_threshold: f64,
    /// Weights of the score, made by `tandem router train`; when absent, those that come with tandem.
    pub weights: Option<PathBuf>,
    /// Answers of the local model whose confidence is below this are made by the slow track as well,
    /// 0 to 1. When absent, what the catalog says of the model, if anything.
    pub confidence_threshold: Option<f64>,
    /// Tokens of the local model that are held back, to be dropped when the slow track takes over in
    /// the middle of an answer; 0 never hands over.
    pub handoff_tokens: u32,
    /// Mean natural-log probability of those tokens below which it takes over.
    pub handoff_logprob: f64,
    /// How long a question waits for its local model to load before the slow track answers it; zero
    /// means for ever.
    pub cold_start_patience: Duration,
    /// Which of several providers is asked first.
    pub providers: Choice,
    /// When the next provider is asked as well because the first token is late; never, if absent.
    pub hedge_after: Option<HedgeAfter>,
    /// What the slow track may cost.
    pub budget: Budget,
}

/// Which of several providers is asked first. The others are asked when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The one with the lowest `priority`; among equals, the one that has done best lately.
    Ordered,
    /// One at random, as often as its `weight` says.
    Weighted,
}

/// How long the first token may take before another provider is asked for the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HedgeAfter {
    /// As long as 95 of 100 of the latest first tokens of that provider took; for ever, while fewer
    /// than 20 are known.
    Auto,
    /// So long, whoever is asked.
    Time(Duration),
}

impl Default for Router {
    fn default() -> Self {
        Self {
            policy: Policy::Auto,
            clients: BTreeMap::new(),
            offline: false,
            running_max: 8,
            waiting_max: 64,
            deadline: Duration::from_mins(5),
            slow_threshold: 0.6,
            weights: None,
            confidence_threshold: None,
            handoff_tokens: 0,
            handoff_logprob: -2.0,
            cold_start_patience: Duration::from_secs(2),
            providers: Choice::Ordered,
            hedge_after: None,
            budget: Budget::default(),
        }
    }
}

/// How a turn picks its track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The router scores the question.
    Auto,
    /// The local model only. Unlike with `Private`, later turns of the conversation may leave the
    /// machine with this one.
    Fast,
    /// The remote API only.
    Slow,
    /// Both at once: the local answer first, until the remote one takes its place.
    Duo,
    /// The local model only: nothing leaves the machine.
    Private,
}
