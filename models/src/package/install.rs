//! Installing a package from wherever it is, with somebody who waits for it.

use std::path::Path;

use tracing::debug;

use super::unpack::{Package, unpack};
use super::{Error, Manifest, TrustedKeys};
use crate::Source;
use crate::pull::{self, Meter, Options, Progress, Stage, Target, in_background, pull};

/// Installs the package at `source` into `folder` and returns what it is; one that is there already is
/// left as it is. A package of another machine is fetched first, like a model, and goes when it is
/// installed or cannot be. `report` hears how far it is. When this is dropped, what came is kept.
pub async fn install(
    source: &Source,
    folder: &Path,
    trusted: TrustedKeys,
    options: &Options,
    report: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Manifest, Error> {
    let (package, is_fetched) = match source {
        Source::File(path) => (path.clone(), false),
        elsewhere => {
            let target = Target::of_package(elsewhere.clone());
            (pull(&target, folder, options, report).await?, true)
        }
    };
    let meter = Meter::new(report);
    let size = tokio::fs::metadata(&package).await.map_or(0, |facts| facts.len());
    meter.stage(Stage::Unpacking, 0, size);
    let (path, from, folder) = (package.clone(), source.to_string(), folder.to_owned());
    let unpacked = in_background(&meter, move |go_on| {
        let package = Package { path: &path, source: &from, folder: &folder, trusted: &trusted };
        unpack(package, go_on)
    });
    let unreadable = |problem| Error::Unreadable { path: package.clone(), problem };
    let unpacked = unpacked.await.map_err(|error| unreadable(std::io::Error::other(error)))?;
    // Those are not its fault, and it can be tried again.
    let is_needed = matches!(
        unpacked,
        Err(Error::Pull(
            pull::Error::NoSpace { .. } | pull::Error::Unwritable { .. } | pull::Error::Busy { .. }
        ))
    );
    if is_fetched && !is_needed {
        // It is removed later as what nobody takes up, which is no reason to hide what became of it.
        if let Err(problem) = tokio::fs::remove_file(&package).await {
            debug!(path = %package.display(), %problem, "a fetched package stays for now");
        }
    }
    // It ends early only with this future.
    unpacked?.ok_or_else(|| unreadable(std::io::Error::other("nobody waits for it any more")))
}
