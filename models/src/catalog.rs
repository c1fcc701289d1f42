//! The models that tandem knows by name, and how a name becomes a file.
//!
//! The shipped catalog is part of the program; `catalog.toml` in the models directory adds to it
//! and replaces entries with the same id.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tandem_proto::v1::Sampling;

use crate::Source;
use crate::confidence::Rule;
use crate::found::Found;
use crate::versions;

mod advice;
mod distance;
mod elsewhere;
mod packaged;
mod variant;

pub use advice::Advice;
pub use distance::distance;
use elsewhere::Elsewhere;
pub use variant::Variant;

const SHIPPED: &str = include_str!("../catalog.toml");
/// Name of the user's catalog in the models directory.
pub const USER_FILE: &str = "catalog.toml";
const USER_FILE_BYTES_MAX: u64 = 1 << 20;
const EXTENSION: &str = "gguf";
/// Most engines that an entry may ask for, as in `models.engines`.
const ENGINES_MAX: u32 = 16;
/// Models that the error about an unknown one names, the most similar first.
const KNOWN_MAX: usize = 10;
/// Most edits between a name and one that was probably meant.
const MEANT_MAX: usize = 3;

/// Why a name does not lead to a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// The catalog knows the model, but its file is not on this machine.
    #[error("the file of model {id:?} is missing at {}; fetch it, or put it there", path.display())]
    Absent {
        /// Catalog id.
        id: String,
        /// Where the file is expected.
        path: PathBuf,
    },
    /// No such model.
    #[error("no model {id:?} here; known: {known}. Give one of these, or the path of a GGUF file")]
    Unknown {
        /// What was asked for.
        id: String,
        /// Ids of the catalog, comma separated.
        known: String,
    },
}

/// What is known about one model without looking at its file.
///
/// Unknown keys are passed over, so that catalogs of later versions can be read.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Entry {
    /// Name in commands and requests; case does not matter.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Models of one family answer alike: "`SmolLM2`".
    #[serde(default)]
    pub family: String,
    /// As llama.cpp names it.
    #[serde(default)]
    pub architecture: String,
    /// Number of weights.
    #[serde(default)]
    pub parameters: u64,
    /// As llama.cpp names the file type.
    #[serde(default)]
    pub quantization: String,
    /// Tokens it was trained for.
    #[serde(default)]
    pub context_trained: u32,
    /// SPDX identifier or a name.
    #[serde(default)]
    pub license: String,
    /// Of the file, hexadecimal; empty when it is not known.
    #[serde(default)]
    pub sha256: String,
    /// Of the file; 0 when it is not known.
    #[serde(default)]
    pub size_bytes: u64,
    /// Name of the file in the models directory.
    pub file: String,
    /// Where the file can be had, best first.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// Memory below which a machine should not try; 0 when it is not known.
    #[serde(default)]
    pub memory_min_bytes: u64,
    /// The same model in other quantizations.
    #[serde(default)]
    pub variants: Vec<Variant>,
    /// Id of the entry that this is a variant of.
    #[serde(skip)]
    pub variant_of: Option<String>,
    /// Languages it answers in, as ISO 639-1 codes.
    #[serde(default)]
    pub languages: Vec<String>,
    /// What it is good for: "chat", "code".
    #[serde(default)]
    pub abilities: Vec<String>,
    /// Name of a chat template in `engine.templates` that takes the place of the file's own.
    #[serde(default)]
    pub template: Option<String>,
    /// The chat template itself, of a model that came with one.
    #[serde(skip)]
    pub template_text: Option<String>,
    /// Most engines that host it at a time, instead of `models.engines`.
    #[serde(default)]
    pub engines: Option<u32>,
    /// How sure it is when it is right, instead of [`Rule::UNCALIBRATED`].
    #[serde(default)]
    pub confidence: Option<Rule>,
    /// How its makers advise to sample.
    #[serde(default, rename = "sampling")]
    advice: Advice,
}

impl Entry {
    /// The advised sampling; what it does not speak of is unset.
    #[must_use]
    pub fn sampling(&self) -> Sampling {
        self.advice.sampling()
    }

    /// What of it holds for a version called `name`, in a file of its own.
    fn version(&self, name: &str, file: &Path) -> Self {
        let file = file.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        Self {
            id: name.to_owned(),
            name: name.to_owned(),
            file: file.to_owned(),
            sha256: String::new(),
            size_bytes: 0,
            sources: Vec::new(),
            variants: Vec::new(),
            variant_of: Some(self.id.clone()),
            // It was fitted to the answers of the other file.
            confidence: None,
            ..self.clone()
        }
    }

