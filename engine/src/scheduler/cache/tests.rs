#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

use super::*;

/// The bit of the sequence that holds cells which nobody may have.
const FILLER: u64 = 1 << 63;

/// llama.cpp's notes: the sequences that see each token. Tokens are put behind all others.
#[derive(Debug, Default)]
struct Notes {
    /// Sequences that see the cell, one bit each, and the token's place.
    cells: Vec<(u64, usize)>,
    /// Whether a cell that is freed amid others is a mistake, as llama.cpp would use it again.
    in_order: bool,
    /// Times that cells were moved.
    moves: usize,
}

impl Notes {
    fn used(&self) -> usize {
        self.cells.iter().filter(|(by, _)| by & !FILLER != 0).count()
    }

    fn places(&self, sequence: u32) -> Vec<usize> {
        self.cells.iter().filter(|(by, _)| by & (1 << sequence) != 0).map(|&(_, at)| at).collect()
    }

    fn decode(&mut self, sequence: u32, start: usize, count: usize) {
        self.cells.extend((start..start + count).map(|at| (1 << sequence, at)));
    }

    fn length(&self, sequence: u32) -> usize {
        self.cells.iter().filter(|(by, _)| by & (1 << sequence) != 0).count()
    }
}

impl Memory for Notes {
    fn share(&mut self, from: u32, to: u32, start: usize, length: usize) -> bool {
        for (by, at) in &mut self.cells {
            if *by & (1 << from) != 0 && (start..length).contains(at) {
                *by |= 1 << to;
            }
        }
        true
    }

    fn give_way(&mut self, sequence: u32, tokens: &[u32]) {
        assert_eq!(self.length(sequence), tokens.len());
    }

    fn truncate(&mut self, sequence: u32, length: usize) {
        for (by, at) in &mut self.cells {
            if *at >= length {
                *by &= !(1 << sequence);
            }
        }
        if self.in_order {
            while self.cells.pop_if(|(by, _)| *by == 0).is_some() {}
            assert!(self.cells.iter().all(|(by, _)| *by != 0), "a cell is free amid others");
        } else {
            self.cells.retain(|(by, _)| *by != 0);
        }
    }

    fn fill(&mut self, sequence: u32, tokens: Range<usize>) {
        for (by, _) in self
            .cells
            .iter_mut()
            .filter(|(by, at)| *by & (1 << sequence) != 0 && tokens.contains(at))
        {
            assert_eq!(*by, 1 << sequence, "others see it too");
            *by |= FILLER;
        }
    }

    fn close_holes(&mut self, unshared: &[(u32, Range<usize>)]) -> bool {
        for (by, at) in self.cells.iter().filter(|(by, _)| by & !FILLER != 0) {
            let own = unshared.iter().any(|(s, tokens)| *by == 1 << s && tokens.contains(at));
            assert_eq!(own, by.is_power_of_two());
        }
        self.cells.retain(|(by, _)| *by & !FILLER != 0);
        self.moves += 1;
        true
    }
}

/// A running sequence of the tests below.
struct Run {
    sequence: u32,
    tokens: Vec<u32>,
}

fn opened(cache: &mut Cache, notes: &mut Notes, tokens: &[u32]) -> (Run, usize) {
    let source = cache.source(tokens);
    let (sequence, taken) = cache.open(notes, source).unwrap();
    let rest = tokens.len() - taken;
    assert!(cache.make_room(notes, rest));
    assert!(cache.extend(sequence, rest));
    notes.decode(sequence, taken, rest);
    (Run { sequence, tokens: tokens.to_vec() }, taken)
}

fn closed(cache: &mut Cache, notes: &mut Notes, run: &Run) {
    cache.close(notes, run.sequence, &run.tokens);
}

#[test]
fn a_finished_sequence_serves_those_that_begin_like_it() {
    let (mut cache, mut notes) = (Cache::new(100, 4, true, false), Notes::default());
    let (first, taken) = opened(&mut cache, &mut notes, &[1, 2, 3, 4]);
    assert_eq!(taken, 0);
    closed(&mut cache, &mut notes, &first);
    let (second, taken) = opened(&mut cache, &mut notes, &[1, 2, 3, 9]);
    assert_eq!((taken, cache.cells_free(), cache.cells_retained()), (3, 95, 1));
    closed(&mut cache, &mut notes, &second);
    let (_, taken) = opened(&mut cache, &mut notes, &[1, 2, 3, 4, 5]);
    assert_eq!(taken, 4, "the branch that came first is still there");
}

#[test]
fn the_tail_of_what_was_of_no_use_for_longest_goes_first() {
    let (mut cache, mut notes) = (Cache::new(100, 4, true, false), Notes::default());
    let old: Vec<u32> = (0..50).collect();
    let new: Vec<u32> = (100..150).collect();
    for tokens in [&old, &new] {
        let (run, _) = opened(&mut cache, &mut notes, tokens);
        closed(&mut cache, &mut notes, &run);
    }
    assert!(cache.make_room(&mut notes, 1));
    assert_eq!((cache.source(&old).unwrap().length, cache.cells_free()), (18, 32));
    assert_eq!(cache.source(&new).unwrap().length, 50);
    assert!(cache.make_room(&mut notes, 100));
    assert_eq!((cache.prefixes(), cache.cells_free()), (0, 100));
    assert!(!cache.make_room(&mut notes, 101));
}

#[test]
fn a_kept_sequence_makes_way_for_one_that_runs() {
    let (mut cache, mut notes) = (Cache::new(100, 1, true, false), Notes::default());
    let (first, _) = opened(&mut cache, &mut notes, &[1, 2, 3]);
    closed(&mut cache, &mut notes, &first);
    let (_, taken) = opened(&mut cache, &mut notes, &[1, 2, 4]);
    assert_eq!(taken, 0, "the only sequence cannot be taken over from itself");
    assert_eq!(cache.open(&mut notes, None), None);
}

