//! Finding a model's file and reading what it says about itself. Blocking.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tandem_config::Speculation;
use tandem_models::catalog::{self, Catalog, Entry, Located};
use tandem_models::confidence::Rule;
use tandem_models::gguf::{self, Header};
use tandem_models::origin::Origin;
use tandem_models::pull::unfinished_bytes;
use tandem_proto::v1::{Model, ModelState, Sampling};

use super::identity::identity;
use super::template;
use crate::cache::Digest;
use crate::{Error, Result};

/// A model whose file was looked at and can be loaded.
#[derive(Debug, Clone)]
pub(crate) struct Inspected {
    pub(crate) located: Located,
    pub(crate) model: Model,
    /// Tells it from every other model; see [`identity`].
    pub(crate) identity: Digest,
    /// What the catalog recommends.
    pub(crate) sampling: Sampling,
    /// The chat template that the catalog names; empty when it names none.
    pub(crate) template: String,
    /// The file of the model that guesses for it. `model` counts its memory.
    pub(crate) draft: Option<PathBuf>,
    /// Judges its answers.
    pub(crate) confidence: Rule,
    /// Most engines that it may have.
    pub(crate) engines_max: u32,
}

/// What it takes to look at models.
#[derive(Debug)]
pub(crate) struct Inspector {
    models: tandem_config::Models,
    engine: tandem_config::Engine,
    /// The only embedding model, and when the models directory was changed last by then.
    only_embedding: Mutex<Option<(Changed, String)>>,
}

/// When the models directory and the catalog in it were changed last.
type Changed = [Option<SystemTime>; 2];

impl Inspector {
    pub(crate) fn new(models: tandem_config::Models, engine: tandem_config::Engine) -> Self {
        Self { models, engine, only_embedding: Mutex::default() }
    }

    /// Finds a model by id or path and reads its header.
    pub(crate) fn inspect(&self, id: &str) -> Result<Inspected> {
        let located = self.locate(id)?;
        if located.path.to_str().is_none() {
            return Err(Error::ModelInvalid {
                id: located.id,
                problem: "its path is not UTF-8; rename it".to_owned(),
            });
        }
        let header = gguf::read(&located.path).map_err(|problem| Error::ModelInvalid {
            id: located.id.clone(),
            problem: problem.to_string(),
        })?;
        let entry = located.entry.as_ref();
        let sampling = entry.map_or_else(Sampling::default, Entry::sampling);
        let named = entry.and_then(|entry| entry.template.as_deref());
        let template = named.map(|name| template::read(&self.engine.templates, name)).transpose();
        let template = template
            .map_err(|problem| Error::ModelInvalid { id: located.id.clone(), problem })?
            .unwrap_or_default();
        let confidence = entry.and_then(|entry| entry.confidence).unwrap_or(Rule::UNCALIBRATED);
        let engines_max = entry.and_then(|entry| entry.engines).unwrap_or(self.models.engines);
        let mut model = self.describe(&located, Some(&header));
        let draft = if header.embeds { None } else { self.draft_model()? };
        let draft = draft.map(|(path, bytes)| {
            model.memory_estimate_bytes = model.memory_estimate_bytes.saturating_add(bytes);
            path
        });
        let identity = identity(&located, self);
        Ok(Inspected {
            located,
            model,
            identity,
            sampling,
            template,
            draft,
            confidence,
            engines_max,
        })
    }

    /// The file of the draft model and the memory that it takes, if there is one to be used.
    fn draft_model(&self) -> Result<Option<(PathBuf, u64)>> {
        let Some(id) = &self.engine.draft_model else { return Ok(None) };
        if self.engine.speculation == Speculation::Off {
            return Ok(None);
        }
        let located = self.locate(id)?;
        let invalid = |problem| Error::ModelInvalid { id: located.id.clone(), problem };
        if located.path.to_str().is_none() {
            return Err(invalid("its path is not UTF-8; rename it".to_owned()));
        }
        let header = gguf::read(&located.path).map_err(|problem| invalid(problem.to_string()))?;
        let bytes = self.memory(&header);
        Ok(Some((located.path, bytes)))
    }

    /// Bytes that an engine takes for a model.
    fn memory(&self, header: &Header) -> u64 {
        let tandem_config::Engine { context_tokens, batch_tokens, sequences_max, .. } = self.engine;
        gguf::memory_estimate(header, context_tokens, batch_tokens, sequences_max).total()
    }

    /// Folder of the chat templates.
    pub(super) fn templates(&self) -> &Path {
        &self.engine.templates
    }

    /// Finds the file of a model by id or path.
    pub(crate) fn locate(&self, id: &str) -> Result<Located> {
        Ok(self.catalog().resolve(id, &self.models.dir)?)
    }

    /// All models that can be found, usable or not.
    pub(crate) fn list(&self) -> Vec<Model> {
        let located = self.catalog().list(&self.models.dir);
        located.iter().map(|located| self.look_at(located)).collect()
    }

    /// The embedding model to use when a request names none: that of the settings, else the only
    /// one whose file is there. Headers are read again only when files came or went.
    pub(crate) fn embedding_model(&self) -> Result<String> {
        if let Some(id) = &self.models.embedding {
            return Ok(id.clone());
        }
        let changed = self.changed();
        let known = || self.only_embedding.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((then, id)) = &*known()
            && *then == changed
        {
            return Ok(id.clone());
        }
        let only = self.only_embedding()?;
        *known() = Some((changed, only.clone()));
        Ok(only)
    }

    fn changed(&self) -> Changed {
        let changed = |path: PathBuf| std::fs::metadata(path).and_then(|it| it.modified()).ok();
        [self.models.dir.clone(), self.models.dir.join(catalog::USER_FILE)].map(changed)
    }

