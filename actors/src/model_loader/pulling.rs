//! Pulls of models. Each is a task that all who want the same file share. It goes on when one of them
//! leaves, and ends with the last; what came is kept for the next pull.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use tandem_config::Secret;
use tandem_models::Source;
use tandem_models::catalog::{Catalog, Located};
use tandem_models::found::Roots;
use tandem_models::origin::Origin;
use tandem_models::pull::{
    self, HUB_ENDPOINT, Hub, Options, Pace, Progress, Retry, S3, S3Keys, Target, Token,
};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tracing::info;

use super::state::State;
use super::swap::is_automatic;
use super::{ModelLoader, checked};
use crate::{Error, Result};

/// Pulls under way together.
const PULLS_MAX: usize = 4;
/// Longest time in which no byte comes before a source is asked again.
const IDLE: Duration = Duration::from_secs(30);

/// Where a pull is.
#[derive(Debug, Clone, PartialEq)]
pub enum PullState {
    /// It goes on.
    Running(Progress),
    /// It has ended; with the id of the model that is here now.
    Ended(Result<String>),
}

/// By the name of the file: where it is fetched from, and how far that is.
type Running = HashMap<String, (Vec<Source>, watch::Sender<PullState>)>;

/// The pulls under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Pulls {
    running: Arc<Mutex<Running>>,
    /// All of them together keep to it.
    pace: Arc<OnceLock<Arc<Pace>>>,
}

impl Pulls {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody listens to this pull any more. Then it is nobody's from here on.
    fn abandon(&self, file: &str) -> bool {
        let mut running = self.running();
        let abandoned = running.get(file).is_none_or(|(_, state)| state.receiver_count() == 0);
        if abandoned {
            running.remove(file);
        }
        abandoned
    }
}

impl ModelLoader {
    /// Fetches a model: that of a catalog id, or any other by its source. An empty text means the
    /// default model. What is under way already is shared, and what another program keeps is not
    /// fetched. The pull ends when nobody listens to it.
    pub async fn pull(
        &self,
        what: &str,
        models: &tandem_config::Models,
    ) -> Result<watch::Receiver<PullState>> {
        let what = if what.is_empty() { self.default_model() } else { checked(what)? };
        if is_automatic(&what) {
            let problem = format!(
                "{what:?} is whichever model is the best; name one of those that `tandem model \
                 recommend --all` shows"
            );
            return Err(Error::invalid("id", problem));
        }
        let (settings, pulls) = (models.clone(), self.pulls.clone());
        let roots = Arc::clone(&self.roots);
        let prepared = spawn_blocking(move || {
            let (target, id) = match target(&what, &settings.dir, &roots)? {
                Wanted::Kept { id } => return Ok(Err(id)),
                Wanted::Fetched { target, id } => (target, id),
            };
            let options = options(&target.sources, &settings.pull, &pulls)?;
            Ok::<_, Error>(Ok((options, target, id)))
        });
        let internal =
            |error: tokio::task::JoinError| Error::Internal { problem: error.to_string() };
        let (options, target, id) = match prepared.await.map_err(internal)?? {
            Ok(prepared) => prepared,
            Err(kept) => return Ok(watch::channel(PullState::Ended(Ok(kept))).1),
        };

        let mut running = self.pulls.running();
        if let Some((sources, pull)) = running.get(&target.file) {
            if target.sha256.is_none() && *sources != target.sources {
                let what = format!("another file called {} is being fetched", target.file);
                return Err(Error::Overloaded { what, retry_after: Duration::from_secs(10) });
            }
            return Ok(pull.subscribe());
        }
        if running.len() >= PULLS_MAX {
            return Err(Error::Overloaded {
                what: format!("{PULLS_MAX} other models are being fetched"),
                retry_after: Duration::from_secs(10),
            });
        }
        let begin = Progress { bytes_total: target.size_bytes.unwrap_or(0), ..Progress::default() };
        let (state, listener) = watch::channel(PullState::Running(begin));
        running.insert(target.file.clone(), (target.sources.clone(), state.clone()));
        drop(running);
        let (pulls, folder) = (self.pulls.clone(), models.dir.clone());
        tokio::spawn(async move { run(&pulls, &state, &target, &folder, &options, id).await });
        Ok(listener)
    }
}

