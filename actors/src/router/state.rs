//! The router's state and what each message does to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorId, ActorRef, SupervisionEvent};
use tandem_config::Redact;
use tandem_proto::v1::{Policy, Pressure, Queued, Rung};
use tokio::task::JoinSet;
use tracing::{debug, error, warn};

use super::class::Class;
use super::idle::Idle;
use super::plan::{Escalation, HandOff, Obstacle, Plan, Situation, decide};
use super::queue::Queue;
use super::{Arguments, Job, Message, Services, lasting_id};
use crate::experiments::Feature;
use crate::needs;
use crate::provider::Provider;
use crate::resource_monitor::ResourceMonitor;
use crate::turn::{self, Question, TurnActor, warm};
use crate::{Error, Node, Result};

/// Conversations that are read ahead at a time.
const WARMING_MAX: usize = 2;
/// Bytes of a token in ordinary text, at least on average.
const BYTES_PER_TOKEN: usize = 3;
/// Bytes of a question that are searched for personal data before it is routed.
const SEARCHED_BYTES_MAX: usize = 64 << 10;
/// When to ask again while the machine is short of everything.
const PRESSURE_RETRY_AFTER: Duration = Duration::from_secs(10);
/// How often callers hear where in the queue their questions stand, and how long one waits before its
/// caller does.
const TELL_INTERVAL: Duration = Duration::from_millis(250);

pub(crate) struct State {
    arguments: Arguments,
    queue: Queue<Box<Job>>,
    /// When callers are told again how long they will wait.
    tell_at: Instant,
    turns: HashMap<ActorId, Turn>,
    /// Conversations that the local model reads ahead; dropping them ends that.
    warming: JoinSet<()>,
    pub(super) idle: Idle,
}

struct Turn {
    actor: ActorRef<turn::Message>,
    node: Node,
    /// Whose slot it holds, and since when.
    class: Class,
    begun: Instant,
}

impl State {
    pub(super) fn new(arguments: Arguments) -> Self {
        // Turns of an earlier life went with it.
        arguments.node.remove_children();
        let queue = Queue::new(arguments.handle.config.running_max);
        let mut idle = Idle::default();
        if arguments.services.borrow().settings.memory.facts {
            // Turns of an earlier life may be left.
            idle.hear();
        }
        let (turns, warming) = (HashMap::new(), JoinSet::new());
        Self { arguments, queue, tell_at: Instant::now(), turns, warming, idle }
    }

    pub(super) fn submit(&mut self, job: Box<Job>) {
        let (class, client) = (job.place.class(), Arc::clone(job.place.client()));
        let (accepted, deadline) = (job.accepted, job.deadline);
        self.queue.push(job, class, &client, accepted, deadline);
    }

    /// Starts turns as long as there are slots.
    pub(super) async fn run_next(&mut self, myself: &ActorRef<Message>) {
        while let Some((mut job, class)) = self.queue.pop(Instant::now()) {
            if job.events.is_closed() {
                self.arguments.handle.counts.cancelled();
                self.queue.release(class);
                continue;
            }
            let services = Services { settings: Arc::clone(&job.settings), ..self.services() };
            let plan = match plan(&job, &services) {
                Ok(plan) => plan,
                Err(error) => {
                    self.refuse(*job, error);
                    self.queue.release(class);
                    continue;
                }
            };
            job.place.runs();
            self.arguments.handle.counts.started();
            let turn_id = job.turn_id.clone();
            let node = self.arguments.node.child(&format!("turn {turn_id}"));
            let arguments = turn::Arguments {
                turn_id,
                job: *job,
                class,
                plan,
                services,
                counts: self.arguments.handle.counts.clone(),
                router: myself.clone(),
            };
            match Actor::spawn_linked(None, TurnActor, arguments, myself.get_cell()).await {
                Ok((actor, _)) => {
                    node.started();
                    let turn = Turn { actor, node, class, begun: Instant::now() };
                    self.turns.insert(turn.actor.get_id(), turn);
                }
                Err(problem) => {
                    error!(%problem, "a turn could not be started");
                    node.remove();
                    self.queue.release(class);
                }
            }
        }
        self.show_load();
    }

