//! Turns a model as its makers publish it, a folder with safetensors, into a GGUF file in the
//! models directory. Blocking.
//!
//! What comes out is what llama.cpp's own converter writes, and one key more: how many tokens of a
//! text the makers want read, which can be fewer than the model holds.

use std::fs;
use std::path::{Path, PathBuf};

use tandem_models::catalog::{Catalog, Unresolved};
use tandem_models::gguf::{self, Kind};

use crate::Error;

mod bert;
mod float;
mod safetensors;
mod source;
mod vocabulary;
mod write;

use safetensors::Tensors;
use source::Source;
use vocabulary::Vocabulary;
use write::Unfinished;

const ID_BYTES_MAX: usize = 100;

/// What can be imported, for messages.
const SUPPORTED: &str = "BERT models with mean or CLS pooling (architecture BertModel)";

/// Why a folder was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The name cannot be that of a model.
    #[error("{0}")]
    Name(String),
    /// A model of this name is there already.
    #[error("a model {id:?} is known already; choose another name for this one")]
    Taken {
        /// The name.
        id: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {problem}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        problem: std::io::Error,
    },
    /// A file is not what its name says.
    #[error("{file} is damaged: {problem}; download the model again")]
    Damaged {
        /// Name of the file.
        file: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A model of another kind.
    #[error("{what} cannot be imported; supported are {SUPPORTED}")]
    Unsupported {
        /// What the model is or has.
        what: String,
    },
    /// The result cannot be written.
    #[error("cannot write {}: {problem}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        problem: std::io::Error,
    },
    /// Nobody wants the result any more.
    #[error("the import was given up")]
    Cancelled,
}

impl ImportError {
    fn damaged(file: &'static str, problem: impl Into<String>) -> Self {
        Self::Damaged { file, problem: problem.into() }
    }

    fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }
}

impl From<ImportError> for Error {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Name(problem) => Self::invalid("id", problem),
            ImportError::Cancelled => Self::Cancelled { reason: error.to_string() },
            _ => Self::ImportFailed { problem: error.to_string() },
        }
    }
}

/// How far an import is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// 0 to 1.
    pub fraction: f32,
    /// What is being done, for a person.
    pub stage: &'static str,
}

/// Imports the folder `source` as the model `id`; an empty `id` means the folder's name. Returns
/// the id. `report` is told how far it is, and says whether to go on.
///
/// The file is there as a whole or not at all.
pub(super) fn import(
    source: &Path,
    id: &str,
    models_dir: &Path,
    report: &mut dyn FnMut(Progress) -> bool,
) -> Result<String, ImportError> {
    let mut go_on = |fraction, stage| {
        if report(Progress { fraction, stage }) { Ok(()) } else { Err(ImportError::Cancelled) }
    };
    let id = name(source, id)?;
    let catalog = Catalog::load(models_dir);
    let path = match catalog.resolve(&id, models_dir) {
        Err(Unresolved::Unknown { .. }) => models_dir.join(format!("{id}.gguf")),
        // The catalog knows such a model, and this is one way for it to get here.
        Err(Unresolved::Absent { path, .. }) if catalog.entry(&id).is_some_and(bert::is_one) => {
            path
        }
        _ => return Err(ImportError::Taken { id }),
    };
    go_on(0.0, "reading the vocabulary")?;
    let model = Source::read(source)?;
    let vocabulary = Vocabulary::read(source)?;
    let mut tensors = Tensors::open(source)?;
    let plan = bert::plan(&model, &vocabulary, &tensors)?;
    let header = bert::header(&id, &model, &vocabulary, &plan);

    let mut file = Unfinished::create(&path)?;
    file.append(&header)?;
    let total: u64 = plan.iter().map(|tensor| tensor.bytes).sum();
    let mut written = 0;
    for tensor in &plan {
        tensors.read(tensor, &mut |bytes| {
            file.append(bytes)?;
            written += bytes.len() as u64;
            #[allow(clippy::cast_precision_loss, reason = "a fraction for a person")]
            go_on(written as f32 / total.max(1) as f32, "writing weights")
        })?;
        file.align(gguf::ALIGNMENT)?;
    }
    let unfinished = file.path().to_owned();
    gguf::read(&unfinished).map_err(|problem| {
        let problem = std::io::Error::other(problem.to_string());
        ImportError::Unwritable { path: unfinished, problem }
    })?;
    file.finish(&path)?;
    Ok(id)
}

/// The name asked for, or that of the folder.
fn name(source: &Path, id: &str) -> Result<String, ImportError> {
    let id = if id.is_empty() {
        let folder = source.file_name().and_then(|name| name.to_str());
        folder.ok_or_else(|| ImportError::Name("is empty; name the model".to_owned()))?
    } else {
        id
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let begins_well = id.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if id.len() > ID_BYTES_MAX || !begins_well || !id.bytes().all(plain) {
        let short: String = id.chars().take(ID_BYTES_MAX).collect();
        return Err(ImportError::Name(format!(
            "{short:?} is no name for a model; use up to {ID_BYTES_MAX} letters, digits, dots, \
             dashes and underscores, a letter or digit first"
        )));
    }
    Ok(id.strip_suffix(".gguf").unwrap_or(id).to_owned())
}

/// A tensor of the file to be, and where its elements come from.
#[derive(Debug, Clone, PartialEq)]
struct Planned {
    /// As llama.cpp names it.
    name: String,
    /// Its name in the source.
    source: String,
    /// The fastest first, as GGUF has them.
    dimensions: Vec<u64>,
    kind: Kind,
    bytes: u64,
}

/// Reads a text file of bounded size.
fn read_text(folder: &Path, file: &'static str, bytes_max: u64) -> Result<String, ImportError> {
    let path = folder.join(file);
    let unreadable = |problem| ImportError::Unreadable { path: path.clone(), problem };
    let facts = fs::metadata(&path).map_err(unreadable)?;
    if !facts.is_file() || facts.len() > bytes_max {
        let problem = format!("it is no file of at most {bytes_max} bytes");
        return Err(ImportError::damaged(file, problem));
    }
    fs::read_to_string(&path).map_err(unreadable)
}

/// Reads a file of bounded size as JSON.
fn read_json<T: serde::de::DeserializeOwned>(
    folder: &Path,
    file: &'static str,
    bytes_max: u64,
) -> Result<T, ImportError> {
    let text = read_text(folder, file, bytes_max)?;
    serde_json::from_str(&text).map_err(|error| ImportError::damaged(file, error.to_string()))
}

/// As [`read_json`], for a file that need not be there.
fn read_optional<T: serde::de::DeserializeOwned>(
    folder: &Path,
    file: &'static str,
    bytes_max: u64,
) -> Result<Option<T>, ImportError> {
    match read_json(folder, file, bytes_max) {
        Ok(value) => Ok(Some(value)),
        Err(ImportError::Unreadable { problem, .. })
            if problem.kind() == std::io::ErrorKind::NotFound =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
