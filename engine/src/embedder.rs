//! The embedder: what an engine runs in place of the scheduler when its model makes embeddings.
//!
//! Texts of all open requests share batches. Requests take turns in the front row, so that a
//! large one holds up a small one by one batch at most. Between batches, and only there, requests
//! start, end and are cancelled.

mod batch;
mod load;
mod request;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tandem_proto::engine::from_engine::Message;
use tandem_proto::engine::{Embed, Heartbeat};

use self::batch::{Limits, Place, pack};
pub use self::load::load;
use self::request::{Request, Text};
use crate::allowance::{Allowance, at_most};
use crate::connection::Writer;
use crate::intake::{Handover, Job, Ticket, Work};
use crate::llama::{Batch, Context, DecodeError, Model};
use crate::load::Engine;
use crate::request::Refusal;
use crate::scheduler::IDLE_HEARTBEAT;
use crate::scheduler::heart::Heart;
use crate::text::{TEXT_BYTES_MAX, TextWorker};

/// Most texts in one request.
const TEXTS_MAX: usize = 256;

/// Least time between heartbeats when batches are short.
const BUSY_HEARTBEAT: Duration = Duration::from_millis(100);

/// Everything that batches need.
#[derive(Debug)]
pub struct Embedder {
    model: Arc<Model>,
    context: Context,
    limits: Limits,
    /// Tokens that one text can have.
    text_tokens: usize,
    /// Does what is about tokens alone.
    text: TextWorker,
    handover: Arc<Handover>,
    writer: Arc<Writer>,
    allowance: Arc<Allowance>,
    /// Threads that it was loaded with.
    threads: u32,
    /// Whose turn it is comes first.
    open: VecDeque<Request>,
    batch: Batch,
    heart: Arc<Heart>,
}

impl Embedder {
    /// Works with a model that was loaded for embeddings.
    pub fn new(
        engine: Engine,
        handover: Arc<Handover>,
        writer: Arc<Writer>,
        allowance: Arc<Allowance>,
    ) -> Self {
        let Engine { model, mut context, sequences, sequence_tokens, loaded, .. } = engine;
        let heart = Arc::new(Heart::new(Arc::clone(&writer)));
        let beating = Arc::clone(&heart);
        context.set_pulse(Box::new(move || {
            beating.beat(IDLE_HEARTBEAT);
            false
        }));
        let text = TextWorker::new(
            Arc::clone(&model),
            None,
            sequence_tokens,
            Arc::clone(&handover),
            Arc::clone(&writer),
        );
        Self {
            limits: Limits { tokens: context.batch_max() as usize, texts: sequences as usize },
            text_tokens: sequence_tokens as usize,
            model,
            context,
            text,
            handover,
            writer,
            allowance,
            threads: loaded.threads,
            open: VecDeque::new(),
            batch: Batch::default(),
            heart,
        }
    }

    /// Works until the reader is gone or llama.cpp can no longer be trusted.
    pub fn run(mut self, jobs: &Receiver<Job>) -> Result<(), DecodeError> {
        while self.take_jobs(jobs) {
            self.adjust();
            let handover = Arc::clone(&self.handover);
            self.open.retain(|request| handover.is_wanted(request.id));
            let places = pack(&mut self.open, self.limits);
            if !places.is_empty() {
                self.compute(&places)?;
                self.answer();
                self.open.rotate_left(usize::from(self.open.len() > 1));
                let news = self.open.is_empty();
                self.heartbeat(if news { Duration::ZERO } else { BUSY_HEARTBEAT });
            }
        }
        Ok(())
    }

    /// Does with what the daemon says that the machine can spare.
    fn adjust(&mut self) {
        let Some(adjust) = self.allowance.news() else { return };
        self.context.set_threads(at_most(self.threads, adjust.threads));
        let tokens = at_most(self.context.batch_max(), adjust.batch_tokens) as usize;
        self.limits.tokens = tokens.max(self.text_tokens);
    }

