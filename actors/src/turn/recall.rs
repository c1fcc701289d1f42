//! Answers that were given before: whether a question may get one, what it is found by, giving it
//! again, and keeping a new one.
//!
//! A track is asked, or its answer is recalled; to the rest of the turn that is the same. So an answer
//! that made the slow track take over does so again, and one that was void is never kept as the answer.

use std::future::pending;
use std::time::Duration;

use prost::Message as _;
use ractor::ActorRef;
use tandem_proto::v1::{Cached, FinishReason, Policy, Rung, Timings, Track, TrackDone, Usage};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Message;
use super::context::Choice;
use super::machine::Run;
use super::reading::gather;
use super::run::Question;
use crate::cache::{Caches, Digest, Fingerprint, Kept, is_comparable};
use crate::error::span;
use crate::router::Services;
use crate::{Completion, TrackEvent};

/// How long a question that would leave the machine, and cost something, waits for the one that it is
/// compared with. The local model does not wait: it begins beside.
const PATIENCE: Duration = Duration::from_millis(150);
/// Longest time that the vector of a question may take, the load of its model included.
const COMPARE_TIME_MAX: Duration = Duration::from_secs(30);
/// Longest answer that is kept, in bytes.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// A question that the cache may answer.
pub(super) struct Recall {
    caches: Caches,
    track: Track,
    /// Everything that the answer depends on but the words of the question.
    scope: Digest,
    /// All of it.
    exact: Digest,
    question: String,
    /// Name of the model that is asked.
    pub(super) model: String,
    /// The answer draws on a turn that was asked in private.
    reads_private: bool,
    comparison: Comparison,
    /// What the track has said so far.
    said: Kept,
}

impl Recall {
    /// `None` when the answer has to be made anew: the settings or the caller say so, it is a matter
    /// of chance, or there is more to it than text.
    pub(super) async fn of(run: Run, question: &Question, services: &Services) -> Option<Self> {
        let caches = services.caches.clone();
        let luggage = &question.luggage;
        let plain = luggage.images.is_empty()
            && luggage.results.is_empty()
            && luggage.tools == crate::Tools::default()
            // Documents change, and an answer from them comes with its citations.
            && question.collections.is_empty()
            && question.sampling.logprobs.is_none();
        // The judgement about a hand-over needs the tokens.
        let watched = question.watched && run.track == Track::Fast;
        if !caches.keeps_answers() || question.no_cache || !plain || watched {
            return None;
        }
        let mut all = Fingerprint::of("answer").with(&question.client).with(&question.system);
        let mut temperature = question.sampling.temperature;
        let model;
        if run.track == Track::Slow {
            if matches!(question.policy, Policy::Private | Policy::Fast) {
                return None;
            }
            let provider = question.provider(services).ok()?;
            let limits = [provider.context_tokens(), provider.max_tokens()];
            all = all.with("slow").with(provider.name()).with(provider.status().base_url);
            model = provider.model().to_owned();
            all = all.with(&model).with(format!("{:?}", services.settings.redact));
            all = limits.iter().fold(all, |all, limit| all.with(limit.to_le_bytes()));
        } else {
            let place = services.loader.locate(&question.model).await.ok()?;
            temperature = temperature.or(place.sampling.temperature);
            let limits = [services.settings.fast_context_tokens, services.settings.max_tokens];
            all = all.with("fast").with(place.identity).with(place.sampling.encode_to_vec());
            all = limits.iter().fold(all, |all, limit| all.with(limit.to_le_bytes()));
            model = place.id;
        }
        // Less of a conversation is read then.
        if services.monitor.is_in_effect(Rung::ShorterContext) {
            all = all.with("halved");
        }
        let certain = temperature == Some(0.0) || question.sampling.seed.is_some();
        if !certain && !question.cache_sampled {
            return None;
        }
        let mut material = gather(question, services).await.ok()?;
        if run.track == Track::Slow {
            material = material.public();
        }
        let reads_private = material.has_private();
        // What was asked in private is answered to nobody else.
        let private = reads_private || question.policy == Policy::Private;
        let in_conversation = !question.conversation_id.is_empty();
        all = all.with([u8::from(private), u8::from(in_conversation)]);
        all = all.with(format!("{:?}", services.settings.memory));
        all = all.with(question.sampling.encode_to_vec());
        // Everything that could be read, of which the same is chosen each time.
        material.prompt.clear();
        all = all.with(material.unread.to_le_bytes());
        all = all.with(material.summary.as_ref().map_or("", |summary| summary.text.as_str()));
        let whole = Choice::everything(&material);
        for message in material.told(&whole).messages() {
            all = all.with(message.role.to_le_bytes()).with(message.content);
        }
        let scope = all.digest();
        let exact = Fingerprint::of("question").with(scope).with(&question.prompt).digest();
        Some(Self {
            caches,
            track: run.track,
            scope,
            exact,
            question: question.prompt.clone(),
            model,
            reads_private,
            comparison: Comparison::default(),
            said: Kept::default(),
        })
    }

