//! Which version of a model its name means, and which model is the default one.
//!
//! What was chosen is in `choices.toml` in the models directory. Blocking.

mod files;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::mem::{swap, take};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

pub use semver::Version;
use serde::{Deserialize, Serialize};

pub use self::files::{file_name, installed, is_id, join, plain, split};
use crate::catalog::{Catalog, Located, Unresolved};

/// Name of the file with the choices in the models directory.
pub const FILE: &str = "choices.toml";
/// Locked by whoever changes the choices, as the file itself is replaced.
const LOCK: &str = ".choices.lock";
const PART: &str = ".choices.part";
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a choice was not made.
#[derive(Debug, thiserror::Error)]
pub enum Unchosen {
    /// The version is not on this machine.
    #[error("version {version} of model {id:?} is not here; here are: {installed}")]
    NoVersion {
        /// Name of the model.
        id: String,
        /// What was asked for.
        version: Version,
        /// What there is, comma separated.
        installed: String,
    },
    /// Nothing was in use before.
    #[error("nothing was in use before {what}; choose with `tandem model use`")]
    NothingBefore {
        /// What is in use.
        what: String,
    },
    /// The file with the choices has mistakes.
    #[error("{} cannot be understood: {problem}; mend or remove it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The choice cannot be written down.
    #[error("{} cannot be written: {problem}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        problem: io::Error,
    },
}

/// What is in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Choices {
    /// Absent: the default model of the settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<String>,
    /// What `default` was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_default: Option<String>,
    /// By the name of the model in lower case, as case does not matter in names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    versions: BTreeMap<String, Choice>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Choice {
    /// Absent: the file without a version, else the highest one.
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<Version>,
    /// What `active` was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<Version>,
}

/// The choices of one models directory, as they were when they were loaded.
#[derive(Debug, Clone)]
pub struct Versions {
    dir: PathBuf,
    choices: Choices,
    problem: Option<String>,
}

impl Versions {
    /// The choices in `dir`. Without a file, or with one that cannot be understood, nothing is chosen;
    /// see [`problem`](Self::problem).
    #[must_use]
    pub fn load(dir: &Path) -> Self {
        let (choices, problem) = match read(dir) {
            Ok(choices) => (choices, None),
            Err(problem) => (Choices::default(), Some(problem.to_string())),
        };
        Self { dir: dir.to_owned(), choices, problem }
    }

    /// Why the file is not in effect.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// The default model that was chosen; `None`: that of the settings.
    #[must_use]
    pub fn default_model(&self) -> Option<&str> {
        self.choices.default.as_deref()
    }

    /// The default model that was chosen before; `None`: that of the settings.
    ///
    /// # Errors
    /// [`Unchosen::NothingBefore`] when no choice was ever made.
    pub fn default_before(&self) -> Result<Option<&str>, Unchosen> {
        match (&self.choices.default, &self.choices.previous_default) {
            (None, None) => Err(Unchosen::NothingBefore { what: "the default model".to_owned() }),
            (_, before) => Ok(before.as_deref()),
        }
    }

    /// The name by which the model that `id` meant before can be found: a version, or `id` itself
    /// where that was a file without one.
    ///
    /// # Errors
    /// [`Unchosen::NothingBefore`] when no version was chosen.
    pub fn before(&self, id: &str) -> Result<Option<Version>, Unchosen> {
        match self.choices.versions.get(&id.to_ascii_lowercase()) {
            None | Some(Choice { active: None, previous: None }) => {
                Err(Unchosen::NothingBefore { what: format!("model {id:?}") })
            }
            Some(choice) => Ok(choice.previous.clone()),
        }
    }

    /// The version that was chosen for `id`.
    #[must_use]
    pub fn active(&self, id: &str) -> Option<&Version> {
        self.choices.versions.get(&id.to_ascii_lowercase())?.active.as_ref()
    }

    /// The versions of `id` on this machine, highest first.
    #[must_use]
    pub fn installed(&self, id: &str) -> Vec<Version> {
        let mut versions: Vec<_> =
            installed(&self.dir, id).into_iter().map(|(version, _)| version).collect();
        versions.dedup();
        versions.reverse();
        versions
    }

    /// The file that `id` means: the version chosen for it, else the file that the catalog or its name
    /// leads to, else the highest version.
    ///
    /// # Errors
    /// As [`Catalog::resolve`].
    pub fn resolve(&self, catalog: &Catalog, id: &str) -> Result<Located, Unresolved> {
        if let Some(version) = self.active(id) {
            return self.version(catalog, id, version);
        }
        self.without_choice(catalog, id)
    }

    /// As [`resolve`](Self::resolve), had nothing been chosen.
    ///
    /// # Errors
    /// As [`Catalog::resolve`].
    pub fn without_choice(&self, catalog: &Catalog, id: &str) -> Result<Located, Unresolved> {
        catalog.resolve(id, &self.dir).or_else(|error| {
            match (split(id), self.installed(id).first()) {
                (Some((model, version)), _) if self.installed(model).contains(&version) => {
                    self.version(catalog, model, &version)
                }
                (None, Some(highest)) => self.version(catalog, id, highest),
                _ => Err(error),
            }
        })
    }

