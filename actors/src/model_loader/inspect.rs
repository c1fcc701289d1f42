//! Finding a model's file and reading what it says about itself. Blocking.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tandem_config::{KvCache, Speculation};
use tandem_models::Source;
use tandem_models::catalog::{self, Catalog, Located};
use tandem_models::confidence::Rule;
use tandem_models::found::{Keeper, Roots};
use tandem_models::gguf::{self, Header, Hosting};
use tandem_models::origin::Origin;
use tandem_models::pull::unfinished_bytes;
use tandem_models::selection::Candidate;
use tandem_models::versions::{self, Versions};
use tandem_proto::v1::{FoundIn, Model, ModelState, Sampling};

use super::choosing::Machine;
use super::identity::identity;
use super::standing::Standing;
use super::swap::is_automatic;
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
    /// The settings say that it stays loaded.
    pub(crate) pinned: bool,
}

/// What it takes to look at models.
#[derive(Debug)]
pub(crate) struct Inspector {
    models: tandem_config::Models,
    engine: tandem_config::Engine,
    /// Where other programs keep models.
    roots: Arc<Roots>,
    standing: Arc<Standing>,
    pub(super) machine: Machine,
    /// What there is to choose from, and when the models directory was changed last by then.
    pub(super) known: Mutex<Option<(Changed, Arc<Vec<Candidate>>)>>,
    /// The only embedding model, and when the models directory was changed last by then.
    only_embedding: Mutex<Option<(Changed, String)>>,
}

/// When the models directory and the catalog in it were changed last.
pub(super) type Changed = [Option<SystemTime>; 2];

impl Inspector {
    pub(crate) fn new(
        models: tandem_config::Models,
        engine: tandem_config::Engine,
        roots: Arc<Roots>,
        standing: Arc<Standing>,
        machine: Machine,
    ) -> Self {
        let (known, only_embedding) = (Mutex::default(), Mutex::default());
        Self { models, engine, roots, standing, machine, known, only_embedding }
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
        let header = header(&located)
            .map_err(|problem| Error::ModelInvalid { id: located.id.clone(), problem })?;
        let entry = located.entry.as_ref();
        let sampling = located.sampling();
        let template = template::of(entry, &self.engine.templates)
            .map_err(|problem| Error::ModelInvalid { id: located.id.clone(), problem })?
            .unwrap_or_default();
        let confidence = entry.and_then(|entry| entry.confidence).unwrap_or(Rule::UNCALIBRATED);
        let engines_max = entry.and_then(|entry| entry.engines).unwrap_or(self.models.engines);
        let is_it = |name: &String| self.locate(name).is_ok_and(|it| it.path == located.path);
        let pinned = self.models.pinned.iter().any(is_it);
        let default = self.default_file();
        let mut model = self.describe(&located, Some(&header), default.as_deref());
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
            pinned,
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
        let header = header(&located).map_err(invalid)?;
        let bytes = self.memory(&header);
        Ok(Some((located.path, bytes)))
    }

    /// Bytes that an engine takes for a model.
    pub(super) fn memory(&self, header: &Header) -> u64 {
        let tandem_config::Engine { context_tokens, batch_tokens, sequences_max, .. } = self.engine;
        // Exact answers need keys and values as they are.
        let quantized_kv = self.engine.kv_cache == KvCache::Q8_0 && !self.engine.exact;
        let hosting = Hosting { context_tokens, batch_tokens, sequences_max, quantized_kv };
        gguf::memory_estimate(header, hosting).total()
    }

    /// Folder of the chat templates.
    pub(super) fn templates(&self) -> &Path {
        &self.engine.templates
    }

    /// The models directory.
    pub(super) fn folder(&self) -> &Path {
        &self.models.dir
    }

    /// Finds the file of a model by id or path. Where a version was chosen, that is what an id means.
    pub(crate) fn locate(&self, id: &str) -> Result<Located> {
        if is_automatic(id) {
            return self.locate(&self.automatic()?);
        }
        let versions = Versions::load(&self.models.dir);
        if let Some(problem) = versions.problem() {
            tracing::warn!(problem, file = versions::FILE, "no version counts as chosen");
        }
        Ok(versions.resolve(&self.catalog(), id)?)
    }

    /// As [`locate`](Self::locate), had no version been chosen.
    pub(super) fn locate_without_choice(&self, id: &str) -> Result<Located> {
        Ok(Versions::load(&self.models.dir).without_choice(&self.catalog(), id)?)
    }

    /// Name of the default model.
    pub(super) fn default_name(&self) -> String {
        self.standing.default_model()
    }

    /// Name of the default model of the settings.
    pub(super) fn settings_default(&self) -> String {
        self.standing.settings_default()
    }

    /// Finds the file of the default model.
    pub(super) fn default_model(&self) -> Result<Located> {
        self.locate(&self.default_name())
    }