/// Pulls until the file is there, or nobody wants it any more.
async fn run(
    pulls: &Pulls,
    state: &watch::Sender<PullState>,
    target: &Target,
    folder: &Path,
    options: &Options,
    id: String,
) {
    let file = &target.file;
    info!(file, "a model is being fetched");
    let report = |progress| {
        state.send_replace(PullState::Running(progress));
    };
    let pull = pull::pull(target, folder, options, &report);
    tokio::pin!(pull);
    let outcome = loop {
        tokio::select! {
            outcome = &mut pull => break outcome,
            () = state.closed() => if pulls.abandon(file) {
                info!(file, "nobody waits for a model any more; what came of it is kept");
                return;
            }
        }
    };
    match &outcome {
        Ok(_) => info!(file, "a model was fetched"),
        Err(error) => info!(file, %error, "a model was not fetched"),
    }
    pulls.running().remove(file);
    state.send_replace(PullState::Ended(outcome.map(|_| id).map_err(Error::from)));
}

impl State {
    /// Removes what pulls of long ago left behind.
    pub(super) fn clear_leftovers(&mut self) {
        let folder = self.arguments.models.dir.clone();
        self.tasks.spawn_blocking(move || {
            let removed = pull::clear_leftovers(&folder, SystemTime::now());
            if removed > 0 {
                info!(removed, "leftovers of fetching models were removed");
            }
        });
    }
}

/// Refuses to take a file that came from elsewhere for the one that is asked for.
fn not_another(target: &Target, folder: &Path) -> Result<()> {
    let path = folder.join(&target.file);
    let is_same = |origin: Origin| target.sources.iter().any(|it| it.to_string() == origin.source);
    if !path.is_file() || Origin::of(&path).is_some_and(is_same) {
        return Ok(());
    }
    let problem = format!(
        "another file called {0} is here; remove it first with `tandem model rm {0}`",
        target.file
    );
    Err(Error::invalid("id", problem))
}

/// What somebody wants who asks for a model, and how it is called then.
#[derive(Debug)]
enum Wanted {
    /// Another program keeps it here.
    Kept { id: String },
    /// It is to be fetched.
    Fetched { target: Target, id: String },
}

/// Blocking.
fn target(what: &str, folder: &Path, roots: &Roots) -> Result<Wanted> {
    let catalog = Catalog::load(folder).finding(roots);
    let resolved = catalog.resolve(what, folder);
    if let Ok(Located { id, found: Some(found), .. }) = &resolved
        && found.problem.is_none()
    {
        return Ok(Wanted::Kept { id: id.clone() });
    }
    let fetched = |target, id: &str| Ok(Wanted::Fetched { target, id: id.to_owned() });
    if Source::is_meant(what) {
        let source: Source =
            what.parse().map_err(|problem: String| Error::invalid("id", problem))?;
        let target = Target::of_source(source)?;
        // A file with the name of a catalog entry's is taken for that model, and must be it.
        if let Some(entry) = catalog.entry_of_file(&target.file) {
            let target = Target { sources: target.sources, ..Target::of_entry(entry) };
            return fetched(target, &entry.id);
        }
        not_another(&target, folder)?;
        let id = target.file.clone();
        return fetched(target, &id);
    }
    if let Some(entry) = catalog.entry(what) {
        return fetched(Target::of_entry(entry), &entry.id);
    }
    match resolved {
        Ok(located) => Err(Error::invalid(
            "id",
            format!("{} is here, and the catalog does not know where it came from", located.id),
        )),
        Err(error) => Err(error.into()),
    }
}

/// How to fetch from these. Only the secrets that they want are read. Blocking.
pub(super) fn options(
    sources: &[Source],
    settings: &tandem_config::Pull,
    pulls: &Pulls,
) -> Result<Options> {
    let wants = |kind: fn(&Source) -> bool| sources.iter().any(kind);
    let is_hub = wants(|source| matches!(source, Source::Hub(_)));
    let is_s3 = wants(|source| matches!(source, Source::S3 { .. }));
    let bandwidth = settings.bandwidth.and_then(NonZeroU64::new);
    let pace = pulls.pace.get_or_init(|| Arc::new(Pace::new(bandwidth)));
    let endpoint = settings.hf_endpoint.clone().or_else(|| variable("HF_ENDPOINT"));
    Ok(Options {
        parallel: usize::try_from(settings.parallel).unwrap_or(1),
        pace: Arc::clone(pace),
        hub: Hub {
            endpoint: endpoint.unwrap_or_else(|| HUB_ENDPOINT.to_owned()),
            token: secret(settings.hf_token.as_ref().filter(|_| is_hub))?.map(Token),
        },
        s3: S3 {
            endpoint: settings.s3_endpoint.clone().or_else(|| variable("AWS_ENDPOINT_URL")),
            region: settings
                .s3_region
                .clone()
                .or_else(|| variable("AWS_REGION"))
                .unwrap_or_else(|| "us-east-1".to_owned()),
            keys: if is_s3 { s3_keys(settings)? } else { None },
        },
        retry: Retry::default(),
        idle: IDLE,
        random: crate::provider::random,
    })
}

