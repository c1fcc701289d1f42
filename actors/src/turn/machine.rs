//! The life of a turn as a state machine: what happens goes in, what to do comes out.

use tandem_proto::v1::{
    Delta, Done, FinishReason, Notice, NoticeKind, Routed, Track, TrackDone, Turn, Usage,
    ask_event::Event,
};

use crate::router::Plan;
use crate::{Completion, Error, TrackEvent};

/// Something to be done, in order.
#[derive(Debug, PartialEq)]
pub(super) enum Effect {
    /// Send this to the caller.
    Emit(Event),
    /// Start this track. Its events come back as [`Machine::on_track`].
    Run(Track),
    /// Write the turn down; the result comes back as [`Machine::on_committed`].
    Commit(Turn),
    /// The turn is over, and how.
    End(Result<(), Error>),
}

/// What a turn is about.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) turn_id: String,
    pub(super) conversation_id: String,
    pub(super) prompt: String,
    /// Names of the model and of the provider's model.
    pub(super) fast_model: String,
    pub(super) slow_model: String,
    pub(super) seed: Option<u64>,
    /// Never to be read by a remote provider.
    pub(super) private: bool,
}

/// One turn.
#[derive(Debug)]
pub(super) struct Machine {
    facts: Facts,
    plan: Plan,
    state: State,
    answer: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running(Track),
    Committing(Track),
    Over,
}

impl Machine {
    /// A turn that is about to begin, and its first effects.
    pub(super) fn begin(facts: Facts, plan: Plan) -> (Self, Vec<Effect>) {
        let first = plan.first;
        let routed = Routed {
            track: first.into(),
            score: plan.score,
            reasons: plan.reasons.clone(),
            turn_id: facts.turn_id.clone(),
            conversation_id: facts.conversation_id.clone(),
            model: facts.model(first).to_owned(),
        };
        let machine = Self { facts, plan, state: State::Running(first), answer: String::new() };
        (machine, vec![Effect::Emit(Event::Routed(routed)), Effect::Run(first)])
    }

    /// The model's name became known, or changed.
    pub(super) fn on_fast_model(&mut self, name: &str) {
        name.clone_into(&mut self.facts.fast_model);
    }

    /// The answer draws on what was asked in private, and so is private itself.
    pub(super) fn on_private(&mut self) {
        self.facts.private = true;
    }

    /// Something that the caller should know about the track that runs.
    pub(super) fn on_notice(&mut self, kind: NoticeKind, message: String) -> Vec<Effect> {
        match self.state {
            State::Running(_) => vec![notice(kind, message)],
            State::Committing(_) | State::Over => Vec::new(),
        }
    }

    /// Digests what the given track reports. Late events of a track that does not run any more
    /// are ignored.
    pub(super) fn on_track(&mut self, track: Track, event: TrackEvent) -> Vec<Effect> {
        if self.state != State::Running(track) {
            return Vec::new();
        }
        match event {
            TrackEvent::Delta { text, reasoning, logprobs } => {
                // What the model thought is shown and forgotten: the next turn does not read it.
                self.answer.push_str(&text);
                let track = track.into();
                vec![Effect::Emit(Event::Delta(Delta { track, text, logprobs, reasoning }))]
            }
            TrackEvent::Resumed { reason } => vec![notice(
                NoticeKind::Resumed,
                format!("the engine was {reason}; a new one goes on with the answer"),
            )],
            TrackEvent::Notice(kind, message) => vec![notice(kind, message)],
            TrackEvent::Done(completion) => self.complete(track, &completion),
            TrackEvent::Failed(error) => self.fail(error),
        }
    }

    /// The turn is on disk, or could not be written.
    pub(super) fn on_committed(&mut self, result: Result<(), Error>) -> Vec<Effect> {
        let State::Committing(track) = self.state else { return Vec::new() };
        match result {
            Ok(()) => self.done(track, true),
            Err(error) => self.end(Err(error)),
        }
    }

    /// The turn ends from outside: its deadline passed, or the daemon ends.
    pub(super) fn on_abort(&mut self, error: Error) -> Vec<Effect> {
        match self.state {
            // What is being written is as good as done.
            State::Committing(_) | State::Over => Vec::new(),
            State::Running(_) => self.end(Err(error)),
        }
    }

