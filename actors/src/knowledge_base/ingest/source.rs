//! One document on its way into a collection: found, read if it changed, cut into chunks.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use tandem_config::Knowledge;
use tandem_knowledge::chunk::{Budget, Segments};
use tandem_knowledge::read::{
    self, Format, Found, Isolation, Limits, Reading, SNIFFED_BYTES, Taken,
};
use tandem_knowledge::{Chunk, Cut, Document, Embedded, Label};
use tandem_proto::v1::Content;

use super::super::blocking;
use super::super::embedder::{Embedder, Lazy};
use super::super::shelf::Shelf;
use crate::{Error, Result};

/// Tokens that an embedding model puts around each text.
const FRAME_TOKENS: u32 = 2;
/// Bytes of a token, where no tokenizer is at hand.
const TOKEN_BYTES: usize = 4;

/// What is to be read.
#[derive(Debug)]
pub(super) enum Source {
    File(Found),
    Content(Content),
}

impl Source {
    /// By which its document is known.
    pub(super) fn name(&self) -> String {
        match self {
            Self::File(found) => found.path.to_string_lossy().into_owned(),
            Self::Content(content) => content.name.clone(),
        }
    }
}

/// What the given paths have in them.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) files: Vec<Found>,
    /// What is left out, and why.
    pub(super) refused: Vec<(String, String)>,
    /// Folders of which everything was seen.
    pub(super) complete: Vec<PathBuf>,
}

/// Looks for documents. What cannot be looked at is told among the refused.
pub(super) fn find(paths: &[PathBuf]) -> Listing {
    let mut listing = Listing::default();
    for path in paths {
        match look(path) {
            Ok(Looked::File(found)) => listing.files.push(found),
            Ok(Looked::Folder(walk)) => {
                listing.files.extend(walk.found);
                let unseen = |it: &read::Skipped| matches!(it.reason, read::Reason::Unreadable(_));
                if !walk.skipped.iter().any(unseen) {
                    listing.complete.push(path.clone());
                }
                let refused = walk.skipped.into_iter();
                let refused = refused.map(|it| (text(&it.path), it.reason.to_string()));
                listing.refused.extend(refused);
            }
            Err(problem) => listing.refused.push((text(path), problem)),
        }
    }
    // A file that was named beside its folder is read once.
    listing.files.sort_by(|one, other| one.path.cmp(&other.path));
    listing.files.dedup_by(|one, other| one.path == other.path);
    listing
}

enum Looked {
    File(Found),
    Folder(read::Walk),
}

fn look(path: &Path) -> Result<Looked, String> {
    let unreadable =
        |error: io::Error| format!("cannot be read ({error}); check path and permissions");
    let metadata = path.metadata().map_err(unreadable)?;
    if metadata.is_dir() {
        let walk = read::walk(path, &read::WalkLimits::default());
        return walk.map(Looked::Folder).map_err(|error| error.to_string());
    }
    let mut first = Vec::with_capacity(SNIFFED_BYTES);
    let file = std::fs::File::open(path).map_err(unreadable)?;
    io::Read::read_to_end(&mut io::Read::take(file, SNIFFED_BYTES as u64), &mut first)
        .map_err(unreadable)?;
    let format = Format::of(path, &first).ok_or_else(|| read::Refusal::NotText.to_string())?;
    Ok(Looked::File(Found { path: path.to_owned(), format, bytes: metadata.len() }))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// What became of a document.
#[derive(Debug)]
pub(super) enum Outcome {
    Unchanged,
    Prepared(Prepared),
    /// It is to blame, and why.
    Refused(String),
    /// Something else is; the others would fail, too.
    Failed(Error),
}

/// A document that is to be stored.
#[derive(Debug)]
pub(super) struct Prepared {
    document: Document,
    /// With the vectors that are known already.
    chunks: Vec<(Chunk, Option<Vec<f32>>)>,
    pub(super) news: News,
}

/// What is new about a document that is to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// All of it.
    Added,
    /// Its bytes, or what is kept with them.
    Changed,
    /// Only how it is cut.
    Recut,
}