    /// The answer to the same question, and for a provider to one that means the same. Otherwise it
    /// begins to look for such a one.
    pub(super) async fn at_once(&mut self, services: &Services) -> Option<Hit> {
        if let Some(hit) = self.caches.same(&self.exact).await {
            return Some(hit);
        }
        let comparable = self.caches.compares_questions() && is_comparable(&self.question);
        if comparable && services.monitor.let_compute().is_ok() {
            self.comparison.begin(services, self.scope, self.question.clone());
        }
        if self.track != Track::Slow {
            return None;
        }
        timeout(PATIENCE, self.comparison.hit()).await.ok().flatten()
    }

    /// Resolves when a question that means the same is found, and else never. Cancel-safe.
    pub(super) async fn later(&mut self) -> Hit {
        match self.comparison.hit().await {
            Some(hit) => hit,
            None => pending().await,
        }
    }

    /// Tells the turn the answer that was found.
    pub(super) fn replay(&self, (kept, cached): Hit, turn: &ActorRef<Message>, run: Run) {
        if self.track != Track::Slow {
            let _ = turn.cast(Message::FastModel(self.model.clone()));
        }
        if self.reads_private {
            let _ = turn.cast(Message::ReadsPrivate);
        }
        let completion = completion(&kept, self.track);
        let Kept { text, reasoning, .. } = kept;
        for event in [
            TrackEvent::Cached(cached),
            TrackEvent::Delta { text, reasoning, logprobs: Vec::new() },
            TrackEvent::Done(completion),
        ] {
            let _ = turn.cast(Message::Track(run, event));
        }
    }

    /// Takes what the track says to the turn. Its answer is kept when it is whole.
    pub(super) fn hear(&mut self, event: &TrackEvent) {
        match event {
            TrackEvent::Delta { text, reasoning, .. } => {
                self.said.text.push_str(text);
                self.said.reasoning.push_str(reasoning);
            }
            TrackEvent::Done(completion) => self.keep(completion),
            _ => (),
        }
    }

    /// Whether something was said.
    pub(super) fn has_heard(&self) -> bool {
        !self.said.text.is_empty() || !self.said.reasoning.is_empty()
    }

    fn keep(&mut self, completion: &Completion) {
        let mut kept = std::mem::take(&mut self.said);
        let bytes = kept.text.len() + kept.reasoning.len();
        let whole = matches!(completion.finish_reason, FinishReason::Stop | FinishReason::Length);
        // Another model than the one that was asked covers for it now, but need not the next time.
        let other = completion.model.as_ref().is_some_and(|model| *model != self.model);
        if kept.text.is_empty() || bytes > ANSWER_BYTES_MAX || !whole || other {
            return;
        }
        kept.done = Some(TrackDone {
            finish_reason: completion.finish_reason.into(),
            mean_logprob: completion.mean_logprob,
            confidence: completion.confidence,
            certainty: completion.certainty,
            ..TrackDone::default()
        });
        kept.confidence_floor = completion.confidence_floor;
        if let Some(vector) = self.comparison.vector() {
            kept.vector = vector;
            kept.scope = self.scope.to_vec();
            kept.question.clone_from(&self.question);
        }
        self.caches.keep_answer(self.exact, &kept);
    }
}

/// An answer that was found, and how.
pub(super) type Hit = (Kept, Cached);

/// The search for a question that means the same. Dropping it ends it.
#[derive(Default)]
struct Comparison {
    task: JoinSet<Option<(Vec<f32>, Option<Hit>)>>,
    /// Of the question, once it is known.
    vector: Option<Vec<f32>>,
}

impl Comparison {
    fn begin(&mut self, services: &Services, scope: Digest, question: String) {
        let (caches, loader) = (services.caches.clone(), services.loader.clone());
        self.task.spawn(async move {
            let deadline = tokio::time::Instant::now() + COMPARE_TIME_MAX;
            // Without an embedding model there is nothing to compare.
            let embedded = caches.embed(&loader, "", vec![question.clone()], true, deadline).await;
            let vector = embedded.ok()?.embeddings.pop()?.values;
            let hit = caches.similar(scope, question, vector.clone()).await;
            Some((vector, hit))
        });
    }

    /// What was found; nothing where nothing is looked for any more. Cancel-safe.
    async fn hit(&mut self) -> Option<Hit> {
        let (vector, hit) = self.task.join_next().await?.ok().flatten()?;
        self.vector = Some(vector);
        hit
    }

    /// The question's, unless it takes longer than the answer.
    fn vector(&mut self) -> Option<Vec<f32>> {
        if let Some(Ok(Some((vector, _)))) = self.task.try_join_next() {
            self.vector = Some(vector);
        }
        self.vector.take()
    }
}

/// What is to be said about an answer that took no time and no tokens.
fn completion(kept: &Kept, track: Track) -> Completion {
    let done = kept.done.clone().unwrap_or_default();
    Completion {
        finish_reason: done.finish_reason(),
        usage: Usage::default(),
        timings: Timings::default(),
        mean_logprob: done.mean_logprob,
        confidence: done.confidence,
        confidence_floor: kept.confidence_floor,
        certainty: done.certainty,
        model: None,
        cost_micros: (track == Track::Slow).then_some(0),
    }
}

/// What the caller is told.
pub(super) fn describe(cached: &Cached) -> String {
    let age = span(Duration::from_millis(cached.age_ms));
    match cached.similarity {
        Some(similarity) => format!(
            "the answer was given {age} ago to a question that means the same \
             (similarity {similarity:.2})"
        ),
        None => format!("the answer was given {age} ago to the same question"),
    }
}