    fn complete(&mut self, track: Track, completion: &Completion) -> Vec<Effect> {
        if let Some(model) = &completion.model {
            *self.facts.model_mut(track) = model.clone();
        }
        let usage = completion.usage;
        let done = TrackDone {
            track: track.into(),
            model: self.facts.model(track).to_owned(),
            finish_reason: completion.finish_reason.into(),
            usage: Some(usage),
            timings: Some(completion.timings),
            mean_logprob: completion.mean_logprob,
            confidence: completion.confidence,
            certainty: completion.certainty,
            cost_micros: completion.cost_micros,
        };
        let mut effects = vec![Effect::Emit(Event::TrackDone(done))];
        if self.facts.conversation_id.is_empty() {
            effects.extend(self.done(track, false));
        } else {
            self.state = State::Committing(track);
            effects.push(Effect::Commit(self.turn(track, completion.finish_reason, usage)));
        }
        effects
    }

    fn turn(&mut self, track: Track, finish_reason: FinishReason, usage: Usage) -> Turn {
        Turn {
            id: self.facts.turn_id.clone(),
            prompt: std::mem::take(&mut self.facts.prompt),
            answer: std::mem::take(&mut self.answer),
            track: track.into(),
            model: self.facts.model(track).to_owned(),
            // The store knows the time.
            created: None,
            usage: Some(usage),
            finish_reason: finish_reason.into(),
            private: self.facts.private,
        }
    }

    /// Falls back to the other track, as long as nothing of an answer was sent.
    fn fail(&mut self, error: Error) -> Vec<Effect> {
        let fallback = self.plan.fallback.take();
        match fallback {
            Some(other) if self.answer.is_empty() && error.other_track_may_answer() => {
                self.state = State::Running(other);
                let message = format!("{error}; {} answers instead", who(other));
                vec![notice(NoticeKind::FellBack, message), Effect::Run(other)]
            }
            _ => self.end(Err(error)),
        }
    }

    fn done(&mut self, track: Track, stored: bool) -> Vec<Effect> {
        let done = Done {
            track: track.into(),
            turn_id: self.facts.turn_id.clone(),
            conversation_id: self.facts.conversation_id.clone(),
            seed: self.facts.seed.filter(|_| track == Track::Fast),
            stored,
        };
        let mut effects = vec![Effect::Emit(Event::Done(done))];
        effects.extend(self.end(Ok(())));
        effects
    }

    fn end(&mut self, how: Result<(), Error>) -> Vec<Effect> {
        self.state = State::Over;
        vec![Effect::End(how)]
    }
}

impl Facts {
    fn model_mut(&mut self, track: Track) -> &mut String {
        if track == Track::Slow { &mut self.slow_model } else { &mut self.fast_model }
    }

    fn model(&self, track: Track) -> &str {
        if track == Track::Slow { &self.slow_model } else { &self.fast_model }
    }
}

fn who(track: Track) -> &'static str {
    if track == Track::Slow { "the remote provider" } else { "the local model" }
}

