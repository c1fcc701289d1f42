//! The requests that an engine works on, with all that is needed to go on after its death.

use std::collections::BTreeMap;
use std::time::Instant;

use tandem_models::confidence::Rule;
use tandem_proto::engine::{Generate, Rejected, Rejection, SequenceStep};
use tandem_proto::v1::Priority;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::AbortHandle;

use crate::{Completion, Error, Prompt, TrackEvent, TrackRequest};

/// A request that saw this many engines die is ended: it may well be what kills them.
const DEATHS_MAX: u32 = 2;

/// Requests by the id under which the engine knows them.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    requests: BTreeMap<u64, Entry>,
    next_id: u64,
    /// Judges answers.
    rule: Rule,
}

/// Where the events of a request go, and its right to be here.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(super) events: mpsc::Sender<TrackEvent>,
    pub(super) _permit: OwnedSemaphorePermit,
}

/// A request and what came of it so far.
#[derive(Debug)]
pub(crate) struct Entry {
    request: TrackRequest,
    ticket: Ticket,
    /// Waits for the caller to go away.
    watcher: Option<AbortHandle>,
    /// Everything generated so far, over all engines.
    tokens: Vec<u32>,
    logprob_sum: f64,
    /// The engine of this life knows the request.
    submitted: bool,
    deaths: u32,
}

impl InFlight {
    /// Nothing yet; answers will be judged by `rule`.
    pub(super) fn new(rule: Rule) -> Self {
        Self { rule, ..Self::default() }
    }

    /// The name of a request to come.
    pub(super) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Takes a request in.
    pub(super) fn admit(&mut self, id: u64, entry: Entry) {
        self.requests.insert(id, entry);
    }

    /// All requests, oldest first.
    pub(super) fn ids(&self) -> Vec<u64> {
        self.requests.keys().copied().collect()
    }