#[test]
fn a_model_that_cannot_share_keeps_nothing() {
    let (mut cache, mut notes) = (Cache::new(100, 2, false, false), Notes::default());
    let (run, _) = opened(&mut cache, &mut notes, &[1, 2, 3]);
    let source = Source { sequence: run.sequence, length: 2 };
    assert_eq!(cache.open(&mut notes, Some(source)).unwrap().1, 0);
    closed(&mut cache, &mut notes, &run);
    assert_eq!((cache.cells_free(), cache.source(&[1, 2, 3])), (100, None));
}

/// Pseudo-random numbers; the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

#[test]
fn cells_are_counted_as_llama_counts_them_whatever_happens() {
    assert_eq!(walk(false), 0, "nothing is moved");
}

#[test]
fn every_sequence_lies_in_order_whatever_happens() {
    let moves = walk(true);
    assert!((100..4000).contains(&moves), "cells were moved {moves} times");
}

/// Takes 20,000 steps at random. How often cells were moved.
fn walk(in_order: bool) -> usize {
    const CELLS: usize = 400;
    let mut cache = Cache::new(400, 12, true, in_order);
    let mut notes = Notes { in_order, ..Notes::default() };
    let mut random = Random(7);
    let mut running: Vec<Run> = Vec::new();
    let mut taken_over = 0;
    for _ in 0..20_000 {
        match random.below(7) {
            0 if running.len() < 8 => {
                // Few different tokens, so that beginnings are shared.
                let length = 1 + random.below(60);
                let tokens: Vec<u32> =
                    (0..length).map(|at| u32::from(random.below(20) == 0) + (at as u32)).collect();
                let live = running
                    .iter()
                    .map(|run| Source {
                        sequence: run.sequence,
                        length: super::super::prefixes::common(&run.tokens, &tokens),
                    })
                    .filter(|source| source.length > 0);
                let source = live.chain(cache.source(&tokens)).max_by_key(|s| s.length);
                let need = tokens.len() - source.map_or(0, |source| source.length);
                if need > cache.room_beside(source) {
                    continue;
                }
                let (sequence, taken) = cache.open(&mut notes, source).unwrap();
                taken_over += taken;
                assert!(cache.make_room(&mut notes, tokens.len() - taken));
                assert!(cache.extend(sequence, tokens.len() - taken));
                notes.decode(sequence, taken, tokens.len() - taken);
                running.push(Run { sequence, tokens });
            }
            1 | 2 if !running.is_empty() => {
                let at = random.below(running.len() as u64) as usize;
                let count = 1 + random.below(9) as usize;
                if cache.make_room(&mut notes, count) {
                    let run = &mut running[at];
                    assert!(cache.extend(run.sequence, count));
                    notes.decode(run.sequence, run.tokens.len(), count);
                    run.tokens.extend((0..count).map(|_| random.below(3) as u32));
                } else {
                    assert_eq!(cache.cells_retained(), 0);
                    let run = running.pop().unwrap();
                    cache.close(&mut notes, run.sequence, &run.tokens);
                }
            }
            3 | 4 if !running.is_empty() => {
                let run = running.swap_remove(random.below(running.len() as u64) as usize);
                if random.below(4) == 0 {
                    cache.discard(&mut notes, run.sequence);
                } else {
                    cache.close(&mut notes, run.sequence, &run.tokens);
                }
            }
            5 if !running.is_empty() => {
                let at = random.below(running.len() as u64) as usize;
                let run = &mut running[at];
                let length = run.tokens.len().saturating_sub(random.below(4) as usize).max(1);
                cache.rewind(&mut notes, run.sequence, length);
                run.tokens.truncate(length);
            }
            6 if random.below(50) == 0 => {
                cache.give_one_up(&mut notes);
            }
            _ => {}
        }
        assert_eq!(cache.cells_free(), CELLS - notes.used());
        assert!(!in_order || notes.cells.len() <= CELLS);
        for run in &running {
            let places = notes.places(run.sequence);
            assert_eq!(places.len(), run.tokens.len());
            assert!(!in_order || places.is_sorted(), "{places:?}");
        }
        let held = notes
            .cells
            .iter()
            .filter(|(by, _)| running.iter().any(|run| by & (1 << run.sequence) != 0));
        assert_eq!(cache.cells_retained(), notes.used() - held.count());
        assert!(running.len() + cache.prefixes() <= 12);
    }
    assert!(taken_over > 10_000, "only {taken_over} tokens were shared");
    for run in running {
        cache.close(&mut notes, run.sequence, &run.tokens);
    }
    assert!(cache.make_room(&mut notes, CELLS));
    assert_eq!((cache.prefixes(), notes.used()), (0, 0));
    for _ in 0..12 {
        assert!(cache.open(&mut notes, None).is_some(), "every sequence can be used again");
    }
    notes.moves
}

#[test]
fn tokens_of_a_running_sequence_are_taken_back() {
    let (mut cache, mut notes) = (Cache::new(100, 4, true, false), Notes::default());
    let (first, _) = opened(&mut cache, &mut notes, &(0..40).collect::<Vec<_>>());
    cache.rewind(&mut notes, first.sequence, 40);
    assert_eq!((cache.cells_free(), notes.length(first.sequence)), (60, 40));
    cache.rewind(&mut notes, first.sequence, 31);
    assert_eq!((cache.cells_free(), notes.length(first.sequence)), (69, 31));
    cache.close(&mut notes, first.sequence, &first.tokens[..31]);
    assert_eq!((cache.cells_retained(), cache.prefixes()), (31, 1));
}
