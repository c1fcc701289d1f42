//! What is done when nobody asks anything, one thing at a time: summaries are brought up to date, and
//! facts looked for in what was said. The first question that comes interrupts it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tracing::debug;

use super::{Router, Services};
use crate::turn::{Overdue, look_for_facts, summarise};

/// Conversations that wait for their summary at most. One that is forgotten comes back with its next
/// turn.
const WAITING_MAX: usize = 64;
/// How long nobody may have asked anything before facts are looked for: who reads an answer and asks on
/// is not to wait for the end of a step of the engine.
const QUIET: Duration = Duration::from_secs(3);

/// What is to be done, and what is being done.
#[derive(Debug, Default)]
pub(super) struct Idle {
    /// Conversations whose summaries are overdue. The one to be done next comes first.
    waiting: VecDeque<Overdue>,
    /// There may be turns in which no facts were looked for. Which ones is in the store.
    unheard: bool,
    /// Since when nobody asks anything.
    since: Option<Instant>,
    /// Ends with what is left to do. Dropping it ends the work.
    task: JoinSet<Left>,
}

/// What a piece of work left to do.
#[derive(Debug)]
enum Left {
    Nothing,
    Summary(Overdue),
    Facts,
}

impl Idle {
    /// Takes the place of what was to be done for the same conversation.
    pub(super) fn add(&mut self, overdue: Overdue) {
        self.waiting.retain(|waiting| waiting.conversation() != overdue.conversation());
        self.waiting.push_back(overdue);
        if self.waiting.len() > WAITING_MAX {
            self.waiting.pop_front();
        }
    }

    /// There may be a turn in which no facts were looked for.
    pub(super) fn hear(&mut self) {
        self.unheard = true;
    }

    /// Does what is next unless something is being done.
    pub(super) fn go_on(&mut self, router: &Router, services: &Services, now: Instant) {
        match self.task.try_join_next() {
            Some(Ok(Left::Summary(overdue)))
                if self.waiting.iter().all(|it| it.conversation() != overdue.conversation()) =>
            {
                self.waiting.push_front(overdue);
            }
            Some(Ok(Left::Facts)) => self.unheard = true,
            _ => (),
        }
        let quiet = self.is_quiet(router, now);
        if !self.task.is_empty() {
            return;
        }
        let (router, services) = (router.clone(), services.clone());
        if let Some(overdue) = self.waiting.pop_front() {
            self.task.spawn(async move {
                match router.in_idle_time(summarise(&overdue, &services)).await {
                    None => return Left::Summary(overdue),
                    Some(Ok(())) => (),
                    Some(Err(error)) => debug!(%error, "a conversation was not summed up"),
                }
                Left::Nothing
            });
        } else if quiet && services.settings.memory.facts && std::mem::take(&mut self.unheard) {
            self.task.spawn(async move {
                match router.in_idle_time(look_for_facts(&services)).await {
                    None | Some(Ok(true)) => return Left::Facts,
                    Some(Ok(false)) => (),
                    Some(Err(error)) => debug!(%error, "no facts were looked for"),
                }
                Left::Nothing
            });
        }
    }

    fn is_quiet(&mut self, router: &Router, now: Instant) -> bool {
        if !router.is_idle() {
            self.since = None;
            return false;
        }
        now.saturating_duration_since(*self.since.get_or_insert(now)) >= QUIET
    }
}
