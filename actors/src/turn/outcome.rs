//! What a turn is remembered by when it is over: for verdicts, and for the experiments it is part of.

use std::time::Duration;

use tandem_proto::v1::{NoticeKind, Timings, Track, TrackDone, VariantName, ask_event::Event};

use crate::experiments::{Answered, Outcome, OutcomeAnswer, Recent};
use crate::memory_store::MemoryStore;

/// What was told to the caller, as far as it is remembered.
#[derive(Debug, Default)]
pub(super) struct Record {
    variants: Vec<VariantName>,
    done: Vec<TrackDone>,
    fell_back: bool,
}

impl Record {
    pub(super) fn new(variants: Vec<VariantName>) -> Self {
        Self { variants, ..Self::default() }
    }

    pub(super) fn see(&mut self, event: &Event) {
        match event {
            Event::TrackDone(done) => self.done.push(done.clone()),
            Event::Notice(notice) => self.fell_back |= notice.kind() == NoticeKind::FellBack,
            _ => (),
        }
    }

    /// The latest answer of a track.
    pub(super) fn of(&self, track: Track) -> Option<&TrackDone> {
        self.done.iter().rev().find(|done| done.track() == track)
    }

    /// The turn was answered by `track`.
    pub(super) fn answered(&self, turn: Answered, recent: &Recent, store: &MemoryStore) {
        let track = if turn.slow { Track::Slow } else { Track::Fast };
        let done = self.of(track);
        recent.remember(Answered {
            model: done.map(|done| done.model.clone()).unwrap_or_default(),
            variants: self.variants.clone(),
            ..turn
        });
        let Timings { time_to_first_token_us: first, total_us: total, .. } =
            done.and_then(|done| done.timings).unwrap_or_default();
        let answer = OutcomeAnswer {
            track,
            fell_back: self.fell_back,
            first_token: Duration::from_micros(first),
            total: Duration::from_micros(total),
            cost_micros: done.and_then(|done| done.cost_micros),
        };
        store.record_outcome(Outcome { variants: self.variants.clone(), answer: Some(answer) });
    }

    /// The turn ended with an error.
    pub(super) fn failed(&self, store: &MemoryStore) {
        store.record_outcome(Outcome { variants: self.variants.clone(), answer: None });
    }
}