    /// A turn ended.
    pub(super) fn on_turn(&mut self, event: &SupervisionEvent) {
        let (cell, failure) = match event {
            SupervisionEvent::ActorFailed(cell, failure) => (cell, Some(failure)),
            SupervisionEvent::ActorTerminated(cell, _, _) => (cell, None),
            _ => return,
        };
        if let Some(turn) = self.turns.remove(&cell.get_id()) {
            turn.node.remove();
            self.queue.release(turn.class);
            self.arguments.handle.estimate().saw(turn.begun.elapsed());
            if self.services().settings.memory.facts {
                self.idle.hear();
            }
        }
        if let Some(failure) = failure {
            error!(%failure, "a turn failed");
            self.arguments.handle.counts.failed();
        }
    }

    /// Refuses the questions that waited past their deadline, and forgets those of callers who
    /// went away.
    pub(super) fn expire(&mut self) {
        for job in self.queue.expire(Instant::now(), |job| job.events.is_closed()) {
            if job.events.is_closed() {
                self.arguments.handle.counts.cancelled();
                continue;
            }
            let stage = "while the question waited for a slot".to_owned();
            self.refuse(*job, Error::DeadlineExceeded { stage });
        }
    }

    /// Tells callers where their questions stand, if they have waited for a while.
    pub(super) fn tell_waiting(&mut self, now: Instant) {
        if now < self.tell_at {
            return;
        }
        self.tell_at = now + TELL_INTERVAL;
        let handle = &self.arguments.handle;
        let (estimate, slots) = (*handle.estimate(), handle.config.running_max);
        let waiting = u32::try_from(self.queue.waiting()).unwrap_or(u32::MAX);
        self.queue.each_in_turn(|position, class, since, job| {
            if now.saturating_duration_since(since) < TELL_INTERVAL {
                return;
            }
            let wait = estimate.wait(position, class.slots(slots));
            let estimate_ms = wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
            let Job { told, events, .. } = &mut **job;
            told.tell(Queued { position, waiting, estimate_ms }, events);
        });
    }

    /// Ends everything that waits or runs.
    pub(super) fn end_all(&mut self) {
        for job in self.queue.clear() {
            self.refuse(*job, Error::ShuttingDown);
        }
        for turn in self.turns.values() {
            if turn.actor.cast(turn::Message::Abort(Error::ShuttingDown)).is_err() {
                warn!("a turn ended before it could be told to");
            }
        }
    }

    fn services(&self) -> Services {
        self.arguments.services.borrow().clone()
    }

    /// Lets the local model read a conversation ahead, unless enough others are being read or the
    /// machine is short: it only saves time.
    pub(super) fn warm(&mut self, question: Arc<Question>) {
        while self.warming.try_join_next().is_some() {}
        let services = self.services();
        if spares_itself(&services.monitor) || self.warming.len() >= WARMING_MAX {
            return;
        }
        self.warming.spawn(async move {
            if let Err(error) = warm(&question, &services).await {
                debug!(%error, "a conversation was not read ahead");
            }
        });
    }

    /// Sums up and looks for facts while nobody asks anything and the machine has something to spare.
    pub(super) fn use_idle_time(&mut self) {
        let services = self.services();
        if spares_itself(&services.monitor) {
            return;
        }
        self.idle.go_on(&self.arguments.handle, &services, Instant::now());
    }

    fn refuse(&self, job: Job, error: Error) {
        self.arguments.handle.counts.failed();
        job.end.send(Err(error));
    }

    fn show_load(&self) {
        let accepted = self.queue.running() as usize + self.queue.waiting();
        self.arguments.node.set_queue(accepted);
    }
}

/// Whether the machine does nothing that can wait: either rung can be turned off.
fn spares_itself(monitor: &ResourceMonitor) -> bool {
    [Rung::Remote, Rung::Template].into_iter().any(|rung| monitor.is_in_effect(rung))
}

/// Who answers, and why.
fn plan(job: &Job, services: &Services) -> Result<Plan> {
    let config = &services.settings.router;
    let named = Some(job.request.provider.as_str()).filter(|name| !name.is_empty());
    let overrides = &job.assignment.overrides;
    let provider = services
        .escalator
        .provider_for(named.or(overrides.provider.as_deref()), &needs(&job.request));
    let cascade = services
        .settings
        .experiments
        .gets(Feature::Cascade, lasting_id(&job.request, &job.turn_id));
    let handoff =
        HandOff { tokens: config.handoff_tokens as usize, logprob: config.handoff_logprob };
    let base = overrides.slow_threshold.unwrap_or(config.slow_threshold);
    let (slow_threshold, pace) = services.books.threshold(base);
    let (fast, slow) =
        (fast_obstacle(job, services), slow_obstacle(job, provider.as_ref(), services));
    // Only where the score has a say.
    let scored = fast.is_none() && slow.is_none() && named.is_none() && job.policy == Policy::Auto;
    let mut plan = decide(Situation {
        policy: job.policy,
        score: services.settings.scorer.score(&job.request.prompt),
        slow_threshold,
        fast,
        slow,
        provider: provider.ok().map(|provider| provider.name().to_owned()),
        named: named.is_some(),
        escalation: Escalation {
            confidence: if cascade { config.confidence_threshold } else { Some(0.0) },
            handoff: Some(handoff).filter(|handoff| cascade && handoff.tokens > 0),
        },
    })?;
    if scored {
        services.books.saw(plan.score);
        plan.reasons.extend(pace);
    }
    Ok(plan)
}