    fn only_embedding(&self) -> Result<String> {
        let embeds = |model: &Model| {
            model.embedding_dimensions > 0 && model.state() == ModelState::Available
        };
        let mut found: Vec<_> = self.list().into_iter().filter(embeds).map(|it| it.id).collect();
        match (found.pop(), found.is_empty()) {
            (Some(only), true) => Ok(only),
            (Some(last), false) => {
                found.push(last);
                Err(Error::EmbeddingModelNotChosen {
                    problem: format!("there are several embedding models: {}", found.join(", ")),
                    advice: "name one, or set models.embedding in tandem.toml",
                })
            }
            (None, _) => Err(Error::EmbeddingModelNotChosen {
                problem: "there is no embedding model here".to_owned(),
                advice: "import one with `tandem model import FOLDER`, or put its GGUF file into \
                         the models folder",
            }),
        }
    }

    /// One model, usable or not.
    pub(crate) fn info(&self, id: &str) -> Result<Model> {
        match self.locate(id) {
            Ok(located) => Ok(self.look_at(&located)),
            Err(Error::ModelAbsent { id, .. }) => {
                let expected = self.catalog().expected(&id, &self.models.dir);
                expected.map(|located| self.look_at(&located)).ok_or_else(|| Error::Internal {
                    problem: format!("model {id:?} is in the catalog and cannot be found there"),
                })
            }
            Err(error) => Err(error),
        }
    }

    fn look_at(&self, located: &Located) -> Model {
        if !located.path.exists() {
            let mut model = self.describe(located, None);
            model.set_state(ModelState::Absent);
            let file = located.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            model.pulled_bytes = unfinished_bytes(&self.models.dir, file);
            return model;
        }
        match gguf::read(&located.path) {
            Ok(header) => self.describe(located, Some(&header)),
            Err(problem) => {
                let mut model = self.describe(located, None);
                model.set_state(ModelState::Broken);
                model.problem = problem.to_string();
                model
            }
        }
    }

    /// What is known about a model: from its header, and from the catalog where that is silent.
    fn describe(&self, located: &Located, header: Option<&Header>) -> Model {
        let mut model = Model {
            id: located.id.clone(),
            name: located.id.clone(),
            path: located.path.display().to_string(),
            state: ModelState::Available.into(),
            is_default: self.is_default(located),
            ..Model::default()
        };
        if let Some(entry) = &located.entry {
            model.name.clone_from(&entry.name);
            model.architecture.clone_from(&entry.architecture);
            model.quantization.clone_from(&entry.quantization);
            model.license.clone_from(&entry.license);
            model.parameters = entry.parameters;
            model.size_bytes = entry.size_bytes;
            model.context_trained = entry.context_trained;
            model.sources = entry.sources.iter().map(ToString::to_string).collect();
            model.memory_min_bytes = entry.memory_min_bytes;
            model.languages.clone_from(&entry.languages);
            model.abilities.clone_from(&entry.abilities);
            model.variants = entry.variant_ids();
            model.sha256.clone_from(&entry.sha256);
        }
        if let Some(origin) = Origin::of(&located.path) {
            model.sources = vec![origin.source];
            model.sha256 = origin.sha256;
        }
        if let Some(header) = header {
            model.architecture.clone_from(&header.architecture);
            model.quantization.clone_from(&header.quantization);
            model.parameters = header.parameters;
            model.size_bytes = header.size_bytes;
            model.context_trained = header.context_length;
            // By default, kept prefixes only take what is left.
            let prefixes = self.engine.prefix_memory_mib.filter(|_| !header.embeds).unwrap_or(0);
            model.memory_estimate_bytes =
                self.memory(header).saturating_add(u64::from(prefixes) << 20);
            model.embedding_dimensions = if header.embeds { header.embedding_length } else { 0 };
        }
        model
    }

    /// Whether this is what `models.default` names, by whichever of its names.
    fn is_default(&self, located: &Located) -> bool {
        match self.locate(&self.models.default) {
            Ok(default) => default.path == located.path,
            Err(Error::ModelAbsent { id, .. }) => id == located.id,
            Err(_) => false,
        }
    }

    fn catalog(&self) -> Catalog {
        let catalog = Catalog::load(&self.models.dir);
        if let Some(problem) = catalog.problem() {
            tracing::warn!(problem, "the catalog of the models directory is not in effect");
        }
        catalog
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_draft_model_counts_in_what_a_model_takes_where_it_is_used() {
        let path = std::env::var("TANDEM_TEST_MODEL").unwrap();
        let taken = |draft: Option<&str>, speculation| {
            let folder = PathBuf::from("/nowhere");
            let config = tandem_config::Config::defaults(folder.clone(), folder);
            let draft_model = draft.map(str::to_owned);
            let engine = tandem_config::Engine { draft_model, speculation, ..config.engine };
            let inspected = Inspector::new(config.models, engine).inspect(&path)?;
            Ok::<_, Error>((inspected.model.memory_estimate_bytes, inspected.draft))
        };
        let (alone, none) = taken(None, Speculation::Auto).unwrap();
        assert_eq!(none, None);
        let draft = Some(PathBuf::from(&path));
        assert_eq!(taken(Some(&path), Speculation::Auto).unwrap(), (2 * alone, draft));
        assert_eq!(taken(Some(&path), Speculation::Off).unwrap(), (alone, None));
        let absent = taken(Some("no-such-model"), Speculation::Auto).unwrap_err();
        assert!(absent.to_string().contains("no-such-model"), "{absent}");
    }
}
