//! Has the draft model guess how answers go on.
//!
//! What it has read of an answer is compared with the answer before each guess, and the rest is
//! read or taken back. So nothing needs to be told of guesses that were wrong, or of an answer
//! that lost its place and got it again.

use std::time::Instant;

use super::record::Record;
use crate::draft::Draft;
use crate::llama::{Batch, DecodeError, Pulse};
use crate::scheduler::pace::Pace;

/// Most tokens that are guessed for an answer in a step: each takes a run of the draft model.
pub const DRAFT_MAX: usize = 16;

/// Steps of an answer among which the time is divided that reading what comes before takes.
const STEPS: f64 = 64.0;

/// An answer that goes on.
#[derive(Debug)]
pub struct Want<'a> {
    /// The request.
    pub id: u64,
    /// Prompt and answer.
    pub tokens: &'a [u32],
    /// Tokens to guess.
    pub count: usize,
}

/// What a sequence of the draft model's context holds.
#[derive(Debug, Default)]
struct Held {
    id: Option<u64>,
    tokens: Vec<u32>,
}

/// The draft model at work.
#[derive(Debug)]
pub struct Drafter {
    draft: Draft,
    batch: Batch,
    /// By sequence.
    held: Vec<Held>,
    /// Of the draft model's steps.
    pace: Pace,
    /// How good its guesses are.
    pub record: Record,
}

impl Drafter {
    /// Calls `pulse` while the draft model computes.
    pub fn new(mut draft: Draft, pulse: Pulse) -> Self {
        draft.context.set_pulse(pulse);
        let held = (0..draft.context.sequences()).map(|_| Held::default()).collect();
        let (batch, pace, record) = (Batch::default(), Pace::default(), Record::default());
        Self { draft, batch, held, pace, record }
    }

    /// Computes with so many threads from now on.
    pub fn set_threads(&mut self, threads: u32) {
        self.draft.context.set_threads(threads);
    }

    /// What it takes to guess `count` tokens of `wants` answers together; nothing before that was
    /// measured, so that it is tried.
    pub fn seconds(&self, wants: usize, count: usize, unread: usize) -> f64 {
        let runs = u32::try_from(count.div_ceil(wants.max(1))).unwrap_or(u32::MAX);
        let unread = f64::from(u32::try_from(unread).unwrap_or(u32::MAX));
        let reading = unread * self.pace.prompt_token().unwrap_or(0.0) / STEPS;
        f64::from(runs) * self.pace.seconds(wants).unwrap_or(0.0) + reading
    }

    /// Tokens of `id`'s prompt and answer, `length` in all, that were never read. Those of the last
    /// steps do not count, which are read with the next guess.
    pub fn unread(&self, id: u64, length: usize) -> usize {
        let held = self.held.iter().find(|held| held.id == Some(id));
        let unread = length - held.map_or(0, |held| held.tokens.len()).min(length);
        if unread > DRAFT_MAX { unread } else { 0 }
    }

    /// Frees what answers took that do not run.
    pub fn keep_only(&mut self, runs: impl Fn(u64) -> bool) {
        for (sequence, held) in (0..).zip(&mut self.held) {
            if held.id.is_some_and(|id| !runs(id)) {
                *held = Held::default();
                self.draft.context.truncate(sequence, 0);
            }
        }
    }

    /// Cells in use.
    pub fn cells(&self) -> usize {
        (0..self.draft.context.sequences()).map(|it| self.draft.context.held(it)).sum()
    }

    /// Guesses for each of `wants`; none for those of which there is too much to read at once, or
    /// that there is no room for.
    pub fn draft(&mut self, wants: &[Want]) -> Result<Vec<Vec<u32>>, DecodeError> {
        match self.run(wants) {
            // The next answer finds an empty cache.
            Err(DecodeError::NoRoom) => {
                self.keep_only(|_| false);
                Ok(vec![Vec::new(); wants.len()])
            }
            result => result,
        }
    }