/// The keys of the settings, else those of the environment.
fn s3_keys(settings: &tandem_config::Pull) -> Result<Option<S3Keys>> {
    let id = secret(settings.s3_access_key.as_ref())?;
    let secret = secret(settings.s3_secret_key.as_ref())?;
    match (id, secret) {
        (Some(id), Some(secret)) => Ok(Some(S3Keys { id, secret: Token(secret), session: None })),
        (None, None) => {
            let keys = variable("AWS_ACCESS_KEY_ID").zip(variable("AWS_SECRET_ACCESS_KEY"));
            Ok(keys.map(|(id, secret)| {
                let session = variable("AWS_SESSION_TOKEN").map(Token);
                S3Keys { id, secret: Token(secret), session }
            }))
        }
        _ => Err(Error::PullFailed {
            problem: "of models.pull.s3_access_key and s3_secret_key only one is set; set both"
                .to_owned(),
        }),
    }
}

fn secret(place: Option<&Secret>) -> Result<Option<String>> {
    let read = place.map(Secret::read).transpose();
    read.map_err(|error| Error::PullFailed { problem: error.to_string() })
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn an_id_means_the_catalog_and_a_source_itself() {
        let folder = tempfile::tempdir().unwrap();
        let of = |what: &str| match target(what, folder.path(), &Roots::default())? {
            Wanted::Fetched { target, id } => Ok::<_, Error>((target, id)),
            Wanted::Kept { id } => panic!("nobody keeps {id}"),
        };
        let (known, id) = of("SMOLLM2-135m-instruct").unwrap();
        assert_eq!(id, "smollm2-135m-instruct");
        assert!(known.sha256.is_some() && known.size_bytes.is_some());
        let (variant, id) = of("smollm2-135m-instruct:q8_0").unwrap();
        assert_eq!((id.as_str(), variant.sha256), ("smollm2-135m-instruct:q8_0", None));

        let (own, id) = of("hf:o/r/own.gguf").unwrap();
        assert_eq!((own.file.as_str(), id.as_str(), own.sha256), ("own.gguf", "own.gguf", None));
        let (copy, id) = of(&format!("https://mirror/{}", known.file)).unwrap();
        assert_eq!((id.as_str(), &copy.sha256), ("smollm2-135m-instruct", &known.sha256));
        assert_eq!(copy.sources.len(), 1);

        std::fs::write(folder.path().join("mine.gguf"), "").unwrap();
        for wrong in ["hf:o/r", "ftp://h/m.gguf", "unknown", "mine", "https://h/m.bin"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_another_program_keeps_is_not_fetched() {
        let (folder, hub) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let snapshot = hub.path().join("models--o--r/snapshots/v1");
        std::fs::create_dir_all(&snapshot).unwrap();
        std::fs::write(snapshot.join("m.gguf"), "model").unwrap();
        let roots = Roots { hugging_face: vec![hub.path().to_owned()], ..Roots::default() };
        let of = |what: &str| target(what, folder.path(), &roots).unwrap();
        let kept = of("hf:o/r@v1/m.gguf");
        assert!(matches!(kept, Wanted::Kept { id } if id == "hf:o/r@v1/m.gguf"));
        // Another revision may be another file.
        assert!(matches!(of("hf:o/r/m.gguf"), Wanted::Fetched { .. }));
    }

    #[test]
    fn half_a_key_is_refused_and_only_wanted_secrets_are_read() {
        let absent = || Some(Secret::File("/no/such/file".into()));
        let settings = tandem_config::Pull {
            hf_token: absent(),
            s3_access_key: absent(),
            parallel: 3,
            ..tandem_config::Pull::default()
        };
        let of = |source: &str| {
            let target = Target::of_source(source.parse().unwrap()).unwrap();
            options(&target.sources, &settings, &Pulls::default())
        };
        assert_eq!(of("https://h/m.gguf").unwrap().parallel, 3);
        for source in ["hf:o/r/m.gguf", "s3://b/m.gguf"] {
            let error = of(source).unwrap_err().to_string();
            assert!(error.contains("/no/such/file"), "{error}");
        }
        let key = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(key.path(), "id").unwrap();
        let half = tandem_config::Pull {
            s3_access_key: Some(Secret::File(key.path().to_owned())),
            ..tandem_config::Pull::default()
        };
        assert!(s3_keys(&half).unwrap_err().to_string().contains("set both"));
    }
}
