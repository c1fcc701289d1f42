//! Installing a package that may come from anybody. Blocking.
//!
//! Its parts have fixed names and a fixed order, and what it calls them is only compared. Nothing is
//! read beyond the sizes that its manifest says, nor written before it is known that they fit.

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tar::{Archive, Entries, Entry, EntryType};
use zstd::stream::read::Decoder;

use super::manifest::{BYTES_MAX, CHUNKS_BYTES_MAX};
use super::signature::SIGNATURE_BYTES_MAX;
use super::write::{CHUNKS, MANIFEST, MODEL, SIGNATURE};
use super::{Digest, Error, Installed, Manifest, TrustedKeys, parse_chunks};
use crate::origin::Origin;
use crate::pull::{self, Mark, PIECE_BYTES, Pin, Store, settle};
use crate::versions::file_name;

/// Most memory that unpacking takes, as a power of two: what packing takes at any level of zstd.
const WINDOW_LOG_MAX: u32 = 27;

/// What to install.
#[derive(Debug, Clone, Copy)]
pub(super) struct Package<'a> {
    /// The file.
    pub(super) path: &'a Path,
    /// Where it came from, as it is written.
    pub(super) source: &'a str,
    /// The models directory.
    pub(super) folder: &'a Path,
    /// Whose packages are let in.
    pub(super) trusted: &'a TrustedKeys,
}

/// Installs a package and returns what it is. One that is there already is left as it is. `go_on`
/// hears of the bytes of the package that were read; `None` when it says no.
pub(super) fn unpack(
    package: Package<'_>,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Manifest>, Error> {
    let Package { path: package, source, folder, trusted } = package;
    let damaged = |error: io::Error| Error::malformed(source, error.to_string());
    let unreadable = |problem| Error::Unreadable { path: package.to_owned(), problem };
    // Before it is opened, as a pipe is open only once somebody writes to it.
    if !std::fs::metadata(package).map_err(unreadable)?.is_file() {
        return Err(Error::Unusable(format!("{} is not a file", package.display())));
    }
    let file = File::open(package).map_err(unreadable)?;
    // Shares the place in the file with the decoder.
    let mut place = file.try_clone().map_err(unreadable)?;
    let mut decoder = Decoder::new(file).map_err(damaged)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(damaged)?;
    let mut archive = Archive::new(decoder);
    // Raw, so that no extension of the format is read that could be of any size.
    let mut parts = Parts { entries: archive.entries().map_err(damaged)?.raw(true), source };

    let bytes = small(source, parts.next(&[MANIFEST])?.0, BYTES_MAX)?;
    let manifest = Manifest::parse(&bytes, source)?;
    let (mut part, name) = parts.next(&[SIGNATURE, CHUNKS])?;
    let signature = if name == SIGNATURE {
        let signature = small(source, part, SIGNATURE_BYTES_MAX)?;
        part = parts.next(&[CHUNKS])?.0;
        Some(signature)
    } else {
        None
    };
    trusted.check(source, &bytes, signature.as_deref())?;
    let chunks = small(source, part, CHUNKS_BYTES_MAX)?;
    manifest.check_chunks(&chunks, source)?;

    let (model, _) = parts.next(&[MODEL])?;
    let size = manifest.model.size_bytes;
    if model.size() != size {
        return Err(Error::malformed(source, "its model has another size than its manifest says"));
    }
    if manifest.arrives(folder, source, None)? {
        return Ok(Some(manifest));
    }
    let name = file_name(&manifest.id, &manifest.version);
    let mut go_on = || go_on(place.stream_position().unwrap_or(0));
    match land(model, &manifest, source, (folder, &name), &mut go_on) {
        Ok(true) => Ok(Some(manifest)),
        Ok(false) => Ok(None),
        // What is known of it is known of what somebody else unpacks.
        Err(error @ Error::Pull(pull::Error::Busy { .. })) => Err(error),
        Err(error) => {
            // What is known of it is known of nothing.
            drop(Installed::forget(&folder.join(&name)));
            Err(error)
        }
    }
}

