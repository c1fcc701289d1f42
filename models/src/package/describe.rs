//! Finding out what a file is that is to be handed on. Blocking.

use std::path::PathBuf;

use semver::Version;

use super::{Chunk, Chunking, Digest, Error, Manifest, Part, cut, write_chunks};
use crate::catalog::Entry;
use crate::versions::is_id;
use crate::{gguf, pull};

/// What is to be handed on.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// What it shall be called, from version to version.
    pub id: String,
    /// That it shall have.
    pub version: Version,
    /// The GGUF file.
    pub file: PathBuf,
    /// What the catalog says of it.
    pub entry: Option<Entry>,
    /// A chat template that takes the place of the file's own.
    pub template: Option<String>,
}

/// A version of a model, all that there is to it but the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Description {
    /// What it is.
    pub(crate) manifest: Manifest,
    /// Of the file, in its order.
    pub(crate) chunks: Vec<Chunk>,
}

/// Reads the file of `subject`. The same file and catalog give the same description. `go_on` hears of
/// the bytes read so far; `None` when it says no.
pub(crate) fn describe(
    subject: &Subject,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Description>, Error> {
    let Subject { id, version, file, .. } = subject;
    if !is_id(id) {
        return Err(Error::Unusable(format!(
            "{id:?} cannot be the name of a package; name it with --as, in at most 100 letters, \
             digits, dots, dashes and underscores"
        )));
    }
    if !version.build.is_empty() {
        return Err(Error::Unusable(format!(
            "{version} says how it was built, which has no order; leave out what follows the +"
        )));
    }
    let header = gguf::read(file).map_err(|problem| {
        Error::from(pull::Error::NotAModel { from: file.display().to_string(), problem })
    })?;
    let chunking = Chunking::default();
    let unreadable = |problem| Error::Unreadable { path: file.clone(), problem };
    let Some(cut) = cut(file, chunking, go_on).map_err(unreadable)? else { return Ok(None) };
    let list = write_chunks(&cut.chunks);
    let entry = subject.entry.as_ref();
    let known =
        |of: fn(&Entry) -> &String| entry.map(|entry| of(entry).clone()).unwrap_or_default();
    let name = [known(|entry| &entry.name), header.name, id.clone()];
    let manifest = Manifest {
        format: Manifest::FORMAT,
        id: id.clone(),
        version: version.clone(),
        name: name.into_iter().find(|name| !name.is_empty()).unwrap_or_default(),
        family: known(|entry| &entry.family),
        license: known(|entry| &entry.license),
        architecture: header.architecture,
        quantization: header.quantization,
        parameters: header.parameters,
        context_trained: header.context_length,
        languages: entry.map(|entry| entry.languages.clone()).unwrap_or_default(),
        abilities: entry.map(|entry| entry.abilities.clone()).unwrap_or_default(),
        memory_min_bytes: entry.map_or(0, |entry| entry.memory_min_bytes),
        sampling: entry.map(Entry::advice).unwrap_or_default(),
        template: subject.template.clone(),
        model: Part { sha256: cut.sha256, size_bytes: cut.size_bytes },
        chunks: Part { sha256: Digest::of(&list), size_bytes: list.len() as u64 },
        chunking,
    };
    Ok(Some(Description { manifest, chunks: cut.chunks }))
}
