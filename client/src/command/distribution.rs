//! `tandem model package`, `install`, `push`, `update` and `keygen`: versions of models that are handed
//! on.

use std::path::{Path, PathBuf, absolute};

use clap::Args;
use indicatif::ProgressBar;
use tandem_client::{
    Client, Error,
    v1::{self, install_model_event, package_model_event, push_model_event, update_model_event},
};

use super::model::BAR_STEPS;
use super::model_file::show;
use crate::{
    context::unless_interrupted,
    failure::Failure,
    report::distribution::{Key, Packaged, Pushed, Updated},
    report::model::{Model as Report, size},
    terminal::Terminal,
};

pub(super) const PACKAGE_EXAMPLES: &str = "\
Examples:
  tandem model package smollm2-135m-instruct --version 1.2.0
  tandem model package ./tuned.gguf --as smollm2-support --version 1.0.0 --out /srv/smollm2-support.tar.zst
  tandem model package smollm2-support --version 1.0.1 --sign ~/tandem.key

The package has the model, what the catalog says of it, its chat template if it has one of its own, and all
hashes. `tandem model install` takes it on another machine. The same model gives the same bytes.";

pub(super) const INSTALL_EXAMPLES: &str = "\
Examples:
  tandem model install smollm2-support-1.0.0.tar.zst
  tandem model install https://example.com/smollm2-support-1.0.0.tar.zst
  tandem model install s3://BUCKET/smollm2-support-1.0.0.tar.zst

The package is checked as a whole before the model gets its name, ID@VERSION. With models.trusted_keys, only
packages are taken that one of those keys signed.";

pub(super) const PUSH_EXAMPLES: &str = "\
Examples:
  tandem model push smollm2-support@1.0.0 s3://BUCKET/models
  tandem model push ./tuned.gguf --as smollm2-support --version 1.0.1 file:/srv/models --sign ~/tandem.key

What earlier versions have in common with this one is not sent again. A version is never replaced. Keys, region
and server of S3 are those of [models.pull]. A push that ends early publishes nothing; what it sent is not sent
again.";

pub(super) const UPDATE_EXAMPLES: &str = "\
Examples:
  tandem model update smollm2-support --from s3://BUCKET/models
  tandem model update smollm2-support                    from where it came last
  tandem model update smollm2-support --version 1.0.0    that version, be it older

Only what the versions that are here lack is fetched. The new one lies beside them as ID@VERSION. An update that
ends early goes on where it ended when it is started again.";

/// Writes a model into one file.
#[derive(Debug, Args)]
pub(crate) struct Package {
    /// Id from `tandem model list`, or the path of a GGUF file
    pub(super) id: String,
    /// Semantic version that the package shall have, such as 1.2.0
    #[arg(long)]
    version: String,
    /// Where to write it [default: NAME-VERSION.tar.zst here]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Key that signs it, made by `tandem model keygen`
    #[arg(long, value_name = "KEYFILE")]
    sign: Option<PathBuf>,
    /// What to call the model [default: its id, or the name of its file]
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
}

/// Publishes a model in a repository.
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// ID@VERSION, or with --version an id from `tandem model list` or the path of a GGUF file
    pub(super) id: String,
    /// Where the repository is: s3://BUCKET/PREFIX or file:/FOLDER
    #[allow(clippy::doc_markdown, reason = "people read it as help")]
    place: String,
    /// Semantic version that it shall have, such as 1.2.0
    #[arg(long)]
    version: Option<String>,
    /// Key that signs it, made by `tandem model keygen`
    #[arg(long, value_name = "KEYFILE")]
    sign: Option<PathBuf>,
    /// What to call the model there [default: its id, or the name of its file]
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
}

/// Gets a newer version of a model.
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// Id of the model, without a version
    id: String,
    /// Where the repository is: s3://BUCKET/PREFIX, https://… or file:/FOLDER [default: where the newest
    /// version that is here came from]
    #[allow(clippy::doc_markdown, reason = "people read it as help")]
    #[arg(long, value_name = "PLACE")]
    from: Option<String>,
    /// The version to get, be it older [default: the newest, if it is newer than those here]
    #[arg(long)]
    version: Option<String>,
}

impl Package {
    pub(super) async fn run(self, terminal: Terminal, client: &Client) -> Result<(), Failure> {
        let Self { id, version, out, sign, name } = self;
        let out = out.unwrap_or_else(|| {
            let name = name.clone().unwrap_or_else(|| plain_name(&id));
            PathBuf::from(format!("{name}-{version}.tar.zst"))
        });
        let request = v1::PackageModelRequest {
            id,
            version,
            path: from_root(&out)?,
            key_path: sign.map_or_else(|| Ok(String::new()), |path| from_root(&path))?,
            name: name.unwrap_or_default(),
        };
        let packaged = with_bar(terminal, async |bar| {
            use package_model_event::Event;
            let mut events = client.models().package(request).await?.into_inner();
            let mut packaged = None;
            while let Some(event) = events.message().await? {
                match event.event {
                    Some(Event::Progress(progress)) => show(bar, &progress),
                    Some(Event::Packaged(it)) => packaged = Some(Packaged::from(it)),
                    None => {}
                }
            }
            packaged.ok_or_else(silent)
        });
        terminal.result(&packaged.await?, Packaged::text)
    }
}

