//! What is known of a version that came in a package or from a repository.

use std::path::Path;

use super::Entry;
use crate::package::{Installed, Manifest};

/// The entry of the file at `path`, if it came so. Its id is `ID@VERSION`.
pub(super) fn entry(path: &Path, models_dir: &Path) -> Option<Entry> {
    if path.parent() != Some(models_dir) {
        return None;
    }
    let id = path.file_stem()?.to_str()?.to_owned();
    let file = path.file_name()?.to_str()?.to_owned();
    Some(Entry::of_package(id, file, Installed::of(path)?.manifest))
}

impl Entry {
    /// What a package says of its model.
    fn of_package(id: String, file: String, manifest: Manifest) -> Self {
        Self {
            id,
            file,
            name: manifest.name,
            family: manifest.family,
            architecture: manifest.architecture,
            parameters: manifest.parameters,
            quantization: manifest.quantization,
            context_trained: manifest.context_trained,
            license: manifest.license,
            sha256: manifest.model.sha256.to_string(),
            size_bytes: manifest.model.size_bytes,
            sources: Vec::new(),
            memory_min_bytes: manifest.memory_min_bytes,
            variants: Vec::new(),
            variant_of: None,
            languages: manifest.languages,
            abilities: manifest.abilities,
            template: None,
            template_text: manifest.template,
            engines: None,
            // It was fitted to the answers of one file, and this is another one.
            confidence: None,
            advice: manifest.sampling,
        }
    }

    /// How its makers advise to sample, as a package says it.
    #[must_use]
    pub fn advice(&self) -> super::Advice {
        self.advice
    }
}
