//! Models that other programs keep on this machine. They are used where they lie: nothing here writes,
//! moves or removes.
//!
//! The folders may hold anything: what is looked at is bounded, and a name or a manifest that makes no
//! sense is passed over or listed with what is wrong. No model's file is opened here. Blocking.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tandem_proto::v1::Sampling;
use tracing::warn;

use crate::catalog::{Advice, Entry};
use crate::{Hub, Source};

mod file_name;
mod hugging_face;
mod lm_studio;
mod ollama;
#[cfg(test)]
mod tests;
mod walk;

use walk::Walk;

/// Most models; a list of more helps nobody.
const FOUND_MAX: usize = 1000;

/// A program that keeps models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// The cache of Hugging Face's libraries and of its command `hf`.
    HuggingFace,
    /// Ollama.
    Ollama,
    /// LM Studio.
    LmStudio,
    /// The daemon, which has a model inside and puts it on the disk.
    Tandemd,
}

impl Keeper {
    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HuggingFace => "Hugging Face",
            Self::Ollama => "Ollama",
            Self::LmStudio => "LM Studio",
            Self::Tandemd => "tandemd",
        }
    }
}

/// The folders in which such programs keep models. They need not exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roots {
    /// Caches of repositories.
    pub hugging_face: Vec<PathBuf>,
    /// Folders with `manifests` and `blobs`.
    pub ollama: Vec<PathBuf>,
    /// Folders of publishers.
    pub lm_studio: Vec<PathBuf>,
    /// The model inside the daemon, in a folder that is named by its hash.
    pub embedded: Option<PathBuf>,
}

impl Roots {
    /// Where these programs keep models unless they are told otherwise, and where the environment
    /// tells them to, which `variable` reads.
    #[must_use]
    pub fn usual(home: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let named = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let below = |root: Option<PathBuf>, folder| root.map(|root| root.join(folder));
        let home = |folder| home.map(|home| home.join(folder));
        Self {
            hugging_face: distinct([
                named("HF_HUB_CACHE"),
                below(named("HF_HOME"), "hub"),
                below(named("XDG_CACHE_HOME"), "huggingface/hub"),
                home(".cache/huggingface/hub"),
            ]),
            ollama: distinct([
                named("OLLAMA_MODELS"),
                home(".ollama/models"),
                Some(PathBuf::from("/usr/share/ollama/.ollama/models")),
            ]),
            lm_studio: distinct([home(".lmstudio/models"), home(".cache/lm-studio/models")]),
            embedded: None,
        }
    }
}

fn distinct(places: impl IntoIterator<Item = Option<PathBuf>>) -> Vec<PathBuf> {
    let mut known = HashSet::new();
    places.into_iter().flatten().filter(|place| known.insert(place.clone())).collect()
}

/// A model that another program keeps.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// `ollama:NAME:TAG`, `hf:OWNER/REPOSITORY[@REVISION]/FILE`, `lmstudio:PUBLISHER/REPOSITORY/FILE`
    /// or `embedded:FILE`.
    pub id: String,
    /// Its file; where that should be, when it is missing.
    pub path: PathBuf,
    /// Whose it is.
    pub keeper: Keeper,
    /// That the file should have by its keeper's account, hexadecimal.
    pub sha256: Option<String>,
    /// Where it came from, by every name of the revision.
    pub sources: Vec<Hub>,
    /// The first line of its licence; empty when its keeper does not say.
    pub license: String,
    /// Why it cannot be used, and what to do; `None` when nothing is known to speak against it.
    pub problem: Option<String>,
    /// How its publishers advise to sample.
    advice: Advice,
}

impl Found {
    fn new(id: String, path: PathBuf, keeper: Keeper) -> Self {
        Self {
            id,
            path,
            keeper,
            sha256: None,
            sources: Vec::new(),
            license: String::new(),
            problem: None,
            advice: Advice::default(),
        }
    }

    /// The advised sampling; what it does not speak of is unset.
    #[must_use]
    pub fn sampling(&self) -> Sampling {
        self.advice.sampling()
    }

    /// Why tandem does not remove it.
    #[must_use]
    pub fn belongs(&self) -> String {
        let (id, name) = (&self.id, self.keeper.name());
        match self.keeper {
            Keeper::Tandemd => {
                format!("{id} is inside tandemd and goes with it; use another model")
            }
            _ => format!(
                "{id} belongs to {name}, whose files tandem only reads; remove it with {name}"
            ),
        }
    }

    /// What to do when the file is damaged.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self.keeper {
            Keeper::Tandemd => format!("remove {} and start tandemd anew", self.path.display()),
            keeper => format!("fetch it again with {}", keeper.name()),
        }
    }

    /// Whether `id` is one of its names.
    pub(crate) fn is(&self, id: &str) -> bool {
        let names = || match (self.keeper, id.parse()) {
            // As everywhere in Ollama, a name without a tag means the latest.
            (Keeper::Ollama, _) => self.id.strip_suffix(":latest") == Some(id),
            (Keeper::HuggingFace, Ok(Source::Hub(hub))) => self.sources.contains(&hub),
            _ => false,
        };
        self.id == id || names()
    }

    /// Whether it is the file of this entry: the hash decides where both are known, else the place
    /// that it came from.
    pub(crate) fn is_of(&self, entry: &Entry) -> bool {
        if self.problem.is_some() {
            return false;
        }
        if let Some(hash) = &self.sha256
            && !entry.sha256.is_empty()
        {
            return *hash == entry.sha256;
        }
        let is_source =
            |source: &Source| matches!(source, Source::Hub(hub) if self.sources.contains(hub));
        entry.sources.iter().any(is_source)
            && (entry.size_bytes == 0
                || self.path.metadata().is_ok_and(|file| file.len() == entry.size_bytes))
    }
}

fn embedded(path: &Path) -> Option<Found> {
    let name = path.file_name()?.to_str()?;
    let sha256 = path.parent()?.file_name()?.to_str()?.to_owned();
    let id = format!("embedded:{name}");
    Some(Found { sha256: Some(sha256), ..Found::new(id, path.to_owned(), Keeper::Tandemd) })
}

/// The models in the folders, each id once.
#[must_use]
pub fn scan(roots: &Roots) -> Vec<Found> {
    let (mut walk, mut found) = (Walk::default(), Vec::new());
    found.extend(roots.embedded.as_deref().and_then(embedded));
    for root in &roots.hugging_face {
        hugging_face::scan(root, &mut walk, &mut found);
    }
    for root in &roots.ollama {
        ollama::scan(root, &mut walk, &mut found);
    }
    for root in &roots.lm_studio {
        lm_studio::scan(root, &mut walk, &mut found);
    }
    let mut ids = HashSet::new();
    found.retain(|found| ids.insert(found.id.clone()));
    if walk.is_exhausted() || found.len() > FOUND_MAX {
        warn!("the folders of other programs hold more files than are looked at");
    }
    found.truncate(FOUND_MAX);
    found
}
