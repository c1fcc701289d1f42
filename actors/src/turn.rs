//! One question, from its admission to its committed answer. Runs the tracks of its plan,
//! passes their events on, and writes the turn down before it says that it is done.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tandem_proto::v1::{
    Citation, ContextLedger, ContextOutcome, ContextPart, NoticeKind, Priority, Track, Turn,
    ask_event::Event,
};
use tokio::task::{AbortHandle, JoinSet};
use tracing::{debug, info};

use crate::experiments::Answered;
use crate::memory_store::MemoryStore;
use crate::router::{self, Class, Counts, Job, Place, Plan, Services};
use crate::{Error, TrackEvent};

mod aside;
mod citations;
mod context;
mod documents;
mod facts;
mod history;
mod hold_back;
mod host;
mod machine;
mod masking;
mod memories;
mod outcome;
mod outlet;
mod reading;
mod recall;
mod reply;
mod run;
mod summary;
mod words;

pub use context::{Memory, Passage};
pub(crate) use facts::look_for_facts;
use machine::{Effect, Facts, Machine, Run};
pub(crate) use memories::find_memories;
use outcome::Record;
use outlet::Outlet;
pub(crate) use run::{Question, warm};
use run::{Terms, run};
pub(crate) use summary::{Overdue, summarise};

/// Before a store that is being restarted is asked again.
const COMMIT_PAUSE: Duration = Duration::from_millis(100);

/// How to start a turn.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) turn_id: String,
    pub(crate) job: Job,
    /// What it counts as, which is more than was asked for when it has waited for long.
    pub(crate) class: Class,
    pub(crate) plan: Plan,
    pub(crate) services: Services,
    pub(crate) counts: Arc<Counts>,
    /// Whoever has conversations read ahead.
    pub(crate) router: ActorRef<router::Message>,
}

/// Messages of a turn.
#[derive(Debug)]
pub(crate) enum Message {
    /// From a run of a track, which may have been stopped meanwhile.
    Track(Run, TrackEvent),
    /// The local model is still being loaded, and patience is at its end.
    Cold,
    /// The fast track's model is known under this name.
    FastModel(String),
    /// The answer draws on something private.
    ReadsPrivate,
    /// What the run of a track has read, just before it is done.
    Context(Run, ContextLedger),
    /// Something the caller should know.
    Notice(NoticeKind, String),
    /// The turn is on disk, or not.
    Committed(Result<(), Error>),
    /// The turn has to end.
    Abort(Error),
    /// Nobody listens any more.
    CallerGone,
}

pub(crate) struct State {
    machine: Machine,
    outlet: Outlet,
    accepted: Instant,
    /// The turn's place among the admitted ones.
    _place: Place,
    question: Arc<Question>,
    services: Services,
    counts: Arc<Counts>,
    router: ActorRef<router::Message>,
    /// When each track began to answer.
    first_deltas: HashMap<Track, Instant>,
    /// Dropping them cancels the tracks.
    tasks: JoinSet<()>,
    /// The latest run of each track, to be stopped alone.
    runs: HashMap<Track, AbortHandle>,
    /// What the latest run of each track has read, and the number of the run.
    contexts: HashMap<Track, (u32, ContextLedger)>,
    record: Record,
}

/// The actor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TurnActor;

