//! The scheduler: owns the llama.cpp context and turns requests into steps.
//!
//! Continuous batching: every step decodes one token for each answer being generated, and part of
//! a prompt beside them. Between steps, and only there, requests start, end and are cancelled.
//!
//! A request starts when there are cells for its prompt and the beginning of its answer. What
//! others have in the cache of its prompt it shares. If the cache is full after all, because
//! answers grew, ended requests are forgotten first, and then the least urgent request, of several
//! the one that started last, gives its place back and waits for it before others like it. So the
//! oldest of the most urgent always gets on, and every request ends as soon as none that is more
//! urgent is left. Those that come do not wait for less urgent ones: these give them their places,
//! and a step that is only for these is cut short.

mod admission;
mod attach;
mod cache;
mod cells;
pub mod heart;
mod interrupts;
mod pace;
mod plan;
mod prefixes;
mod queue;
mod sequence;
mod speculation;
mod step;
mod urgency;
mod warm;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tandem_proto::engine::from_engine::Message;
use tandem_proto::engine::{Heartbeat, SequenceStep, Speculation, Started, Step};
use tandem_proto::v1::FinishReason;

use self::cache::Cache;
use self::heart::Heart;
use self::pace::Pace;
use self::queue::Queue;
use self::sequence::Sequence;
use self::speculation::Drafter;
use self::warm::Kv;
use crate::allowance::{Allowance, at_most};
use crate::connection::Writer;
use crate::contention::{Contention, Manner};
use crate::intake::Ticket;
use crate::llama::{self, Batch, DecodeError, Model};
use crate::load::Engine;
use crate::request::{Refusal, Request, cancelled_before_start};
use crate::sampler::Sampler;

pub use self::interrupts::Interrupts;
pub use self::urgency::Urgency;

/// Time between heartbeats when nothing runs.
pub const IDLE_HEARTBEAT: Duration = Duration::from_secs(1);

/// Ended requests that stay in the cache at least, as long as there is room: conversations that
/// go on, and prompts that many requests begin with. Each costs llama.cpp a little in every step.
pub const PREFIXES_KEPT: u32 = 32;

/// Least time between heartbeats when steps are short.
const BUSY_HEARTBEAT: Duration = Duration::from_millis(100);

/// Nodes of a graph between two looks at the clock from within it. The slowest node of a large
/// model takes some milliseconds.
const NODES_A_BEAT: u32 = 64;

/// What the scheduler is told.
#[derive(Debug)]
pub enum Command {
    /// Queue a request; the ticket is given up when it is in the queue.
    Start(Box<Request>, Ticket),
    /// End a request.
    Cancel(u64),
}

/// Where the scheduler learns what to do.
#[derive(Debug)]
pub struct Orders {
    /// In the order in which they are carried out.
    pub commands: Receiver<Command>,
    /// Cut steps short.
    pub interrupts: Arc<Interrupts>,
    /// What the machine can spare.
    pub allowance: Arc<Allowance>,
}

/// Everything that steps need.
#[derive(Debug)]
pub struct Scheduler {
    model: Arc<Model>,
    kv: Kv,
    writer: Arc<Writer>,
    commands: Receiver<Command>,
    interrupts: Arc<Interrupts>,
    allowance: Arc<Allowance>,
    /// As they were loaded.
    most: Most,
    /// Most tokens of prompts in one step.
    prompts_max: usize,
    /// Requests that run at most.
    places: usize,
    /// Off where the cache cannot take tokens back.
    speculation: Speculation,
    /// Rows of a step that are computed as each alone.
    rows_alike: usize,
    drafter: Option<Drafter>,
    queue: Queue<Sequence>,
    /// In the order in which they got their places.
    running: Vec<Sequence>,
    cache: Cache,
    preemptions: u64,
    /// Steps in a row in which prompts got nothing because they are less urgent than others.
    passed_over: u32,
    pace: Pace,
    contention: Contention,
    sampler: Sampler,
    batch: Batch,
    heart: Arc<Heart>,
}

/// What no adjustment exceeds.
#[derive(Debug, Clone, Copy)]
struct Most {
    threads: u32,
    batch_tokens: u32,
}

impl Scheduler {
    /// Serves `orders` with an engine that generates.
    pub fn new(
        engine: Engine,
        speculation: Speculation,
        writer: Arc<Writer>,
        orders: Orders,
    ) -> Self {
        let Orders { commands, interrupts, allowance } = orders;
        let Engine { model, mut context, sequences, rows_alike, draft, snapshots, loaded, .. } =
            engine;
        let most = Most { threads: loaded.threads, batch_tokens: context.batch_max() };
        let heart = Arc::new(Heart::new(Arc::clone(&writer)));
        let shares = context.shares();
        // A step of a large model on a busy machine takes longer than the daemon's patience, and
        // longer than a user's who has given up.
        let (beating, listening) = (Arc::clone(&heart), Arc::clone(&interrupts));
        let nodes = AtomicU32::new(0);
        context.set_pulse(Box::new(move || {
            // Asked after every node of a graph, while all threads wait.
            if nodes.fetch_add(1, Ordering::Relaxed).is_multiple_of(NODES_A_BEAT) {
                beating.beat(IDLE_HEARTBEAT);
            }
            shares && listening.abort()
        }));
        let beating = Arc::clone(&heart);
        let pulse = Box::new(move || {
            beating.beat(IDLE_HEARTBEAT);
            false
        });
        Self {
            cache: Cache::new(context.tokens(), context.sequences(), shares, context.in_order()),
            model,
            kv: Kv { context, copies: snapshots },
            writer,
            commands,
            interrupts,
            allowance,
            most,
            prompts_max: most.batch_tokens as usize,
            places: sequences as usize,
            speculation: if shares { speculation } else { Speculation::Unspecified },
            rows_alike: rows_alike as usize,
            drafter: draft.map(|draft| Drafter::new(draft, pulse)),
            queue: Queue::new(),
            running: Vec::new(),
            preemptions: 0,
            passed_over: 0,
            pace: Pace::default(),
            contention: Contention::new(most.threads, Instant::now()),
            sampler: Sampler::default(),
            batch: Batch::default(),
            heart,
        }
    }

