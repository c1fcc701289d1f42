//! One `llama_decode` and what comes of it.

use std::time::Instant;

use super::attach;
use super::interrupts::Members;
use super::plan::{self, GIVEN_UP_MAX, PASSED_OVER_MAX, Room, Want};
use super::queue::Waits as _;
use super::speculation::Guesses;
use super::urgency::Urgency;
use super::{Scheduler, Sequence};
use crate::llama::DecodeError;
use crate::request::Refusal;

/// What a step consists of, sequence by sequence in the order in which they run.
#[derive(Debug, Default)]
struct Shares {
    /// Tokens of each.
    tokens: Vec<usize>,
    /// Sequences that get the one token behind which their answer goes on.
    generating: usize,
    /// Whether prompts get nothing because they are less urgent than others.
    passes_over: bool,
    /// Which could go on and sit the step out.
    sit_out: Vec<bool>,
}

impl Shares {
    fn total(&self) -> usize {
        self.tokens.iter().sum()
    }
}

impl Scheduler {
    /// Makes one step with those that run.
    pub(super) fn step(&mut self) -> Result<(), DecodeError> {
        self.catch_up();
        let mut shares = self.plan(Instant::now());
        while !self.cache.make_room(&mut self.kv, shares.total()) {
            if !self.preempt() {
                self.fail_newest(&DecodeError::NoRoom);
                return Ok(());
            }
            shares = self.plan(Instant::now());
        }
        let guesses = self.guess(&shares.tokens, shares.generating)?;
        let extra = guesses.tokens.iter().map(Vec::len).sum();
        // There is room for guesses, or none were made.
        self.cache.make_room(&mut self.kv, shares.total() + extra);
        let rows = self.fill_batch(&shares.tokens, &guesses.tokens);
        let started = Instant::now();
        if !self.interrupts.begin(self.members(&shares.tokens, started)) {
            return Ok(());
        }
        let decoded = self.kv.context.decode(&mut self.batch);
        self.interrupts.end();
        match decoded {
            Ok(()) => {
                let prefill = shares.total() - shares.generating;
                // Weights that are read for some tokens of a prompt alone say little of each token.
                if !shares.sit_out.contains(&true) {
                    self.pace.record(shares.generating, extra, prefill, started.elapsed());
                }
                self.heart.count_step();
                self.passed_over = if shares.passes_over { self.passed_over + 1 } else { 0 };
                self.note(&shares);
                self.sample(&shares.tokens, &rows, &guesses);
                Ok(())
            }
            Err(DecodeError::Aborted) => {
                self.pick_up(&shares, &rows);
                Ok(())
            }
            Err(error @ DecodeError::NoRoom) => {
                self.relieve(&error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Lets sequences take over what others have computed since the last step.
    fn catch_up(&mut self) {
        if !self.kv.context.shares() {
            return;
        }
        for at in 0..self.running.len() {
            if self.running.get(at).is_none_or(|sequence| sequence.pending().len() == 1) {
                continue;
            }
            let others = self.views();
            let source = others.get(at).and_then(|view| attach::source(view, &others));
            if let (Some(source), Some(sequence)) = (source, self.running.get_mut(at))
                && self.cache.take(&mut self.kv, source, sequence.slot())
            {
                sequence.take_over(source.length);
            }
        }
    }

    /// Decides what each sequence gets.
    fn plan(&mut self, now: Instant) -> Shares {
        let leaders = self.leaders();
        let mut wants = Vec::with_capacity(self.running.len());
        for (sequence, leader) in self.running.iter_mut().zip(leaders) {
            sequence.wait_for(leader.map_or(0, |leader| leader.until));
            let follows = leader.map(|leader| leader.at);
            let pending = sequence.pending().len();
            wants.push(Want {
                pending,
                follows,
                urgency: sequence.urgency(now),
                has_begun: sequence.has_begun(),
                given_up: sequence.given_up(),
                waited: sequence.waited(now),
            });
        }
        let mut shares = Shares::default();
        let room = Room {
            batch: self.kv.context.batch_max() as usize,
            prompts: self.prompts_max,
            beside: self.pace.beside(),
            is_shared: self.passed_over >= PASSED_OVER_MAX,
        };
        shares.passes_over = plan::plan(&wants, room, &mut shares.tokens);
        for (want, &share) in wants.iter().zip(&shares.tokens) {
            shares.sit_out.push(want.generates() && share == 0);
            shares.generating += usize::from(want.generates() && share > 0);
        }
        shares
    }

    /// Whom each sequence waits for.
    fn leaders(&self) -> Vec<Option<attach::Leader>> {
        let views = self.views();
        let shares = self.kv.context.shares();
        let leader = |(at, view)| {
            views.get(..at).filter(|_| shares).and_then(|earlier| attach::leader(view, earlier))
        };
        views.iter().enumerate().map(leader).collect()
    }

    /// Puts each sequence's share into the batch, and behind it what is guessed to follow. The row
    /// of each sequence whose answer goes on behind its share; those of its guess come after it.
    fn fill_batch(&mut self, shares: &[usize], guesses: &[Vec<u32>]) -> Vec<Option<usize>> {
        self.batch.clear();
        let mut rows = Vec::with_capacity(shares.len());
        for ((sequence, &share), guess) in self.running.iter().zip(shares).zip(guesses) {
            let mut positions = u32::try_from(sequence.decoded()).unwrap_or(u32::MAX)..;
            let mut row = None;
            for (index, (&token, position)) in
                sequence.pending().iter().take(share).zip(&mut positions).enumerate()
            {
                let output = sequence.goes_on_after(index + 1);
                let at = self.batch.push(token, position, sequence.slot(), output);
                row = output.then_some(at);
            }
            for (&token, position) in guess.iter().zip(positions) {
                self.batch.push(token, position, sequence.slot(), true);
            }
            rows.push(row);
        }
        rows
    }

    fn members(&self, shares: &[usize], now: Instant) -> Members {
        let with = |least: usize| {
            let sequences = self.running.iter().zip(shares);
            sequences.filter(move |&(_, &share)| share >= least).map(|(sequence, _)| sequence)
        };
        let all = with(1).map(Sequence::id).collect();
        if with(1).any(|sequence| sequence.given_up() >= GIVEN_UP_MAX) {
            // Not again, unless nobody wants any of it.
            return Members { reading: Vec::new(), all, urgency: Some(Urgency::Interactive) };
        }
        // Of all that run, as it is made for the most urgent or for whom that follows.
        let urgency = self.running.iter().map(|sequence| sequence.urgency(now)).max();
        Members { reading: with(2).map(Sequence::id).collect(), all, urgency }
    }

    /// Counts the steps that each got nothing from.
    fn note(&mut self, shares: &Shares) {
        let sequences = self.running.iter_mut().zip(&shares.tokens).zip(&shares.sit_out);
        for ((sequence, &share), &sits_out) in sequences {
            if sits_out || share > 0 {
                sequence.note(!sits_out);
            }
        }
    }

    /// Chooses the next tokens of each sequence with a row of logits, and sends what came of it.
    fn sample(&mut self, shares: &[usize], rows: &[Option<usize>], guesses: &Guesses) {
        let now = Instant::now();
        // All before any takes some back: this is how llama.cpp placed them.
        for ((sequence, share), guess) in self.running.iter().zip(shares).zip(&guesses.tokens) {
            self.cache.extend(sequence.slot(), share + guess.len());
        }
        let mut steps = Vec::new();
        let mut going_on = Vec::with_capacity(self.running.len());
        let mut ended = Vec::new();
        let running = std::mem::take(&mut self.running);
        let outcomes = shares.iter().zip(rows).zip(&guesses.tokens);
        for (mut sequence, ((&share, row), guess)) in running.into_iter().zip(outcomes) {
            let Some(row) = *row else {
                sequence.mark_decoded(share);
                going_on.push(sequence);
                continue;
            };
            sequence.mark_decoded(share - 1);
            let logits = |right| self.kv.context.logits(row + right).unwrap_or_default();
            let right = sequence.guessed_right();
            let advance = sequence.verify(guess, logits, &mut self.sampler, &*self.model, now);
            if let Some(drafter) = self.drafter.as_mut().filter(|_| guesses.drafted) {
                // What is guessed behind an answer's end is not wrong.
                let ended = matches!(advance, Ok(Some((_, true))));
                let right = sequence.guessed_right() - right;
                drafter.record.learn(if ended { right } else { guess.len() }, right);
            }
            self.cache.rewind(&mut self.kv, sequence.slot(), sequence.decoded());
            match advance {
                Ok(None) => going_on.push(sequence),
                Ok(Some((step, last))) => {
                    steps.push(step);
                    if last { &mut ended } else { &mut going_on }.push(sequence);
                }
                Err(error) => self.fail(&sequence, &error),
            }
        }
        self.report(steps);
        // Behind the report, as a copy takes a moment; not at the end of the answer, as the engine
        // may not live to see it.
        for sequence in going_on.iter_mut().chain(&mut ended) {
            if sequence.has_just_answered() {
                self.save_system_part(sequence);
            }
        }
        for sequence in &ended {
            self.keep(sequence);
        }
        self.running = going_on;
    }

    /// Goes on from what is in the cache after a step was aborted: llama.cpp splits a batch, and
    /// what it had computed of it stays. Logits are lost, so the last token before an answer
    /// is submitted again.
    fn pick_up(&mut self, shares: &Shares, rows: &[Option<usize>]) {
        self.note(shares);
        for sequence in &self.running {
            let held = self.kv.context.held(sequence.slot());
            self.cache.extend(sequence.slot(), held.saturating_sub(sequence.decoded()));
        }
        for ((sequence, &share), row) in self.running.iter_mut().zip(&shares.tokens).zip(rows) {
            let most = sequence.decoded() + share - usize::from(row.is_some());
            let held = self.kv.context.held(sequence.slot()).min(most);
            if share > 0 {
                sequence.note(held > sequence.decoded());
            }
            self.cache.rewind(&mut self.kv, sequence.slot(), held);
            sequence.mark_decoded(held.saturating_sub(sequence.decoded()));
        }
    }

    /// llama.cpp found no room where there should be some. Whatever it counts differently, this
    /// ends with one request alone in the cache.
    fn relieve(&mut self, error: &DecodeError) {
        if !self.cache.give_one_up(&mut self.kv) && !self.preempt() {
            self.fail_newest(error);
        }
    }

    fn fail_newest(&mut self, error: &DecodeError) {
        if let Some(sequence) = self.running.pop() {
            self.fail(&sequence, error);
        }
    }

    fn fail(&mut self, sequence: &Sequence, error: &dyn std::error::Error) {
        let refusal = Refusal::Failed(error.to_string());
        self.writer.send(refusal.into_message(sequence.id()));
        self.cache.discard(&mut self.kv, sequence.slot());
    }
}
