//! One track's part in a turn.

use std::ops::{Index, IndexMut};

use tandem_proto::v1::{Cached, ToolCall, Track};

use crate::Completion;

/// How far a track has got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// It was not asked, or was stopped.
    #[default]
    Idle,
    Running,
    Done,
    Failed,
}

/// What a track does and has said.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) phase: Phase,
    /// Number of its latest run, from 1; 0 before the first.
    pub(super) number: u32,
    /// What the caller has seen of its answer.
    pub(super) text: String,
    /// The tools that it asked for.
    pub(super) calls: Vec<ToolCall>,
    pub(super) completion: Option<Completion>,
    /// Set when its answer was given before.
    pub(super) cached: Option<Cached>,
}

impl Lane {
    /// Begins the next run, and numbers it.
    pub(super) fn run(&mut self) -> u32 {
        self.phase = Phase::Running;
        self.cached = None;
        self.number += 1;
        self.number
    }

    /// Its answer, complete or not, is of no use any more; it may run again.
    pub(super) fn stop(&mut self) {
        if matches!(self.phase, Phase::Running | Phase::Done) {
            self.phase = Phase::Idle;
            self.completion = None;
        }
    }

    /// Forgets what it said. True when it had said something.
    pub(super) fn unsay(&mut self) -> bool {
        let (text, calls) = (std::mem::take(&mut self.text), std::mem::take(&mut self.calls));
        !text.is_empty() || !calls.is_empty()
    }

    /// It was never asked.
    pub(super) fn is_fresh(&self) -> bool {
        self.number == 0
    }
}

/// A lane for each track.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    fast: Lane,
    slow: Lane,
    built_in: Lane,
}

impl Index<Track> for Lanes {
    type Output = Lane;

    fn index(&self, track: Track) -> &Lane {
        match track {
            Track::Slow => &self.slow,
            Track::BuiltIn => &self.built_in,
            Track::Fast | Track::Unspecified => &self.fast,
        }
    }
}

impl IndexMut<Track> for Lanes {
    fn index_mut(&mut self, track: Track) -> &mut Lane {
        match track {
            Track::Slow => &mut self.slow,
            Track::BuiltIn => &mut self.built_in,
            Track::Fast | Track::Unspecified => &mut self.fast,
        }
    }
}