    /// Works until the other end of `commands` is gone or llama.cpp can no longer be trusted.
    pub fn run(mut self) -> Result<(), DecodeError> {
        while self.take_commands() {
            self.adjust();
            self.admit(Instant::now());
            if !self.running.is_empty() {
                self.share_the_machine();
                self.step()?;
                self.free_drafts();
                // That nothing runs any more is news.
                let news = self.running.is_empty() && self.queue.is_empty();
                self.heartbeat(if news { Duration::ZERO } else { BUSY_HEARTBEAT });
            }
        }
        Ok(())
    }

    fn share_the_machine(&mut self) {
        if let Some(manner) = self.contention.look(Instant::now()) {
            self.compute_with(manner);
        }
    }

    /// Does with what the daemon says that the machine can spare.
    fn adjust(&mut self) {
        let Some(adjust) = self.allowance.news() else { return };
        let manner = self.contention.limit(at_most(self.most.threads, adjust.threads));
        self.compute_with(manner);
        self.prompts_max = at_most(self.most.batch_tokens, adjust.batch_tokens) as usize;
        if let Some(copies) = &mut self.kv.copies {
            copies.limit(usize::try_from(adjust.prefix_memory_bytes).unwrap_or(usize::MAX));
        }
    }

    fn compute_with(&mut self, manner: Manner) {
        llama::set_patience(manner.patience);
        self.kv.context.set_threads(manner.threads);
        if let Some(drafter) = &mut self.drafter {
            drafter.set_threads(manner.threads);
        }
    }

    /// Takes what has come in, and waits for something if there is nothing else to do. Whether
    /// more can come.
    fn take_commands(&mut self) -> bool {
        let mut ended = Vec::new();
        if self.running.is_empty() && self.queue.is_empty() {
            match self.commands.recv_timeout(IDLE_HEARTBEAT) {
                Ok(command) => self.take(command, &mut ended),
                Err(RecvTimeoutError::Timeout) => {
                    // What the machine does now decides how the next request begins.
                    self.share_the_machine();
                    self.heartbeat(IDLE_HEARTBEAT / 2);
                }
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        while let Ok(command) = self.commands.try_recv() {
            self.take(command, &mut ended);
        }
        self.report(ended);
        true
    }

    fn take(&mut self, command: Command, ended: &mut Vec<SequenceStep>) {
        match command {
            Command::Start(request, _ticket) => {
                self.interrupts.has_come(request.id);
                let (mut sequence, last) = Sequence::new(*request, Instant::now(), &*self.model);
                if self.speculation != Speculation::Unspecified {
                    sequence.speculate();
                }
                if let Some(step) = last {
                    self.announce(&sequence);
                    ended.push(step);
                } else if let Err(sequence) = self.queue.offer(sequence) {
                    self.writer.send(Refusal::Busy.into_message(sequence.id()));
                }
            }
            Command::Cancel(id) => {
                self.interrupts.cancel_taken(id);
                let now = Instant::now();
                if let Some(at) = self.running.iter().position(|sequence| sequence.id() == id) {
                    let mut sequence = self.running.remove(at);
                    ended.push(sequence.finish(FinishReason::Cancelled, now));
                    self.keep(&sequence);
                    self.free_drafts();
                } else if let Some(mut sequence) = self.queue.withdraw(|waits| waits.id() == id) {
                    ended.push(if sequence.has_started() {
                        sequence.finish(FinishReason::Cancelled, now)
                    } else {
                        cancelled_before_start(id)
                    });
                }
            }
        }
    }

    /// Ends a sequence whose tokens may be of use again.
    fn keep(&mut self, sequence: &Sequence) {
        self.cache.close(&mut self.kv, sequence.slot(), sequence.seen());
    }

    fn announce(&self, sequence: &Sequence) {
        let (id, prompt_tokens) = (sequence.id(), sequence.prompt_tokens());
        self.writer.send(Message::Started(Started { id, prompt_tokens }));
    }

    fn report(&self, sequences: Vec<SequenceStep>) {
        if !sequences.is_empty() {
            self.writer.send(Message::Step(Step { sequences }));
        }
    }

    fn heartbeat(&self, least: Duration) {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        self.heart.set(Heartbeat {
            sequences_active: number(self.running.len()),
            sequences_waiting: number(self.queue.len()),
            cells_free: number(self.cache.cells_free()),
            cells_retained: number(self.cache.cells_retained()),
            prefixes_retained: number(self.cache.prefixes()),
            preemptions: self.preemptions,
            draft_cells: number(self.drafter.as_ref().map_or(0, Drafter::cells)),
            ..Heartbeat::default()
        });
        self.heart.beat(least);
    }
}
