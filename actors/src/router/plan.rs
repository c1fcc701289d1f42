//! Which track answers first, and which covers for it: hard constraints before the score.

use tandem_proto::v1::{Policy, Track};

use super::score::score;
use crate::Result;

/// What a decision rests on.
#[derive(Debug, Clone)]
pub(super) struct Situation<'a> {
    pub(super) prompt: &'a str,
    pub(super) policy: Policy,
    /// Scores from here on go to the slow track.
    pub(super) slow_threshold: f64,
    /// The provider that would answer, or why none would.
    pub(super) provider: Result<ProviderState>,
}

/// A provider, as far as the router is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProviderState {
    pub(super) name: String,
    /// Its last requests succeeded.
    pub(super) healthy: bool,
}

/// What a turn does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// Answers first.
    pub(crate) first: Track,
    /// Answers when the first cannot.
    pub(crate) fallback: Option<Track>,
    /// See [`tandem_proto::v1::Routed`].
    pub(crate) score: f64,
    /// Sentences for a person.
    pub(crate) reasons: Vec<String>,
}

/// Makes the plan.
pub(super) fn decide(situation: &Situation<'_>) -> Result<Plan> {
    let score = score(situation.prompt);
    let fixed = |first, reason: &str| Plan {
        first,
        fallback: None,
        score: score.value,
        reasons: vec![reason.to_owned()],
    };
    match situation.policy {
        Policy::Fast => Ok(fixed(Track::Fast, "the policy is fast: only the local model answers")),
        Policy::Private => {
            Ok(fixed(Track::Fast, "the policy is private: nothing leaves this machine"))
        }
        Policy::Slow => {
            situation.provider.clone()?;
            Ok(fixed(Track::Slow, "the policy is slow: only a remote provider answers"))
        }
        Policy::Auto | Policy::Unspecified => {
            let mut reasons = score.reasons;
            let plan =
                |first, fallback, reasons| Plan { first, fallback, score: score.value, reasons };
            Ok(match &situation.provider {
                Err(_) => {
                    reasons.push("no provider is configured".to_owned());
                    plan(Track::Fast, None, reasons)
                }
                Ok(_) if score.value < situation.slow_threshold => {
                    reasons.push(compare(score.value, "below", situation.slow_threshold));
                    plan(Track::Fast, Some(Track::Slow), reasons)
                }
                Ok(provider) if !provider.healthy => {
                    reasons.push(compare(score.value, "not below", situation.slow_threshold));
                    reasons.push(format!("but provider {:?} has been failing", provider.name));
                    plan(Track::Fast, Some(Track::Slow), reasons)
                }
                Ok(_) => {
                    reasons.push(compare(score.value, "not below", situation.slow_threshold));
                    plan(Track::Slow, Some(Track::Fast), reasons)
                }
            })
        }
    }
}

fn compare(score: f64, how: &str, threshold: f64) -> String {
    format!("its score {score:.2} is {how} the threshold {threshold:.2}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::Error;

    const PLAIN: &str = "What is the capital of France?";
    const HARD: &str = "Prove step by step that this algorithm solves the equation";

    fn situation(prompt: &'static str, policy: Policy) -> Situation<'static> {
        let provider = ProviderState { name: "remote".to_owned(), healthy: true };
        Situation { prompt, policy, slow_threshold: 0.6, provider: Ok(provider) }
    }

    fn none() -> Result<ProviderState> {
        Err(Error::ProviderNotConfigured { problem: "no provider is configured".to_owned() })
    }

    #[test]
    fn no_score_moves_a_private_or_fast_turn_off_the_machine() {
        for policy in [Policy::Fast, Policy::Private] {
            for prompt in [PLAIN, HARD] {
                let mut situation = situation(prompt, policy);
                situation.slow_threshold = 0.0;
                let plan = decide(&situation).unwrap();
                assert_eq!((plan.first, plan.fallback), (Track::Fast, None));
            }
        }
    }

    #[test]
    fn auto_sends_hard_questions_away_and_each_track_covers_for_the_other() {
        let plain = decide(&situation(PLAIN, Policy::Auto)).unwrap();
        assert_eq!((plain.first, plain.fallback), (Track::Fast, Some(Track::Slow)));
        let hard = decide(&situation(HARD, Policy::Auto)).unwrap();
        assert_eq!((hard.first, hard.fallback), (Track::Slow, Some(Track::Fast)));
        assert!(hard.reasons.len() > 1);
    }

    #[test]
    fn a_failing_provider_only_covers() {
        let mut situation = situation(HARD, Policy::Auto);
        situation.provider = Ok(ProviderState { name: "remote".to_owned(), healthy: false });
        let plan = decide(&situation).unwrap();
        assert_eq!((plan.first, plan.fallback), (Track::Fast, Some(Track::Slow)));
    }

    #[test]
    fn without_a_provider_slow_is_refused_and_auto_stays_here() {
        let mut slow = situation(PLAIN, Policy::Slow);
        slow.provider = none();
        assert!(matches!(decide(&slow), Err(Error::ProviderNotConfigured { .. })));
        let mut auto = situation(HARD, Policy::Auto);
        auto.provider = none();
        assert_eq!(decide(&auto).unwrap().fallback, None);
    }
}
