//! `tandem knowledge ingest`: documents into a collection.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{io, path};

use clap::Args;
use tandem_client::{Client, Error, v1, v1::ingest_event::Event};

use super::unreadable;
use crate::{failure::Failure, report::knowledge as report, terminal::Terminal};

/// Most bytes of standard input; larger documents come from files.
const INPUT_BYTES_MAX: u64 = 8 << 20;

/// Which documents to read, and how to keep them.
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Args)]
pub(crate) struct Ingest {
    /// Name of the collection: a-z, 0-9, `-` and `_`
    collection: String,
    /// Files and folders; `-` stands for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Name of the document from standard input; its ending says what it is
    #[arg(long, value_name = "NAME", default_value = "stdin")]
    name: String,
    /// Let providers read these documents
    #[arg(long, conflicts_with = "local_only")]
    may_leave: bool,
    /// Keep these documents on this machine, where the collection lets them leave
    #[arg(long)]
    local_only: bool,
    /// What to filter by later; may be given several times
    #[arg(long = "meta", value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Read the paths again whenever something in them changes
    #[arg(long, conflicts_with = "no_watch")]
    watch: bool,
    /// Stop watching the paths
    #[arg(long)]
    no_watch: bool,
}

impl Ingest {
    /// Reports what was left out as it comes, and fails if that was named.
    pub(super) async fn run(
        self,
        terminal: Terminal,
        client: &Client,
    ) -> Result<ExitCode, Failure> {
        let request = self.request().await?;
        let (collection, named) = (request.collection.clone(), request.paths.clone());
        let bar = terminal.bar(0);
        bar.set_message("looking for documents");
        let outcome = async {
            let mut events = client.knowledge().ingest(request).await?.into_inner();
            let mut report = report::Ingestion::new(collection);
            while let Some(event) = events.message().await? {
                match event.event {
                    Some(Event::Progress(progress)) => {
                        bar.set_length(progress.documents.into());
                        bar.set_position(progress.done.into());
                        bar.set_message(progress.source);
                    }
                    Some(Event::Refused(refused)) => {
                        let v1::RefusedDocument { source, problem } = &refused;
                        bar.suspend(|| terminal.notice(&format!("left out: {source} {problem}")));
                        report.refused.push(refused.into());
                    }
                    Some(Event::Notice(notice)) => bar.suspend(|| terminal.notice(&notice)),
                    Some(Event::Finished(finished)) => return Ok(report.finished(&finished)),
                    None => {}
                }
            }
            let message =
                "the daemon stopped before all was ingested; what was is kept, so give the \
                           same command again"
                    .into();
            Err(Failure::from(Error::NotReachable { message }))
        };
        let outcome = outcome.await;
        bar.finish_and_clear();
        let report = outcome?;
        terminal.result(&report, report::Ingestion::text)?;
        // What is in a folder beside documents is no failure; what was asked for by name is.
        let asked_for = |refused: &report::Refused| named.contains(&refused.source);
        Ok(if report.refused.iter().any(asked_for) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    async fn request(self) -> Result<v1::IngestRequest, Failure> {
        let label = match (self.may_leave, self.local_only) {
            (true, _) => v1::Label::MayLeave,
            (_, true) => v1::Label::LocalOnly,
            _ => v1::Label::Unspecified,
        };
        let (mut paths, mut contents) = (Vec::new(), Vec::new());
        for path in self.paths {
            if path.as_os_str() == "-" {
                let data = tokio::task::spawn_blocking(standard_input).await;
                let data = data.map_err(io::Error::other).map_err(Failure::Output)??;
                let (name, media_type) = (self.name.clone(), String::new());
                contents.push(v1::Content { name, data, media_type });
                continue;
            }
            // The daemon has another working directory. Links are kept: they name the document.
            let absolute = path::absolute(&path).and_then(|it| it.metadata().map(|_| it));
            let absolute =
                absolute.map_err(|error| unreadable(&path.display().to_string(), &error))?;
            paths.push(absolute.to_string_lossy().into_owned());
        }
        Ok(v1::IngestRequest {
            collection: self.collection,
            paths,
            contents,
            label: label.into(),
            metadata: self.metadata.into_iter().collect(),
            watch: (self.watch || self.no_watch).then_some(self.watch),
        })
    }
}

fn standard_input() -> Result<Vec<u8>, Failure> {
    let mut data = Vec::new();
    let read = io::stdin().lock().take(INPUT_BYTES_MAX + 1).read_to_end(&mut data);
    read.map_err(|error| unreadable("standard input", &error))?;
    if data.len() as u64 > INPUT_BYTES_MAX {
        return Err(Failure::usage(
            format!("standard input has more than {} MiB", INPUT_BYTES_MAX >> 20),
            "put it into a file and ingest that",
        ));
    }
    Ok(data)
}

/// `KEY=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_a_key_and_a_value() {
        assert_eq!(pair("kind=a=b"), Ok(("kind".to_owned(), "a=b".to_owned())));
        assert!(pair("kind").is_err());
    }
}
