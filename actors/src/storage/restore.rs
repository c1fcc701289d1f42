//! Restoring a backup: everything is made beside what is there, and takes its place once it is whole.
//!
//! The collections are made in the folder of the new store, so one exchange decides about both. From there
//! they get to their place as soon as nobody uses those that are there, or at the next start.

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::format::{Content, Reader};
use super::{Restored, Storage};
use crate::knowledge_base::Restoring;
use crate::memory_store::Fresh;
use crate::{Error, Result};

/// What is made of a backup. Dropped, it leaves nothing; that blocks.
#[derive(Debug)]
struct Draft {
    collections: Option<Restoring>,
    fresh: Fresh,
}

impl Draft {
    fn take(&mut self, content: Content) -> Result<()> {
        match content {
            Content::Records(records) => self.fresh.put(records),
            Content::Piece(piece) => {
                let collections = match self.collections.take() {
                    Some(collections) => collections,
                    None => Restoring::begin(self.fresh.collections())?,
                };
                self.collections.insert(collections).put(piece)
            }
        }
    }

    /// The store and how many collections are beside it, all whole and on disk.
    fn finish(self) -> Result<(Fresh, Option<u64>)> {
        let Self { collections, fresh } = self;
        let collections = collections.map(Restoring::finish).transpose()?;
        Ok((fresh, collections))
    }
}

impl Storage {
    /// Takes a backup, which comes in parts, in the place of what is stored. A store with anything in it is
    /// replaced only with `overwrite`, and so are collections; they are kept beside the new ones. A backup
    /// without collections leaves those that are here as they are.
    ///
    /// Nothing changes unless the whole backup was read and is right.
    pub async fn restore(
        &self,
        mut parts: mpsc::Receiver<Vec<u8>>,
        overwrite: bool,
    ) -> Result<Restored> {
        let fresh = self.store.begin_restore(overwrite).await?;
        let mut draft = Draft { collections: None, fresh };
        let mut reader = Reader::default();
        let read = loop {
            let Some(part) = parts.recv().await else { break reader.finish() };
            let contents = match reader.push(&part) {
                Ok(contents) => contents,
                Err(damage) => break Err(damage),
            };
            if draft.collections.is_none()
                && contents.iter().any(|content| matches!(content, Content::Piece(_)))
                && let Err(error) = self.knowledge.check_overwriting(overwrite).await
            {
                discard(draft).await;
                return Err(error);
            }
            draft = blocking(move || {
                contents.into_iter().try_for_each(|content| draft.take(content)).map(|()| draft)
            })
            .await?;
        };
        if let Err(damage) = read {
            discard(draft).await;
            return Err(Error::invalid("data", format!("the backup {damage}")));
        }
        let (fresh, collections) = blocking(move || draft.finish()).await?;
        // A caller that is gone must not leave it half done.
        let storage = self.clone();
        let exchange = tokio::spawn(async move {
            match collections {
                None => storage.exchange_store(fresh, overwrite).await,
                Some(count) => storage.exchange_all(fresh, count, overwrite).await,
            }
        });
        exchange.await.map_err(|error| Error::Internal { problem: error.to_string() })?
    }

    async fn exchange_store(&self, fresh: Fresh, overwrite: bool) -> Result<Restored> {
        let renewed = self.store.finish_restore(fresh, overwrite).await?;
        Ok(Restored {
            records: renewed.records,
            previous: renewed.previous,
            collections: 0,
            previous_collections: None,
        })
    }

    async fn exchange_all(
        &self,
        fresh: Fresh,
        collections: u64,
        overwrite: bool,
    ) -> Result<Restored> {
        let still = match self.knowledge.stand_still(overwrite).await {
            Ok(still) => still,
            Err(error) => {
                discard(fresh).await;
                return Err(error);
            }
        };
        let exchanged = self.exchange_store(fresh, overwrite).await;
        // Whatever was decided, it is seen by what came with the store.
        let previous = self.knowledge.go_on(still).await;
        let exchanged = exchanged?;
        Ok(Restored { collections, previous_collections: previous?, ..exchanged })
    }
}

/// Removing what was made blocks.
async fn discard(draft: impl Send + 'static) {
    drop(spawn_blocking(move || drop(draft)).await);
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = spawn_blocking(work).await;
    done.map_err(|error| Error::Internal { problem: error.to_string() })?
}
