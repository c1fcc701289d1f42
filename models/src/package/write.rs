//! Writing a package. Blocking.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};
use zstd::stream::write::Encoder;

use super::{Description, Digest, Error, SigningKey, write_chunks};
use crate::pull;

pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const SIGNATURE: &str = "manifest.json.sig";
pub(crate) const CHUNKS: &str = "chunks";
pub(super) const MODEL: &str = "model.gguf";
/// Weights hardly compress; more effort costs time and saves nothing.
const LEVEL: i32 = 3;

/// Writes the model in `file`, which is what `description` says, to `path`, and returns how many bytes
/// that took. The same input gives the same bytes. The package is there as a whole or not at all.
/// `go_on` hears of the bytes of the model that are packed; `None` when it says no.
pub(super) fn write(
    description: &Description,
    file: &Path,
    path: &Path,
    key: Option<&SigningKey>,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<u64>, Error> {
    let unwritable =
        |problem| Error::from(pull::Error::Unwritable { path: path.to_owned(), problem });
    if path.exists() {
        let text = "is there already; remove it, or name another file with --out";
        return Err(Error::Unusable(format!("{} {text}", path.display())));
    }
    let manifest = description.manifest.to_bytes()?;
    let signature = key.map(|key| key.sign(&manifest)).transpose()?;
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let name = PathBuf::from(name);
    let unreadable = |problem| Error::Unreadable { path: file.to_owned(), problem };
    let model = File::open(file).map_err(unreadable)?;
    // Never one that is there: it is somebody's, and what is not finished is removed.
    let unfinished = File::create_new(&name).map_err(|problem| match problem.kind() {
        io::ErrorKind::AlreadyExists => Error::Unusable(format!(
            "{} is there already; remove it if nobody is packing there",
            name.display()
        )),
        _ => pull::Error::Unwritable { path: name.clone(), problem }.into(),
    })?;
    let part = Part(name);
    let mut model = Watched { inner: model, hasher: Sha256::new(), read: 0, ended: false, go_on };

    let pack = || -> io::Result<u64> {
        let mut encoder = Encoder::new(unfinished, LEVEL)?;
        encoder.include_checksum(true)?;
        let mut archive = Builder::new(encoder);
        add(&mut archive, MANIFEST, manifest.len() as u64, manifest.as_slice())?;
        if let Some(signature) = &signature {
            add(&mut archive, SIGNATURE, signature.len() as u64, signature.as_slice())?;
        }
        let chunks = write_chunks(&description.chunks);
        add(&mut archive, CHUNKS, chunks.len() as u64, chunks.as_slice())?;
        let size = description.manifest.model.size_bytes;
        add(&mut archive, MODEL, size, (&mut model).take(size))?;
        let file = archive.into_inner()?.finish()?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    };
    let written = pack();
    if model.ended {
        return Ok(None);
    }
    let size_bytes = written.map_err(unwritable)?;
    if Digest::finish(model.hasher) != description.manifest.model.sha256 {
        let text = "was changed while it was packed; pack it again";
        return Err(Error::Unusable(format!("{} {text}", file.display())));
    }
    fs::rename(&part.0, path).map_err(unwritable)?;
    Ok(Some(size_bytes))
}

/// Adds a file that nobody in particular owns and that was never changed.
fn add(
    archive: &mut Builder<impl io::Write>,
    name: &str,
    size: u64,
    content: impl Read,
) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    archive.append_data(&mut header, name, content)
}

/// A file that is not finished, and goes unless it gets its name.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// What is read, hashed on the way.
struct Watched<'a> {
    inner: File,
    hasher: Sha256,
    read: u64,
    /// Whether nobody wants more.
    ended: bool,
    go_on: &'a mut dyn FnMut(u64) -> bool,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        self.read += count as u64;
        if (self.go_on)(self.read) {
            return Ok(count);
        }
        self.ended = true;
        Err(io::Error::other("nobody waits for it any more"))
    }
}