impl Actor for TurnActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        Arguments { turn_id, job, class, plan, services, counts, router }: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let Job {
            request,
            policy,
            assignment,
            seed,
            accepted,
            deadline,
            events,
            end,
            place,
            told,
            ..
        } = job;
        let person_waits = request.priority() == Priority::High;
        let terms = Terms { policy, class, seed, deadline };
        let question = Question::new(&turn_id, request, terms, &plan, &services);
        let facts = Facts {
            turn_id,
            conversation_id: question.conversation_id.clone(),
            prompt: question.prompt.clone(),
            images: u32::try_from(question.luggage.images.len()).unwrap_or(u32::MAX),
            tool_results: question.luggage.results.clone(),
            fast_model: question.fast_model(&services),
            slow_model: question.provider_model(&services),
            seed: question.sampling.seed.or(Some(question.seed)),
            private: plan.private,
            logprobs: question.sampling.logprobs.is_some(),
            // A program is better served with the error.
            reply: person_waits.then(|| reply::find(&question.prompt)).flatten(),
            apology: reply::apology(&question.prompt),
            not_in_documents: reply::not_in_documents(&question.prompt),
            degraded: services.monitor.degraded(),
        };
        info!(turn = facts.turn_id, first = ?plan.first, other = ?plan.other, score = plan.score, "routed");
        debug!(turn = facts.turn_id, reasons = ?plan.reasons, "routed");
        let (machine, effects) = Machine::begin(facts, plan);

        let mut tasks = JoinSet::new();
        let (caller, turn) = (events.clone(), myself.clone());
        tasks.spawn(async move {
            let message = tokio::select! {
                () = caller.closed() => Message::CallerGone,
                () = tokio::time::sleep_until(deadline.into()) => {
                    let stage = "before the answer was complete".to_owned();
                    Message::Abort(Error::DeadlineExceeded { stage })
                }
            };
            let _ = turn.cast(message);
        });
        let mut state = State {
            machine,
            outlet: Outlet::new(events, end, told.events),
            accepted,
            _place: place,
            question: Arc::new(question),
            services,
            counts,
            router,
            first_deltas: HashMap::new(),
            tasks,
            runs: HashMap::new(),
            contexts: HashMap::new(),
            record: Record::new(assignment.variants),
        };
        state.carry_out(&myself, effects);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let effects = match message {
            Message::Track(run, event) => {
                let event = state.observe(run.track, event);
                state.machine.on_track(run, event)
            }
            Message::Cold => state.machine.on_cold(),
            Message::FastModel(name) => {
                state.machine.on_fast_model(&name);
                Vec::new()
            }
            Message::ReadsPrivate => {
                state.machine.on_private();
                Vec::new()
            }
            Message::Context(run, ledger) => {
                let number = |(number, _): &(u32, _)| *number;
                if state.contexts.get(&run.track).map_or(0, number) <= run.number {
                    state.contexts.insert(run.track, (run.number, ledger));
                }
                Vec::new()
            }
            Message::Notice(kind, message) => state.machine.on_notice(kind, message),
            Message::Committed(result) => state.machine.on_committed(result),
            Message::Abort(error) => state.machine.on_abort(error),
            Message::CallerGone => {
                let reason = "the caller went away".to_owned();
                state.machine.on_abort(Error::Cancelled { reason })
            }
        };
        state.carry_out(&myself, effects);
        Ok(())
    }
}

impl State {
    /// Counts, and measures time as the caller sees it.
    fn observe(&mut self, track: Track, mut event: TrackEvent) -> TrackEvent {
        match &mut event {
            TrackEvent::Delta { .. } | TrackEvent::ToolCall(_) => {
                self.first_deltas.entry(track).or_insert_with(Instant::now);
            }
            TrackEvent::Resumed { .. } => self.counts.resumed(),
            TrackEvent::Done(completion) => {
                let accepted = self.accepted;
                let first_delta = self.first_deltas.get(&track).copied().unwrap_or(accepted);
                completion.timings.total_us = microseconds(accepted.elapsed());
                completion.timings.time_to_first_token_us =
                    microseconds(first_delta.duration_since(accepted));
            }
            TrackEvent::Cached(_) | TrackEvent::Notice(..) | TrackEvent::Failed(_) => (),
        }
        event
    }

