//! The cache of Hugging Face: `models--OWNER--REPOSITORY` with `refs`, which name revisions, and
//! `snapshots`, whose files are links to `blobs` that are named by their hash.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::file_name::{is_listed, objection};
use super::walk::{Walk, beginning};
use super::{Found, Keeper};
use crate::{Hub, Source};

/// The revision that an id without one means.
const CURRENT: &str = "main";
const REF_BYTES_MAX: u64 = 256;
/// Folders in folders of a repository.
const DEPTH_MAX: u32 = 3;

pub(super) fn scan(root: &Path, walk: &mut Walk, found: &mut Vec<Found>) {
    for (name, folder) in walk.folder(root) {
        let repository = name.strip_prefix("models--").and_then(|it| it.split_once("--"));
        if let Some((owner, repository)) = repository {
            found.extend(models(&format!("{owner}/{repository}"), &folder, walk));
        }
    }
}

/// The models of one repository.
fn models(repository: &str, folder: &Path, walk: &mut Walk) -> Vec<Found> {
    let refs = walk.folder(&folder.join("refs"));
    let named: Vec<(String, String)> = refs
        .into_iter()
        .filter_map(|(name, path)| Some((name, beginning(&path, REF_BYTES_MAX)?.trim().to_owned())))
        .collect();
    let mut snapshots = walk.folder(&folder.join("snapshots"));
    // Of a file in several revisions, the name in the current one counts.
    snapshots.sort_by_key(|(commit, _)| names(&named, commit).all(|name| name != CURRENT));

    let mut found: Vec<Found> = Vec::new();
    let mut by_blob = HashMap::new();
    for (commit, snapshot) in snapshots {
        let mut files = Vec::new();
        files_below(&snapshot, "", DEPTH_MAX, walk, &mut files);
        for (file, path) in files {
            let source = |revision: &String| Hub {
                repository: repository.to_owned(),
                revision: revision.clone(),
                file: file.clone(),
            };
            let sources: Vec<_> = names(&named, &commit).chain([&commit]).map(source).collect();
            let blob = fs::canonicalize(&path).ok();
            let known = blob.as_ref().and_then(|blob| by_blob.get(blob)).copied();
            if let Some(known) = known.and_then(|index: usize| found.get_mut(index)) {
                known.sources.extend(sources);
            } else if let Some(model) = model(path, blob.as_deref(), sources) {
                by_blob.extend(blob.map(|blob| (blob, found.len())));
                found.push(model);
            }
        }
    }
    found
}

/// The names that a commit has.
fn names<'a>(named: &'a [(String, String)], commit: &'a str) -> impl Iterator<Item = &'a String> {
    named.iter().filter(move |(_, it)| it == commit).map(|(name, _)| name)
}

/// `None` when its name cannot be written as a source.
fn model(path: PathBuf, blob: Option<&Path>, sources: Vec<Hub>) -> Option<Found> {
    let named = sources.iter().find(|hub| hub.revision == CURRENT).or_else(|| sources.last())?;
    let id = Source::Hub(named.clone()).to_string();
    id.parse::<Source>().ok()?;
    let missing = "its file is missing from the cache, or did not come as a whole; fetch it again";
    let problem = match blob {
        Some(_) => objection(&named.file),
        None => Some(missing.to_owned()),
    };
    let name = blob.and_then(Path::file_name).and_then(|name| name.to_str());
    let is_hash =
        |name: &&str| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let sha256 = name.filter(is_hash).map(str::to_ascii_lowercase);
    Some(Found { sha256, sources, problem, ..Found::new(id, path, Keeper::HuggingFace) })
}

/// The files of a snapshot with their paths in it. Only real folders are entered, so there are no
/// loops.
fn files_below(
    folder: &Path,
    prefix: &str,
    depth: u32,
    walk: &mut Walk,
    files: &mut Vec<(String, PathBuf)>,
) {
    for (name, path) in walk.folder(folder) {
        let inside = format!("{prefix}{name}");
        let is_folder = fs::symlink_metadata(&path).is_ok_and(|it| it.is_dir());
        if is_folder && depth > 0 {
            files_below(&path, &format!("{inside}/"), depth - 1, walk, files);
        } else if !is_folder && is_listed(&name) {
            files.push((inside, path));
        }
    }
}
