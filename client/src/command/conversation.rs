//! `tandem conversation`: what was said and stored.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Subcommand, value_parser};
use serde::Serialize;
use tandem_client::{Client, Error, v1};

use super::turn::{Label, Policy};
use crate::{
    context::Context,
    failure::Failure,
    report::conversation::{self as report, Conversation as Report, Search, Transcript},
};

mod transfer;

/// Most conversations that one call to the daemon returns.
const PAGE_MAX: u32 = 1000;

/// What to do with conversations.
#[derive(Debug, Subcommand)]
pub(crate) enum Conversation {
    /// Begin a conversation and print its id
    Create {
        /// Title [default: named after the first question]
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        title: String,
        /// Policy of its questions; with `private`, none of them ever leaves this machine
        #[arg(long, value_enum, value_name = "POLICY")]
        policy: Option<Policy>,
        /// Who may ever read its turns: the same as `--policy private`
        #[arg(long, value_enum, value_name = "LABEL", conflicts_with = "policy")]
        label: Option<Label>,
    },
    /// List the conversations, newest first
    List {
        /// List at most this many; 1 to 1000
        #[arg(long, value_name = "N", default_value_t = 50, allow_negative_numbers = true)]
        #[arg(value_parser = value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Print a conversation
    Show {
        /// Id from `tandem conversation list`
        id: String,
    },
    /// Find questions and answers by their words
    #[command(
        after_help = "All words have to be in question or answer. With a query in single quotes, \
                            '\"two words\"' stand side by side, 'this OR that' finds either, and \
                            'this -that' leaves out what has the second."
    )]
    Search {
        /// Words to look for
        #[arg(required = true, value_name = "WORD")]
        words: Vec<String>,
        /// Find at most this many; 1 to 100
        #[arg(long, value_name = "N", default_value_t = 20)]
        #[arg(value_parser = value_parser!(u32).range(1..=100))]
        limit: u32,
    },
    /// Give a conversation another title
    Rename {
        /// Id from `tandem conversation list`
        id: String,
        /// New title, at most 200 bytes
        title: String,
    },
    /// Write conversations as lines of JSON
    Export {
        /// Ids from `tandem conversation list` [default: all]
        #[arg(value_name = "ID")]
        ids: Vec<String>,
        /// File to write [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Take conversations in that were exported, with their ids and times
    #[command(
        after_help = "A conversation with a broken line is not imported, and the line is named. \
                            Exit code 1 when any was refused."
    )]
    Import {
        /// File from `tandem conversation export`, or - for standard input
        file: PathBuf,
        /// Replace conversations that are here already
        #[arg(long)]
        replace: bool,
    },
    /// Delete conversations
    #[command(after_help = "Their words are on the disk until `tandem memory compact`.")]
    Delete {
        /// Ids from `tandem conversation list`
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}

#[derive(Serialize)]
struct List {
    conversations: Vec<Report>,
}

#[derive(Serialize)]
struct Deletion {
    deleted: Vec<String>,
    failed: Vec<Failed>,
}

#[derive(Serialize)]
struct Failed {
    id: String,
    reason: String,
    message: String,
}

impl Conversation {
    pub(crate) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let client = context.connect().await?;
        let terminal = context.terminal;
        match self {
            Self::Create { title, policy, label } => {
                let policy = policy.or(label.map(Policy::from));
                let policy = policy.map_or(v1::Policy::Unspecified, v1::Policy::from).into();
                let request = v1::CreateConversationRequest { title, policy };
                let created = client.conversations().create(request).await?.into_inner();
                terminal.result(&Report::from(created), |created| format!("{}\n", created.id))?;
            }
            Self::List { limit } => {
                let conversations = newest(&client, limit).await?;
                terminal
                    .result(&List { conversations }, |list| report::list(&list.conversations))?;
            }
            Self::Show { id } => {
                let request = v1::GetConversationRequest { id };
                let response = client.conversations().get(request).await?.into_inner();
                terminal.result(&Transcript::from(response), Transcript::text)?;
            }
            Self::Search { words, limit } => {
                let query = words.join(" ");
                let request = v1::SearchConversationsRequest { query, limit };
                let response = client.conversations().search(request).await?.into_inner();
                terminal.result(&Search::from(response), Search::text)?;
            }
            Self::Rename { id, title } => {
                let request = v1::RenameConversationRequest { id, title };
                let renamed = client.conversations().rename(request).await?.into_inner();
                terminal.result(&Report::from(renamed), |renamed| {
                    let title = renamed.title.as_deref().unwrap_or_default();
                    format!("{} is now {title:?}\n", renamed.id)
                })?;
            }
            Self::Export { ids, output } => {
                transfer::export(&client, context, ids, output).await?;
            }
            Self::Import { file, replace } => {
                return transfer::import(&client, context, &file, replace).await;
            }
            Self::Delete { ids } => {
                let deletion = Deletion::of(&client, ids).await;
                terminal.result(&deletion, Deletion::text)?;
                for Failed { id, message, .. } in &deletion.failed {
                    terminal.explain(&format!("error: cannot delete {id}: {message}"));
                }
                if !deletion.failed.is_empty() {
                    return Ok(ExitCode::FAILURE);
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Deletion {
    /// Deletes each, whatever becomes of the others.
    async fn of(client: &Client, ids: Vec<String>) -> Self {
        let (mut deleted, mut failed) = (Vec::new(), Vec::new());
        for id in ids {
            let request = v1::DeleteConversationRequest { id: id.clone() };
            match client.conversations().delete(request).await.map_err(Error::from) {
                Ok(_) => deleted.push(id),
                Err(error) => {
                    let (reason, message) = (error.reason().into(), error.to_string());
                    failed.push(Failed { id, reason, message });
                }
            }
        }
        Self { deleted, failed }
    }

    fn text(&self) -> String {
        match self.deleted.as_slice() {
            [] => String::new(),
            deleted => format!("deleted {}\n", deleted.join(", ")),
        }
    }
}

async fn newest(client: &Client, limit: u32) -> Result<Vec<Report>, Failure> {
    let mut conversations = Vec::new();
    let mut missing = limit;
    let mut page_token = String::new();
    while missing > 0 {
        let request = v1::ListConversationsRequest { page_size: missing.min(PAGE_MAX), page_token };
        let page = client.conversations().list(request).await?.into_inner();
        let got = u32::try_from(page.conversations.len()).unwrap_or(u32::MAX);
        conversations.extend(page.conversations.into_iter().map(Report::from));
        page_token = page.next_page_token;
        if page_token.is_empty() || got == 0 {
            break;
        }
        missing = missing.saturating_sub(got);
    }
    Ok(conversations)
}
