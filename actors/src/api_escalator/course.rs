//! The course of one question on the slow track as a state machine: what happens goes in, what to
//! do comes out. It asks the candidates one after the other until one begins to answer, asks a
//! failing one again where that may help, and once asks the next one early, when the first is late.
//!
//! Whoever begins to answer first gives the whole answer: half of one is never followed by another.

use std::time::Duration;

use tandem_proto::v1::NoticeKind;

use super::retry;
use crate::{Error, TrackEvent};

/// A provider that may answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Name in the configuration.
    pub(super) name: String,
    /// The model's name at its API.
    pub(super) model: String,
}

/// What comes of an attempt.
#[derive(Debug)]
pub(super) enum News {
    /// It was refused before anything was sent.
    Refused(Error),
    /// The provider says so.
    Said(TrackEvent),
}

/// Something to be done, in order.
#[derive(Debug, PartialEq)]
pub(super) enum Effect {
    /// Ask this candidate after a pause. What comes of it goes to [`Course::on_news`].
    Ask {
        /// Names the attempt; never used twice.
        attempt: u32,
        /// Position among the candidates.
        candidate: usize,
        pause: Duration,
    },
    /// Give this attempt up, and close its connection.
    Close(u32),
    /// Pass this on to the caller.
    Emit(TrackEvent),
    /// The last event for the caller.
    End(TrackEvent),
}

/// What a decision about another try rests on.
pub(super) trait Moment {
    /// What is left of the caller's time.
    fn left(&self) -> Duration;
    /// A number from 0 up to 1.
    fn random(&self) -> f64;
    /// Whether a candidate may be asked again. Counts as if that were done.
    fn may_retry(&self, candidate: usize) -> bool;
    /// Whether a candidate may be asked early. Counts as if that were done.
    fn may_hedge(&self, candidate: usize) -> bool;
}

/// One question.
#[derive(Debug)]
pub(super) struct Course {
    candidates: Vec<Candidate>,
    /// The first candidate that was not asked yet.
    next: usize,
    attempts: u32,
    /// Attempts under way: one, or two when hedged.
    lanes: Vec<Lane>,
    hedged: bool,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
struct Lane {
    attempt: u32,
    candidate: usize,
    /// Requests to this candidate so far.
    tries: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nobody has said anything.
    Asking,
    /// The only lane that is left answers.
    Answering,
    Over,
}

impl Course {
    /// A question that is about to be asked, and what to do first. There is at least one candidate.
    pub(super) fn begin(candidates: Vec<Candidate>) -> (Self, Vec<Effect>) {
        let mut course = Self {
            candidates,
            next: 0,
            attempts: 0,
            lanes: Vec::new(),
            hedged: false,
            stage: Stage::Asking,
        };
        let first = course.ask_next();
        let none = || {
            let problem = "no provider can be asked".to_owned();
            course.end(TrackEvent::Failed(Error::ProviderNotConfigured { problem }))
        };
        let effects = first.map_or_else(none, |ask| vec![ask]);
        (course, effects)
    }

    /// The candidate whose first token is awaited, while another one could be asked as well.
    pub(super) fn waits_for(&self) -> Option<usize> {
        let could = self.stage == Stage::Asking && !self.hedged && self.has_next();
        self.lanes.first().filter(|_| could).map(|lane| lane.candidate)
    }

    /// The first token is late: asks the next candidate, too, if that may be.
    pub(super) fn on_late(&mut self, moment: &impl Moment) -> Vec<Effect> {
        let Some(late) = self.waits_for() else { return Vec::new() };
        self.hedged = true;
        if !moment.may_hedge(self.next) {
            return Vec::new();
        }
        let message = format!("no word from provider {:?} yet", self.name(late));
        self.tell_and_ask_next(&message, "as well").unwrap_or_default()
    }

    /// Digests what comes of an attempt. Late news of one that was given up is ignored.
    pub(super) fn on_news(
        &mut self,
        attempt: u32,
        news: News,
        moment: &impl Moment,
    ) -> Vec<Effect> {
        let Some(position) = self.lanes.iter().position(|lane| lane.attempt == attempt) else {
            return Vec::new();
        };
        match news {
            News::Refused(error) => self.fail(position, error, false, moment),
            News::Said(TrackEvent::Failed(error)) => self.fail(position, error, true, moment),
            News::Said(TrackEvent::Done(mut completion)) => {
                let lane = self.lanes.swap_remove(position);
                let answered = self.candidates.get(lane.candidate);
                completion.model = answered.map(|candidate| candidate.model.clone());
                self.end(TrackEvent::Done(completion))
            }
            News::Said(event @ (TrackEvent::Delta { .. } | TrackEvent::ToolCall(_))) => {
                let answering = self.lanes.swap_remove(position);
                let mut effects = self.close_all();
                self.lanes.push(answering);
                self.stage = Stage::Answering;
                effects.push(Effect::Emit(event));
                effects
            }
            News::Said(
                event @ (TrackEvent::Cached(_)
                | TrackEvent::Resumed { .. }
                | TrackEvent::Notice(..)),
            ) => {
                vec![Effect::Emit(event)]
            }
        }
    }

    fn fail(
        &mut self,
        position: usize,
        error: Error,
        was_sent: bool,
        moment: &impl Moment,
    ) -> Vec<Effect> {
        let lane = self.lanes.swap_remove(position);
        if self.stage == Stage::Answering || !error.other_track_may_answer() {
            return self.end(TrackEvent::Failed(error));
        }
        if !self.lanes.is_empty() {
            // The other one may still answer.
            return Vec::new();
        }
        let pause = retry::pause(&error, lane.tries, moment.left(), moment.random());
        if let Some(pause) = pause.filter(|_| was_sent && moment.may_retry(lane.candidate)) {
            let message = format!("{error}; it is asked again in {} ms", pause.as_millis());
            let ask = self.ask(lane.candidate, lane.tries + 1, pause);
            return vec![retried(message), ask];
        }
        self.tell_and_ask_next(&error.to_string(), "instead")
            .unwrap_or_else(|| self.end(TrackEvent::Failed(error)))
    }

    fn tell_and_ask_next(&mut self, why: &str, how: &str) -> Option<Vec<Effect>> {
        let next = format!("{why}; provider {:?} is asked {how}", self.name(self.next));
        self.ask_next().map(|ask| vec![retried(next), ask])
    }

    fn ask_next(&mut self) -> Option<Effect> {
        let candidate = self.has_next().then_some(self.next)?;
        self.next += 1;
        Some(self.ask(candidate, 1, Duration::ZERO))
    }

    fn ask(&mut self, candidate: usize, tries: u32, pause: Duration) -> Effect {
        self.attempts += 1;
        let attempt = self.attempts;
        self.lanes.push(Lane { attempt, candidate, tries });
        Effect::Ask { attempt, candidate, pause }
    }

    fn has_next(&self) -> bool {
        self.next < self.candidates.len()
    }

    fn name(&self, candidate: usize) -> &str {
        self.candidates.get(candidate).map_or("", |candidate| &candidate.name)
    }

    fn close_all(&mut self) -> Vec<Effect> {
        self.lanes.drain(..).map(|lane| Effect::Close(lane.attempt)).collect()
    }

    fn end(&mut self, last: TrackEvent) -> Vec<Effect> {
        self.stage = Stage::Over;
        let mut effects = self.close_all();
        effects.push(Effect::End(last));
        effects
    }
}

fn retried(message: String) -> Effect {
    Effect::Emit(TrackEvent::Notice(NoticeKind::Retried, message))
}

#[cfg(test)]
mod tests;
