//! The scheduler: owns the llama.cpp context and turns requests into steps.
//!
//! Continuous batching: every step decodes one token for each answer being generated, and part of
//! a prompt beside them. Between steps, and only there, requests start, end and are cancelled.

pub mod admission;
pub mod heart;
mod plan;
mod sequence;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tandem_proto::engine::from_engine::Message;
use tandem_proto::engine::{SequenceStep, Started, Step};
use tandem_proto::v1::FinishReason;

use self::admission::Admission;
use self::heart::Heart;
use self::sequence::Sequence;
use crate::connection::Writer;
use crate::intake::Ticket;
use crate::llama::{Batch, Context, DecodeError, Model};
use crate::request::{Refusal, Request, cancelled_before_start};
use crate::sampler::Sampler;

/// Time between heartbeats when nothing runs.
pub const IDLE_HEARTBEAT: Duration = Duration::from_secs(1);

/// Least time between heartbeats when steps are short.
const BUSY_HEARTBEAT: Duration = Duration::from_millis(100);

/// What the scheduler is told.
#[derive(Debug)]
pub enum Command {
    /// Queue a request; the ticket is given up when it is in the queue.
    Start(Box<Request>, Ticket),
    /// End a request.
    Cancel(u64),
}

/// Everything that steps need.
#[derive(Debug)]
pub struct Scheduler {
    model: Arc<Model>,
    context: Context,
    writer: Arc<Writer>,
    commands: Receiver<Command>,
    admission: Admission<Box<Request>>,
    /// In the order of admission.
    running: Vec<Sequence>,
    sampler: Sampler,
    batch: Batch,
    heart: Arc<Heart>,
}

impl Scheduler {
    /// Serves `commands` with a context that has room for `sequences`.
    pub fn new(
        model: Arc<Model>,
        mut context: Context,
        sequences: u32,
        writer: Arc<Writer>,
        commands: Receiver<Command>,
    ) -> Self {
        let heart = Arc::new(Heart::new(Arc::clone(&writer)));
        // A step of a large model on a busy machine takes longer than the daemon's patience.
        let beating = Arc::clone(&heart);
        context.set_pulse(Box::new(move || beating.beat(IDLE_HEARTBEAT)));
        Self {
            admission: Admission::new(sequences, context.tokens()),
            model,
            context,
            writer,
            commands,
            running: Vec::new(),
            sampler: Sampler::default(),
            batch: Batch::default(),
            heart,
        }
    }

    /// Works until the other end of `commands` is gone or llama.cpp can no longer be trusted.
    pub fn run(mut self) -> Result<(), DecodeError> {
        while self.take_commands() {
            self.admit();
            if !self.running.is_empty() {
                self.step()?;
                // That nothing runs any more is news.
                let news = self.running.is_empty() && self.admission.waiting() == 0;
                self.heartbeat(if news { Duration::ZERO } else { BUSY_HEARTBEAT });
            }
        }
        Ok(())
    }

    /// Takes what has come in, and waits for something if there is nothing else to do. Whether
    /// more can come.
    fn take_commands(&mut self) -> bool {
        let mut ended = Vec::new();
        if self.running.is_empty() && self.admission.waiting() == 0 {
            match self.commands.recv_timeout(IDLE_HEARTBEAT) {
                Ok(command) => self.take(command, &mut ended),
                Err(RecvTimeoutError::Timeout) => self.heartbeat(IDLE_HEARTBEAT / 2),
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
                if let Err(request) = self.admission.offer(request.cells(), request) {
                    self.writer.send(Refusal::Busy.into_message(request.id));
                }
            }
            Command::Cancel(id) => {
                if let Some(at) = self.running.iter().position(|sequence| sequence.id() == id) {
                    let mut sequence = self.running.remove(at);
                    ended.push(sequence.finish(FinishReason::Cancelled, Instant::now()));
                    self.release(&sequence);
                } else if self.admission.withdraw(|request| request.id == id).is_some() {
                    ended.push(cancelled_before_start(id));
                }
            }
        }
    }

