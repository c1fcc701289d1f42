//! `tandem memory list` and the like: what is remembered of the user beyond conversations.

use std::process::ExitCode;

use clap::{Args, Subcommand, value_parser};
use serde::Serialize;
use tandem_client::{Client, Error, v1};

use crate::{
    context::Context,
    failure::Failure,
    report::fact::{self, Fact},
};

/// What to do with what is remembered of you.
#[derive(Debug, Subcommand)]
pub(crate) enum Facts {
    /// List what is remembered of you, pinned first, then the latest first
    #[command(
        after_help = "The local model finds facts in what you said in conversations when nobody asks \
                            anything (`memory.facts` of the settings). Models are told those that are \
                            pinned and those that have to do with the question; `--no-memories` of \
                            `ask` and `chat` asks without. Private ones never leave this machine."
    )]
    List {
        /// List at most this many; 1 to 10000
        #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=10_000))]
        limit: Option<u32>,
    },
    /// Show what a model would be told with a question
    Find {
        /// The question, or some of its words
        #[arg(required = true, value_name = "WORD")]
        words: Vec<String>,
    },
    /// Remember something, such as "I prefer metric units"
    Add {
        /// At most 500 bytes; words are joined by spaces
        #[arg(required = true, value_name = "TEXT")]
        text: Vec<String>,
        /// Tell it with each question
        #[arg(long)]
        pin: bool,
        /// Never let a remote provider read it
        #[arg(long)]
        private: bool,
    },
    /// Change the words of a memory, or who may read it
    Edit {
        /// Id from `tandem memory list`
        id: String,
        /// New text, at most 500 bytes [default: as it is]
        #[arg(value_name = "TEXT", required_unless_present = "label")]
        text: Vec<String>,
        #[command(flatten)]
        label: Label,
    },
    /// Tell a memory with each question, and keep it whatever becomes of its conversation
    Pin {
        /// Ids from `tandem memory list`
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Tell a memory only with questions that it has to do with
    Unpin {
        /// Ids from `tandem memory list`
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Forget memories
    #[command(after_help = "Their words are on the disk until `tandem memory compact`.")]
    Forget {
        /// Ids from `tandem memory list`
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}

/// Who may read a memory.
#[derive(Debug, Args)]
#[group(id = "label", multiple = false)]
pub(crate) struct Label {
    /// Never let a remote provider read it
    #[arg(long)]
    private: bool,
    /// Let remote providers read it
    #[arg(long)]
    may_leave: bool,
}

#[derive(Serialize)]
struct Memories {
    memories: Vec<Fact>,
}

#[derive(Serialize)]
struct Changes {
    changed: Vec<Fact>,
    failed: Vec<Failed>,
}

#[derive(Serialize)]
struct Forgotten {
    forgotten: Vec<String>,
    failed: Vec<Failed>,
}

/// Of several memories, one with which it did not work.
#[derive(Serialize)]
struct Failed {
    id: String,
    reason: String,
    message: String,
}

impl Facts {
    pub(super) async fn run(self, client: &Client, context: &Context) -> Result<ExitCode, Failure> {
        let terminal = context.terminal;
        match self {
            Self::List { limit } => {
                let listed = client.memories().list(v1::ListMemoriesRequest {}).await?;
                let most = limit.map_or(usize::MAX, |limit| limit as usize);
                let memories = listed.into_inner().memories.into_iter().take(most);
                let memories = Memories { memories: memories.map(Fact::from).collect() };
                let none = "nothing is remembered yet; `tandem memory add TEXT` does so\n";
                terminal.result(&memories, |it| fact::list(&it.memories, none))?;
            }
            Self::Find { words } => {
                let request = v1::SearchMemoriesRequest { query: words.join(" ") };
                let found = client.memories().search(request).await?.into_inner().memories;
                let memories = Memories { memories: found.into_iter().map(Fact::from).collect() };
                let none = "nothing that is remembered has to do with this\n";
                terminal.result(&memories, |it| fact::list(&it.memories, none))?;
            }
            Self::Add { text, pin: pinned, private } => {
                let request = v1::AddMemoryRequest { text: text.join(" "), pinned, private };
                let added = client.memories().add(request).await?.into_inner();
                terminal.result(&Fact::from(added), |fact| format!("{}\n", fact.id))?;
            }
            Self::Edit { id, text, label: Label { private, may_leave } } => {
                let request = v1::EditMemoryRequest {
                    id,
                    text: (!text.is_empty()).then(|| text.join(" ")),
                    private: (private || may_leave).then_some(private),
                    ..Default::default()
                };
                let edited = client.memories().edit(request).await?.into_inner();
                terminal.result(&Fact::from(edited), Fact::line)?;
            }
            Self::Pin { ids } => return pin(client, context, ids, true).await,
            Self::Unpin { ids } => return pin(client, context, ids, false).await,
            Self::Forget { ids } => {
                let (mut forgotten, mut failed) = (Vec::new(), Vec::new());
                for id in ids {
                    let request = v1::ForgetMemoryRequest { id: id.clone() };
                    match client.memories().forget(request).await.map_err(Error::from) {
                        Ok(_) => forgotten.push(id),
                        Err(error) => failed.push(Failed::new(id, &error)),
                    }
                }
                let outcome = Forgotten { forgotten, failed };
                terminal.result(&outcome, |it| match it.forgotten.as_slice() {
                    [] => String::new(),
                    ids => format!("forgot {}\n", ids.join(", ")),
                })?;
                return Ok(tell(context, "forget", &outcome.failed));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Failed {
    fn new(id: String, error: &Error) -> Self {
        Self { id, reason: error.reason().into(), message: error.to_string() }
    }
}

/// Pins each, or unpins it, whatever becomes of the others.
async fn pin(
    client: &Client,
    context: &Context,
    ids: Vec<String>,
    pinned: bool,
) -> Result<ExitCode, Failure> {
    let (mut changed, mut failed) = (Vec::new(), Vec::new());
    for id in ids {
        let request =
            v1::EditMemoryRequest { id: id.clone(), pinned: Some(pinned), ..Default::default() };
        match client.memories().edit(request).await.map_err(Error::from) {
            Ok(edited) => changed.push(Fact::from(edited.into_inner())),
            Err(error) => failed.push(Failed::new(id, &error)),
        }
    }
    let changes = Changes { changed, failed };
    context
        .terminal
        .result(&changes, |it| it.changed.iter().map(Fact::line).collect::<String>())?;
    Ok(tell(context, if pinned { "pin" } else { "unpin" }, &changes.failed))
}

fn tell(context: &Context, what: &str, failed: &[Failed]) -> ExitCode {
    for Failed { id, message, .. } in failed {
        context.terminal.explain(&format!("error: cannot {what} {id}: {message}"));
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
