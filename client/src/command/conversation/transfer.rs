//! Exports and imports of conversations.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use tandem_client::{Client, v1};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    context::Context,
    failure::Failure,
    file::{self, WholeFile},
    report::model::size,
};

/// Standard input or output in the place of a file.
const PIPE: &str = "-";

#[derive(Serialize)]
struct Exported {
    file: PathBuf,
    bytes: u64,
}

#[derive(Serialize)]
struct Imported {
    conversations: u32,
    turns: u32,
    refused_count: u32,
    refused: Vec<Refused>,
}

#[derive(Serialize)]
struct Refused {
    line: u64,
    id: Option<String>,
    problem: String,
}

/// Writes conversations to a file, or to standard output.
pub(super) async fn export(
    client: &Client,
    context: &Context,
    ids: Vec<String>,
    output: Option<PathBuf>,
) -> Result<(), Failure> {
    let request = v1::ExportConversationsRequest { ids };
    let mut parts = client.conversations().export(request).await?.into_inner();
    let Some(path) = output.filter(|path| path != Path::new(PIPE)) else {
        while let Some(part) = parts.message().await? {
            context.terminal.bytes(part.data).await?;
        }
        return Ok(());
    };
    let mut file = WholeFile::create(&path)?;
    while let Some(part) = parts.message().await? {
        file.write(part.data).await?;
    }
    let bytes = file.finish().await?;
    context.terminal.result(&Exported { file: path, bytes }, |it| {
        format!("{} has {}\n", it.file.display(), size(it.bytes))
    })
}

/// Takes in the conversations of a file, or of standard input.
pub(super) async fn import(
    client: &Client,
    context: &Context,
    path: &Path,
    replace: bool,
) -> Result<ExitCode, Failure> {
    let mut parts = if path == Path::new(PIPE) { file::read_stdin() } else { file::read(path)? };
    let (sender, requests) = mpsc::channel(1);
    let feed = async move {
        while let Some(data) = parts.recv().await.transpose()? {
            let request = v1::ImportConversationsRequest { data, replace };
            if sender.send(request).await.is_err() {
                // The daemon failed, and says why.
                break;
            }
        }
        Ok(())
    };
    let mut conversations = client.conversations();
    let (fed, imported) = tokio::join!(feed, conversations.import(ReceiverStream::new(requests)));
    let fed: Result<(), Failure> = fed;
    fed?;
    let imported = Imported::from(imported?.into_inner());
    context.terminal.result(&imported, |it| {
        format!("imported {} conversations with {} turns\n", it.conversations, it.turns)
    })?;
    for Refused { line, id, problem } in &imported.refused {
        let id = id.as_deref().unwrap_or("a conversation");
        context.terminal.explain(&format!("error: {id} is not imported: line {line} {problem}"));
    }
    let told = u32::try_from(imported.refused.len()).unwrap_or(u32::MAX);
    if imported.refused_count > told {
        let more = imported.refused_count - told;
        context.terminal.explain(&format!("error: {more} more are not imported"));
    }
    Ok(if imported.refused_count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl From<v1::ImportConversationsResponse> for Imported {
    fn from(response: v1::ImportConversationsResponse) -> Self {
        let refused = |v1::RefusedConversation { line, id, problem }| Refused {
            line,
            id: (!id.is_empty()).then_some(id),
            problem,
        };
        Self {
            conversations: response.conversations,
            turns: response.turns,
            refused_count: response.refused_count,
            refused: response.refused.into_iter().map(refused).collect(),
        }
    }
}
