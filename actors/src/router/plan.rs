//! Which track answers first, and which covers for it: hard constraints before the score.

use tandem_proto::v1::{Policy, Track};

use super::score::score;
use crate::{Error, Result};

/// What a decision rests on.
#[derive(Debug, Clone)]
pub(super) struct Situation<'a> {
    pub(super) prompt: &'a str,
    pub(super) policy: Policy,
    /// Scores from here on go to the slow track.
    pub(super) slow_threshold: f64,
    /// The provider that would answer, or why none would.
    pub(super) provider: Result<ProviderState>,
    /// The caller named that provider.
    pub(super) named: bool,
    /// The answer must obey a grammar, which no provider takes.
    pub(super) grammar: bool,
}

/// A provider, as far as the router is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProviderState {
    pub(super) name: String,
    /// There is no reason to expect that it fails.
    pub(super) worth_trying: bool,
}

/// What a turn does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// Answers first.
    pub(crate) first: Track,
    /// Answers when the first cannot.
    pub(crate) fallback: Option<Track>,
    /// The provider of the slow track, if the plan has one.
    pub(crate) provider: Option<String>,
    /// Nothing of the turn may leave the machine, now or later.
    pub(crate) private: bool,
    /// See [`tandem_proto::v1::Routed`].
    pub(crate) score: f64,
    /// Sentences for a person.
    pub(crate) reasons: Vec<String>,
}

/// Makes the plan.
pub(super) fn decide(situation: &Situation<'_>) -> Result<Plan> {
    let score = score(situation.prompt);
    let plan = |first, fallback, reasons| {
        let slow = first == Track::Slow || fallback == Some(Track::Slow);
        let provider = situation.provider.as_ref().ok().filter(|_| slow);
        Plan {
            first,
            fallback,
            provider: provider.map(|provider| provider.name.clone()),
            private: situation.policy == Policy::Private,
            score: score.value,
            reasons,
        }
    };
    let only = |first, reason: &str| Ok(plan(first, None, vec![reason.to_owned()]));
    if situation.named && matches!(situation.policy, Policy::Fast | Policy::Private) {
        let problem = "is named, but the policy keeps the turn on this machine; drop one of both";
        return Err(Error::invalid("provider", problem));
    }
    if situation.grammar && (situation.named || situation.policy == Policy::Slow) {
        let problem = "is set, but no provider takes one; use json_schema or the policy fast";
        return Err(Error::invalid("sampling.grammar", problem));
    }
    let provider = match (&situation.provider, situation.policy) {
        (_, Policy::Fast) => {
            return only(Track::Fast, "the policy is fast: only the local model answers");
        }
        (_, Policy::Private) => {
            return only(Track::Fast, "the policy is private: nothing leaves this machine");
        }
        _ if situation.grammar => {
            return only(Track::Fast, "the answer has a grammar: only the local model obeys one");
        }
        (Err(error), Policy::Slow) => return Err(error.clone()),
        (Ok(_), Policy::Slow) => {
            return only(Track::Slow, "the policy is slow: only a remote provider answers");
        }
        (Err(error), _) if situation.named => return Err(error.clone()),
        (provider, Policy::Auto | Policy::Unspecified) => provider,
    };
    let Ok(provider) = provider else {
        let mut reasons = score.reasons.clone();
        reasons.push("no provider is configured".to_owned());
        return Ok(plan(Track::Fast, None, reasons));
    };
    let slow_first = || (Track::Slow, Some(Track::Fast));
    let fast_first = || (Track::Fast, Some(Track::Slow));
    let mut reasons = score.reasons.clone();
    let ((first, fallback), reason) = if situation.named {
        (slow_first(), format!("provider {:?} was asked for", provider.name))
    } else if score.value < situation.slow_threshold {
        (fast_first(), compare(score.value, "below", situation.slow_threshold))
    } else if !provider.worth_trying {
        reasons.push(compare(score.value, "not below", situation.slow_threshold));
        (fast_first(), format!("but provider {:?} has been failing", provider.name))
    } else {
        (slow_first(), compare(score.value, "not below", situation.slow_threshold))
    };
    reasons.push(reason);
    Ok(plan(first, fallback, reasons))
}

fn compare(score: f64, how: &str, threshold: f64) -> String {
    format!("its score {score:.2} is {how} the threshold {threshold:.2}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const PLAIN: &str = "What is the capital of France?";
    const HARD: &str = "Prove step by step that this algorithm solves the equation";

    fn situation(prompt: &'static str, policy: Policy) -> Situation<'static> {
        let provider = ProviderState { name: "remote".to_owned(), worth_trying: true };
        let provider = Ok(provider);
        Situation { prompt, policy, slow_threshold: 0.6, provider, named: false, grammar: false }
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
                assert_eq!(plan.provider, None);
                assert_eq!(plan.private, policy == Policy::Private);
            }
        }
    }

    #[test]
    fn a_provider_that_was_asked_for_answers_first_unless_the_policy_forbids_it() {
        let named = |policy| Situation { named: true, ..situation(PLAIN, policy) };
        let plan = decide(&named(Policy::Auto)).unwrap();
        assert_eq!((plan.first, plan.fallback), (Track::Slow, Some(Track::Fast)));
        assert_eq!(plan.provider.as_deref(), Some("remote"));
        for policy in [Policy::Fast, Policy::Private] {
            assert!(matches!(decide(&named(policy)), Err(Error::Invalid { .. })));
        }
        let missing = Situation { provider: none(), ..named(Policy::Auto) };
        assert!(matches!(decide(&missing), Err(Error::ProviderNotConfigured { .. })));
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
    fn an_answer_with_a_grammar_stays_here_or_is_refused() {
        let with = |policy| Situation { grammar: true, ..situation(HARD, policy) };
        let plan = decide(&with(Policy::Auto)).unwrap();
        assert_eq!((plan.first, plan.fallback), (Track::Fast, None));
        let named = Situation { named: true, ..with(Policy::Auto) };
        for refused in [with(Policy::Slow), named] {
            assert!(matches!(decide(&refused), Err(Error::Invalid { .. })));
        }
    }

    #[test]
    fn a_failing_provider_only_covers() {
        let mut situation = situation(HARD, Policy::Auto);
        situation.provider = Ok(ProviderState { name: "remote".to_owned(), worth_trying: false });
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