    fn carry_out(&mut self, myself: &ActorRef<Message>, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Emit(event) => self.emit(myself, event),
                Effect::Run(which) => {
                    let (question, services) = (Arc::clone(&self.question), self.services.clone());
                    let task = self.tasks.spawn(run(which, question, services, myself.clone()));
                    self.runs.insert(which.track, task);
                }
                Effect::Stop(track) => {
                    if let Some(task) = self.runs.remove(&track) {
                        task.abort();
                    }
                }
                Effect::Warm => {
                    let _ = self.router.cast(router::Message::Warm(Arc::clone(&self.question)));
                }
                Effect::Commit(mut turn) => {
                    turn.created = Some(SystemTime::now().into());
                    turn.citations = self.citations(turn.track(), &turn.citations);
                    turn.citations.retain(|citation| citation.cited);
                    // The documents keep their text, and lose it when they are removed.
                    turn.citations.iter_mut().for_each(|citation| citation.text.clear());
                    let (store, turn_ref) = (self.services.store.clone(), myself.clone());
                    let conversation = self.question.conversation_id.clone();
                    let deadline = self.question.deadline;
                    self.tasks.spawn(async move {
                        let result = commit(&store, &conversation, turn, deadline).await;
                        let _ = turn_ref.cast(Message::Committed(result));
                    });
                }
                Effect::End(result) => self.end(myself, result),
            }
        }
    }

    /// The passages that a track read, and which of them its answer refers to by number.
    fn citations(&self, track: Track, cited: &[Citation]) -> Vec<Citation> {
        let Some(documents) = self.question.documents.get() else { return Vec::new() };
        let numbers: Vec<u32> = cited.iter().map(|citation| citation.number).collect();
        documents.citations(self.contexts.get(&track).map(|(_, ledger)| ledger), &numbers)
    }

    fn emit(&mut self, myself: &ActorRef<Message>, mut event: Event) {
        if let Event::Done(done) = &mut event {
            done.citations = self.citations(done.track(), &done.citations);
            done.context = self.contexts.remove(&done.track()).map(|(_, ledger)| ledger);
            self.services
                .store
                .note_told(done.context.as_ref().map(memories_read).unwrap_or_default());
        }
        // There are many of these, and nothing but the caller looks at them.
        let seen = (!matches!(event, Event::Delta(_))).then(|| event.clone());
        if let Err(error) = self.outlet.send(event) {
            let _ = myself.cast(Message::Abort(error));
            return;
        }
        let Some(event) = seen else { return };
        self.record.see(&event);
        match &event {
            Event::Done(done) => {
                self.counts.answered(done.track());
                match done.track() {
                    Track::BuiltIn => (),
                    Track::Fast => {
                        if done.cached.is_none() {
                            self.book();
                        }
                        self.remember(Track::Fast);
                    }
                    track => self.remember(track),
                }
                let lost = done.context.as_ref().and_then(last_turn_left_out);
                if let Some(covers) =
                    lost.filter(|_| self.services.settings.memory.context_strategy.summarises())
                {
                    let question = Arc::clone(&self.question);
                    let _ =
                        self.router.cast(router::Message::Summarise(Overdue { question, covers }));
                }
            }
            Event::Notice(notice) => match notice.kind() {
                NoticeKind::FellBack => self.counts.fell_back(),
                NoticeKind::Escalated => self.counts.escalated(),
                _ => (),
            },
            _ => (),
        }
    }

    /// Counts an answer of the local model. One that another took the place of saved nothing.
    fn book(&self) {
        if let Some(done) = self.record.of(Track::Fast) {
            let (usage, elapsed) = (done.usage.unwrap_or_default(), self.accepted.elapsed());
            let conversation = &self.question.conversation_id;
            self.services.books.answered_locally(&done.model, conversation, &usage, elapsed);
        }
    }

    /// What a verdict on the answer needs.
    fn remember(&self, track: Track) {
        let turn = Answered {
            turn_id: self.question.turn_id.clone(),
            conversation_id: self.question.conversation_id.clone(),
            slow: track == Track::Slow,
            private: self.machine.is_private(),
            ..Answered::default()
        };
        self.record.answered(turn, &self.services.recent, &self.services.store);
    }

    fn end(&mut self, myself: &ActorRef<Message>, result: Result<(), Error>) {
        if let Err(error) = self.outlet.end(result) {
            if matches!(error, Error::Cancelled { .. }) {
                self.counts.cancelled();
            } else {
                self.counts.failed();
                self.record.failed(&self.services.store);
            }
            let turn = &self.question.turn_id;
            info!(turn, error = error.for_log(), "turn ended without an answer");
            debug!(turn, %error, "turn ended without an answer");
        }
        self.tasks.abort_all();
        myself.stop(None);
    }
}

/// The memories that were read.
fn memories_read(ledger: &ContextLedger) -> Vec<String> {
    let read = (ContextPart::Memory, ContextOutcome::Kept);
    let read = ledger.entries.iter().filter(|entry| (entry.part(), entry.outcome()) == read);
    read.map(|entry| entry.name.clone()).collect()
}

/// The last turn that was not read, neither as it was nor in a summary.
fn last_turn_left_out(ledger: &ContextLedger) -> Option<u64> {
    let lost = (ContextPart::Turn, ContextOutcome::Dropped);
    let lost = ledger.entries.iter().filter(|entry| (entry.part(), entry.outcome()) == lost);
    lost.map(|entry| entry.last).max()
}

/// Writes a turn down, again if the store was restarted meanwhile: the same turn twice is one.
async fn commit(
    store: &MemoryStore,
    conversation: &str,
    turn: Turn,
    deadline: Instant,
) -> Result<(), Error> {
    loop {
        match store.commit_turn(conversation, turn.clone()).await {
            Err(Error::Restarting { .. }) if Instant::now() + COMMIT_PAUSE < deadline => {
                tokio::time::sleep(COMMIT_PAUSE).await;
            }
            result => return result.map(drop),
        }
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