    /// Takes what has come in, and waits for something if there is nothing else to do. Whether
    /// more can come.
    fn take_jobs(&mut self, jobs: &Receiver<Job>) -> bool {
        if self.open.is_empty() {
            match jobs.recv_timeout(IDLE_HEARTBEAT) {
                Ok(job) => self.take(job),
                Err(RecvTimeoutError::Timeout) => self.heartbeat(IDLE_HEARTBEAT / 2),
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        while let Ok(job) = jobs.try_recv() {
            self.take(job);
        }
        true
    }

    fn take(&mut self, job: Job) {
        match job {
            Job { work: Work::Embed(embed), ticket, .. } => self.begin(&embed, ticket),
            job => self.text.take(job),
        }
    }

    fn begin(&mut self, embed: &Embed, ticket: Ticket) {
        if !self.handover.is_wanted(embed.id) {
            return;
        }
        match self.tokenize(&embed.texts) {
            Ok(texts) => {
                self.open.push_back(Request::new(embed.id, embed.normalize, texts, ticket));
            }
            Err(refusal) => self.text.refuse(embed.id, refusal),
        }
    }

    fn tokenize(&self, texts: &[String]) -> Result<Vec<Text>, Refusal> {
        if texts.is_empty() || texts.len() > TEXTS_MAX {
            let problem = format!("texts: {} of them; send 1 to {TEXTS_MAX}", texts.len());
            return Err(Refusal::Invalid(problem));
        }
        let too_long = |at| {
            let problem = format!("texts[{at}]: longer than {TEXT_BYTES_MAX} bytes; send a part");
            Refusal::Invalid(problem)
        };
        let (begin, end) = (self.model.begin_token(), self.model.closing_token());
        let frame = usize::from(begin.is_some()) + usize::from(end.is_some());
        let room = self.text_tokens.saturating_sub(frame);
        let tokenize = |(at, text): (usize, &String)| {
            let tokens = (text.len() <= TEXT_BYTES_MAX)
                .then(|| self.model.tokenize_at_most(text, room + 1))
                .flatten();
            let tokens = tokens.ok_or_else(|| too_long(at))?;
            let truncated = tokens.len() > room;
            let inner = tokens.into_iter().take(room);
            let tokens: Vec<u32> = begin.into_iter().chain(inner).chain(end).collect();
            if tokens.is_empty() {
                return Err(Refusal::Invalid(format!("texts[{at}]: has no tokens; leave it out")));
            }
            Ok(Text { tokens, truncated })
        };
        texts.iter().enumerate().map(tokenize).collect()
    }

    /// Computes the embeddings of these texts.
    fn compute(&mut self, places: &[Place]) -> Result<(), DecodeError> {
        self.batch.clear();
        for (sequence, place) in (0..).zip(places) {
            let tokens = self.open.get(place.request).map_or(&[][..], |r| r.tokens(place.text));
            for (position, &token) in (0..).zip(tokens) {
                self.batch.push(token, position, sequence, true);
            }
        }
        self.context.decode(&mut self.batch)?;
        self.heart.count_step();
        for (sequence, place) in (0..).zip(places) {
            if let Some(request) = self.open.get_mut(place.request) {
                request.put(place.text, self.context.embedding(sequence).unwrap_or_default());
            }
        }
        if self.context.has_memory() {
            self.context.clear();
        }
        Ok(())
    }

    /// Answers requests that are complete.
    fn answer(&mut self) {
        for request in &mut self.open {
            let Some(outcome) = request.take_outcome() else { continue };
            let id = request.id;
            if self.handover.refuse(id) {
                self.writer.send(outcome.map_or_else(
                    |broken| Refusal::Failed(broken.to_string()).into_message(id),
                    Message::Embedded,
                ));
            }
        }
        self.open.retain(|request| !request.is_answered());
    }

    fn heartbeat(&self, least: Duration) {
        let texts: usize = self.open.iter().map(Request::waiting).sum();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        self.heart.set(Heartbeat {
            sequences_active: count(self.open.len()),
            sequences_waiting: count(texts),
            cells_free: self.context.tokens(),
            ..Heartbeat::default()
        });
        self.heart.beat(least);
    }
}