    /// Gives a request away that the engine does not know.
    pub(super) fn take(&mut self, id: u64) -> Option<Entry> {
        self.requests.remove(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// What to send to the engine for every request that it does not know yet, oldest first.
    pub(super) fn submit_all(&mut self) -> Vec<Generate> {
        let unknown = self.requests.iter_mut().filter(|(_, entry)| !entry.submitted);
        unknown.map(|(&id, entry)| entry.submit(id)).collect()
    }

    /// Digests one request's part of a step. Says so when the request is complete.
    pub(super) fn on_step(&mut self, step: SequenceStep) -> Option<Completion> {
        // There is none for a request that was cancelled meanwhile.
        let entry = self.requests.get_mut(&step.id)?;
        entry.tokens.extend(&step.tokens);
        entry.logprob_sum += step.logprob_sum;
        let SequenceStep { text, reasoning, logprobs, .. } = step;
        if !text.is_empty() || !reasoning.is_empty() || !logprobs.is_empty() {
            entry.report(TrackEvent::Delta { text, reasoning, logprobs });
        }
        let finish = step.finish?;
        #[allow(clippy::cast_precision_loss, reason = "a few thousand tokens")]
        let mean_logprob =
            (!entry.tokens.is_empty()).then(|| entry.logprob_sum / entry.tokens.len() as f64);
        let completion = Completion {
            finish_reason: finish.reason(),
            usage: finish.usage.unwrap_or_default(),
            timings: finish.timings.unwrap_or_default(),
            mean_logprob,
            confidence: finish.certainty.and_then(|certainty| self.rule.confidence(&certainty)),
            confidence_floor: self.rule.escalate_below,
            certainty: finish.certainty,
            model: None,
            cost_micros: None,
        };
        entry.report(TrackEvent::Done(completion.clone()));
        self.requests.remove(&step.id);
        Some(completion)
    }

    /// The engine refuses a request.
    pub(super) fn on_rejected(&mut self, rejected: Rejected) {
        let rejection = rejected.rejection();
        let error = match rejection {
            Rejection::Invalid | Rejection::Template => Error::invalid("request", rejected.message),
            Rejection::TooLong => Error::PromptTooLong { problem: rejected.message },
            Rejection::Busy => Error::Overloaded {
                what: rejected.message,
                retry_after: std::time::Duration::from_secs(1),
            },
            Rejection::ModelKind => Error::ModelUnsuitable { problem: rejected.message },
            Rejection::Failed | Rejection::Unspecified => {
                Error::Internal { problem: rejected.message }
            }
        };
        self.end(rejected.id, error);
    }

    /// The engine died. Requests that it knew go on with the next one, except those that have
    /// seen too many deaths. `ended_by` makes their error.
    pub(super) fn on_death(&mut self, how: &str, ended_by: impl Fn() -> Error) {
        self.requests.retain(|_, entry| {
            if !entry.submitted {
                return true;
            }
            entry.submitted = false;
            entry.deaths += 1;
            if entry.deaths >= DEATHS_MAX {
                entry.report(TrackEvent::Failed(ended_by()));
                return false;
            }
            if !entry.tokens.is_empty() {
                entry.report(TrackEvent::Resumed { reason: how.to_owned() });
            }
            true
        });
    }

    /// Ends one request. True when the engine works on it and has to be told.
    pub(super) fn end(&mut self, id: u64, error: Error) -> bool {
        let Some(entry) = self.requests.remove(&id) else { return false };
        entry.report(TrackEvent::Failed(error));
        entry.submitted
    }

    /// Ends everything.
    pub(super) fn end_all(&mut self, error: &Error) {
        for (_, entry) in std::mem::take(&mut self.requests) {
            entry.report(TrackEvent::Failed(error.clone()));
        }
    }
}

impl Entry {
    pub(super) fn new(request: TrackRequest, ticket: Ticket) -> Self {
        Self {
            request,
            ticket,
            watcher: None,
            tokens: Vec::new(),
            logprob_sum: 0.0,
            submitted: false,
            deaths: 0,
        }
    }

    pub(super) fn events(&self) -> &mpsc::Sender<TrackEvent> {
        &self.ticket.events
    }

    pub(super) fn deadline(&self) -> Instant {
        self.request.deadline
    }

    pub(super) fn set_watcher(&mut self, watcher: AbortHandle) {
        self.watcher = Some(watcher);
    }

    /// The request as another worker takes it on, where `permit` is its place.
    pub(super) fn moved(mut self, permit: OwnedSemaphorePermit) -> Self {
        if let Some(watcher) = self.watcher.take() {
            watcher.abort();
        }
        self.ticket = Ticket { events: self.ticket.events, _permit: permit };
        self.submitted = false;
        self
    }

    fn submit(&mut self, id: u64) -> Generate {
        self.submitted = true;
        let (prompt, messages) = match &self.request.prompt {
            Prompt::Text(text) => (text.clone(), Vec::new()),
            Prompt::Chat(messages) => (String::new(), messages.clone()),
        };
        Generate {
            id,
            prompt,
            messages,
            sampling: Some(self.request.sampling.clone()),
            resume_tokens: self.tokens.clone(),
            priority: Priority::from(self.request.class).into(),
        }
    }

    /// The channel holds one event per token and a few more, so it is never full; when the
    /// receiver is gone, its watcher cancels the request.
    fn report(&self, event: TrackEvent) {
        let _ = self.ticket.events.try_send(event);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use std::sync::Arc;

    use tandem_proto::engine::Finish;
    use tandem_proto::v1::{Certainty, FinishReason, Sampling};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::Tools;
    use crate::router::Class;

    fn admit(in_flight: &mut InFlight) -> (u64, mpsc::Receiver<TrackEvent>) {
        let (events, received) = mpsc::channel(16);
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let request = TrackRequest {
            turn_id: "turn".to_owned(),
            prompt: Prompt::Text("Once".to_owned()),
            sampling: Sampling { seed: Some(1), max_tokens: Some(8), ..Sampling::default() },
            tools: Tools::default(),
            class: Class::Background,
            deadline: Instant::now(),
        };
        let id = in_flight.next_id();
        in_flight.admit(id, Entry::new(request, Ticket { events, _permit: permit }));
        (id, received)
    }

    fn step(id: u64, token: u32, text: &str) -> SequenceStep {
        SequenceStep {
            id,
            tokens: vec![token],
            text: text.to_owned(),
            logprob_sum: -0.5,
            ..SequenceStep::default()
        }
    }

    fn died() -> Error {
        Error::EngineCrashed { model: "m".to_owned(), reason: "SIGKILL".to_owned() }
    }

    #[test]
    fn after_a_death_the_next_engine_gets_the_tokens_already_generated() {
        let mut in_flight = InFlight::default();
        let (id, mut events) = admit(&mut in_flight);
        let first = in_flight.submit_all().remove(0);
        assert_eq!((first.resume_tokens.as_slice(), first.priority()), (&[][..], Priority::Low));
        in_flight.on_step(step(id, 7, "up"));
        in_flight.on_step(step(id, 8, " on"));
        assert!(in_flight.submit_all().is_empty(), "the engine knows it already");

        in_flight.on_death("killed by SIGKILL", died);
        assert_eq!(in_flight.submit_all()[0].resume_tokens, [7, 8]);
        let mut last = step(id, 9, " a");
        last.finish = Some(Finish { reason: FinishReason::Length.into(), ..Finish::default() });
        assert!(in_flight.on_step(last).is_some());
        assert_eq!(in_flight.len(), 0);

        let mut text = String::new();
        let mut resumed = 0;
        while let Ok(event) = events.try_recv() {
            match event {
                TrackEvent::Delta { text: more, .. } => text += &more,
                TrackEvent::Resumed { .. } => resumed += 1,
                TrackEvent::Notice(_, message) => panic!("{message}"),
                TrackEvent::Done(completion) => assert_eq!(completion.mean_logprob, Some(-0.5)),
                TrackEvent::Failed(error) => panic!("{error}"),
                other @ (TrackEvent::ToolCall(_) | TrackEvent::Cached(_)) => {
                    panic!("a worker has no use for {other:?}")
                }
            }
        }
        assert_eq!((text.as_str(), resumed), ("up on a", 1));
    }

    #[test]
    fn an_answer_is_judged_by_the_rule_when_there_is_something_to_judge() {
        let mut in_flight = InFlight::new(Rule { logprob_mean: 1.0, ..Rule::default() });
        let mut complete = |certainty| {
            let (id, _events) = admit(&mut in_flight);
            let finish = Some(Finish { certainty, ..Finish::default() });
            in_flight.on_step(SequenceStep { finish, ..step(id, 7, "up") }).unwrap()
        };
        let certainty =
            Certainty { tokens: 1, logprob_mean: -3.0_f64.ln(), ..Certainty::default() };
        let judged = complete(Some(certainty));
        assert!((judged.confidence.unwrap() - 0.25).abs() < 1e-12, "{judged:?}");
        assert_eq!(judged.certainty, Some(certainty));
        let unknown = complete(None);
        assert_eq!((unknown.confidence, unknown.certainty), (None, None));
    }

    #[test]
    fn a_request_with_nothing_sent_is_retried_silently() {
        let mut in_flight = InFlight::default();
        let (_, mut events) = admit(&mut in_flight);
        in_flight.submit_all();
        in_flight.on_death("killed by SIGKILL", died);
        assert!(events.try_recv().is_err());
        assert_eq!(in_flight.submit_all().len(), 1);
    }

    #[test]
    fn a_request_that_saw_two_deaths_is_ended_and_one_that_waited_is_not() {
        let mut in_flight = InFlight::default();
        let (_, mut poison) = admit(&mut in_flight);
        in_flight.submit_all();
        in_flight.on_death("killed by SIGSEGV", died);
        in_flight.submit_all();
        let (_, mut bystander) = admit(&mut in_flight);
        in_flight.on_death("killed by SIGSEGV", died);
        assert_eq!(poison.try_recv().unwrap(), TrackEvent::Failed(died()));
        assert!(bystander.try_recv().is_err());
        assert_eq!(in_flight.len(), 1);
    }

    #[test]
    fn a_request_that_moves_to_another_engine_takes_along_what_it_has_and_a_place_there() {
        let (mut here, mut there) = (InFlight::default(), InFlight::default());
        let (id, mut events) = admit(&mut here);
        here.submit_all();
        here.on_step(step(id, 7, "up"));
        here.on_death("killed by SIGKILL", died);
        let places = Arc::new(Semaphore::new(1));
        let permit = Arc::clone(&places).try_acquire_owned().unwrap();
        let moved = here.take(id).unwrap().moved(permit);
        assert_eq!((here.len(), here.take(id).is_none()), (0, true));

        let id = there.next_id();
        there.admit(id, moved);
        assert_eq!(there.submit_all()[0].resume_tokens, [7]);
        there.on_death("killed by SIGKILL", died);
        assert_eq!((there.len(), places.available_permits()), (0, 1), "the second death it saw");
        let mut last = None;
        while let Ok(event) = events.try_recv() {
            last = Some(event);
        }
        assert_eq!(last, Some(TrackEvent::Failed(died())));
    }

    #[test]
    fn an_engine_is_not_told_about_the_end_of_a_request_that_it_never_had() {
        let mut in_flight = InFlight::default();
        let (id, _events) = admit(&mut in_flight);
        assert!(!in_flight.end(id, died()));
        assert!(in_flight.submit_all().is_empty());
    }

    #[test]
    fn a_step_for_a_cancelled_request_is_ignored() {
        let mut in_flight = InFlight::default();
        let (id, _events) = admit(&mut in_flight);
        in_flight.submit_all();
        assert!(in_flight.end(id, died()));
        assert_eq!(in_flight.on_step(step(id, 1, "late")), None);
        assert!(!in_flight.end(id, died()));
    }
}
