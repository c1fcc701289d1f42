//! Moves the threshold of the slow track so that a month costs what it shall.
//!
//! What is left of the target, over what an answer of the slow track has cost lately, is the number of
//! questions that may still be sent. Over the number of questions that are still to come, that is their
//! share; and the threshold is the score that this share of recent questions reached. All of it is
//! calculated anew for each question from what the store keeps, so nothing is lost by a restart, and
//! whatever was guessed wrong is made good by the time that is left.

#![allow(clippy::cast_precision_loss, reason = "counts and amounts are far below 2^52")]

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Scores are counted in so many steps from 0 to 1.
pub(crate) const BUCKETS: usize = 100;
/// Days that say how many questions there are and how hard they are.
pub(crate) const DAYS: u32 = 7;
/// A threshold that no score reaches.
const NONE: f64 = 1.01;
/// Questions after which their scores are trusted fully; before that the setting counts in part.
const QUESTIONS_TRUSTED: f64 = 50.0;
/// Latest answers that say what one costs.
const ANSWERS_TRUSTED: u64 = 50;
const DAY_SECONDS: f64 = 86_400.0;

/// What happened on one day.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Day {
    /// Questions that the score could have sent either way, by score.
    pub(crate) scores: Vec<u32>,
    /// Answers of providers, and what all requests to them cost together, in millionths.
    pub(crate) answered: u64,
    pub(crate) cost: u64,
}

impl Default for Day {
    fn default() -> Self {
        Self { scores: vec![0; BUCKETS], answered: 0, cost: 0 }
    }
}

/// What happened lately, by days since 1970.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct History {
    pub(crate) days: BTreeMap<u32, Day>,
}

/// What is to be spent, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Of the period, in millionths.
    pub(crate) target: u64,
    /// Since it began, with what requests under way may cost.
    pub(crate) spent: u64,
    /// Seconds since 1970.
    pub(crate) now: i64,
    /// Seconds until the period is over.
    pub(crate) left: u64,
}

impl History {
    /// A question had this score.
    pub(crate) fn saw(&mut self, day: u32, score: f64) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 99")]
        let bucket = (score.clamp(0.0, 1.0) * BUCKETS as f64) as usize;
        if let Some(count) = self.day(day).scores.get_mut(bucket.min(BUCKETS - 1)) {
            *count = count.saturating_add(1);
        }
    }

    /// A request to a provider cost so much, whether or not it was answered.
    pub(crate) fn paid(&mut self, day: u32, micros: u64, answered: bool) {
        let day = self.day(day);
        day.answered += u64::from(answered);
        day.cost = day.cost.saturating_add(micros);
    }

    pub(crate) fn day(&mut self, day: u32) -> &mut Day {
        while self.days.len() > DAYS as usize {
            self.days.pop_first();
        }
        self.days.entry(day).or_default()
    }

    /// The score from which questions go to the slow track, and why. Above 1, none does.
    pub(crate) fn threshold(&self, base: f64, plan: Plan) -> (f64, String) {
        let left = plan.target.saturating_sub(plan.spent);
        let Some(each) = self.cost_of_one() else {
            return (base, "no answer of the slow track has cost anything yet".to_owned());
        };
        if left as f64 <= each / 2.0 {
            return (NONE, "the target is used up: only the local model answers".to_owned());
        }
        let Some(per_second) = self.questions_per_second(plan.now) else {
            return (base, "no question has been scored yet".to_owned());
        };
        let affordable = left as f64 / each;
        let share = (affordable / (per_second * plan.left as f64)).min(1.0);
        let (threshold, questions) = self.reached_by(share, plan.now);
        let trust = (questions / QUESTIONS_TRUSTED).min(1.0);
        let threshold = trust * threshold + (1.0 - trust) * base;
        let mut why = format!(
            "what is left of the target pays for {:.0} % of the questions to come",
            share * 100.0
        );
        if trust < 1.0 {
            let _ = write!(why, ", judged by {questions:.0} so far");
        }
        (threshold, why)
    }

    /// The fixed threshold at which `seconds` cost `target`, and on how many questions that rests; `None`
    /// when there is nothing that it could rest on.
    pub(crate) fn fixed_threshold(
        &self,
        target: u64,
        seconds: f64,
        now: i64,
    ) -> Option<(f64, f64)> {
        let questions = self.questions_per_second(now)? * seconds;
        Some(self.reached_by((target as f64 / self.cost_of_one()? / questions).min(1.0), now))
    }

    /// Mean cost of the latest answers: prices change, and so does what is asked.
    fn cost_of_one(&self) -> Option<f64> {
        let (mut answered, mut cost) = (0_u64, 0_u64);
        for day in self.days.values().rev() {
            answered += day.answered;
            cost = cost.saturating_add(day.cost);
            if answered >= ANSWERS_TRUSTED {
                break;
            }
        }
        (cost > 0 && answered > 0).then(|| cost as f64 / answered as f64)
    }

    fn questions_per_second(&self, now: i64) -> Option<f64> {
        let recent = self.recent(now);
        let questions: f64 = recent.clone().map(|(_, day)| questions(day)).sum();
        let first = recent.map(|(day, _)| f64::from(day) * DAY_SECONDS).next()?;
        // The first hour of all says little about the next ones.
        let span = (now as f64 - first).max(DAY_SECONDS);
        (questions > 0.0).then(|| questions / span)
    }

    /// The score that this share of the questions reached, and how many questions there were.
    fn reached_by(&self, share: f64, now: i64) -> (f64, f64) {
        let mut counts = [0.0; BUCKETS];
        for (_, day) in self.recent(now) {
            for (sum, count) in counts.iter_mut().zip(&day.scores) {
                *sum += f64::from(*count);
            }
        }
        let all: f64 = counts.iter().sum();
        let mut above = share * all;
        for (bucket, count) in counts.iter().enumerate().rev() {
            if *count >= above {
                let within = if *count > 0.0 { above / count } else { 0.0 };
                return (((bucket + 1) as f64 - within) / BUCKETS as f64, all);
            }
            above -= count;
        }
        (0.0, all)
    }

    fn recent(&self, now: i64) -> impl Iterator<Item = (u32, &Day)> + Clone {
        let today = u32::try_from(now.div_euclid(86_400)).unwrap_or(0);
        self.days.range(today.saturating_sub(DAYS)..).map(|(number, day)| (*number, day))
    }
}

fn questions(day: &Day) -> f64 {
    day.scores.iter().map(|count| f64::from(*count)).sum()
}

#[cfg(test)]
#[path = "pacing_tests.rs"]
mod tests;