impl Prepared {
    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// What is to be embedded.
    pub(super) fn texts(&self) -> impl Iterator<Item = String> {
        let new = self.chunks.iter().filter(|(_, vector)| vector.is_none());
        new.map(|(chunk, _)| chunk.embedded_text())
    }

    /// The document with all vectors, of which `new` has those of [`Self::texts`]; none at all in a
    /// collection without embeddings. The last number says how many were known.
    pub(super) fn embedded(
        self,
        new: &mut impl Iterator<Item = Vec<f32>>,
    ) -> (Document, Vec<Embedded>, usize) {
        let known = self.chunks.iter().filter(|(_, vector)| vector.is_some()).count();
        let embed = |(chunk, vector): (Chunk, Option<Vec<f32>>)| {
            let vector = vector.or_else(|| new.next()).unwrap_or_default();
            Embedded { chunk, vector }
        };
        (self.document, self.chunks.into_iter().map(embed).collect(), known)
    }
}

/// Reads the documents of one ingestion.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) shelf: Shelf,
    pub(super) embedder: Arc<Lazy>,
    pub(super) settings: Arc<Knowledge>,
    /// That the documents shall have; else a document keeps its label.
    pub(super) label: Option<Label>,
    /// Of those that have none yet.
    pub(super) label_default: Label,
    pub(super) metadata: BTreeMap<String, String>,
    /// What the collection has, by source.
    pub(super) known: HashMap<String, Document>,
}

impl Reader {
    /// The source's name, and what became of it.
    pub(super) async fn prepare(self: Arc<Self>, source: Source) -> (String, Outcome) {
        let name = source.name();
        let outcome = self.read(name.clone(), source).await.unwrap_or_else(Outcome::Failed);
        (name, outcome)
    }

    async fn read(self: Arc<Self>, name: String, source: Source) -> Result<Outcome> {
        let (reader, of) = (Arc::clone(&self), name.clone());
        let looked = blocking(move || reader.look(&of, source)).await?;
        let (taken, reading) = match looked {
            Ok(Some(read)) => read,
            Ok(None) => return Ok(Outcome::Unchanged),
            Err(problem) => return Ok(Outcome::Refused(problem)),
        };
        let chunks = self.cut(&reading).await?;
        let mut vectors = self.vectors(&name, &taken.sha256).await?;
        let chunks = chunks.into_iter().map(|chunk| {
            let vector = vectors.remove(&chunk.embedded_text());
            (chunk, vector)
        });
        let title = reading.title.unwrap_or_else(|| {
            Path::new(&name).file_name().map_or_else(|| name.clone(), |it| text(Path::new(it)))
        });
        let known = self.known.get(&name);
        let mut metadata = known.map(|known| known.metadata.clone()).unwrap_or_default();
        metadata.extend(reading.metadata);
        metadata.extend(self.metadata.clone());
        let label = self.label.or(known.map(|known| known.label)).unwrap_or(self.label_default);
        let news = match known {
            None => News::Added,
            Some(known) if known.sha256 == taken.sha256 && self.suits(known) => News::Recut,
            Some(_) => News::Changed,
        };
        let document = Document {
            title,
            sha256: taken.sha256,
            bytes: taken.bytes.len() as u64,
            modified: taken.modified,
            metadata,
            label,
            cut: Some(self.settings_of_chunks()),
            source: name.clone(),
        };
        Ok(Outcome::Prepared(Prepared { document, chunks: chunks.collect(), news }))
    }