    fn is(&self, id: &str) -> bool {
        self.id.eq_ignore_ascii_case(id)
    }

    fn locate(&self, models_dir: &Path) -> Located {
        let path = models_dir.join(&self.file);
        Located { id: self.id.clone(), path, entry: Some(self.clone()), found: None }
    }

    /// A file name that leads out of the models directory would be a way around its limits.
    fn check(&self) -> Result<(), String> {
        if self.id.is_empty() || self.id.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(format!("{:?} is not an id; leave out blanks", self.id));
        }
        if !is_file_name(&self.file) {
            return Err(format!("file {:?} of {} must be a plain file name", self.file, self.id));
        }
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if !matches!(self.sha256.len(), 0 | 64) || !self.sha256.bytes().all(is_digit) {
            return Err(format!("sha256 of {} must have 64 hexadecimal digits", self.id));
        }
        if self.engines.is_some_and(|engines| !(1..=ENGINES_MAX).contains(&engines)) {
            return Err(format!("engines of {} must be 1 to {ENGINES_MAX}", self.id));
        }
        if self.confidence.is_some_and(|rule| !rule.is_finite()) {
            return Err(format!("confidence of {} must have numbers only", self.id));
        }
        if !self.advice.is_sane() {
            return Err(format!("sampling of {} is out of the range of requests", self.id));
        }
        Ok(())
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Document {
    models: Vec<Entry>,
}

impl Document {
    /// The entries, each with its variants behind it.
    fn parse(text: &str) -> Result<Vec<Entry>, String> {
        let Self { models } = toml::from_str(text).map_err(|error| {
            // The whole message quotes the line, which may hold a password.
            let at = error.span().map_or(0, |span| span.start);
            let line = text.get(..at).unwrap_or_default().split('\n').count();
            format!("line {line}: {}", error.message())
        })?;
        let entries: Vec<_> = models.into_iter().flat_map(Entry::with_variants).collect();
        entries.iter().try_for_each(Entry::check)?;
        Ok(entries)
    }
}

/// A model and where its file is, or is expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Located {
    /// Catalog id, id of a model that another program keeps, or path of a file that nobody knows.
    pub id: String,
    /// The file.
    pub path: PathBuf,
    /// What the catalog says.
    pub entry: Option<Entry>,
    /// What the program says that keeps it; `None` for a file of tandem's own, or of nobody.
    pub found: Option<Found>,
}

impl Located {
    /// How those who know the model advise to sample; what they do not speak of is unset.
    #[must_use]
    pub fn sampling(&self) -> Sampling {
        let entry = self.entry.as_ref().map(Entry::sampling);
        entry.or_else(|| self.found.as_ref().map(Found::sampling)).unwrap_or_default()
    }

    /// Why it cannot be used, as far as that shows without its file.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.found.as_ref()?.problem.as_deref()
    }
}

/// All entries, in the order of the files.
#[derive(Debug, Clone)]
pub struct Catalog {
    entries: Vec<Entry>,
    problem: Option<String>,
    elsewhere: Elsewhere,
}

impl Catalog {
    /// The entries that come with the program.
    #[must_use]
    pub fn shipped() -> Self {
        let (entries, problem) = match Document::parse(SHIPPED) {
            Ok(entries) => (entries, None),
            Err(problem) => (Vec::new(), Some(problem)),
        };
        Self { entries, problem, elsewhere: Elsewhere::default() }
    }

    /// The shipped entries and over them those of `catalog.toml` in the models directory. A bad
    /// file changes nothing; see [`problem`](Self::problem).
    #[must_use]
    pub fn load(models_dir: &Path) -> Self {
        let mut catalog = Self::shipped();
        let path = models_dir.join(USER_FILE);
        match read_user_file(&path) {
            Ok(entries) => catalog.merge(entries),
            Err(problem) => catalog.problem = Some(format!("{}: {problem}", path.display())),
        }
        catalog
    }

