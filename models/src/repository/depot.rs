//! A place that can be written to.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::Client;
use tokio::task::spawn_blocking;

use super::Place;
use crate::Source;
use crate::package::{Digest, Error};
use crate::pull::{self, Options};

mod objects;

use objects::Objects;

/// Stands where the name of an object is put.
const ANY: &str = "x";
/// Counts what is written, so that no two write to one file.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// A place that can be written to.
pub(super) enum Depot<'a> {
    S3(Box<Objects<'a>>),
    Folder(PathBuf),
}

impl<'a> Depot<'a> {
    pub(super) fn new(
        place: &'a Place,
        client: &'a Client,
        options: &'a Options,
    ) -> Result<Self, Error> {
        match place.object(ANY)? {
            Source::S3 { bucket, key } => {
                let prefix = key.strip_suffix(ANY).unwrap_or_default();
                Ok(Self::S3(Box::new(Objects::new(&bucket, prefix, client, options)?)))
            }
            Source::File(path) => {
                Ok(Self::Folder(path.parent().map(Path::to_owned).unwrap_or(path)))
            }
            Source::Web(_) | Source::Hub(_) => Err(Error::Unusable(format!(
                "{place} can only be read; publish to s3://BUCKET/PREFIX or file:/FOLDER"
            ))),
        }
    }

    /// The chunks of a model that are there, be they of a published version or not.
    pub(super) async fn chunks(&self, id: &str) -> Result<HashSet<Digest>, Error> {
        let below = format!("{id}/chunks/");
        match self {
            Self::S3(objects) => objects.digests(&below).await,
            Self::Folder(folder) => {
                let folder = folder.join(below);
                let listed = spawn_blocking(move || list(&folder)).await;
                Ok(listed.unwrap_or_default())
            }
        }
    }

    /// Puts an object there, in the place of any that there is.
    pub(super) async fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), Error> {
        match self {
            Self::S3(objects) => objects.put(path, bytes).await,
            Self::Folder(folder) => {
                let target = folder.join(path);
                let named = target.clone();
                let written = spawn_blocking(move || write(&named, &bytes)).await;
                written
                    .map_err(io::Error::other)
                    .flatten()
                    .map_err(|problem| pull::Error::Unwritable { path: target, problem }.into())
            }
        }
    }
}

fn list(folder: &Path) -> HashSet<Digest> {
    let below = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let chunks = below(folder).flat_map(|entry| below(&entry.path()));
    chunks.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// It is on disk as a whole afterwards, or not there.
fn write(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = target.parent().ok_or_else(|| io::Error::other("it is in no folder"))?;
    fs::create_dir_all(folder)?;
    let mut part = target.as_os_str().to_owned();
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    part.push(format!(".{}.{number}.part", std::process::id()));
    let mut file = File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&part, target)?;
    File::open(folder)?.sync_all()
}