    /// All models that can be found, usable or not.
    pub(crate) fn list(&self) -> Vec<Model> {
        let default = self.default_file();
        let located = self.located();
        located.iter().map(|located| self.look_at(located, default.as_deref())).collect()
    }

    /// Where all models are that can be found, or are expected.
    pub(super) fn located(&self) -> Vec<Located> {
        self.catalog().list(&self.models.dir)
    }

    /// The embedding model to use when a request names none: that of the settings, else the only
    /// one whose file is in the models directory; those of other programs want to be named. Headers
    /// are read again only when files came or went.
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

    pub(super) fn changed(&self) -> Changed {
        let changed = |path: PathBuf| std::fs::metadata(path).and_then(|it| it.modified()).ok();
        [self.models.dir.clone(), self.models.dir.join(catalog::USER_FILE)].map(changed)
    }

    fn only_embedding(&self) -> Result<String> {
        let embeds = |model: &Model| {
            model.embedding_dimensions > 0
                && model.state() == ModelState::Available
                && model.found_in() == FoundIn::Unspecified
        };
        // Versions of one model are no choice.
        let plain = |model: Model| versions::plain(&model.id).to_owned();
        let found: BTreeSet<_> = self.list().into_iter().filter(embeds).map(plain).collect();
        let mut found: Vec<_> = found.into_iter().collect();
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
        let default = self.default_file();
        match self.locate(id) {
            Ok(located) => Ok(self.look_at(&located, default.as_deref())),
            Err(Error::ModelAbsent { id, path }) => {
                // A version is not in the catalog.
                let expected = self.catalog().expected(&id, &self.models.dir);
                expected
                    .map(|located| self.look_at(&located, default.as_deref()))
                    .ok_or(Error::ModelAbsent { id, path })
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn look_at(&self, located: &Located, default: Option<&Path>) -> Model {
        if located.problem().is_none() && !located.path.exists() {
            let mut model = self.describe(located, None, default);
            model.set_state(ModelState::Absent);
            let file = located.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            model.pulled_bytes = unfinished_bytes(&self.models.dir, file);
            return model;
        }
        match header(located) {
            Ok(header) => {
                let mut model = self.describe(located, Some(&header), default);
                model.problem = self.standing.problem(&located.path).unwrap_or_default();
                model
            }
            Err(problem) => {
                let mut model = self.describe(located, None, default);
                model.set_state(ModelState::Broken);
                model.problem = problem;
                model
            }
        }
    }

    /// What is known about a model: from its header, and from the catalog where that is silent.
    fn describe(
        &self,
        located: &Located,
        header: Option<&Header>,
        default: Option<&Path>,
    ) -> Model {
        let mut model = Model {
            id: located.id.clone(),
            name: located.id.clone(),
            path: located.path.display().to_string(),
            state: ModelState::Available.into(),
            is_default: default == Some(located.path.as_path()),
            pinned: self.standing.is_pinned(&located.path),
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
        if let Some(found) = &located.found {
            model.set_found_in(match found.keeper {
                Keeper::HuggingFace => FoundIn::HuggingFace,
                Keeper::Ollama => FoundIn::Ollama,
                Keeper::LmStudio => FoundIn::LmStudio,
                Keeper::Tandemd => FoundIn::Tandemd,
            });
            model.sha256 = found.sha256.clone().unwrap_or(model.sha256);
            if model.sources.is_empty() {
                let sources = found.sources.iter().cloned().map(Source::Hub);
                model.sources = sources.map(|source| source.to_string()).collect();
            }
            if model.license.is_empty() {
                model.license.clone_from(&found.license);
            }
        } else if let Some(origin) = Origin::of(&located.path) {
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

    /// Puts into a description from when the model was loaded what may have changed since.
    pub(super) fn refresh(&self, model: &mut Model) {
        let path = Path::new(&model.path);
        model.pinned = self.standing.is_pinned(path);
        model.is_default = self.default_file().as_deref() == Some(path);
    }

    /// The file of the default model, by whichever of its names; also where it is expected.
    pub(super) fn default_file(&self) -> Option<PathBuf> {
        match self.default_model() {
            Ok(Located { path, .. }) => Some(path),
            Err(Error::ModelAbsent { path, .. }) => Some(path.into()),
            Err(_) => None,
        }
    }

    fn catalog(&self) -> Catalog {
        let catalog = Catalog::load(&self.models.dir).finding(&self.roots);
        if let Some(problem) = catalog.problem() {
            tracing::warn!(problem, "the catalog of the models directory is not in effect");
        }
        catalog
    }
}

/// What the file says about itself, or why it cannot be used.
pub(super) fn header(located: &Located) -> Result<Header, String> {
    match located.problem() {
        Some(problem) => Err(problem.to_owned()),
        None => gguf::read(&located.path).map_err(|problem| problem.to_string()),
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
            let (standing, machine) = (Arc::default(), Machine::default());
            let inspector =
                Inspector::new(config.models, engine, Arc::default(), standing, machine);
            let inspected = inspector.inspect(&path)?;
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
