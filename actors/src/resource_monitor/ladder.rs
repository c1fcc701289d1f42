//! What the daemon gives up for the sake of the machine, one rung after the other.
//!
//! Down goes straight to the rung that the pressure demands, up goes one rung at a time once the
//! machine has been calmer for a while. There is at most one move per dwell time. Time is passed in,
//! as what has passed since any one moment.

use std::time::Duration;

use tandem_config::Resources;
use tandem_proto::v1::{LadderStatus, Pressure, ResourceStatus, Rung};

use super::pressure::{self, Level};

/// The rungs of [`tandem_config::Ladder::KEYS`], in the same order.
const RUNGS: [Rung; tandem_config::Ladder::KEYS.len()] = [
    Rung::FewerThreads,
    Rung::SmallerBatch,
    Rung::ShorterContext,
    Rung::QuantizedKv,
    Rung::SmallerModel,
    Rung::Remote,
    Rung::Template,
];

/// Around the time before a reason that holds no more.
const PAST: &str = "pressed until ";
const AGO: &str = " s ago: ";

/// Where on the ladder the daemon is, and why.
#[derive(Debug)]
pub(super) struct Ladder {
    level: Level,
    rung: Rung,
    /// Why it is not the first, as of the last sample that demanded the rung.
    reasons: Vec<String>,
    /// Of the last move, or the start.
    since: Duration,
    moves: u64,
    /// Since when a higher rung would do.
    calm_since: Option<Duration>,
}

/// A move from one rung to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) from: Rung,
    pub(super) to: Rung,
}

impl Ladder {
    /// A ladder at `now`, that goes on from where an earlier one was.
    pub(super) fn resume(before: &ResourceStatus, now: Duration) -> Self {
        let ladder = before.ladder.clone().unwrap_or_default();
        Self {
            level: None,
            rung: ladder.rung().max(Rung::Full),
            reasons: ladder.reasons.into_iter().map(undated).collect(),
            since: now,
            moves: ladder.moves,
            calm_since: None,
        }
    }

    /// Takes a sample into account, which is not older than the last one.
    pub(super) fn look(
        &mut self,
        now: Duration,
        sample: &ResourceStatus,
        settings: &Resources,
    ) -> Option<Move> {
        let Resources { pressure: thresholds, ladder: table, .. } = settings;
        self.level = pressure::next(self.level, sample, thresholds);
        let demanded = demanded(self.level, table);
        if demanded < self.rung {
            self.calm_since.get_or_insert(now);
        } else {
            self.calm_since = None;
            self.reasons = pressure::reasons(self.level, sample, thresholds);
        }
        let passed = |since: Duration| now.saturating_sub(since);
        // The first move need not wait: nothing was moved before it.
        if self.moves > 0 && passed(self.since) < table.dwell {
            return None;
        }
        let to = if demanded > self.rung {
            demanded
        } else if passed(self.calm_since?) >= table.calm {
            above(self.rung, table)
        } else {
            return None;
        };
        let from = std::mem::replace(&mut self.rung, to);
        self.since = now;
        self.moves += 1;
        if demanded == to {
            self.calm_since = None;
            self.reasons = pressure::reasons(self.level, sample, thresholds);
        }
        Some(Move { from, to })
    }

    /// The pressure as of the last sample.
    pub(super) fn pressure(&self) -> Pressure {
        pressure::word(self.level)
    }

    /// The ladder as it is shown at `now`.
    pub(super) fn status(&self, now: Duration) -> LadderStatus {
        let reasons = match self.calm_since {
            _ if self.rung == Rung::Full => Vec::new(),
            None => self.reasons.clone(),
            Some(since) => {
                let ago = now.saturating_sub(since).as_secs();
                self.reasons.iter().map(|it| format!("{PAST}{ago}{AGO}{it}")).collect()
            }
        };
        let since_ms = now.saturating_sub(self.since).as_millis();
        LadderStatus {
            rung: self.rung.into(),
            reasons,
            since_ms: u64::try_from(since_ms).unwrap_or(u64::MAX),
            moves: self.moves,
        }
    }
}

/// A reason as it was before it was shown with its time.
fn undated(reason: String) -> String {
    match reason.strip_prefix(PAST).and_then(|dated| dated.split_once(AGO)) {
        Some((_, undated)) => undated.to_owned(),
        None => reason,
    }
}

/// What a rung gives up, as the beginning of a sentence.
pub(super) fn what(rung: Rung) -> &'static str {
    match rung {
        Rung::Unspecified | Rung::Full => "nothing is given up",
        Rung::FewerThreads => "models compute with fewer threads",
        Rung::SmallerBatch => "models read prompts in smaller pieces",
        Rung::ShorterContext => "models read less of a conversation",
        Rung::QuantizedKv => "models keep their context in 8 bits",
        Rung::SmallerModel => "a smaller model answers",
        Rung::Remote => "providers answer what they may",
        Rung::Template => "no model computes on this machine",
    }
}

/// Whether the settings have this rung at all.
pub(super) fn has(table: &tandem_config::Ladder, rung: Rung) -> bool {
    rung <= Rung::Full || rungs(table).any(|(of, _)| of == rung)
}

/// The rungs that the settings have, and from which level on.
fn rungs(table: &tandem_config::Ladder) -> impl Iterator<Item = (Rung, Level)> {
    RUNGS.into_iter().zip(table.rungs).filter(|(_, from)| from.is_some())
}

/// The lowest rung that a level brings about.
fn demanded(level: Level, table: &tandem_config::Ladder) -> Rung {
    let reached = rungs(table).filter(|(_, from)| *from <= level).map(|(rung, _)| rung);
    reached.max().unwrap_or(Rung::Full)
}

/// The next rung up.
fn above(rung: Rung, table: &tandem_config::Ladder) -> Rung {
    rungs(table).map(|(it, _)| it).filter(|it| *it < rung).max().unwrap_or(Rung::Full)
}

#[cfg(test)]
mod tests;