/// Why the local model cannot answer, or had better not.
fn fast_obstacle(job: &Job, services: &Services) -> Option<Obstacle> {
    let bytes = job.request.prompt.len() + job.request.system().len();
    let tokens = bytes / BYTES_PER_TOKEN;
    if tokens > services.settings.fast_context_tokens as usize {
        let problem = format!(
            "the prompt has about {tokens} tokens, and the local model's context {} \
             (engine.context_tokens)",
            services.settings.fast_context_tokens
        );
        return Some(Obstacle { error: Error::PromptTooLong { problem }, passing: true });
    }
    let needs = needs(&job.request);
    if !needs.are_local() {
        return Some(Obstacle { error: services.escalator.not_local(needs), passing: false });
    }
    let spared = [Rung::Remote, Rung::Template];
    if let Some(error) = spared.into_iter().find_map(|rung| services.monitor.obstacle(rung)) {
        return Some(Obstacle { error, passing: true });
    }
    let pressed = services.monitor.current().pressure() == Pressure::Critical;
    if pressed && services.loader.workers().is_empty() {
        let error = Error::Overloaded {
            what: "the machine is short of memory or time, and no local model is loaded".to_owned(),
            retry_after: PRESSURE_RETRY_AFTER,
        };
        return Some(Obstacle { error, passing: true });
    }
    None
}

/// Why no provider can answer, or had better not be asked.
fn slow_obstacle(
    job: &Job,
    provider: Result<&Provider, &Error>,
    services: &Services,
) -> Option<Obstacle> {
    let lasting = |error| Some(Obstacle { error, passing: false });
    if services.settings.router.offline {
        return lasting(Error::Offline);
    }
    if job.request.sampling.as_ref().is_some_and(|sampling| !sampling.grammar.is_empty()) {
        let problem = "is set, but no provider takes one; use json_schema or the policy fast";
        return lasting(Error::invalid("sampling.grammar", problem));
    }
    // A longer one is looked at when it is about to leave.
    if services.settings.redact == Redact::Local && job.request.prompt.len() <= SEARCHED_BYTES_MAX {
        let found = services.settings.redaction.find(&job.request.prompt);
        if !found.is_empty() {
            return lasting(Error::PersonalData { found: found.to_string() });
        }
    }
    let able = |provider: &Provider| provider.can(&needs(&job.request));
    match provider {
        Err(error) => lasting(error.clone()),
        Ok(provider) if able(provider).is_err() => {
            let problem = able(provider).err().unwrap_or_default();
            let provider = provider.name().to_owned();
            lasting(Error::ProviderRefused { provider, problem })
        }
        Ok(provider) => {
            let error =
                provider.available().err().or_else(|| over_budget(job, provider, services))?;
            Some(Obstacle { error, passing: true })
        }
    }
}

/// Why the question would cost more than there is, as far as can be told without its
/// conversation: what `provider` is refused for, unless another one may be asked in its place.
fn over_budget(job: &Job, provider: &Provider, services: &Services) -> Option<Error> {
    let Services { books, escalator, .. } = services;
    let prompt = u32::try_from(job.request.prompt.len() / BYTES_PER_TOKEN).unwrap_or(u32::MAX);
    let longest = job.request.sampling.as_ref().and_then(|sampling| sampling.max_tokens);
    let refusal = |provider: &Provider| {
        let answer = longest.unwrap_or(u32::MAX).min(provider.max_tokens());
        let most = books.worst_case(provider.name(), prompt, answer);
        books.can_spend(provider.name(), most).err()
    };
    let refused = refusal(provider)?;
    let others = job.request.provider.is_empty().then(|| escalator.candidates(None).ok());
    let other_may =
        others.flatten().is_some_and(|others| others.iter().any(|other| refusal(other).is_none()));
    (!other_may).then_some(refused)
}