    fn run(&mut self, wants: &[Want]) -> Result<Vec<Vec<u32>>, DecodeError> {
        let mut guesses = vec![Vec::new(); wants.len()];
        self.batch.clear();
        let mut going_on = Vec::with_capacity(wants.len());
        let mut rows = 0;
        for (at, want) in wants.iter().enumerate().filter(|(_, want)| want.count > 0) {
            let Some(sequence) = self.open(want) else { continue };
            let room = self.draft.context.batch_max() as usize - rows;
            let (read, row) = self.read(sequence, want.tokens, room);
            rows += read;
            going_on.extend(row.map(|row| (at, sequence, row)));
        }
        if rows == 0 {
            return Ok(guesses);
        }
        self.decode(going_on.len(), rows)?;
        loop {
            let mut next = Vec::with_capacity(going_on.len());
            self.batch.clear();
            for (at, sequence, row) in going_on {
                let (Some(want), Some(guess)) = (wants.get(at), guesses.get_mut(at)) else {
                    continue;
                };
                let token = likeliest(self.draft.context.logits(row).unwrap_or_default());
                guess.push(token);
                if guess.len() < want.count {
                    next.push((at, sequence, self.push(sequence, token, true)));
                }
            }
            if next.is_empty() {
                return Ok(guesses);
            }
            self.decode(next.len(), next.len())?;
            going_on = next;
        }
    }

    /// The sequence of an answer, which holds no more than is still true and not the last token;
    /// `None` when there is no room for the rest and its guesses.
    fn open(&mut self, want: &Want) -> Option<u32> {
        let is_its = |held: &Held| held.id == Some(want.id);
        let at = self.held.iter().position(is_its);
        let at = at.or_else(|| self.held.iter().position(|held| held.id.is_none()))?;
        let all: usize = self.held.iter().map(|held| held.tokens.len()).sum();
        let held = self.held.get_mut(at)?;
        let pairs = held.tokens.iter().zip(want.tokens);
        let same = pairs.take_while(|(held, now)| held == now).count();
        let same = same.min(want.tokens.len().saturating_sub(1));
        let sequence = u32::try_from(at).ok()?;
        let length = want.tokens.len() + want.count;
        let others = all - held.tokens.len();
        if same < held.tokens.len() {
            held.tokens.truncate(same);
            self.draft.context.truncate(sequence, same);
        }
        if length > self.draft.sequence_tokens
            || others + length > self.draft.context.tokens() as usize
        {
            return None;
        }
        held.id = Some(want.id);
        Some(sequence)
    }

    /// Puts what `sequence` lacks of `tokens` into the batch, at most `room`. How much that was,
    /// and the row of the last token if it was all.
    fn read(&mut self, sequence: u32, tokens: &[u32], room: usize) -> (usize, Option<usize>) {
        let held = self.held.get(sequence as usize).map_or(0, |held| held.tokens.len());
        let unread = tokens.get(held..).unwrap_or_default();
        let read = unread.len().min(room);
        let mut row = None;
        for (index, &token) in unread.iter().take(read).enumerate() {
            let last = index + 1 == unread.len();
            let at = self.push(sequence, token, last);
            row = last.then_some(at);
        }
        (read, row)
    }

    /// Puts a token into the batch; its row.
    fn push(&mut self, sequence: u32, token: u32, output: bool) -> usize {
        let Some(held) = self.held.get_mut(sequence as usize) else { return 0 };
        let position = u32::try_from(held.tokens.len()).unwrap_or(u32::MAX);
        held.tokens.push(token);
        self.batch.push(token, position, sequence, output)
    }

    /// Computes the batch of `rows` tokens, behind `ends` of which guesses follow.
    fn decode(&mut self, ends: usize, rows: usize) -> Result<(), DecodeError> {
        let started = Instant::now();
        self.draft.context.decode(&mut self.batch)?;
        // One token more than the last guess is no prompt.
        let (caught_up, read) = if rows <= 2 * ends { (rows - ends, 0) } else { (0, rows - ends) };
        self.pace.record(ends, caught_up, read, started.elapsed());
        Ok(())
    }
}

fn likeliest(logits: &[f32]) -> u32 {
    let best = (0..).zip(logits).max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.map_or(0, |(token, _)| token)
}
