//! Publishing a version: its chunks that are not there yet, then what it is, and last that it is
//! there. A push that is broken off publishes nothing, and what it sent is not sent again.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use futures::stream::{self, TryStreamExt as _};
use tokio::task::spawn_blocking;

use super::depot::Depot;
use super::{Place, VERSIONS, VERSIONS_BYTES_MAX, Versions, chunk_path, version_path};
use crate::package::{
    BYTES_MAX, CHUNKS, Chunk, Description, Digest, Error, MANIFEST, Manifest, SIGNATURE,
    SigningKey, Subject, describe, write_chunks,
};
use crate::pull::{Meter, Options, Progress, Stage, client, in_background, read_object};

/// Of zstd. Chunks are small and weights hardly compress.
const LEVEL: i32 = 3;

/// What a push came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Pushed {
    /// What was published.
    pub manifest: Manifest,
    /// Chunks that had to be sent.
    pub chunks_sent: u64,
    /// Different chunks of the file.
    pub chunks_total: u64,
    /// Bytes of the chunks that were sent, as they are stored.
    pub bytes_sent: u64,
}

/// Publishes the model of `subject` at `place`. `report` hears how far it is. A version that is there
/// is never replaced: the same one sends nothing, another one is an error.
pub async fn push(
    subject: Subject,
    key: Option<SigningKey>,
    place: &Place,
    options: &Options,
    report: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Pushed, Error> {
    let meter = Meter::new(report);
    let client = client(options)?;
    let depot = Depot::new(place, &client, options)?;
    let file = subject.file.clone();
    let unreadable = |problem| Error::Unreadable { path: file.clone(), problem };
    let size = tokio::fs::metadata(&file).await.map_err(unreadable)?.len();
    meter.stage(Stage::Reading, 0, size);
    let described = in_background(&meter, move |go_on| describe(&subject, go_on)).await;
    let described = described.map_err(|error| unreadable(std::io::Error::other(error)))??;
    // It ends early only with this future.
    let ended = || unreadable(std::io::Error::other("nobody waits for it any more"));
    let Description { manifest, chunks } = described.ok_or_else(ended)?;
    let bytes = manifest.to_bytes()?;
    let signature = key.map(|key| key.sign(&bytes)).transpose()?;

    let read = async |path: String, bytes_max| {
        let read = read_object(&client, &place.object(&path)?, bytes_max, options).await;
        read.map_err(Error::from)
    };
    let Manifest { id, version, .. } = &manifest;
    let versions_path = format!("{id}/{VERSIONS}");
    let versions = async || match read(versions_path.clone(), VERSIONS_BYTES_MAX).await? {
        Some(bytes) => Versions::parse(&bytes, &place.to_string()),
        None => Ok(Versions::default()),
    };
    let path = |part| version_path(id, version, part);
    let distinct: HashSet<Digest> = chunks.iter().map(|chunk| chunk.sha256).collect();
    let chunks_total = distinct.len() as u64;
    if versions().await?.versions.contains(version) {
        let same = read(path(MANIFEST), BYTES_MAX).await?.as_ref() == Some(&bytes)
            && (signature.is_none() || read(path(SIGNATURE), BYTES_MAX).await? == signature);
        if same {
            return Ok(Pushed { manifest, chunks_sent: 0, chunks_total, bytes_sent: 0 });
        }
        let (id, version) = (id.clone(), version.clone());
        return Err(Error::Published { place: place.to_string(), id, version });
    }

    let there = depot.chunks(id).await?;
    let missing = missing(&chunks, &there);
    let to_send = missing.iter().map(|(_, chunk)| u64::from(chunk.bytes)).sum();
    meter.stage(Stage::Sending, 0, to_send);
    let model = Arc::new(File::open(&file).map_err(unreadable)?);
    let sender = Sender { depot: &depot, model, id, options, meter: &meter, changed: &unreadable };
    let (chunks_sent, bytes_sent) = sender.send_all(&missing).await?;

    depot.put(&path(CHUNKS), write_chunks(&chunks)).await?;
    if let Some(signature) = signature {
        depot.put(&path(SIGNATURE), signature).await?;
    }
    depot.put(&path(MANIFEST), bytes).await?;
    // Read again, as somebody else may have published meanwhile.
    let mut versions = versions().await?;
    versions.add(version.clone());
    let text = serde_json::to_vec_pretty(&versions);
    let text = text.map_err(|error| Error::Unusable(error.to_string()))?;
    depot.put(&versions_path, text).await?;
    Ok(Pushed { manifest, chunks_sent, chunks_total, bytes_sent })
}

/// The chunks that are not `there`, each once, with where it begins.
fn missing(chunks: &[Chunk], there: &HashSet<Digest>) -> Vec<(u64, Chunk)> {
    let (mut missing, mut seen, mut begin) = (Vec::new(), HashSet::new(), 0);
    for chunk in chunks {
        if !there.contains(&chunk.sha256) && seen.insert(chunk.sha256) {
            missing.push((begin, *chunk));
        }
        begin += u64::from(chunk.bytes);
    }
    missing
}

/// All that sending a chunk needs.
struct Sender<'a> {
    depot: &'a Depot<'a>,
    model: Arc<File>,
    id: &'a str,
    options: &'a Options,
    meter: &'a Meter<'a>,
    changed: &'a (dyn Fn(std::io::Error) -> Error + Send + Sync),
}

impl Sender<'_> {
    /// Sends these over several connections. Returns how many there were, and their bytes.
    async fn send_all(&self, chunks: &[(u64, Chunk)]) -> Result<(u64, u64), Error> {
        let sending = stream::iter(chunks.iter().copied().map(Ok::<_, Error>))
            .map_ok(|(begin, chunk)| self.send(begin, chunk))
            .try_buffer_unordered(self.options.parallel.max(1));
        sending.try_fold((0, 0), async |(count, sum), bytes| Ok((count + 1, sum + bytes))).await
    }

    async fn send(&self, begin: u64, chunk: Chunk) -> Result<u64, Error> {
        let model = Arc::clone(&self.model);
        let packed = spawn_blocking(move || pack(&model, begin, chunk)).await;
        let packed = packed.map_err(std::io::Error::other).flatten().map_err(self.changed)?;
        let bytes = packed.len() as u64;
        self.options.pace.take(bytes).await;
        self.depot.put(&chunk_path(self.id, &chunk.sha256), packed).await?;
        self.meter.landed(chunk.bytes.into());
        self.meter.came(bytes);
        Ok(bytes)
    }
}

/// A chunk as it is stored. Blocking.
fn pack(model: &File, begin: u64, chunk: Chunk) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; chunk.bytes as usize];
    model.read_exact_at(&mut bytes, begin)?;
    if Digest::of(&bytes) != chunk.sha256 {
        return Err(std::io::Error::other("it was changed while it was sent"));
    }
    let packed = zstd::bulk::compress(&bytes, LEVEL)?;
    Ok(if packed.len() < bytes.len() { packed } else { bytes })
}