    fn version(
        &self,
        catalog: &Catalog,
        id: &str,
        version: &Version,
    ) -> Result<Located, Unresolved> {
        let name = join(id, version);
        let path = |name: &str| self.dir.join(format!("{name}.gguf"));
        // As its file has it, which may be in another case.
        let other = || {
            let mut files = installed(&self.dir, id).into_iter();
            let (_, file) = files.find(|(other, _)| other == version)?;
            Some(file.file_stem()?.to_str()?.to_owned())
        };
        let name = if path(&name).exists() { name } else { other().unwrap_or(name) };
        catalog
            .resolve(&name, &self.dir)
            .map_err(|_| Unresolved::Absent { path: path(&name), id: name })
    }

    /// Makes `version` what `id` means. It is on disk afterwards.
    ///
    /// # Errors
    /// [`Unchosen`] when the version is not there or the choice cannot be written down.
    pub fn activate(&mut self, id: &str, version: &Version) -> Result<(), Unchosen> {
        let installed = self.installed(id);
        if !installed.contains(version) {
            let installed: Vec<_> = installed.iter().map(Version::to_string).collect();
            return Err(Unchosen::NoVersion {
                id: id.to_owned(),
                version: version.clone(),
                installed: if installed.is_empty() { "none".into() } else { installed.join(", ") },
            });
        }
        let next = installed.into_iter().find(|other| other != version);
        let catalog = Catalog::load(&self.dir);
        let meant = self.without_choice(&catalog, id).ok().and_then(|located| {
            let name = located.path.file_stem()?.to_str()?.to_owned();
            split(&name)
                .filter(|(model, _)| model.eq_ignore_ascii_case(id))
                .map(|(_, version)| version)
        });
        self.change(|choices| {
            let choice = choices.versions.entry(id.to_ascii_lowercase()).or_default();
            match choice.active.replace(version.clone()) {
                Some(before) if before == *version => (),
                Some(before) => choice.previous = Some(before),
                None if meant.as_ref() != Some(version) => choice.previous = meant,
                // It is meant since it is here; another one was before.
                None => {
                    choice.previous = choice.previous.take().filter(|it| it != version).or(next);
                }
            }
            Ok(())
        })
    }

    /// Makes what `id` meant before what it means. It is on disk afterwards.
    ///
    /// # Errors
    /// [`Unchosen`] when nothing was chosen or the choice cannot be written down.
    pub fn roll_back(&mut self, id: &str) -> Result<(), Unchosen> {
        self.change(|choices| {
            let choice = choices.versions.entry(id.to_ascii_lowercase()).or_default();
            if *choice == Choice::default() {
                return Err(Unchosen::NothingBefore { what: format!("model {id:?}") });
            }
            swap(&mut choice.active, &mut choice.previous);
            Ok(())
        })
    }

    /// Makes `id` the default model; `None`: that of the settings. It is on disk afterwards.
    ///
    /// # Errors
    /// [`Unchosen`] when the choice cannot be written down.
    pub fn choose_default(&mut self, id: Option<&str>) -> Result<(), Unchosen> {
        self.change(|choices| {
            if choices.default.as_deref() != id {
                choices.previous_default = choices.default.take();
                choices.default = id.map(str::to_owned);
            }
            Ok(())
        })
    }

    /// Makes the default model from before the default. It is on disk afterwards.
    ///
    /// # Errors
    /// [`Unchosen`] when nothing was chosen or the choice cannot be written down.
    pub fn roll_back_default(&mut self) -> Result<(), Unchosen> {
        self.change(|choices| {
            if choices.default.is_none() && choices.previous_default.is_none() {
                return Err(Unchosen::NothingBefore { what: "the default model".to_owned() });
            }
            swap(&mut choices.default, &mut choices.previous_default);
            Ok(())
        })
    }

    /// Changes what is on disk now, whoever wrote it last.
    fn change(
        &mut self,
        change: impl FnOnce(&mut Choices) -> Result<(), Unchosen>,
    ) -> Result<(), Unchosen> {
        let path = self.dir.join(FILE);
        let unwritable = |problem| Unchosen::Unwritable { path: path.clone(), problem };
        let lock = private().open(self.dir.join(LOCK)).map_err(unwritable)?;
        // Held for as long as writing some lines takes.
        lock.lock().map_err(unwritable)?;
        let mut choices = read(&self.dir).map_err(|problem| Unchosen::Damaged {
            path: path.clone(),
            problem: problem.to_string(),
        })?;
        change(&mut choices)?;
        write(&self.dir, &choices).map_err(unwritable)?;
        (self.choices, self.problem) = (choices, None);
        Ok(())
    }
}

fn read(dir: &Path) -> io::Result<Choices> {
    let file = match File::open(dir.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Choices::default()),
        file => file?,
    };
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    let mut choices: Choices =
        toml::from_str(&text).map_err(|error| io::Error::other(error.message().to_owned()))?;
    let versions = take(&mut choices.versions).into_iter();
    choices.versions = versions.map(|(id, it)| (id.to_ascii_lowercase(), it)).collect();
    Ok(choices)
}

fn write(dir: &Path, choices: &Choices) -> io::Result<()> {
    let text = toml::to_string(choices).map_err(io::Error::other)?;
    let part = dir.join(PART);
    let mut file = private().open(&part)?;
    file.set_len(0)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, dir.join(FILE))?;
    // The name is on disk with its folder.
    File::open(dir)?.sync_all()
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options
}

#[cfg(test)]
mod tests;