fn notice(kind: NoticeKind, message: String) -> Effect {
    Effect::Emit(Event::Notice(Notice { kind: kind.into(), message }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tandem_proto::v1::Timings;

    use super::*;

    fn begin(conversation: &str, first: Track, fallback: Option<Track>) -> (Machine, Vec<Effect>) {
        let facts = Facts {
            turn_id: "t".to_owned(),
            conversation_id: conversation.to_owned(),
            prompt: "question".to_owned(),
            fast_model: "local".to_owned(),
            slow_model: "remote".to_owned(),
            seed: Some(7),
            private: false,
        };
        let plan = Plan {
            first,
            fallback,
            provider: None,
            private: true,
            score: 0.5,
            reasons: vec!["because".to_owned()],
        };
        Machine::begin(facts, plan)
    }

    fn delta(text: &str) -> TrackEvent {
        TrackEvent::Delta {
            text: text.to_owned(),
            reasoning: "Hm.".to_owned(),
            logprobs: Vec::new(),
        }
    }

    fn completion() -> TrackEvent {
        TrackEvent::Done(Completion {
            finish_reason: FinishReason::Stop,
            usage: Usage { completion_tokens: 2, ..Usage::default() },
            timings: Timings::default(),
            mean_logprob: None,
            confidence: None,
            certainty: None,
            model: None,
            cost_micros: None,
        })
    }

    fn failure() -> Error {
        Error::ProviderFailed {
            provider: "p".to_owned(),
            problem: "down".to_owned(),
            retry_after: None,
        }
    }

    fn kinds(effects: &[Effect]) -> Vec<&'static str> {
        let kind = |effect: &Effect| match effect {
            Effect::Emit(Event::Routed(_)) => "routed",
            Effect::Emit(Event::Delta(_)) => "delta",
            Effect::Emit(Event::Notice(_)) => "notice",
            Effect::Emit(Event::TrackDone(_)) => "track done",
            Effect::Emit(Event::Done(_)) => "done",
            Effect::Run(Track::Slow) => "run slow",
            Effect::Run(_) => "run fast",
            Effect::Commit(_) => "commit",
            Effect::End(Ok(())) => "end",
            Effect::End(Err(_)) => "failed",
        };
        effects.iter().map(kind).collect()
    }

    #[test]
    fn a_turn_of_its_own_ends_without_being_stored() {
        let (mut machine, effects) = begin("", Track::Fast, None);
        assert_eq!(kinds(&effects), ["routed", "run fast"]);
        assert_eq!(kinds(&machine.on_track(Track::Fast, delta("a"))), ["delta"]);
        let last = machine.on_track(Track::Fast, completion());
        assert_eq!(kinds(&last), ["track done", "done", "end"]);
        assert!(machine.on_track(Track::Fast, delta("late")).is_empty());
    }

    #[test]
    fn a_turn_in_a_conversation_is_done_only_when_it_is_on_disk() {
        let (mut machine, _) = begin("c", Track::Fast, None);
        machine.on_private();
        machine.on_track(Track::Fast, delta("Paris"));
        let effects = machine.on_track(Track::Fast, completion());
        assert_eq!(kinds(&effects), ["track done", "commit"]);
        let Effect::Commit(turn) = &effects[1] else { unreachable!() };
        assert_eq!((turn.prompt.as_str(), turn.answer.as_str()), ("question", "Paris"));
        assert!(turn.private, "an answer that draws on a private one is private");
        let aborted = machine.on_abort(Error::ShuttingDown);
        assert!(aborted.is_empty(), "a commit under way is not abandoned");
        assert_eq!(kinds(&machine.on_committed(Ok(()))), ["done", "end"]);
    }

    #[test]
    fn a_turn_that_cannot_be_written_is_not_acknowledged() {
        let (mut machine, _) = begin("c", Track::Fast, None);
        machine.on_track(Track::Fast, completion());
        let full = Error::Store { problem: "disk full".to_owned() };
        assert_eq!(machine.on_committed(Err(full.clone())), [Effect::End(Err(full))]);
    }

    #[test]
    fn the_other_track_takes_over_once_and_its_late_events_are_ignored() {
        let (mut machine, _) = begin("", Track::Slow, Some(Track::Fast));
        let effects = machine.on_track(Track::Slow, TrackEvent::Failed(failure()));
        assert_eq!(kinds(&effects), ["notice", "run fast"]);
        assert!(machine.on_track(Track::Slow, delta("late")).is_empty());
        let effects = machine.on_track(Track::Fast, TrackEvent::Failed(failure()));
        assert_eq!(effects, [Effect::End(Err(failure()))]);
    }

    #[test]
    fn half_an_answer_is_never_followed_by_another_one() {
        let (mut machine, _) = begin("", Track::Slow, Some(Track::Fast));
        machine.on_track(Track::Slow, delta("It is"));
        let effects = machine.on_track(Track::Slow, TrackEvent::Failed(failure()));
        assert_eq!(kinds(&effects), ["failed"]);
    }

    #[test]
    fn a_wrong_request_is_not_tried_on_the_other_track() {
        let (mut machine, _) = begin("", Track::Slow, Some(Track::Fast));
        let wrong = Error::invalid("sampling.stop", "too many");
        let effects = machine.on_track(Track::Slow, TrackEvent::Failed(wrong));
        assert_eq!(kinds(&effects), ["failed"]);
    }
}
