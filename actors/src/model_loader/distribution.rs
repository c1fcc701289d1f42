//! Versions of models that are handed on: packages, repositories, updates.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use semver::Version;
use tandem_models::Source;
use tandem_models::catalog::{Catalog, Located};
use tandem_models::package::{self, SigningKey, Subject, TrustedKeys};
use tandem_models::pull::{Options, Progress};
use tandem_models::repository::{self, Place, Wanted};
use tandem_models::versions::{self, Versions};
use tandem_proto::v1::{
    InstallModelRequest, Model, PackageModelRequest, PackagedModel, PushModelRequest, PushedModel,
    UpdateModelRequest, UpdatedModel,
};
use tokio::sync::{SemaphorePermit, watch};
use tokio::task::spawn_blocking;

use super::pulling::options;
use super::swap::is_automatic;
use super::{ModelLoader, checked, template};
use crate::{Error, Result};

/// Most that are under way together. Two might be of the same version.
pub(super) const TOGETHER_MAX: usize = 1;
/// How long whoever is one too many is asked to wait.
const PAUSE: Duration = Duration::from_secs(10);

/// Settings of which a version is made.
#[derive(Debug, Clone)]
pub struct Workshop {
    /// Where models are, and how they are fetched.
    pub models: tandem_config::Models,
    /// The folder of chat templates.
    pub templates: PathBuf,
}

/// What is to be handed on, as it is asked for.
struct Asked<'a> {
    id: &'a str,
    version: &'a str,
    name: &'a str,
    key_path: &'a str,
}

impl ModelLoader {
    /// Packs a model into one file. How far it is goes to `progress`; when nobody receives that any
    /// more, it ends and leaves nothing behind.
    pub async fn package(
        &self,
        request: PackageModelRequest,
        workshop: Workshop,
        progress: watch::Sender<Progress>,
    ) -> Result<PackagedModel> {
        let _turn = self.distribution()?;
        let PackageModelRequest { id, version, path, key_path, name } = request;
        let path = file_path("path", &path)?;
        let asked = Asked { id: &id, version: &version, name: &name, key_path: &key_path };
        let (subject, key) = self.prepared(asked, workshop).await?;
        let signed = key.is_some();
        let report = |now| drop(progress.send_replace(now));
        let packed = package::pack(subject, &path, key, &report);
        let packed = while_wanted(&progress, packed).await?;
        Ok(PackagedModel {
            id: packed.manifest.id,
            version: packed.manifest.version.to_string(),
            path: packed.path.display().to_string(),
            size_bytes: packed.size_bytes,
            sha256: packed.manifest.model.sha256.to_string(),
            signed,
        })
    }

    /// Publishes a model in a repository; as [`package`](Self::package).
    pub async fn push(
        &self,
        request: PushModelRequest,
        workshop: Workshop,
        progress: watch::Sender<Progress>,
    ) -> Result<PushedModel> {
        let _turn = self.distribution()?;
        let PushModelRequest { id, version, place, key_path, name } = request;
        let asked = Asked { id: &id, version: &version, name: &name, key_path: &key_path };
        let (place, source) = self::place(&place)?;
        let options = self.asking(source, &workshop.models).await?;
        let (subject, key) = self.prepared(asked, workshop).await?;
        let signed = key.is_some();
        let report = |now| drop(progress.send_replace(now));
        let pushed = repository::push(subject, key, &place, &options, &report);
        let pushed = while_wanted(&progress, pushed).await?;
        Ok(PushedModel {
            id: pushed.manifest.id,
            version: pushed.manifest.version.to_string(),
            place: place.to_string(),
            chunks_total: pushed.chunks_total,
            chunks_sent: pushed.chunks_sent,
            bytes_sent: pushed.bytes_sent,
            signed,
        })
    }

    /// Checks a package, puts its model into the models directory and describes it. How far it is goes
    /// to `progress`; when nobody receives that any more, it ends, and what came is used the next time.
    pub async fn install(
        &self,
        request: InstallModelRequest,
        models: tandem_config::Models,
        progress: watch::Sender<Progress>,
    ) -> Result<Model> {
        let _turn = self.distribution()?;
        let text = checked(&request.source)?;
        let text = if text.starts_with('/') { format!("file:{text}") } else { text };
        let source: Source =
            text.parse().map_err(|problem: String| Error::invalid("source", problem))?;
        let options = self.asking(source.clone(), &models).await?;
        let trusted = TrustedKeys::parse(&models.trusted_keys)?;
        let report = |now| drop(progress.send_replace(now));
        let installed = package::install(&source, &models.dir, trusted, &options, &report);
        let installed = while_wanted(&progress, installed).await?;
        self.info(&versions::file_name(&installed.id, &installed.version)).await
    }

