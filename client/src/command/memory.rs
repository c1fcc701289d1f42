//! `tandem memory`: what is remembered of the user, and the care of all that is stored.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use indicatif::ProgressBar;
use serde::Serialize;
use tandem_client::{Client, v1};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    context::Context,
    failure::Failure,
    file::{self, WholeFile},
    report::memory::{Check, Restored, Stats},
    report::model::size,
};

mod facts;

use facts::Facts;

/// What to do with what is remembered, and with all that is stored.
#[derive(Debug, Subcommand)]
pub(crate) enum Memory {
    #[command(flatten)]
    Facts(Facts),
    /// Write all that is stored, documents included, to one file, while the daemon goes on
    #[command(
        after_help = "The file gets its name when it is whole and on disk. It has all that was \
                            said, readable by its owner only."
    )]
    Backup {
        /// File to write, in the place of one that is there
        file: PathBuf,
    },
    /// Take a backup in the place of what is stored
    #[command(
        after_help = "Nothing changes unless the whole file was read and is right. What was \
                            stored before is kept in folders, whose names are printed. A file without \
                            collections of documents leaves those that are here as they are."
    )]
    Restore {
        /// File from `tandem memory backup`
        file: PathBuf,
        /// Replace a store that has anything in it, and collections
        #[arg(long)]
        overwrite: bool,
    },
    /// Read everything, collections included, and say what is broken
    #[command(after_help = "Exit code 1 when something is broken and was not mended.")]
    Check {
        /// Mend what can be mended without a loss
        #[arg(long)]
        repair: bool,
    },
    /// Give back the space of what was deleted, and remove the last of its words from the disk
    Compact,
    /// Show how much is stored, and how large it is on disk
    Stats,
}

#[derive(Serialize)]
struct Backup {
    file: PathBuf,
    bytes: u64,
}

#[derive(Serialize)]
struct Compacted {
    bytes_before: u64,
    bytes_after: u64,
}

impl Memory {
    pub(crate) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let client = context.connect().await?;
        let terminal = context.terminal;
        match self {
            Self::Facts(facts) => return facts.run(&client, context).await,
            Self::Backup { file } => {
                let progress = terminal.spinner("writing the backup");
                let backup = backup(&client, file, &progress).await;
                progress.finish_and_clear();
                terminal.result(&backup?, |Backup { file, bytes }| {
                    format!("{} has {}\n", file.display(), size(*bytes))
                })?;
            }
            Self::Restore { file, overwrite } => {
                let progress = terminal.spinner("restoring");
                let restored = restore(&client, &file, overwrite).await;
                progress.finish_and_clear();
                terminal.result(&restored?, Restored::text)?;
            }
            Self::Check { repair } => {
                let progress = terminal.spinner("reading everything");
                let checked = client.storage().check(v1::CheckStorageRequest { repair }).await;
                progress.finish_and_clear();
                let check = Check::from(checked?.into_inner());
                terminal.result(&check, Check::text)?;
                if !check.is_well() {
                    return Ok(ExitCode::FAILURE);
                }
            }
            Self::Compact => {
                let progress = terminal.spinner("writing everything anew");
                let compacted = client.storage().compact(v1::CompactStorageRequest {}).await;
                progress.finish_and_clear();
                let v1::CompactStorageResponse { bytes_before, bytes_after } =
                    compacted?.into_inner();
                terminal.result(&Compacted { bytes_before, bytes_after }, |it| {
                    format!("{} before, {} now\n", size(it.bytes_before), size(it.bytes_after))
                })?;
            }
            Self::Stats => {
                let stats = client.storage().stats(v1::StorageStatsRequest {}).await?.into_inner();
                terminal.result(&Stats::from(stats), Stats::text)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn backup(client: &Client, path: PathBuf, progress: &ProgressBar) -> Result<Backup, Failure> {
    let mut parts = client.storage().backup(v1::BackupRequest {}).await?.into_inner();
    let mut file = WholeFile::create(&path)?;
    while let Some(v1::BackupResponse { data }) = parts.message().await? {
        file.write(data).await?;
        progress.set_message(format!("writing the backup: {}", size(file.bytes())));
    }
    let bytes = file.finish().await?;
    Ok(Backup { file: path, bytes })
}

async fn restore(client: &Client, path: &Path, overwrite: bool) -> Result<Restored, Failure> {
    let mut parts = file::read(path)?;
    let (sender, requests) = mpsc::channel(1);
    let feed = async move {
        // Also what is said of an empty file is said.
        let begin = v1::RestoreRequest { data: Vec::new(), overwrite };
        drop(sender.send(begin).await);
        while let Some(data) = parts.recv().await.transpose()? {
            if sender.send(v1::RestoreRequest { data, overwrite }).await.is_err() {
                // The daemon refuses, and says why.
                break;
            }
        }
        Ok(())
    };
    let mut storage = client.storage();
    // Where reading fails the daemon gets a file that is cut, which it refuses.
    let (fed, restored) = tokio::join!(feed, storage.restore(ReceiverStream::new(requests)));
    let fed: Result<(), Failure> = fed;
    fed?;
    Ok(restored?.into_inner().into())
}
