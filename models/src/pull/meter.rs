//! How far a pull is, and how fast.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time over which speed is measured, and between two reports.
const WINDOW: Duration = Duration::from_millis(250);

/// What a pull is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stage {
    /// Asking the source about the file.
    #[default]
    Connecting,
    /// Bytes are coming.
    Fetching,
    /// What came is compared with what was expected.
    Checking,
    /// Files on this machine are cut into chunks.
    Reading,
    /// A package is written.
    Packing,
    /// A package is unpacked.
    Unpacking,
    /// Chunks are sent to a repository.
    Sending,
}

impl Stage {
    /// For a person.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Fetching => "fetching",
            Self::Checking => "checking",
            Self::Reading => "reading",
            Self::Packing => "packing",
            Self::Unpacking => "unpacking",
            Self::Sending => "sending",
        }
    }
}

/// How far a pull is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub stage: Stage,
    /// Bytes that are on disk, or checked.
    pub bytes_done: u64,
    /// Bytes of the file; 0 while that is not known.
    pub bytes_total: u64,
    /// Bytes that come in a second; 0 while none do.
    pub bytes_per_second: u64,
    /// What did not go as planned, for a person; stays once it is said.
    pub note: String,
}

/// Counts and reports.
pub(crate) struct Meter<'a> {
    report: &'a (dyn Fn(Progress) + Send + Sync),
    state: Mutex<State>,
}

struct State {
    progress: Progress,
    speed: Speed,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(report: &'a (dyn Fn(Progress) + Send + Sync)) -> Self {
        let state = State { progress: Progress::default(), speed: Speed::new(Instant::now()) };
        Self { report, state: Mutex::new(state) }
    }

    /// Another stage begins.
    pub(crate) fn stage(&self, stage: Stage, bytes_done: u64, bytes_total: u64) {
        self.change(|state| {
            state.speed = Speed::new(Instant::now());
            let note = std::mem::take(&mut state.progress.note);
            state.progress = Progress { stage, bytes_done, bytes_total, bytes_per_second: 0, note };
            true
        });
    }

    /// Says what did not go as planned.
    pub(crate) fn note(&self, note: String) {
        self.change(|state| {
            state.progress.note = note;
            true
        });
    }

    /// Bytes came.
    pub(crate) fn came(&self, bytes: u64) {
        self.change(|state| {
            let measured = state.speed.add(bytes, Instant::now());
            state.progress.bytes_per_second = state.speed.per_second();
            measured
        });
    }

    /// Bytes are on disk.
    pub(crate) fn landed(&self, bytes: u64) {
        self.change(|state| {
            state.progress.bytes_done += bytes;
            false
        });
    }

    /// So many bytes are done.
    pub(crate) fn is_at(&self, bytes_done: u64) {
        self.change(|state| {
            state.progress.bytes_done = bytes_done;
            true
        });
    }

    /// Bytes that are done.
    pub(crate) fn bytes_done(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).progress.bytes_done
    }

    /// Changes the state and reports it when `change` says so.
    fn change(&self, change: impl FnOnce(&mut State) -> bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let progress = change(&mut state).then(|| state.progress.clone());
        drop(state);
        if let Some(progress) = progress {
            (self.report)(progress);
        }
    }
}

/// A speed that follows what it measures, but not at once.
#[derive(Debug)]
struct Speed {
    per_second: Option<f64>,
    since: Instant,
    bytes: u64,
}

impl Speed {
    fn new(now: Instant) -> Self {
        Self { per_second: None, since: now, bytes: 0 }
    }

    /// True when a window came to its end.
    fn add(&mut self, bytes: u64, now: Instant) -> bool {
        self.bytes += bytes;
        let time = now.saturating_duration_since(self.since);
        if time < WINDOW {
            return false;
        }
        #[allow(clippy::cast_precision_loss, reason = "for a person")]
        let measured = self.bytes as f64 / time.as_secs_f64();
        self.per_second = Some(self.per_second.map_or(measured, |it| it * 0.7 + measured * 0.3));
        (self.since, self.bytes) = (now, 0);
        true
    }

    fn per_second(&self) -> u64 {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not below 0, and saturating"
        )]
        self.per_second.map_or(0, |speed| speed as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speed_follows_what_comes() {
        let begin = Instant::now();
        let mut speed = Speed::new(begin);
        assert!(!speed.add(100, begin + WINDOW / 2));
        assert_eq!(speed.per_second(), 0);
        assert!(speed.add(150, begin + WINDOW));
        assert_eq!(speed.per_second(), 1000);
        assert!(speed.add(0, begin + WINDOW * 2));
        assert_eq!(speed.per_second(), 700);
    }

    #[test]
    fn a_note_stays_and_bytes_are_counted() {
        let reports = Mutex::new(Vec::new());
        let report =
            |progress| reports.lock().unwrap_or_else(PoisonError::into_inner).push(progress);
        let meter = Meter::new(&report);
        meter.note("it changed".into());
        meter.stage(Stage::Fetching, 10, 100);
        meter.landed(5);
        assert_eq!(meter.bytes_done(), 15);
        meter.stage(Stage::Checking, 0, 100);
        meter.is_at(50);
        let reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
        assert!(reports.iter().all(|progress| progress.note == "it changed"), "{reports:?}");
        let last = reports.last().map(|it| (it.stage, it.bytes_done, it.bytes_total));
        assert_eq!(last, Some((Stage::Checking, 50, 100)));
    }
}