    /// Reads what is not known as it is. The problem of a document that is refused is for people.
    fn look(&self, name: &str, source: Source) -> Result<Option<(Taken, Reading)>, String> {
        let limits = self.limits();
        let as_is =
            |known: &&Document| self.suits(known) && known.cut == Some(self.settings_of_chunks());
        let known = self.known.get(name).filter(as_is);
        let (taken, format) = match source {
            Source::File(found) => {
                if known.is_some_and(|known| same_file(known, &found.path)) {
                    return Ok(None);
                }
                let taken = read::take(&found.path, limits.bytes);
                (taken.map_err(|error| error.to_string())?, found.format)
            }
            Source::Content(content) => {
                let named = if content.media_type.is_empty() {
                    Format::of(Path::new(name), &content.data)
                } else {
                    Format::of_media_type(&content.media_type)
                };
                let format = named.ok_or_else(|| read::Refusal::NotText.to_string())?;
                (Taken::of(content.data), format)
            }
        };
        if known.is_some_and(|known| known.sha256 == taken.sha256) {
            return Ok(None);
        }
        let reading = if format.may_hang() {
            let isolated = Isolation::of_this_program().map_err(|error| error.to_string())?;
            isolated.read(&taken.bytes, format, &limits).map_err(|error| error.to_string())?
        } else {
            read::read(&taken.bytes, format, &limits)
        };
        reading.map(|reading| Some((taken, reading))).map_err(|refusal| refusal.to_string())
    }

    /// Whether a document is kept as it would be now, but for how it is cut.
    fn suits(&self, known: &Document) -> bool {
        self.label.is_none_or(|label| known.label == label)
            && self.metadata.iter().all(|(key, value)| known.metadata.get(key) == Some(value))
    }

    /// They say what is asked for. What the model reads at most is the same for all of a collection.
    fn settings_of_chunks(&self) -> Cut {
        Cut { tokens_max: self.settings.chunk_tokens, overlap: self.settings.overlap_tokens }
    }

    async fn cut(&self, reading: &Reading) -> Result<Vec<Chunk>> {
        let embedder = self.embedder.get().await?;
        let limit = embedder.map_or(u32::MAX, Embedder::tokens_max);
        let tokens_max = self.settings.chunk_tokens.min(limit);
        let unsuitable = |error: tandem_knowledge::Error| self.shelf.failed(&error);
        let budget = Budget::new(tokens_max, self.settings.overlap_tokens)
            .and_then(|budget| budget.with_reserved(FRAME_TOKENS))
            .map_err(unsuitable)?;
        let mut segments = Segments::of(&reading.blocks);
        loop {
            let texts = segments.uncounted();
            let counts = match embedder {
                Some(embedder) => {
                    embedder.count(texts.into_iter().map(str::to_owned).collect()).await?
                }
                None => texts.into_iter().map(estimate).collect(),
            };
            segments.count(&counts);
            if !segments.divide(budget) {
                return Ok(segments.pack(budget));
            }
        }
    }

    /// Vectors by their texts, of the document that this one takes the place of, or of another with the
    /// same bytes: most of a document stays when it is changed.
    async fn vectors(&self, name: &str, sha256: &str) -> Result<HashMap<String, Vec<f32>>> {
        let (name, sha256) = (name.to_owned(), sha256.to_owned());
        let known = self.shelf.with(move |collection| {
            if let Some(chunks) = collection.chunks(&name)? {
                return Ok(chunks);
            }
            let Some((same, _)) = collection.by_sha256(&sha256)? else { return Ok(Vec::new()) };
            Ok(collection.chunks(&same.source)?.unwrap_or_default())
        });
        let known = known.await?.into_iter().filter(|it| !it.vector.is_empty());
        Ok(known.map(|it| (it.chunk.embedded_text(), it.vector)).collect())
    }

    fn limits(&self) -> Limits {
        let bytes = usize::try_from(self.settings.document_bytes_max).unwrap_or(usize::MAX);
        Limits { bytes, ..Limits::default() }
    }
}

/// Whether a file is as it was when its document was read, going by length and time.
fn same_file(known: &Document, path: &Path) -> bool {
    let modified = |metadata: &std::fs::Metadata| {
        let since = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        u64::try_from(since.as_micros()).ok()
    };
    let metadata = path.metadata().ok();
    metadata.is_some_and(|it| it.len() == known.bytes && modified(&it) == Some(known.modified))
}

fn estimate(text: &str) -> u32 {
    u32::try_from(text.len().div_ceil(TOKEN_BYTES)).unwrap_or(u32::MAX)
}
