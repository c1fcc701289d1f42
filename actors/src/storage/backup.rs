//! Writing a backup, while everything goes on.

use std::io::Read;

use tandem_knowledge::collection::CopiedFile;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::Storage;
use super::format::{Piece, Writer};
use crate::{Error, Result};

/// Parts that wait for who writes them down.
const PARTS_MAX: usize = 4;
/// Bytes of a piece of a file.
const PIECE_BYTES: u64 = 1 << 20;

/// The bytes of a backup on their way to who writes them down.
struct Output {
    writer: Writer,
    parts: mpsc::Sender<Result<Vec<u8>>>,
}

impl Output {
    async fn send(&self, bytes: Vec<u8>) -> Result<()> {
        let gone = |_| Error::Cancelled { reason: "nobody reads the backup".to_owned() };
        self.parts.send(Ok(bytes)).await.map_err(gone)
    }

    async fn file(&mut self, collection: &str, copied: CopiedFile) -> Result<()> {
        let CopiedFile { name, mut content } = copied;
        loop {
            let read = spawn_blocking(move || {
                let mut bytes = Vec::new();
                let read = content.by_ref().take(PIECE_BYTES).read_to_end(&mut bytes);
                read.map(|_| (bytes, content))
            });
            let read =
                read.await.map_err(|error| Error::Internal { problem: error.to_string() })?;
            let (bytes, rest) = read.map_err(|error| Error::Collection {
                name: collection.to_owned(),
                problem: format!("{name} cannot be read: {error}; check the disk"),
            })?;
            content = rest;
            let ends = (bytes.len() as u64) < PIECE_BYTES;
            let piece = Piece { collection: collection.to_owned(), file: name.clone(), bytes };
            let bytes = self.writer.piece(piece);
            self.send(bytes).await?;
            if ends {
                return Ok(());
            }
        }
    }
}

impl Storage {
    /// The bytes of a backup, in parts: the store as it is when its last part comes, and then each
    /// collection as of one commit. An error ends them, also that of a collection that cannot be used.
    #[must_use]
    pub fn backup(&self) -> mpsc::Receiver<Result<Vec<u8>>> {
        let (sender, parts) = mpsc::channel(PARTS_MAX);
        let storage = self.clone();
        tokio::spawn(async move {
            let output = Output { writer: Writer::default(), parts: sender.clone() };
            if let Err(error) = storage.write(output).await {
                drop(sender.send(Err(error)).await);
            }
        });
        parts
    }

    async fn write(&self, mut output: Output) -> Result<()> {
        let mut copy = self.store.copy().await?;
        while let Some(records) = copy.next().await? {
            let bytes = output.writer.records(&records);
            output.send(bytes).await?;
        }
        for collection in self.knowledge.names().await? {
            let files = match self.knowledge.copy(&collection).await {
                // It was deleted meanwhile.
                Err(Error::CollectionNotFound { .. }) => continue,
                files => files?,
            };
            for file in files {
                output.file(&collection, file).await?;
            }
        }
        let Output { writer, parts } = output;
        drop(parts.send(Ok(writer.end())).await);
        Ok(())
    }
}