impl Push {
    pub(super) async fn run(self, terminal: Terminal, client: &Client) -> Result<(), Failure> {
        let Self { id, place, version, sign, name } = self;
        let (id, version) = match (version, id.rsplit_once('@')) {
            (Some(version), _) => (id, version),
            (None, Some((id, version))) => (id.to_owned(), version.to_owned()),
            (None, None) => {
                let hint = "write ID@VERSION, such as smollm2-support@1.0.0, or add --version";
                return Err(Failure::usage(format!("{id} has no version"), hint));
            }
        };
        let request = v1::PushModelRequest {
            id,
            version,
            place,
            key_path: sign.map_or_else(|| Ok(String::new()), |path| from_root(&path))?,
            name: name.unwrap_or_default(),
        };
        let pushed = with_bar(terminal, async |bar| {
            use push_model_event::Event;
            let mut events = client.models().push(request).await?.into_inner();
            let mut pushed = None;
            while let Some(event) = events.message().await? {
                match event.event {
                    Some(Event::Progress(progress)) => show(bar, &progress),
                    Some(Event::Pushed(it)) => pushed = Some(Pushed::from(it)),
                    None => {}
                }
            }
            pushed.ok_or_else(silent)
        });
        terminal.result(&pushed.await?, Pushed::text)
    }
}

impl Update {
    pub(super) async fn run(self, terminal: Terminal, client: &Client) -> Result<(), Failure> {
        let Self { id, from, version } = self;
        let (place, version) = (from.unwrap_or_default(), version.unwrap_or_default());
        let request = v1::UpdateModelRequest { id, place, version };
        let updated = with_bar(terminal, async |bar| {
            use update_model_event::Event;
            let mut events = client.models().update(request).await?.into_inner();
            let mut updated = None;
            while let Some(event) = events.message().await? {
                match event.event {
                    Some(Event::Progress(progress)) => show(bar, &progress),
                    Some(Event::Updated(it)) => updated = Updated::of(it),
                    None => {}
                }
            }
            updated.ok_or_else(silent)
        });
        terminal.result(&updated.await?, Updated::text)
    }
}

/// Checks a package and puts its model into the models folder.
pub(super) async fn install(
    terminal: Terminal,
    client: &Client,
    package: String,
) -> Result<(), Failure> {
    let is_source =
        package.contains("://") || ["file:", "hf:"].iter().any(|it| package.starts_with(it));
    let source = if is_source { package } else { from_root(Path::new(&package))? };
    let request = v1::InstallModelRequest { source };
    let installed = with_bar(terminal, async |bar| {
        use install_model_event::Event;
        let mut events = client.models().install(request).await?.into_inner();
        let mut installed = None;
        while let Some(event) = events.message().await? {
            match event.event {
                Some(Event::Progress(progress)) => show(bar, &progress),
                Some(Event::Installed(model)) => installed = Some(Report::from(model)),
                None => {}
            }
        }
        installed.ok_or_else(silent)
    });
    terminal.result(&installed.await?, |model| {
        format!("{} is here ({})\n", model.id, size(model.size_bytes))
    })
}

/// Makes a key that signs packages.
pub(super) async fn keygen(
    terminal: Terminal,
    client: &Client,
    path: &Path,
) -> Result<(), Failure> {
    let request = v1::MakeSigningKeyRequest { path: from_root(path)? };
    let made = client.models().make_signing_key(request).await?.into_inner();
    terminal.result(&Key { path: made.path, public_key: made.public_key }, Key::text)
}

/// Does something long with a bar beside it. Ctrl-C ends it.
async fn with_bar<T>(
    terminal: Terminal,
    work: impl AsyncFnOnce(&ProgressBar) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let bar = terminal.bar(BAR_STEPS.into());
    let outcome = unless_interrupted(work(&bar)).await;
    bar.finish_and_clear();
    outcome
}

fn silent() -> Failure {
    let message = "the daemon stopped reporting before it was done".into();
    Error::NotReachable { message }.into()
}

/// What a model is called that is named so: the name of its file, without a version.
fn plain_name(id: &str) -> String {
    let name = id.rsplit('/').next().unwrap_or_default();
    let name = name.strip_suffix(".gguf").unwrap_or(name);
    name.split('@').next().unwrap_or_default().to_owned()
}

/// A path for the daemon, which runs elsewhere.
fn from_root(path: &Path) -> Result<String, Failure> {
    Ok(absolute(path).map_err(Failure::Output)?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_called_like_its_model() {
        for (id, name) in [
            ("smollm2-135m-instruct", "smollm2-135m-instruct"),
            ("/srv/a model@1.0.0.gguf", "a model"),
            ("tuned.gguf", "tuned"),
        ] {
            assert_eq!(plain_name(id), name);
        }
    }
}
