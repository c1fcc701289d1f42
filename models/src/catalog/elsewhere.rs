//! Models that other programs keep, by the ids and the entries that they answer to.

use std::path::Path;
use std::sync::OnceLock;

use super::{Catalog, Entry, Located};
use crate::found::{self, Found, Roots};

/// Where to look, and what was found when somebody wanted to know for the first time.
#[derive(Debug, Clone, Default)]
pub(super) struct Elsewhere {
    roots: Roots,
    found: OnceLock<Vec<Found>>,
}

impl Catalog {
    /// The same, with the models that other programs keep in these folders.
    #[must_use]
    pub fn finding(self, roots: &Roots) -> Self {
        let elsewhere = Elsewhere { roots: roots.clone(), found: OnceLock::new() };
        Self { elsewhere, ..self }
    }

    pub(super) fn found(&self) -> &[Found] {
        self.elsewhere.found.get_or_init(|| found::scan(&self.elsewhere.roots))
    }

    /// The file of an entry: the one in the models directory, else one that another program keeps,
    /// else where it is expected.
    pub(super) fn place(&self, entry: &Entry, models_dir: &Path) -> Located {
        let located = entry.locate(models_dir);
        if located.path.is_file() {
            return located;
        }
        match self.found().iter().find(|found| found.is_of(entry)) {
            Some(found) => {
                Located { path: found.path.clone(), found: Some(found.clone()), ..located }
            }
            None => located,
        }
    }

    /// The model of another program that has this id.
    pub(super) fn locate_kept(&self, id: &str, models_dir: &Path) -> Option<Located> {
        let found = self.found().iter().find(|found| found.is(id))?;
        Some(self.of_found(found, models_dir))
    }

    /// The model of another program that has this file.
    pub(super) fn locate_kept_file(&self, path: &Path, models_dir: &Path) -> Option<Located> {
        let found = self.found().iter().find(|found| found.path == path)?;
        Some(self.of_found(found, models_dir))
    }

    /// A model of another program, by the name of the entry that uses it, if one does.
    pub(super) fn of_found(&self, found: &Found, models_dir: &Path) -> Located {
        let entry = self.entries.iter().find(|entry| found.is_of(entry));
        match entry.map(|entry| self.place(entry, models_dir)) {
            Some(used) if used.path == found.path => used,
            _ => Located {
                id: found.id.clone(),
                path: found.path.clone(),
                entry: entry.cloned(),
                found: Some(found.clone()),
            },
        }
    }
}
