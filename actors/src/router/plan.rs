//! Which track answers first, and which covers for it: hard constraints before the score.

use tandem_proto::v1::{Policy, Track};
use tandem_router::Score;

use crate::{Error, Result};

/// What a decision rests on.
#[derive(Debug, Clone)]
pub(super) struct Situation {
    pub(super) policy: Policy,
    pub(super) score: Score,
    /// Scores from here on go to the slow track.
    pub(super) slow_threshold: f64,
    /// Why the local model cannot answer, if it cannot.
    pub(super) fast: Option<Obstacle>,
    /// Why no provider can answer, if none can.
    pub(super) slow: Option<Obstacle>,
    /// The provider that would be asked first.
    pub(super) provider: Option<String>,
    /// The caller named it.
    pub(super) named: bool,
    /// When the slow track takes over from a local model that is not sure.
    pub(super) escalation: Escalation,
}

/// Why a track does not answer a question.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Obstacle {
    /// What the caller hears if there is no other way.
    pub(super) error: Error,
    /// It may have passed by the time that the other track has failed.
    pub(super) passing: bool,
}

/// What a turn does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// Answers first.
    pub(crate) first: Track,
    /// Answers when the first cannot, or at the same time.
    pub(crate) other: Option<Track>,
    /// Both answer at the same time.
    pub(crate) duo: bool,
    /// The provider of the slow track that is asked first; none when there is none.
    pub(crate) provider: Option<String>,
    /// Nothing of the turn may leave the machine, now or later.
    pub(crate) private: bool,
    /// When the slow track takes over from a local model that is not sure; never, unless that is the
    /// first and the slow track the other.
    pub(crate) escalation: Escalation,
    /// See [`tandem_proto::v1::Routed`].
    pub(crate) score: f64,
    /// Sentences for a person.
    pub(crate) reasons: Vec<String>,
}

/// When the slow track takes over from a local model that is not sure of its answer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Escalation {
    /// Confidence in a whole answer below which it does; `None` leaves that to the model.
    pub(crate) confidence: Option<f64>,
    /// When it does so before the answer is whole.
    pub(crate) handoff: Option<HandOff>,
}

/// When the slow track takes over in the middle of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct HandOff {
    /// Tokens that are held back and judged together; at least 1.
    pub(crate) tokens: usize,
    /// Mean natural-log probability of them below which it does.
    pub(crate) logprob: f64,
}

/// Makes the plan.
pub(super) fn decide(situation: Situation) -> Result<Plan> {
    let Situation { policy, fast, slow, named, .. } = &situation;
    if *named && matches!(policy, Policy::Fast | Policy::Private) {
        let problem = "is named, but the policy keeps the turn on this machine; drop one of both";
        return Err(Error::invalid("provider", problem));
    }
    match (policy, fast, slow) {
        // An obstacle that may pass is for the track itself to meet: there is no other one.
        (Policy::Fast | Policy::Private, Some(Obstacle { error, passing: false }), _)
        | (Policy::Slow, _, Some(Obstacle { error, passing: false })) => Err(error.clone()),
        (_, _, Some(Obstacle { error, passing: false })) if *named => Err(error.clone()),
        (Policy::Fast, ..) => {
            Ok(situation.only(Track::Fast, "the policy is fast: only the local model answers"))
        }
        (Policy::Private, ..) => {
            Ok(situation.only(Track::Fast, "the policy is private: nothing leaves this machine"))
        }
        (Policy::Slow, ..) => {
            Ok(situation.only(Track::Slow, "the policy is slow: only a remote provider answers"))
        }
        (Policy::Duo, ..) => situation.duo(),
        (Policy::Auto | Policy::Unspecified, ..) => situation.auto(),
    }
}

impl Situation {
    /// Both tracks at once, or the one that can.
    fn duo(self) -> Result<Plan> {
        match (&self.fast, &self.slow) {
            (None, None) => {
                let reason = "the policy is duo: both tracks answer, the remote one last";
                let mut plan = self.only(Track::Fast, reason);
                plan.other = Some(Track::Slow);
                plan.duo = true;
                Ok(plan)
            }
            _ => self.auto(),
        }
    }

    /// The track that suits the question, with the other one to cover for it.
    fn auto(self) -> Result<Plan> {
        let (score, threshold) = (self.score.value, self.slow_threshold);
        let lasting = |obstacle: &Option<Obstacle>| {
            obstacle.as_ref().filter(|obstacle| !obstacle.passing).map(|it| it.error.clone())
        };
        let (first, reason) = match (&self.fast, &self.slow) {
            (Some(fast), Some(slow)) => match (fast.passing, slow.passing) {
                // The local obstacle is the one that the user can do more about.
                (false, false) => return Err(fast.error.clone()),
                (false, true) => (Track::Slow, fast.error.to_string()),
                (true, _) => (Track::Fast, slow.error.to_string()),
            },
            (Some(obstacle), None) => (Track::Slow, obstacle.error.to_string()),
            (None, Some(obstacle)) => (Track::Fast, obstacle.error.to_string()),
            (None, None) if self.named => (Track::Slow, "its provider was named".to_owned()),
            (None, None) if score < threshold => {
                (Track::Fast, format!("its score {score:.2} is below the threshold {threshold:.2}"))
            }
            (None, None) => (
                Track::Slow,
                format!("its score {score:.2} is not below the threshold {threshold:.2}"),
            ),
        };
        let (other, obstacle) = match first {
            Track::Slow => (Track::Fast, &self.fast),
            _ => (Track::Slow, &self.slow),
        };
        // With a target that is used up, nothing more is to be spent unless someone asks for it.
        let used_up = threshold > 1.0 && !self.named;
        let allowed = lasting(obstacle).is_none() && !(used_up && other == Track::Slow);
        let other = allowed.then_some(other);
        let escalates = first == Track::Fast && other == Some(Track::Slow);
        let escalation = if escalates { self.escalation } else { Escalation::default() };
        let mut reasons = self.score.reasons.clone();
        reasons.push(reason);
        Ok(Plan { other, escalation, reasons, ..self.only(first, "") })
    }

    /// One track answers, whatever the score.
    fn only(&self, track: Track, reason: &str) -> Plan {
        Plan {
            first: track,
            other: None,
            duo: false,
            provider: self.provider.clone(),
            private: self.policy == Policy::Private,
            escalation: Escalation::default(),
            score: self.score.value,
            reasons: vec![reason.to_owned()],
        }
    }
}

#[cfg(test)]
mod tests;
