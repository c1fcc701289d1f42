//! The life of a turn as a state machine: what happens goes in, what to do comes out.
//!
//! A turn has two lanes, one a track. Most turns use one, or the other when that one fails. Both run
//! together when the policy asks for both, when the local model is not sure of its answer, and when
//! it takes long to load.

use tandem_proto::v1::{
    Degraded, Delta, Notice, NoticeKind, Routed, Superseded, ToolCall, ToolResult, Track, Turn,
    ask_event::Event,
};

use super::hold_back::{HoldBack, Verdict};
use super::recall;
use crate::resource_monitor::ResourceMonitor;
use crate::router::Plan;
use crate::{Completion, Error, TrackEvent};

mod ending;
mod lane;

use lane::{Lanes, Phase};

/// Something to be done, in order.
#[derive(Debug, PartialEq)]
pub(super) enum Effect {
    /// Send this to the caller.
    Emit(Event),
    /// Start this track. Its events come back as [`Machine::on_track`].
    Run(Run),
    /// End the track's run, if it has one.
    Stop(Track),
    /// Write the turn down; the result comes back as [`Machine::on_committed`].
    Commit(Turn),
    /// Let the local model read the conversation, so that it can answer the next question at once.
    Warm,
    /// The turn is over, and how.
    End(Result<(), Error>),
}

/// One run of a track. A track that was stopped can run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(super) track: Track,
    pub(super) number: u32,
    /// Why it runs, if not because the router said so; in words.
    pub(super) cause: &'static str,
}

/// What a turn is about.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) turn_id: String,
    pub(super) conversation_id: String,
    pub(super) prompt: String,
    /// How many pictures came with it.
    pub(super) images: u32,
    pub(super) tool_results: Vec<ToolResult>,
    /// Names of the model and of the provider's model.
    pub(super) fast_model: String,
    pub(super) slow_model: String,
    pub(super) seed: Option<u64>,
    /// Never to be read by a remote provider.
    pub(super) private: bool,
    /// The caller wants log-probabilities.
    pub(super) logprobs: bool,
    /// The answer that needs no model, if the question has one.
    pub(super) reply: Option<String>,
    /// What to say when nobody can answer.
    pub(super) apology: String,
    /// What to say when the user's documents have nothing to do with the question.
    pub(super) not_in_documents: String,
    /// What was given up for the sake of the machine when the turn began.
    pub(super) degraded: Option<Degraded>,
}

/// One turn.
#[derive(Debug)]
pub(super) struct Machine {
    facts: Facts,
    plan: Plan,
    lanes: Lanes,
    together: Together,
    hold_back: Option<HoldBack>,
    /// The local model was not up in time.
    cold: bool,
    /// What it reads was asked in private, in part.
    reads_private: bool,
    /// Numbers of the passages that the answer refers to.
    cited: Vec<u32>,
    state: State,
}

/// What two lanes that run mean to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Together {
    /// One lane runs at most.
    Apart,
    /// Both are seen, and the slow one counts if it gets to its end.
    Duo,
    /// The first to say something is the only one to go on.
    Race,
    /// The fast one is not believed, and only counts if the slow one fails.
    HandOff,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Committing(Track),
    Over,
}

impl Machine {
    /// A turn that is about to begin, and its first effects.
    pub(super) fn begin(facts: Facts, plan: Plan) -> (Self, Vec<Effect>) {
        let first = plan.first;
        let beside = plan.other.filter(|_| plan.duo);
        let routed = Routed {
            track: first.into(),
            score: plan.score,
            reasons: plan.reasons.clone(),
            turn_id: facts.turn_id.clone(),
            conversation_id: facts.conversation_id.clone(),
            model: facts.model(first).to_owned(),
            beside: beside.unwrap_or(Track::Unspecified).into(),
        };
        let mut effects = vec![Effect::Emit(Event::Routed(routed))];
        effects.extend(
            facts
                .degraded
                .as_ref()
                .map(|degraded| notice(NoticeKind::Degraded, ResourceMonitor::explain(degraded))),
        );
        let may_hand_over =
            first == Track::Fast && beside.is_none() && plan.other == Some(Track::Slow);
        let handoff = plan.escalation.handoff.filter(|_| may_hand_over);
        let mut machine = Self {
            hold_back: handoff.map(|handoff| HoldBack::new(handoff, facts.logprobs)),
            facts,
            plan,
            lanes: Lanes::default(),
            together: if beside.is_some() { Together::Duo } else { Together::Apart },
            cold: false,
            reads_private: false,
            cited: Vec::new(),
            state: State::Running,
        };
        effects.push(machine.run(first, ""));
        effects.extend(beside.map(|track| machine.run(track, "")));
        (machine, effects)
    }

    /// The model's name became known, or changed.
    pub(super) fn on_fast_model(&mut self, name: &str) {
        name.clone_into(&mut self.facts.fast_model);
    }

