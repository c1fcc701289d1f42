//! The folder of LM Studio: `PUBLISHER/REPOSITORY/FILE`, named as in the Hugging Face hub, where it
//! fetches models.

use std::path::Path;

use super::file_name::{is_listed, objection};
use super::walk::Walk;
use super::{Found, Keeper};
use crate::Source;

pub(super) fn scan(root: &Path, walk: &mut Walk, found: &mut Vec<Found>) {
    for (publisher, folder) in walk.folder(root) {
        for (repository, folder) in walk.folder(&folder) {
            for (file, path) in walk.folder(&folder) {
                if !is_listed(&file) || path.is_dir() {
                    continue;
                }
                let name = format!("{publisher}/{repository}/{file}");
                let missing = "its file is missing; fetch it again with LM Studio";
                let problem =
                    if path.is_file() { objection(&file) } else { Some(missing.to_owned()) };
                let source = match format!("hf:{name}").parse() {
                    Ok(Source::Hub(hub)) => Some(hub),
                    _ => None,
                };
                found.push(Found {
                    problem,
                    sources: source.into_iter().collect(),
                    ..Found::new(format!("lmstudio:{name}"), path, Keeper::LmStudio)
                });
            }
        }
    }
}