    fn admit(&mut self) {
        let mut ended = Vec::new();
        while let Some((place, request)) = self.admission.admit() {
            let (sequence, last) = Sequence::start(*request, place, Instant::now(), &*self.model);
            let (id, prompt_tokens) = (sequence.id(), sequence.prompt_tokens());
            self.writer.send(Message::Started(Started { id, prompt_tokens }));
            match last {
                Some(step) => {
                    ended.push(step);
                    self.release(&sequence);
                }
                None => self.running.push(sequence),
            }
        }
        self.report(ended);
    }

    /// One `llama_decode` and what comes of it.
    fn step(&mut self) -> Result<(), DecodeError> {
        let pending: Vec<usize> = self.running.iter().map(|s| s.pending().len()).collect();
        let mut shares = Vec::new();
        plan::plan(&pending, self.context.batch_max() as usize, &mut shares);
        let rows = self.fill_batch(&shares);
        match self.context.decode(&mut self.batch) {
            Ok(()) => {}
            Err(DecodeError::NoRoom) => {
                self.fail_newest();
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.heart.count_step();
        self.sample(&shares, &rows);
        Ok(())
    }

    /// Puts each sequence's share into the batch. The row of each sequence whose answer goes on
    /// behind its share.
    fn fill_batch(&mut self, shares: &[usize]) -> Vec<Option<usize>> {
        self.batch.clear();
        let mut rows = Vec::with_capacity(shares.len());
        for (sequence, &share) in self.running.iter().zip(shares) {
            let place = sequence.place().sequence;
            let positions = u32::try_from(sequence.decoded()).unwrap_or(u32::MAX)..;
            let mut row = None;
            for (index, (&token, position)) in
                sequence.pending().iter().zip(positions).take(share).enumerate()
            {
                let output = sequence.goes_on_after(index + 1);
                let at = self.batch.push(token, position, place, output);
                row = output.then_some(at);
            }
            rows.push(row);
        }
        rows
    }

    /// Chooses the next token of each sequence with a row of logits, and sends what came of it.
    fn sample(&mut self, shares: &[usize], rows: &[Option<usize>]) {
        let now = Instant::now();
        let mut steps = Vec::new();
        let mut going_on = Vec::with_capacity(self.running.len());
        let running = std::mem::take(&mut self.running);
        for ((mut sequence, &share), row) in running.into_iter().zip(shares).zip(rows) {
            sequence.mark_decoded(share);
            let Some(row) = *row else {
                going_on.push(sequence);
                continue;
            };
            let logits = self.context.logits(row).unwrap_or_default();
            match sequence.advance(logits, &mut self.sampler, &*self.model, now) {
                Ok((step, ended)) => {
                    steps.push(step);
                    if ended {
                        self.release(&sequence);
                    } else {
                        going_on.push(sequence);
                    }
                }
                Err(error) => {
                    let refusal = Refusal::Failed(error.to_string());
                    self.writer.send(refusal.into_message(sequence.id()));
                    self.release(&sequence);
                }
            }
        }
        self.running = going_on;
        self.report(steps);
    }

    /// The reservation of cells should make this impossible. One request pays for all others.
    fn fail_newest(&mut self) {
        if let Some(sequence) = self.running.pop() {
            let refusal = Refusal::Failed(DecodeError::NoRoom.to_string());
            self.writer.send(refusal.into_message(sequence.id()));
            self.release(&sequence);
        }
    }

    fn release(&mut self, sequence: &Sequence) {
        self.context.free_sequence(sequence.place().sequence);
        self.admission.release(sequence.place());
    }

    fn report(&self, sequences: Vec<SequenceStep>) {
        if !sequences.is_empty() {
            self.writer.send(Message::Step(Step { sequences }));
        }
    }

    fn heartbeat(&self, least: Duration) {
        let active = u32::try_from(self.running.len()).unwrap_or(u32::MAX);
        let waiting = u32::try_from(self.admission.waiting()).unwrap_or(u32::MAX);
        self.heart.set(active, waiting, self.admission.cells_free());
        self.heart.beat(least);
    }
}