    /// The local model's answer draws on what was asked in private, and so is private itself.
    pub(super) fn on_private(&mut self) {
        self.reads_private = true;
    }

    /// Nothing of it may ever be read by a remote provider.
    pub(super) fn is_private(&self) -> bool {
        self.facts.private || self.reads_private
    }

    /// Something that the caller should know about a track that runs.
    pub(super) fn on_notice(&mut self, kind: NoticeKind, message: String) -> Vec<Effect> {
        match self.state {
            State::Running => vec![notice(kind, message)],
            State::Committing(_) | State::Over => Vec::new(),
        }
    }

    /// The local model has been loading for too long: the slow track may be sooner.
    pub(super) fn on_cold(&mut self) -> Vec<Effect> {
        let waits = self.lanes[Track::Fast].phase == Phase::Running
            && self.lanes[Track::Fast].text.is_empty();
        let alone = self.together == Together::Apart && self.plan.other == Some(Track::Slow);
        if self.state != State::Running || !waits || !alone || !self.lanes[Track::Slow].is_fresh() {
            return Vec::new();
        }
        self.together = Together::Race;
        self.cold = true;
        let message = "the local model is still being loaded; the remote provider is asked as well";
        vec![
            notice(NoticeKind::Waiting, message.to_owned()),
            self.run(Track::Slow, "the local model was still being loaded"),
        ]
    }

    /// Digests what the given run reports. Late events of one that was stopped are ignored.
    pub(super) fn on_track(&mut self, run: Run, event: TrackEvent) -> Vec<Effect> {
        let lane = &self.lanes[run.track];
        if self.state != State::Running || lane.phase != Phase::Running || lane.number != run.number
        {
            return Vec::new();
        }
        let track = run.track;
        match event {
            TrackEvent::Delta { text, reasoning, logprobs } => {
                self.say(Delta { track: track.into(), text, logprobs, reasoning })
            }
            TrackEvent::Cached(cached) => {
                self.lanes[track].cached = Some(cached);
                vec![notice(NoticeKind::Cached, recall::describe(&cached))]
            }
            TrackEvent::ToolCall(call) => self.call(track, call),
            TrackEvent::Resumed { reason } => vec![notice(
                NoticeKind::Resumed,
                format!("the engine was {reason}; a new one goes on with the answer"),
            )],
            TrackEvent::Notice(kind, message) => vec![notice(kind, message)],
            TrackEvent::Done(completion) => self.complete(track, completion),
            TrackEvent::Failed(error) => self.fail(track, error),
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
            State::Running => self.end(Err(error)),
        }
    }

    fn run(&mut self, track: Track, cause: &'static str) -> Effect {
        Effect::Run(Run { track, number: self.lanes[track].run(), cause })
    }

    /// A lane goes on with its answer.
    fn say(&mut self, delta: Delta) -> Vec<Effect> {
        let track = delta.track();
        match (self.together, track) {
            (Together::Race, _) | (Together::HandOff, Track::Slow) => {
                let mut effects = self.win(track);
                effects.push(self.show(delta));
                effects
            }
            (_, Track::Fast) => {
                match self.hold_back.as_mut().map(|held| held.push(delta.clone())) {
                    None => vec![self.show(delta)],
                    Some(Verdict::Show(deltas)) => self.show_all(deltas),
                    Some(Verdict::Unsure(tokens)) => self.hand_over(tokens),
                    Some(Verdict::Keep) => Vec::new(),
                }
            }
            _ => vec![self.show(delta)],
        }
    }

    /// A track asks for a tool. Only the slow one knows how.
    fn call(&mut self, track: Track, call: ToolCall) -> Vec<Effect> {
        let mut effects = match self.together {
            Together::Race | Together::HandOff => self.win(track),
            Together::Apart | Together::Duo => Vec::new(),
        };
        self.lanes[track].calls.push(call.clone());
        effects.push(Effect::Emit(Event::ToolCall(call)));
        effects
    }

    /// What the model thought is shown and forgotten: the next turn does not read it.
    fn show(&mut self, delta: Delta) -> Effect {
        self.lanes[delta.track()].text.push_str(&delta.text);
        Effect::Emit(Event::Delta(delta))
    }

    fn show_all(&mut self, deltas: Vec<Delta>) -> Vec<Effect> {
        deltas.into_iter().map(|delta| self.show(delta)).collect()
    }

    /// The lane goes on alone: the other one is not needed any more.
    fn win(&mut self, track: Track) -> Vec<Effect> {
        self.together = Together::Apart;
        let other = other(track);
        let mut effects = vec![Effect::Stop(other)];
        effects.extend(self.void(other));
        self.lanes[other].stop();
        if other == Track::Fast {
            self.hold_back = None;
        }
        effects
    }

