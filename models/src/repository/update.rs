//! Getting a newer version: what it shares with those that are here is taken from them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::Client;
use semver::Version;

use super::{Place, VERSIONS, VERSIONS_BYTES_MAX, Versions, chunk_path, version_path};
use crate::package::{
    BYTES_MAX, CHUNKS, Chunking, Cut, Error, Installed, MANIFEST, Manifest, SIGNATURE,
    SIGNATURE_BYTES_MAX, TrustedKeys, cut,
};
use crate::pull::{
    Chunked, Donor, Meter, Options, Progress, Stage, assemble, client, in_background, read_object,
};
use crate::versions::{file_name, installed};

/// Versions that are here of which chunks are taken, the newest ones. Each has to be read.
const DONORS_MAX: usize = 3;

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Of the model.
    pub id: String,
    /// That and no other; else the newest, if that is newer than those that are here.
    pub version: Option<Version>,
    /// Where to get it.
    pub place: Place,
    /// Another file of the model, which has no version.
    pub unversioned: Option<PathBuf>,
    /// Whose versions are let in.
    pub trusted: TrustedKeys,
}

/// What an update came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Updated {
    /// The version that is here now.
    pub version: Version,
    /// Its file in the models directory.
    pub file: String,
    /// Bytes of chunks that were fetched; 0 when it was here already.
    pub bytes_fetched: u64,
    /// Whether there was anything to do.
    pub changed: bool,
}

/// Where the newest version of a model in `folder` came from. Blocking.
pub fn remembered_place(folder: &Path, id: &str) -> Result<Place, Error> {
    let here = installed(folder, id);
    let remembered = here.iter().rev().find_map(|(_, file)| Installed::of(file)?.repository);
    let place = remembered
        .ok_or_else(|| format!("nobody knows where {id} has its updates; say so once with --from"));
    place.and_then(|place| place.parse()).map_err(Error::Unusable)
}

