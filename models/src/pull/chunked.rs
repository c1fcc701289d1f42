//! A file that is put together from chunks: those of files on this machine, and for the rest those of
//! a repository. To whoever fetches it, it is a source like any other.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::Client;
use tokio::task::spawn_blocking;

use super::error::Failure;
use super::object::whole;
use super::remote::Remote;
use super::{Error, Options};
use crate::Source;
use crate::package::{Chunk, Digest};

/// A file on this machine that has chunks.
#[derive(Debug)]
pub(crate) struct Donor {
    /// Open, so that it stays what it was.
    pub(crate) file: File,
    /// In the order of the file.
    pub(crate) chunks: Vec<Chunk>,
}

/// Where a chunk can be had.
type Elsewhere = dyn Fn(&Digest) -> Result<Source, Error> + Send + Sync;

/// A file in chunks.
pub(crate) struct Chunked {
    name: String,
    sha256: Digest,
    size: u64,
    /// With where each begins.
    chunks: Vec<(u64, Chunk)>,
    here: HashMap<Digest, (Arc<File>, u64)>,
    /// Where a chunk can be had that is not here.
    elsewhere: Box<Elsewhere>,
    client: Client,
    options: Options,
    fetched: AtomicU64,
}

impl std::fmt::Debug for Chunked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunked").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Chunked {
    /// The file of these chunks, which is called `name` in errors.
    pub(crate) fn new(
        name: String,
        sha256: Digest,
        chunks: &[Chunk],
        donors: Vec<Donor>,
        elsewhere: impl Fn(&Digest) -> Result<Source, Error> + Send + Sync + 'static,
        (client, options): (Client, Options),
    ) -> Self {
        let mut here = HashMap::new();
        for Donor { file, chunks } in donors {
            let file = Arc::new(file);
            for (begin, chunk) in placed(&chunks) {
                here.insert(chunk.sha256, (Arc::clone(&file), begin));
            }
        }
        let size = chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum();
        let chunks = placed(chunks).collect();
        let (elsewhere, fetched) = (Box::new(elsewhere), AtomicU64::new(0));
        Self { name, sha256, size, chunks, here, elsewhere, client, options, fetched }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Hexadecimal.
    pub(super) fn sha256(&self) -> String {
        self.sha256.to_string()
    }

    /// Bytes of the file.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that came from the repository so far.
    pub(crate) fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    /// These bytes of it.
    pub(super) fn read(self: &Arc<Self>, bytes: Range<u64>) -> Reader {
        Reader { of: Arc::clone(self), rest: bytes.start..bytes.end.min(self.size) }
    }

    /// A chunk, and how many bytes of it had to be fetched.
    async fn chunk(&self, chunk: Chunk) -> Result<(Vec<u8>, u64), Failure> {
        if let Some((file, begin)) = self.here.get(&chunk.sha256) {
            let (file, begin) = (Arc::clone(file), *begin);
            let mut bytes = vec![0; chunk.bytes as usize];
            let read = spawn_blocking(move || {
                let read = file.read_exact_at(&mut bytes, begin);
                read.is_ok().then_some(bytes).filter(|it| Digest::of(it) == chunk.sha256)
            });
            // A file that was changed meanwhile is as good as none.
            if let Ok(Some(bytes)) = read.await {
                return Ok((bytes, 0));
            }
        }
        let source = (self.elsewhere)(&chunk.sha256)?;
        let remote = Remote::over(self.client.clone(), &source, &self.options)?;
        // Boxed, as what reads chunks is read by the same code.
        let stored = match Box::pin(whole(&remote, chunk.bytes.into())).await {
            // It is empty. That the file is another one would mean that all of it is.
            Err(Failure::Changed | Failure::Unranged) => Vec::new(),
            stored => stored?,
        };
        let came = stored.len() as u64;
        self.fetched.fetch_add(came, Ordering::Relaxed);
        let checked = spawn_blocking(move || unpack(stored, chunk)).await;
        let checked = checked.map_err(|error| Failure::passing(error.to_string()))?;
        let bytes = checked.map_err(|actual| Error::Corrupt {
            from: remote.name,
            expected: chunk.sha256.to_string(),
            actual: actual.to_string(),
        })?;
        Ok((bytes, came))
    }
}

/// Chunks with where each begins.
fn placed(chunks: &[Chunk]) -> impl Iterator<Item = (u64, Chunk)> {
    chunks.iter().scan(0, |end, chunk| {
        let begin = *end;
        *end += u64::from(chunk.bytes);
        Some((begin, *chunk))
    })
}

/// The bytes of a chunk that is stored as it is or compressed; the hash of what it is when it is
/// neither.
fn unpack(stored: Vec<u8>, chunk: Chunk) -> Result<Vec<u8>, Digest> {
    let actual = Digest::of(&stored);
    if actual == chunk.sha256 {
        return Ok(stored);
    }
    let unpacked = zstd::bulk::decompress(&stored, chunk.bytes as usize).map_err(|_| actual)?;
    match Digest::of(&unpacked) {
        right if right == chunk.sha256 => Ok(unpacked),
        wrong => Err(wrong),
    }
}

/// Bytes of a file in chunks, one chunk after the other.
#[derive(Debug)]
pub(super) struct Reader {
    of: Arc<Chunked>,
    rest: Range<u64>,
}

impl Reader {
    /// Appends those of the next chunk and says how many were fetched for it. `None` at the end.
    pub(super) async fn append_to(&mut self, bytes: &mut Vec<u8>) -> Result<Option<u64>, Failure> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let at = self.of.chunks.partition_point(|(begin, _)| *begin <= self.rest.start);
        let found = at.checked_sub(1).and_then(|at| self.of.chunks.get(at));
        let Some(&(begin, chunk)) = found else { return Ok(None) };
        let (whole, came) = self.of.chunk(chunk).await?;
        let end = self.rest.end.min(begin + u64::from(chunk.bytes));
        let wanted = [self.rest.start, end].map(|at| usize::try_from(at - begin).unwrap_or(0));
        bytes.extend_from_slice(whole.get(wanted[0]..wanted[1]).unwrap_or_default());
        self.rest.start = end;
        Ok(Some(came))
    }
}
