//! A copy of a collection's vectors in a server of Chroma. The collection stays the truth: the copy
//! follows it, and what the copy does not have yet is searched here.

use std::path::PathBuf;
use std::sync::Arc;

use tandem_knowledge::{Candidate, Filter, Label};
use tandem_proto::v1;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::chroma::{Server, knows};
use super::index::{Ask, Embedded, VectorIndex, best};
use super::shelf::Shelf;
use crate::{Error, Result};

mod copier;
mod held;
mod mark;
pub(super) mod remains;

use copier::Copier;

/// The server, and what all copies in it share.
#[derive(Debug)]
pub(super) struct Copies {
    server: Server,
    /// Several at once would only delay searches.
    writing: Semaphore,
    /// A collection was deleted that may have a copy.
    pub(super) deleted: Notify,
}

impl Copies {
    pub(super) fn new(server: Server) -> Self {
        Self { server, writing: Semaphore::new(1), deleted: Notify::new() }
    }
}

/// How the copy of a collection is reached. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Mirror(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    copies: Arc<Copies>,
    standing: watch::Sender<Standing>,
    /// The collection changed, or the copy is not what it should be.
    wake: Notify,
}

/// How far the copy is.
#[derive(Debug, Clone, Default)]
struct Standing {
    held: u64,
    wanted: u64,
    state: State,
}

#[derive(Debug, Clone, Default)]
enum State {
    /// Nobody asked the server yet.
    #[default]
    Unknown,
    /// It has all chunks that it shall have whose numbers are not above `upto`.
    Serving { id: Arc<str>, upto: u64 },
    /// It failed, and this is why.
    Failed(String),
}

impl Mirror {
    /// A copy that nobody keeps yet.
    pub(super) fn new(copies: Arc<Copies>) -> Self {
        let standing = watch::Sender::new(Standing::default());
        Self(Arc::new(Shared { copies, standing, wake: Notify::new() }))
    }

    /// Keeps it until the handle is dropped.
    pub(super) fn keep(&self, name: &str, dir: PathBuf, shelf: Shelf) -> AbortOnDropHandle<()> {
        let (mirror, name) = (self.clone(), name.to_owned());
        AbortOnDropHandle::new(tokio::spawn(async move {
            let opened = shelf.searcher().await;
            // The thread of the collection ends with the last of these.
            drop(shelf);
            match opened {
                Ok(searcher) => Copier { mirror, name, dir, searcher, mark: None }.run().await,
                Err(error) => mirror.fail(&error),
            }
        }))
    }

    /// Has it look for what to do.
    pub(super) fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// Whether what the copy has, and what is asked of it, leaves this machine.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.0.copies.server.is_elsewhere()
    }

    /// Whether it may lack something that it shall have, or have something that it shall not.
    pub(super) fn is_behind(&self) -> bool {
        let standing = self.0.standing.borrow();
        !matches!(standing.state, State::Serving { .. }) || standing.held != standing.wanted
    }

    /// How far it is, for people.
    pub(super) fn describe(&self) -> v1::Mirror {
        let Standing { held, wanted, state } = self.0.standing.borrow().clone();
        let problem = if let State::Failed(problem) = state { problem } else { String::new() };
        v1::Mirror { held, wanted, problem }
    }

    /// The copy's id, up to which number it has all, and how many it has.
    async fn serving(&self) -> Result<(Arc<str>, u64, u64)> {
        let limit = self.0.copies.server.timeout();
        let mut standing = self.0.standing.subscribe();
        let known = standing.wait_for(|standing| !matches!(standing.state, State::Unknown));
        let known = timeout(limit, known).await.ok().and_then(|it| it.ok().map(|it| it.clone()));
        match known {
            Some(Standing { held, state: State::Serving { id, upto }, .. }) => Ok((id, upto, held)),
            Some(Standing { state: State::Failed(problem), .. }) => {
                Err(Error::KnowledgeBackend { problem })
            }
            _ => Err(Error::KnowledgeBackend {
                problem: format!("Chroma was not reached within {limit:?}"),
            }),
        }
    }

    fn fail(&self, error: &Error) {
        let problem = match error {
            Error::KnowledgeBackend { problem } => problem.clone(),
            error => error.to_string(),
        };
        self.0.standing.send_modify(|standing| standing.state = State::Failed(problem));
    }
}

/// The copy, together with what the collection itself has to say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mirrored<'a> {
    pub(super) shelf: &'a Shelf,
    pub(super) mirror: &'a Mirror,
}

impl VectorIndex for Mirrored<'_> {
    async fn nearest(&self, ask: &Ask) -> Result<Vec<Candidate>> {
        let (own, elsewhere) = (Embedded(self.shelf), self.mirror.is_elsewhere());
        // Nothing that is local-only is there.
        if !knows(&ask.filter) || (elsewhere && ask.filter.label == Some(Label::LocalOnly)) {
            return own.nearest(ask).await;
        }
        let (id, upto, held) = self.mirror.serving().await?;
        if held == 0 {
            return own.nearest(ask).await;
        }
        let found = self.mirror.0.copies.server.nearest(&id, ask).await;
        let found = found.inspect_err(|error| {
            self.mirror.fail(error);
            self.mirror.wake();
        })?;
        // It has lost some, or does not know yet that some are gone: others would be missing.
        let expected = usize::try_from(held).unwrap_or(usize::MAX).min(ask.count);
        let short = ask.filter == Filter::default() && found.len() < expected;
        if short || !self.shelf.searcher().await?.has_all(&found) {
            self.mirror.wake();
            return own.nearest(ask).await;
        }
        let mut lists = vec![found, own.after(ask, upto).await?];
        if elsewhere {
            lists.push(own.labelled(ask, Label::LocalOnly).await?);
        }
        Ok(best(&lists, ask.count))
    }
}

#[cfg(test)]
mod tests;