    /// Gets a version of a model from a repository and describes it; as [`install`](Self::install).
    pub async fn update(
        &self,
        request: UpdateModelRequest,
        models: tandem_config::Models,
        progress: watch::Sender<Progress>,
    ) -> Result<UpdatedModel> {
        let _turn = self.distribution()?;
        let UpdateModelRequest { id, place, version } = request;
        if !versions::is_id(&id) {
            let problem =
                "is no id that has versions: leave out the version, and give none with a colon";
            return Err(Error::invalid("id", problem));
        }
        let version = (!version.is_empty()).then(|| parsed(&version)).transpose()?;
        let trusted = TrustedKeys::parse(&models.trusted_keys)?;
        let (dir, of) = (models.dir.clone(), id.clone());
        let found = blocking(move || {
            let expected = Catalog::load(&dir).expected(&of, &dir).map(|located| located.path);
            let place = if place.is_empty() {
                repository::remembered_place(&dir, &of)?.to_string()
            } else {
                place
            };
            Ok((expected.filter(|path| path.is_file()), self::place(&place)?))
        });
        let (unversioned, (place, source)) = found.await?;
        let options = self.asking(source, &models).await?;
        let wanted = Wanted { id, version, place, unversioned, trusted };
        let report = |now| drop(progress.send_replace(now));
        let updated = repository::update(&wanted, &models.dir, &options, &report);
        let updated = while_wanted(&progress, updated).await?;
        Ok(UpdatedModel {
            model: Some(self.info(&updated.file).await?),
            version: updated.version.to_string(),
            changed: updated.changed,
            bytes_fetched: updated.bytes_fetched,
        })
    }

    /// What is to be handed on, and who signs it.
    async fn prepared(
        &self,
        asked: Asked<'_>,
        workshop: Workshop,
    ) -> Result<(Subject, Option<SigningKey>)> {
        let version = parsed(asked.version)?;
        let id = if asked.id.is_empty() { self.default_model() } else { checked(asked.id)? };
        let id = if is_automatic(&id) { self.info(&id).await?.id } else { id };
        let key_path = Some(asked.key_path).filter(|path| !path.is_empty());
        let key_path = key_path.map(|path| file_path("key_path", path)).transpose()?;
        let (name, roots) = (asked.name.to_owned(), Arc::clone(&self.roots));
        blocking(move || {
            let Workshop { models, templates } = workshop;
            let catalog = Catalog::load(&models.dir).finding(&roots);
            let versions = Versions::load(&models.dir);
            // Of a model that has versions, the one that is to be had and not the one that answers.
            let versioned = versions.resolve(&catalog, &versions::join(&id, &version));
            let located = versioned.or_else(|_| versions.resolve(&catalog, &id))?;
            let template = template::of(located.entry.as_ref(), &templates)
                .map_err(|problem| Error::ModelInvalid { id: located.id.clone(), problem })?;
            let id = if name.is_empty() { plain_id(&located) } else { name };
            let key = key_path.map(|path| SigningKey::read(&path)).transpose()?;
            let Located { path: file, entry, .. } = located;
            Ok((Subject { id, version, file, entry, template }, key))
        })
        .await
    }

    fn distribution(&self) -> Result<SemaphorePermit<'_>> {
        self.distributions.try_acquire().map_err(|_| Error::Overloaded {
            what: "another package or version is being made or fetched".to_owned(),
            retry_after: PAUSE,
        })
    }

    /// How to ask a source. Only the secrets that it wants are read.
    async fn asking(&self, source: Source, models: &tandem_config::Models) -> Result<Options> {
        let (pulls, settings) = (self.pulls.clone(), models.pull.clone());
        blocking(move || options(&[source], &settings, &pulls)).await
    }
}

/// Makes a key that signs versions in the file `path`, and returns the public one.
pub async fn make_signing_key(path: &str) -> Result<String> {
    let path = file_path("path", path)?;
    let made = blocking(move || Ok(SigningKey::create(&path)?));
    made.await.map(|key| key.to_string())
}

/// Id of a model without its version.
fn plain_id(located: &Located) -> String {
    let stem = || located.path.file_stem().map(|it| it.to_string_lossy().into_owned());
    let id = located.entry.as_ref().map(|entry| entry.id.clone()).or_else(stem);
    let id = id.unwrap_or_default();
    versions::plain(&id).to_owned()
}

/// Where a repository is, and what of it is asked first.
fn place(text: &str) -> Result<(Place, Source)> {
    let place: Place = text.parse().map_err(|problem: String| Error::invalid("place", problem))?;
    let source = place.source("versions.json");
    Ok((place, source.map_err(|problem| Error::invalid("place", problem))?))
}

/// Works until nobody receives the progress any more.
async fn while_wanted<T>(
    progress: &watch::Sender<Progress>,
    work: impl Future<Output = std::result::Result<T, package::Error>>,
) -> Result<T> {
    tokio::select! {
        outcome = work => Ok(outcome?),
        () = progress.closed() => {
            Err(Error::Cancelled { reason: "nobody waits for it any more".to_owned() })
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = spawn_blocking(work).await;
    done.map_err(|error| Error::Internal { problem: error.to_string() })?
}

fn parsed(version: &str) -> Result<Version> {
    let wrong = |error| format!("is no version ({error}); write one such as 1.2.0");
    Version::parse(version).map_err(|error| Error::invalid("version", wrong(error)))
}

/// A file that the caller names; the daemon's own working directory is nobody's business.
fn file_path(field: &str, path: &str) -> Result<PathBuf> {
    const BYTES_MAX: usize = 4096;
    let usable = path.len() <= BYTES_MAX && !path.contains('\0') && Path::new(path).is_absolute();
    let problem = format!("is not an absolute path of at most {BYTES_MAX} bytes");
    usable.then(|| PathBuf::from(path)).ok_or_else(|| Error::invalid(field, problem))
}