    /// Why the user's catalog is not in effect.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// The file that `id` means: a catalog id, the name of a file in the models directory with or
    /// without `.gguf`, an absolute path, or the id of a model that another program keeps. The file of
    /// a catalog entry may be kept by one, too.
    ///
    /// Fails with [`Unresolved::Absent`] when only the file is missing.
    pub fn resolve(&self, id: &str, models_dir: &Path) -> Result<Located, Unresolved> {
        if let Some(entry) = self.entry(id) {
            let located = self.place(entry, models_dir);
            if located.path.is_file() {
                return Ok(located);
            }
            return Err(Unresolved::Absent { id: located.id, path: located.path });
        }
        let path = Path::new(id);
        let candidates = if path.is_absolute() {
            vec![path.to_owned()]
        } else if path.file_name().is_some_and(|name| name == path) {
            vec![models_dir.join(id), models_dir.join(format!("{id}.{EXTENSION}"))]
        } else {
            Vec::new()
        };
        if let Some(path) = candidates.into_iter().find(|path| path.is_file()) {
            return Ok(self.locate_file(path, models_dir));
        }
        let kept = self.locate_kept(id, models_dir);
        kept.ok_or_else(|| self.not_found(id, models_dir))
    }

    /// The entry whose file has this name.
    #[must_use]
    pub fn entry_of_file(&self, file: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.file == file)
    }

    /// Where the file of a catalog entry is, or is expected.
    #[must_use]
    pub fn expected(&self, id: &str, models_dir: &Path) -> Option<Located> {
        self.entry(id).map(|entry| entry.locate(models_dir))
    }

    /// What the catalog says of the model `id`.
    #[must_use]
    pub fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.is(id))
    }

    /// All models: those of the catalog, then other GGUF files in the models directory by name, then
    /// those that other programs keep. A variant is among them only when its file is there.
    #[must_use]
    pub fn list(&self, models_dir: &Path) -> Vec<Located> {
        let located = self.entries.iter().map(|entry| (entry, self.place(entry, models_dir)));
        let mut all: Vec<_> = located
            .filter(|(entry, located)| entry.variant_of.is_none() || located.path.is_file())
            .map(|(_, located)| located)
            .collect();
        let mut files: Vec<_> = fs::read_dir(models_dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(EXTENSION)))
            .filter(|path| path.is_file() && all.iter().all(|known| known.path != *path))
            .collect();
        files.sort();
        all.extend(files.into_iter().map(|path| self.locate_file(path, models_dir)));
        let others = self.found().iter().map(|found| self.of_found(found, models_dir));
        // One that an entry uses is there already.
        let others: Vec<_> =
            others.filter(|it| all.iter().all(|known| known.id != it.id)).collect();
        all.extend(others);
        all
    }

    fn merge(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            match self.entries.iter_mut().find(|known| known.is(&entry.id)) {
                Some(known) => *known = entry,
                None => self.entries.push(entry),
            }
        }
    }

    /// The catalog's entry of a file, whatever way it was named by.
    fn locate_file(&self, path: PathBuf, models_dir: &Path) -> Located {
        let entry = self.entries.iter().find(|entry| models_dir.join(&entry.file) == path);
        if let Some(entry) = entry {
            return entry.locate(models_dir);
        }
        if let Some(entry) = packaged::entry(&path, models_dir) {
            return Located { id: entry.id.clone(), path, entry: Some(entry), found: None };
        }
        let is_own = path.parent() == Some(models_dir);
        if !is_own && let Some(kept) = self.locate_kept_file(&path, models_dir) {
            return kept;
        }
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        match versions::split(name) {
            Some((id, _)) if is_own => Located {
                id: name.to_owned(),
                entry: self.entry(id).map(|entry| entry.version(name, &path)),
                path,
                found: None,
            },
            _ => Located { id: path.display().to_string(), path, entry: None, found: None },
        }
    }

    fn not_found(&self, id: &str, models_dir: &Path) -> Unresolved {
        let mut known = self.list(models_dir);
        // What was probably meant, then what is here, then what could be.
        known.sort_by_cached_key(|known| {
            let distance = distance(&known.id, id);
            (distance > MEANT_MAX, !known.path.is_file(), distance)
        });
        let known: Vec<_> = known.into_iter().take(KNOWN_MAX).map(|known| known.id).collect();
        Unresolved::Unknown { id: id.chars().take(200).collect(), known: known.join(", ") }
    }
}

/// Whether this is the name of a file in a folder, whatever the folder.
pub(crate) fn is_file_name(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|file| file == name)
}

fn read_user_file(path: &Path) -> Result<Vec<Entry>, String> {
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.to_string()),
        Ok(metadata) if !metadata.is_file() => return Err("is not a file".to_owned()),
        Ok(metadata) if metadata.len() > USER_FILE_BYTES_MAX => {
            return Err(format!("is larger than {USER_FILE_BYTES_MAX} bytes"));
        }
        Ok(_) => {}
    }
    Document::parse(&fs::read_to_string(path).map_err(|error| error.to_string())?)
}

#[cfg(test)]
mod tests;
