//! What is to be added to the sums: nothing is forgotten before the store has acknowledged it, and
//! nothing is added twice.

use ractor::RpcReplyPort;
use tandem_ledger::Head;
use tracing::warn;
use uuid::Uuid;

use super::{LOCAL_ANSWERS_GROUP, LOCAL_ANSWERS_MAX};
use crate::Result;
use crate::memory_store::books::{Batch, LocalAnswer, Scores};

type Reply = RpcReplyPort<Result<()>>;

/// What came since it was last summed up, and what the store was given of it.
#[derive(Debug, Default)]
pub(super) struct Sums {
    coming: Vec<LocalAnswer>,
    /// Kept until the store says that it has it.
    given: Option<Batch>,
    /// The store works on what it was given.
    under_way: bool,
    /// Who wants to hear of what was given.
    asking: Vec<Reply>,
    /// Who wants to hear of what came since.
    waiting: Vec<Reply>,
}

impl Sums {
    /// Counts an answer of the local model. True when there are so many that they are to be summed up.
    pub(super) fn add(&mut self, answer: LocalAnswer) -> bool {
        if self.coming.len() < LOCAL_ANSWERS_MAX {
            self.coming.push(answer);
        } else {
            warn!("an answer of the local model is not counted: the store is away for too long");
        }
        self.coming.len() >= LOCAL_ANSWERS_GROUP
    }

    /// `reply` hears when all that came so far is summed up.
    pub(super) fn tell(&mut self, reply: Reply) {
        self.waiting.push(reply);
    }

    /// Whether the store has something to do.
    pub(super) fn under_way(&self) -> bool {
        self.under_way
    }

    /// Whether the store may not have what it was given.
    pub(super) fn is_uncertain(&self) -> bool {
        self.given.is_some()
    }

    /// What to give to the store now: what it has not acknowledged, or else all that came since, with
    /// what `more` adds to it.
    pub(super) fn give(
        &mut self,
        more: impl FnOnce() -> (Vec<(u32, Scores)>, Option<Head>),
    ) -> Batch {
        self.under_way = true;
        let (coming, asking, waiting) = (&mut self.coming, &mut self.asking, &mut self.waiting);
        let batch = self.given.get_or_insert_with(|| {
            asking.append(waiting);
            let (scores, head) = more();
            Batch { id: Uuid::now_v7(), local: std::mem::take(coming), scores, head }
        });
        batch.clone()
    }

    /// What became of it. True when somebody waits for what came since.
    pub(super) fn acknowledge(&mut self, done: &Result<()>) -> bool {
        self.under_way = false;
        let mut told = std::mem::take(&mut self.asking);
        match done {
            Ok(()) => self.given = None,
            Err(problem) => {
                warn!(%problem, "usage is not summed up yet");
                told.append(&mut self.waiting);
            }
        }
        for reply in told {
            drop(reply.send(done.clone()));
        }
        !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use tandem_ledger::Tokens;

    use super::*;
    use crate::Error;

    fn answer(day: u32) -> LocalAnswer {
        LocalAnswer {
            day,
            model: "small".into(),
            conversation: String::new(),
            tokens: Tokens::default(),
            saved_micros: 0,
            total_ms: 0,
        }
    }

    fn give(sums: &mut Sums) -> (Uuid, Vec<u32>) {
        let batch = sums.give(|| (Vec::new(), None));
        (batch.id, batch.local.iter().map(|answer| answer.day).collect())
    }

    #[test]
    fn what_the_store_did_not_acknowledge_is_given_again_and_alone() {
        let mut sums = Sums::default();
        sums.add(answer(1));
        let first = give(&mut sums);
        sums.add(answer(2));
        sums.acknowledge(&Err(Error::Restarting { part: "the store".into() }));
        assert_eq!(give(&mut sums), first);
        sums.acknowledge(&Ok(()));
        let second = give(&mut sums);
        assert_eq!((first.1, second.1), (vec![1], vec![2]));
        assert_ne!(first.0, second.0);
        assert!(!sums.acknowledge(&Ok(())));
        assert!(!sums.is_uncertain());
    }
}
