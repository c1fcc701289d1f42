//! How much is asked and how hard it is, kept for the threshold that follows a target.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use jiff::Timestamp;

use super::Bookkeeper;
use super::calendar::{self, Period};
use super::purse::Purse;
use crate::memory_store::books::{Opening, Scores};
use crate::router::pacing::{History, Plan};

/// What was asked lately.
#[derive(Debug, Default)]
pub(super) struct Demand {
    pub(super) history: History,
    /// Days whose scores are not in the store yet.
    changed: BTreeSet<u32>,
}

impl Bookkeeper {
    /// The score from which questions go to the slow track now, and why, if there is a target to
    /// follow; else `base`. Above 1, no question does.
    #[must_use]
    pub fn threshold(&self, base: f64) -> (f64, Option<String>) {
        match self.pace(base, Timestamp::now()) {
            Some((threshold, why)) => (threshold, Some(why)),
            None => (base, None),
        }
    }

    /// A question had this score, and either track could have answered it.
    pub fn saw(&self, score: f64) {
        let day = calendar::day(Timestamp::now());
        self.demand(|demand| {
            demand.history.saw(day, score);
            demand.changed.insert(day);
        });
    }

    pub(super) fn pace(&self, base: f64, now: Timestamp) -> Option<(f64, String)> {
        let target = self.shared.budget.target?;
        let spent = self.purse(Purse::month).ok()?;
        let left = Period::Month.left(now).as_secs();
        let plan = Plan { target, spent, now: now.as_second(), left };
        Some(self.demand(|demand| demand.history.threshold(base, plan)))
    }

    pub(super) fn demand<T>(&self, work: impl FnOnce(&mut Demand) -> T) -> T {
        work(&mut self.shared.demand.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Scores that the store does not have yet.
    pub(super) fn changed_scores(&self) -> Vec<(u32, Scores)> {
        self.demand(|demand| {
            let changed = std::mem::take(&mut demand.changed).into_iter();
            changed
                .map(|day| (day, Scores { buckets: demand.history.day(day).scores.clone() }))
                .collect()
        })
    }

    /// Goes on from what the store has.
    pub(super) fn load(&self, opening: &Opening, now: Timestamp) {
        let slow = opening.rows.iter().filter(|row| !row.fast);
        let spent = slow.clone().map(|row| (row.day, row.provider.as_str(), row.tally.cost_micros));
        let mut purse = Purse::new(&self.shared.budget.currency, &self.shared.caps, spent, now);
        let mut history = History::default();
        for (day, scores) in &opening.scores {
            for (count, stored) in history.day(*day).scores.iter_mut().zip(&scores.buckets) {
                *count = *stored;
            }
        }
        for row in slow.filter(|row| row.tally.unpriced == 0) {
            let day = history.day(row.day);
            day.answered += row.tally.answered;
            day.cost = day.cost.saturating_add(row.tally.cost_micros);
        }
        // What was asked since the actor ended is not in the store.
        self.demand(|demand| {
            if demand.history == History::default() {
                demand.history = history;
            }
        });
        let mut shared = self.shared.purse.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = shared.take() {
            // What was reserved and not in the store when that was read leaves from now on.
            purse.take_over(before, |id| opening.lost.iter().any(|(lost, _)| *lost == id));
        }
        *shared = Some(purse);
    }
}
