//! Short questions to an engine about tokens and text.

use std::collections::BTreeMap;
use std::time::Duration;

use ractor::RpcReplyPort;
use tandem_proto::engine::{
    CountTokens, Detokenize, Embed, Rejected, Rejection, Tokenize, from_engine, to_engine,
};
use tandem_proto::v1::{ChatMessage, Embedding};
use tokio::sync::OwnedSemaphorePermit;

use crate::{Error, Result};

/// A question and where its answer goes.
#[derive(Debug)]
pub(crate) enum Query {
    Tokenize { text: String, add_special: bool, parse_special: bool, reply: Reply<Vec<u32>> },
    Detokenize { tokens: Vec<u32>, reply: Reply<String> },
    Count { texts: Vec<String>, messages: Vec<ChatMessage>, reply: Reply<Counts> },
    Embed { texts: Vec<String>, normalize: bool, reply: Reply<Vec<Embedding>> },
}

type Reply<T> = RpcReplyPort<Result<T>>;

/// Lengths in tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Of each text on its own.
    pub texts: Vec<u32>,
    /// Of the messages as the chat template renders them; 0 when there were none.
    pub messages: u32,
}

impl Query {
    fn fail(self, error: Error) {
        // Whoever asked may have gone.
        let _ = match self {
            Self::Tokenize { reply, .. } => reply.send(Err(error)).is_ok(),
            Self::Detokenize { reply, .. } => reply.send(Err(error)).is_ok(),
            Self::Count { reply, .. } => reply.send(Err(error)).is_ok(),
            Self::Embed { reply, .. } => reply.send(Err(error)).is_ok(),
        };
    }

    /// Whether nobody waits for the answer any more.
    fn is_unwanted(&self) -> bool {
        match self {
            Self::Tokenize { reply, .. } => reply.is_closed(),
            Self::Detokenize { reply, .. } => reply.is_closed(),
            Self::Count { reply, .. } => reply.is_closed(),
            Self::Embed { reply, .. } => reply.is_closed(),
        }
    }

    /// Whether the engine works on it for long, instead of answering as soon as it has read it.
    fn takes_long(&self) -> bool {
        matches!(self, Self::Embed { .. })
    }

    fn request(&self, id: u64) -> to_engine::Message {
        match self {
            Self::Tokenize { text, add_special, parse_special, .. } => {
                to_engine::Message::Tokenize(Tokenize {
                    id,
                    text: text.clone(),
                    add_special: *add_special,
                    parse_special: *parse_special,
                })
            }
            Self::Detokenize { tokens, .. } => {
                to_engine::Message::Detokenize(Detokenize { id, tokens: tokens.clone() })
            }
            Self::Count { texts, messages, .. } => to_engine::Message::CountTokens(CountTokens {
                id,
                texts: texts.clone(),
                messages: messages.clone(),
            }),
            Self::Embed { texts, normalize, .. } => {
                to_engine::Message::Embed(Embed { id, texts: texts.clone(), normalize: *normalize })
            }
        }
    }
}

/// Questions that have no answer yet. Ids are separate from those of generations by
/// counting down from the top.
#[derive(Debug)]
pub(super) struct Queries {
    waiting: BTreeMap<u64, Waiting>,
    next_id: u64,
}

#[derive(Debug)]
struct Waiting {
    query: Query,
    sent: bool,
    _permit: OwnedSemaphorePermit,
}