/// Puts the wanted version into `folder`. `report` hears how far it is. The file is there as a whole or
/// not at all; what came when this ends early is used the next time.
pub async fn update(
    wanted: &Wanted,
    folder: &Path,
    options: &Options,
    report: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Updated, Error> {
    let meter = Meter::new(report);
    let (dir, id) = (folder.to_owned(), wanted.id.clone());
    let here = tokio::task::spawn_blocking(move || installed(&dir, &id)).await;
    let here = here.unwrap_or_default();
    let client = client(options)?;
    let repository = Repository { place: wanted.place.clone(), id: &wanted.id, client, options };
    let versions = repository.versions().await?;
    let newest_here = here.last().map(|(version, _)| version);
    let version = match (&wanted.version, versions.newest(), newest_here) {
        (Some(version), ..) if versions.versions.contains(version) => version.clone(),
        (None, Some(newest), here) if here.is_none_or(|here| newest > here) => newest.clone(),
        (None, _, Some(here)) => return Ok(unchanged(&wanted.id, here)),
        (asked, ..) => {
            let what = asked.as_ref().map_or("version", |_| "such version");
            return Err(Error::NoVersion {
                place: repository.place.to_string(),
                what: format!("{what} of {}", wanted.id),
                known: versions.told(),
            });
        }
    };
    let manifest = repository.manifest(&version, &wanted.trusted).await?;
    let name = format!("{}/{}/{version}", repository.place, wanted.id);
    let chunks = repository.part(&version, CHUNKS, manifest.chunks.size_bytes).await?;
    let (told, from) = (manifest.clone(), name.clone());
    let chunks =
        tokio::task::spawn_blocking(move || told.check_chunks(&chunks.unwrap_or_default(), &from));
    let chunks = chunks.await.map_err(|error| Error::Unusable(error.to_string()))??;

    let (dir, place, from) = (folder.to_owned(), repository.place.to_string(), name.clone());
    let (told, file) = (manifest.clone(), file_name(&wanted.id, &version));
    let arrived =
        tokio::task::spawn_blocking(move || told.arrives(&dir, &from, Some(&place))).await;
    let arrived = arrived.map_err(|error| Error::Unusable(error.to_string()))??;
    if arrived {
        return Ok(unchanged(&wanted.id, &version));
    }
    let newest = here.into_iter().rev().map(|(_, file)| file).take(DONORS_MAX);
    let donors = newest.chain(wanted.unversioned.clone()).collect();
    let donors = donate(donors, manifest.chunking, &meter).await;
    let Repository { place, client, .. } = repository;
    let of = wanted.id.clone();
    let elsewhere = move |chunk: &_| {
        place.source(&chunk_path(&of, chunk)).map_err(crate::pull::Error::Unusable)
    };
    let asking = (client, options.clone());
    let chunked = Chunked::new(name, manifest.model.sha256, &chunks, donors, elsewhere, asking);
    let chunked = Arc::new(chunked);
    let assembled = assemble(Arc::clone(&chunked), file.clone(), folder, options, &meter).await;
    let is_busy = matches!(assembled, Err(crate::pull::Error::Busy { .. }));
    if assembled.is_err() && !is_busy {
        // What is known of it is known of nothing yet, and written again the next time.
        drop(Installed::forget(&folder.join(&file)));
    }
    assembled?;
    Ok(Updated { version, file, bytes_fetched: chunked.fetched(), changed: true })
}

fn unchanged(id: &str, version: &Version) -> Updated {
    let (version, file) = (version.clone(), file_name(id, version));
    Updated { version, file, bytes_fetched: 0, changed: false }
}

/// Cuts files that are here. One that cannot be read has nothing to give.
async fn donate(files: Vec<PathBuf>, chunking: Chunking, meter: &Meter<'_>) -> Vec<Donor> {
    let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |facts| facts.len());
    meter.stage(Stage::Reading, 0, files.iter().map(size).sum());
    let donated = in_background(meter, move |go_on| {
        let (mut donors, mut read) = (Vec::new(), 0);
        for path in files {
            let mut go_on = |bytes| go_on(read + bytes);
            let Ok(Some(Cut { chunks, size_bytes, .. })) = cut(&path, chunking, &mut go_on) else {
                continue;
            };
            read += size_bytes;
            donors.extend(File::open(&path).map(|file| Donor { file, chunks }));
        }
        donors
    });
    donated.await.unwrap_or_default()
}

/// A repository that is asked about one model.
struct Repository<'a> {
    place: Place,
    id: &'a str,
    client: Client,
    options: &'a Options,
}

impl Repository<'_> {
    async fn read(&self, path: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, Error> {
        let source = self.place.object(path)?;
        Ok(read_object(&self.client, &source, bytes_max, self.options).await?)
    }

    async fn part(
        &self,
        version: &Version,
        part: &str,
        bytes_max: u64,
    ) -> Result<Option<Vec<u8>>, Error> {
        self.read(&version_path(self.id, version, part), bytes_max).await
    }

    async fn versions(&self) -> Result<Versions, Error> {
        let read = self.read(&format!("{}/{VERSIONS}", self.id), VERSIONS_BYTES_MAX).await?;
        let place = self.place.to_string();
        match read {
            Some(bytes) => Versions::parse(&bytes, &place),
            None => Err(Error::NoVersion {
                place,
                what: format!("version of {}", self.id),
                known: "none".to_owned(),
            }),
        }
    }

    /// What a version is, once it may be believed.
    async fn manifest(&self, version: &Version, trusted: &TrustedKeys) -> Result<Manifest, Error> {
        let what = format!("{} {version} at {}", self.id, self.place);
        let Some(bytes) = self.part(version, MANIFEST, BYTES_MAX).await? else {
            return Err(Error::malformed(what, "it has no manifest"));
        };
        let signature = if trusted.are_given() {
            self.part(version, SIGNATURE, SIGNATURE_BYTES_MAX).await?
        } else {
            None
        };
        trusted.check(&what, &bytes, signature.as_deref())?;
        let manifest = Manifest::parse(&bytes, &what)?;
        // Somebody may have put what was signed elsewhere.
        if manifest.id != self.id || manifest.version != *version {
            return Err(Error::malformed(what, "its manifest is that of something else"));
        }
        Ok(manifest)
    }
}
