//! Conversations whose summaries are to be brought up to date when nobody asks anything, one at a time.

use std::collections::VecDeque;

use tokio::task::JoinSet;
use tracing::debug;

use super::{Router, Services};
use crate::turn::{Overdue, summarise};

/// Conversations that wait at most. One that is forgotten comes back with its next turn.
const WAITING_MAX: usize = 64;

/// What is to be done, and what is being done.
#[derive(Debug, Default)]
pub(super) struct Summaries {
    /// The one to be done next comes first.
    waiting: VecDeque<Overdue>,
    /// Ends with what was interrupted. Dropping it ends the work.
    task: JoinSet<Option<Overdue>>,
}

impl Summaries {
    /// Takes the place of what was to be done for the same conversation.
    pub(super) fn add(&mut self, overdue: Overdue) {
        self.waiting.retain(|waiting| waiting.conversation() != overdue.conversation());
        self.waiting.push_back(overdue);
        if self.waiting.len() > WAITING_MAX {
            self.waiting.pop_front();
        }
    }

    /// Does the next one unless one is being done. The first question that comes interrupts it.
    pub(super) fn go_on(&mut self, router: &Router, services: &Services) {
        if let Some(ended) = self.task.try_join_next()
            && let Ok(Some(interrupted)) = ended
            && self.waiting.iter().all(|it| it.conversation() != interrupted.conversation())
        {
            self.waiting.push_front(interrupted);
        }
        if !self.task.is_empty() {
            return;
        }
        let Some(overdue) = self.waiting.pop_front() else { return };
        let (router, services) = (router.clone(), services.clone());
        self.task.spawn(async move {
            match router.in_idle_time(summarise(&overdue, &services)).await {
                None => Some(overdue),
                Some(Ok(())) => None,
                Some(Err(error)) => {
                    debug!(%error, "a conversation was not summed up");
                    None
                }
            }
        });
    }
}