impl Queries {
    pub(super) fn new() -> Self {
        Self { waiting: BTreeMap::new(), next_id: u64::MAX }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn admit(&mut self, query: Query, permit: OwnedSemaphorePermit) {
        self.waiting.insert(self.next_id, Waiting { query, sent: false, _permit: permit });
        self.next_id -= 1;
    }

    /// What to send to the engine, oldest first.
    pub(super) fn send_all(&mut self) -> Vec<to_engine::Message> {
        let unsent = self.waiting.iter_mut().rev().filter(|(_, waiting)| !waiting.sent);
        unsent
            .map(|(&id, waiting)| {
                waiting.sent = true;
                waiting.query.request(id)
            })
            .collect()
    }

    /// Digests an answer. Gives it back when it answers nothing that was asked here.
    pub(super) fn on_answer(&mut self, id: u64, answer: from_engine::Message) {
        let Some(Waiting { query, .. }) = self.waiting.remove(&id) else { return };
        match (query, answer) {
            (Query::Tokenize { reply, .. }, from_engine::Message::Tokens(answer)) => {
                let _ = reply.send(Ok(answer.tokens));
            }
            (Query::Detokenize { reply, .. }, from_engine::Message::Text(answer)) => {
                let _ = reply.send(Ok(answer.text));
            }
            (Query::Count { reply, .. }, from_engine::Message::Count(answer)) => {
                let counts = Counts { texts: answer.texts, messages: answer.messages };
                let _ = reply.send(Ok(counts));
            }
            (Query::Embed { reply, .. }, from_engine::Message::Embedded(answer)) => {
                let embeddings = answer.embeddings.into_iter().map(|embedding| Embedding {
                    values: embedding.values,
                    tokens: embedding.tokens,
                    truncated: embedding.truncated,
                    cached: false,
                });
                let _ = reply.send(Ok(embeddings.collect()));
            }
            (query, _) => query.fail(Error::Internal {
                problem: "the engine answered a question with an answer of another kind".to_owned(),
            }),
        }
    }

    /// The engine refuses. False when it was not a question that it refused.
    pub(super) fn on_rejected(&mut self, rejected: &Rejected) -> bool {
        let Some(Waiting { query, .. }) = self.waiting.remove(&rejected.id) else { return false };
        let problem = rejected.message.clone();
        query.fail(match rejected.rejection() {
            Rejection::ModelKind => Error::ModelUnsuitable { problem },
            Rejection::Busy => {
                Error::Overloaded { what: problem, retry_after: Duration::from_secs(1) }
            }
            Rejection::Failed => Error::Internal { problem },
            _ => Error::invalid("request", problem),
        });
        true
    }

    /// Forgets what nobody waits for any more. Ids of what the engine has to be told to end.
    pub(super) fn drop_unwanted(&mut self) -> Vec<u64> {
        let unwanted = self.waiting.iter().filter(|(_, waiting)| waiting.query.is_unwanted());
        let unwanted: Vec<u64> = unwanted.map(|(&id, _)| id).collect();
        let forgotten = unwanted.into_iter().filter_map(|id| Some((id, self.waiting.remove(&id)?)));
        let to_end = forgotten.filter(|(_, waiting)| waiting.sent && waiting.query.takes_long());
        to_end.map(|(id, _)| id).collect()
    }

    /// Ends what the engine had been asked; with `all`, also what it had not.
    /// A question is not asked again: its text may be what killed the engine.
    pub(super) fn fail(&mut self, error: &Error, all: bool) {
        for (id, waiting) in std::mem::take(&mut self.waiting) {
            if all || waiting.sent {
                waiting.query.fail(error.clone());
            } else {
                self.waiting.insert(id, waiting);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use ractor::concurrency::{OneshotReceiver, oneshot};
    use tokio::sync::Semaphore;

    use super::*;

    fn reply<T>() -> (Reply<T>, OneshotReceiver<Result<T>>) {
        let (sender, receiver) = oneshot();
        (sender.into(), receiver)
    }

    #[test]
    fn a_question_that_nobody_waits_for_gives_its_place_up_also_while_the_engine_loads() {
        let places = Arc::new(Semaphore::new(3));
        let mut queries = Queries::new();
        let mut admit =
            |query| queries.admit(query, Arc::clone(&places).try_acquire_owned().unwrap());
        let (unwanted, gone) = reply();
        admit(Query::Detokenize { tokens: Vec::new(), reply: unwanted });
        let (wanted, _waits) = reply();
        admit(Query::Detokenize { tokens: Vec::new(), reply: wanted });
        let (unwanted, late) = reply();
        admit(Query::Embed { texts: Vec::new(), normalize: true, reply: unwanted });
        drop(gone);
        assert!(queries.drop_unwanted().is_empty());
        assert_eq!((queries.len(), places.available_permits()), (2, 1));

        assert_eq!(queries.send_all().len(), 2);
        drop(late);
        assert_eq!(queries.drop_unwanted(), [u64::MAX - 2], "the engine works on it");
        assert_eq!((queries.len(), places.available_permits()), (1, 2));
    }
}
