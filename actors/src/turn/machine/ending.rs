//! How a turn ends: what is reported of each track, what is written down, and what is said when nobody
//! can answer.

use tandem_proto::v1::{
    Citation, Delta, Done, NoticeKind, Superseded, Track, TrackDone, Turn, ask_event::Event,
};

use super::super::citations::cited;
use super::{Effect, Machine, State, notice};
use crate::{Completion, Error};

impl Machine {
    pub(super) fn track_done(&self, track: Track, completion: &Completion) -> TrackDone {
        TrackDone {
            track: track.into(),
            model: self.facts.model(track).to_owned(),
            finish_reason: completion.finish_reason.into(),
            usage: Some(completion.usage),
            timings: Some(completion.timings),
            mean_logprob: completion.mean_logprob,
            confidence: completion.confidence,
            certainty: completion.certainty,
            cost_micros: completion.cost_micros,
        }
    }

    /// No track can answer: a built-in reply does, or an honest word with the error.
    pub(super) fn give_up(&mut self, track: Track, error: Error) -> Vec<Effect> {
        let text = match &error {
            Error::NotInDocuments { .. } => Some(self.facts.not_in_documents.clone()),
            error if error.is_outage() => self.facts.reply.take(),
            _ => return self.end(Err(error)),
        };
        let Some(text) = text else {
            let apology = notice(NoticeKind::BuiltIn, self.facts.apology.clone());
            let mut effects = vec![apology];
            effects.extend(self.end(Err(error)));
            return effects;
        };
        let message = format!("{error}; the answer is a built-in reply");
        let mut effects = vec![notice(NoticeKind::BuiltIn, message)];
        if self.lanes[track].unsay() {
            let superseded = Superseded { track: track.into(), by: Track::BuiltIn.into() };
            effects.push(Effect::Emit(Event::Superseded(superseded)));
        }
        let track = Track::BuiltIn.into();
        effects.push(self.show(Delta { track, text, ..Delta::default() }));
        effects.extend(self.complete(Track::BuiltIn, Completion::whole()));
        effects
    }

    pub(super) fn finish(&mut self, track: Track) -> Vec<Effect> {
        self.cited = cited(&self.lanes[track].text);
        if self.facts.conversation_id.is_empty() {
            return self.done(track, false);
        }
        self.state = State::Committing(track);
        vec![Effect::Commit(self.turn(track))]
    }

    fn turn(&mut self, track: Track) -> Turn {
        let completion = self.lanes[track].completion.take().unwrap_or_else(Completion::whole);
        Turn {
            id: self.facts.turn_id.clone(),
            prompt: std::mem::take(&mut self.facts.prompt),
            citations: numbered(&self.cited),
            answer: std::mem::take(&mut self.lanes[track].text),
            track: track.into(),
            model: self.facts.model(track).to_owned(),
            // The store knows the time.
            created: None,
            usage: Some(completion.usage),
            finish_reason: completion.finish_reason.into(),
            private: self.facts.private || (self.reads_private && track == Track::Fast),
            tool_calls: std::mem::take(&mut self.lanes[track].calls),
            tool_results: std::mem::take(&mut self.facts.tool_results),
            images: self.facts.images,
        }
    }

    pub(super) fn done(&mut self, track: Track, stored: bool) -> Vec<Effect> {
        let cached = self.lanes[track].cached;
        let done = Done {
            track: track.into(),
            turn_id: self.facts.turn_id.clone(),
            conversation_id: self.facts.conversation_id.clone(),
            seed: self.facts.seed.filter(|_| track == Track::Fast && cached.is_none()),
            stored,
            // Who builds contexts knows it, and what was found in documents.
            context: None,
            citations: numbered(&self.cited),
            cached,
            degraded: self.facts.degraded.take(),
        };
        let mut effects = vec![Effect::Emit(Event::Done(done))];
        if self.cold && stored && track == Track::Slow {
            effects.push(Effect::Warm);
        }
        effects.extend(self.end(Ok(())));
        effects
    }

    pub(super) fn end(&mut self, how: Result<(), Error>) -> Vec<Effect> {
        self.state = State::Over;
        vec![Effect::End(how)]
    }
}

/// References to passages, of which nothing but the numbers is known here.
fn numbered(cited: &[u32]) -> Vec<Citation> {
    cited.iter().map(|number| Citation { number: *number, ..Citation::default() }).collect()
}