/// Puts the model to `path`, if it is what the manifest says. False when nobody waits for it any more.
fn land(
    model: impl Read,
    manifest: &Manifest,
    source: &str,
    (folder, file): (&Path, &str),
    go_on: &mut dyn FnMut() -> bool,
) -> Result<bool, Error> {
    let (size_bytes, expected) = (manifest.model.size_bytes, manifest.model.sha256.to_string());
    let pin = Pin::new(source.to_owned(), Some(expected.clone()), size_bytes, Mark::default());
    let Some(store) = Store::open(folder, file, &pin)? else { return Ok(true) };
    let actual = match copy(model, &store, go_on) {
        Ok(Some(actual)) => actual.to_string(),
        Ok(None) => return Ok(false),
        Err(Error::Malformed { problem, .. }) => {
            store.discard()?;
            return Err(Error::malformed(source, problem));
        }
        Err(error) => return Err(error),
    };
    if actual != expected {
        store.discard()?;
        return Err(pull::Error::Corrupt { from: source.to_owned(), expected, actual }.into());
    }
    settle(&store, &Origin { source: source.to_owned(), sha256: actual, size_bytes })?;
    Ok(true)
}

/// Puts the model on disk and returns its hash; `None` when nobody waits for it any more.
fn copy(
    mut model: impl Read,
    store: &Store,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Option<Digest>, Error> {
    let mut hasher = Sha256::new();
    for piece in 0.. {
        let mut bytes = Vec::new();
        let read = model.by_ref().take(PIECE_BYTES).read_to_end(&mut bytes);
        read.map_err(|error| Error::malformed("the model", error.to_string()))?;
        if bytes.is_empty() {
            break;
        }
        hasher.update(&bytes);
        // Also where one lies already, as that may have come from another package.
        store.write(piece, &bytes)?;
        if !go_on() {
            return Ok(None);
        }
    }
    Ok(Some(Digest::finish(hasher)))
}

/// The parts of a package, in their order.
struct Parts<'a, R: Read> {
    entries: Entries<'a, R>,
    source: &'a str,
}

impl<'a, R: Read> Parts<'a, R> {
    /// The next part, which must be a plain file with one of these names.
    fn next(&mut self, names: &[&'static str]) -> Result<(Entry<'a, R>, &'static str), Error> {
        let malformed = |problem: String| Error::malformed(self.source, problem);
        let expected = names.join(" or ");
        let Some(entry) = self.entries.next() else {
            return Err(malformed(format!("it ends before its {expected}")));
        };
        let entry = entry.map_err(|error| malformed(error.to_string()))?;
        let path = entry.path_bytes();
        let name = names.iter().find(|name| path.as_ref() == name.as_bytes());
        let is_file = entry.header().entry_type() == EntryType::Regular;
        let Some(name) = name.filter(|_| is_file) else {
            let shown: String = path.escape_ascii().to_string().chars().take(100).collect();
            return Err(malformed(format!("it has {shown:?} where the file {expected} must be")));
        };
        Ok((entry, name))
    }
}

fn small<R: Read>(source: &str, part: Entry<'_, R>, bytes_max: u64) -> Result<Vec<u8>, Error> {
    if part.size() > bytes_max {
        let problem =
            format!("one of its parts has {} bytes, at most {bytes_max} are sane", part.size());
        return Err(Error::malformed(source, problem));
    }
    let mut bytes = Vec::new();
    let mut part = part.take(bytes_max);
    let read = part.read_to_end(&mut bytes);
    read.map_err(|error| Error::malformed(source, error.to_string()))?;
    Ok(bytes)
}

impl Manifest {
    /// The chunks in `list`, if that is the one that the manifest means.
    pub(crate) fn check_chunks(&self, list: &[u8], what: &str) -> Result<Vec<super::Chunk>, Error> {
        if Digest::of(list) != self.chunks.sha256 {
            return Err(Error::malformed(what, "its list of chunks is another one than it says"));
        }
        parse_chunks(list, self.chunking, self.model.size_bytes)
            .map_err(|problem| Error::malformed(what, problem))
    }

    /// Whether this version is in `folder` already. If not, what is known of it is written down there,
    /// so that it never lies there without. Another file of the same name is an error.
    pub(crate) fn arrives(
        &self,
        folder: &Path,
        source: &str,
        repository: Option<&str>,
    ) -> Result<bool, Error> {
        let path = folder.join(file_name(&self.id, &self.version));
        if path.is_file() {
            return match Installed::of(&path) {
                Some(known) if known.manifest.model == self.model => Ok(true),
                _ => Err(Error::Unusable(format!(
                    "{source} is another {0}@{1} than the one that is here; remove that first with \
                     `tandem model rm {0}@{1}`",
                    self.id, self.version
                ))),
            };
        }
        let unwritable = |problem| pull::Error::Unwritable { path: path.clone(), problem };
        std::fs::create_dir_all(folder).map_err(unwritable)?;
        let installed =
            Installed { repository: repository.map(str::to_owned), manifest: self.clone() };
        installed.write(&path).map_err(unwritable)?;
        Ok(false)
    }
}
