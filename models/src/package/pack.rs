//! Making a package, with somebody who waits for it.

use std::path::{Path, PathBuf};

use super::write::write;
use super::{Error, Manifest, SigningKey, Subject, describe};
use crate::pull::{Meter, Progress, Stage, in_background};

/// A package that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Packaged {
    /// Where it is.
    pub path: PathBuf,
    /// Of it.
    pub size_bytes: u64,
    /// What is in it.
    pub manifest: Manifest,
}

/// Packs `subject` into the file `path`, which must not exist. The same input gives the same bytes.
/// `report` hears how far it is. Dropping this leaves nothing behind.
pub async fn pack(
    subject: Subject,
    path: &Path,
    key: Option<SigningKey>,
    report: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Packaged, Error> {
    let meter = Meter::new(report);
    let (file, path) = (subject.file.clone(), path.to_owned());
    let unreadable = |problem| Error::Unreadable { path: file.clone(), problem };
    let size = tokio::fs::metadata(&file).await.map_err(unreadable)?.len();
    let ended = |error: Option<tokio::task::JoinError>| {
        let problem = error.map_or_else(|| "nobody waits any more".to_owned(), |it| it.to_string());
        unreadable(std::io::Error::other(problem))
    };

    meter.stage(Stage::Reading, 0, size);
    let described = in_background(&meter, move |go_on| describe(&subject, go_on)).await;
    let description = described.map_err(|error| ended(Some(error)))??.ok_or_else(|| ended(None))?;
    meter.stage(Stage::Packing, 0, size);
    let (model, target, manifest) = (file.clone(), path.clone(), description.manifest.clone());
    let written = in_background(&meter, move |go_on| {
        write(&description, &model, &target, key.as_ref(), go_on)
    });
    let written = written.await.map_err(|error| ended(Some(error)))?;
    let size_bytes = written?.ok_or_else(|| ended(None))?;
    Ok(Packaged { path, size_bytes, manifest })
}
