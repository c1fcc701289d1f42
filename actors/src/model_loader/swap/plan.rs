//! What a swap changes: which files are concerned, and what is written down.

use std::path::{Path, PathBuf};

use tandem_models::catalog::Located;
use tandem_models::versions::{self, Unchosen, Version, Versions};

use crate::model_loader::inspect::Inspector;
use crate::{Error, Result};

/// What is to change.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// This becomes the default model.
    Default(String),
    /// This version becomes what the name means.
    Version(String, Version),
    /// What was the default model before becomes it again.
    BackToDefault,
    /// What the name meant before becomes what it means.
    BackTo(String),
    /// The settings have this default model now, and it becomes what it is.
    Settings(String),
}

impl Step {
    /// The model of which another version is to be meant; `None` when it is about the default model.
    pub(super) fn version_of(&self) -> Option<&str> {
        match self {
            Self::Version(id, _) | Self::BackTo(id) => Some(id),
            Self::Default(_) | Self::BackToDefault | Self::Settings(_) => None,
        }
    }
}

/// What a step comes down to, once the files were looked at.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(super) step: Step,
    /// The name that comes to mean another file; `None`: that of the default model does.
    pub(super) name: Option<String>,
    /// The default model afterwards, if the step is about that; inside, `None` is that of the settings.
    pub(super) default: Option<String>,
    /// What the name meant, where that can be found.
    pub(super) old: Option<PathBuf>,
    pub(super) new: Located,
    dir: PathBuf,
}

impl Plan {
    /// What loses its place is in the file `serving`, if its name was asked for. Blocking.
    pub(super) fn new(
        step: Step,
        inspector: &Inspector,
        settings_default: &str,
        serving: Option<PathBuf>,
    ) -> Result<Self> {
        let dir = inspector.folder().to_owned();
        let versions = Versions::load(&dir);
        let by_version = |id: &str, version: Option<&Version>| match version {
            Some(version) => inspector.locate(&versions::join(id, version)),
            None => inspector.locate_without_choice(id),
        };
        let (default, new) = match &step {
            Step::Default(id) => (Some(id.clone()), inspector.locate(id)?),
            Step::Settings(id) => (None, inspector.locate(id)?),
            Step::BackToDefault => {
                let before = versions.default_before()?;
                let located = inspector.locate(before.unwrap_or(settings_default))?;
                (before.map(str::to_owned), located)
            }
            Step::Version(id, version) => {
                if !versions.installed(id).contains(version) {
                    let mut versions = versions;
                    // Says which there are.
                    versions.activate(id, version)?;
                }
                (None, by_version(id, Some(version))?)
            }
            Step::BackTo(id) => {
                let before = versions.before(id)?;
                (None, by_version(id, before.as_ref())?)
            }
        };
        let name = step.version_of().map(str::to_owned);
        let meant = || match &name {
            Some(id) => inspector.locate(id),
            None => inspector.default_model(),
        };
        let old = serving.or_else(|| meant().ok().map(|located| located.path));
        Ok(Self { step, name, default, old, new, dir })
    }

    /// The file that loses its place, where there is one, and the one that gets it.
    pub(in super::super) fn files(&self) -> Option<(&Path, &Path)> {
        Some((self.old.as_deref()?, self.new.path.as_path()))
    }

    /// Blocking. The choice is on disk afterwards.
    pub(super) fn write(&self) -> Result<()> {
        let mut versions = Versions::load(&self.dir);
        match &self.step {
            Step::Default(id) => versions.choose_default(Some(id)),
            Step::Version(id, version) => versions.activate(id, version),
            Step::BackToDefault => versions.roll_back_default(),
            Step::BackTo(id) => versions.roll_back(id),
            Step::Settings(_) if versions.default_model().is_none() => Ok(()),
            Step::Settings(_) => versions.choose_default(None),
        }?;
        Ok(())
    }

    /// What takes it back by itself, if it is not itself a way back.
    pub(super) fn undo(&self) -> Option<Step> {
        match &self.step {
            Step::Default(_) => Some(Step::BackToDefault),
            Step::Version(id, _) => Some(Step::BackTo(id.clone())),
            _ => None,
        }
    }
}

impl From<Unchosen> for Error {
    fn from(error: Unchosen) -> Self {
        match error {
            Unchosen::NoVersion { .. } | Unchosen::NothingBefore { .. } => {
                Self::invalid("id", error.to_string())
            }
            Unchosen::Damaged { .. } | Unchosen::Unwritable { .. } => {
                Self::Store { problem: error.to_string() }
            }
        }
    }
}