    /// What the track has said is no answer any more.
    fn void(&mut self, track: Track) -> Option<Effect> {
        let said = self.lanes[track].unsay();
        let superseded = Superseded { track: track.into(), by: other(track).into() };
        said.then_some(Effect::Emit(Event::Superseded(superseded)))
    }

    /// The local model became unsure in the middle of its answer. It goes on unseen, in case that
    /// the slow track fails.
    fn hand_over(&mut self, tokens: usize) -> Vec<Effect> {
        self.together = Together::HandOff;
        let message = format!(
            "the local model is not sure of its last {tokens} tokens; the remote provider takes over"
        );
        let cause = "the local model became unsure within its answer";
        vec![notice(NoticeKind::Escalated, message), self.run(Track::Slow, cause)]
    }

    fn complete(&mut self, track: Track, completion: Completion) -> Vec<Effect> {
        if let Some(model) = &completion.model {
            model.clone_into(self.facts.model_mut(track));
        }
        let mut effects = Vec::new();
        if track == Track::Fast && self.together == Together::Apart {
            match self.hold_back.as_mut().map(HoldBack::finish) {
                Some(Verdict::Unsure(tokens)) => effects.extend(self.hand_over(tokens)),
                Some(Verdict::Show(deltas)) => effects.extend(self.show_all(deltas)),
                Some(Verdict::Keep) | None => {}
            }
        }
        effects.push(Effect::Emit(Event::TrackDone(self.track_done(track, &completion))));
        self.lanes[track].phase = Phase::Done;
        let unsure = self.is_unsure(track, &completion);
        self.lanes[track].completion = Some(completion);
        match (self.together, track) {
            (Together::Duo | Together::HandOff, Track::Fast) => {}
            (Together::Apart, Track::Fast) if unsure.is_some() => {
                self.together = Together::Duo;
                let message = unsure.unwrap_or_default();
                effects.push(notice(NoticeKind::Escalated, message));
                effects.push(self.run(Track::Slow, "the local model was not sure of its answer"));
            }
            (Together::Apart, _) => effects.extend(self.finish(track)),
            (Together::Duo | Together::HandOff | Together::Race, _) => {
                effects.extend(self.win(track));
                effects.extend(self.finish(track));
            }
        }
        effects
    }

    /// Why the slow track should answer as well, if it should.
    fn is_unsure(&self, track: Track, completion: &Completion) -> Option<String> {
        let possible = track == Track::Fast
            && self.plan.other == Some(Track::Slow)
            && self.lanes[Track::Slow].is_fresh();
        let threshold = self.plan.escalation.confidence.or(completion.confidence_floor)?;
        let confidence = completion.confidence.filter(|confidence| *confidence < threshold)?;
        possible.then(|| {
            format!(
                "the local model's confidence {confidence:.2} is below {threshold:.2}; \
                 the remote provider answers as well"
            )
        })
    }

    /// A track gives up. The other one covers for it, if it runs, has answered or may try.
    fn fail(&mut self, track: Track, error: Error) -> Vec<Effect> {
        self.lanes[track].phase = Phase::Failed;
        let other = other(track);
        let message = format!("{error}; {} answers instead", who(other));
        let mut effects = vec![notice(NoticeKind::FellBack, message)];
        match self.lanes[other].phase {
            Phase::Running | Phase::Done => {
                self.together = Together::Apart;
                effects.extend(self.void(track));
                if let (Track::Fast, Some(held)) = (other, self.hold_back.take()) {
                    effects.extend(self.show_all(held.release()));
                }
                if self.lanes[other].phase == Phase::Done {
                    effects.extend(self.finish(other));
                }
            }
            Phase::Idle if self.plan.other.is_some() && error.other_track_may_answer() => {
                self.hold_back = None;
                effects.extend(self.void(track));
                effects.push(self.run(other, "the other track failed"));
            }
            Phase::Idle | Phase::Failed => return self.give_up(track, error),
        }
        effects
    }
}

impl Facts {
    fn model(&self, track: Track) -> &str {
        match track {
            Track::Slow => &self.slow_model,
            Track::BuiltIn => "built-in",
            Track::Fast | Track::Unspecified => &self.fast_model,
        }
    }

    fn model_mut(&mut self, track: Track) -> &mut String {
        if track == Track::Slow { &mut self.slow_model } else { &mut self.fast_model }
    }
}

fn other(track: Track) -> Track {
    if track == Track::Slow { Track::Fast } else { Track::Slow }
}

fn who(track: Track) -> &'static str {
    if track == Track::Slow { "the remote provider" } else { "the local model" }
}

fn notice(kind: NoticeKind, message: String) -> Effect {
    Effect::Emit(Event::Notice(Notice { kind: kind.into(), message }))
}

#[cfg(test)]
mod tests;
