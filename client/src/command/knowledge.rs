//! `tandem knowledge`: the user's documents.

use std::path::PathBuf;
use std::process::ExitCode;
use std::{fs, io};

use clap::{Args, Subcommand, ValueEnum, value_parser};
use tandem_client::{Client, v1};

use crate::{
    context::{Context, unless_interrupted},
    failure::Failure,
    report::knowledge as report,
};

mod ingest;

const EXAMPLES: &str = "\
Examples:
  tandem knowledge ingest notes ~/notes --watch       read a folder, and again whenever it changes
  curl -s https://example.org | tandem knowledge ingest web - --name example.html
  tandem knowledge search notes \"when does the lease end\"
  tandem ask --knowledge notes \"When does the lease end?\"

A collection is made by the first ingestion into it. Text, Markdown, HTML and PDF are read. Chunks of
documents are found by their words and, if there is an embedding model (`tandem model import`), by their
meaning. Documents are local-only unless --may-leave is given: no provider ever reads them.";

const QUESTIONS: &str = "\
QUESTIONS has one JSON object a line:
  {\"id\": \"1\", \"question\": \"…\", \"relevant\": [{\"source\": \"/path\", \"contains\": \"words of the passage\"}]}

recall   share of the relevant passages among the first --count hits
MRR      one over the place of the first relevant hit, 0 if there is none
nDCG     gain of relevant hits, the less the lower they stand, of what could be gained

Means over the questions, with 95 % confidence intervals (bootstrap).";

/// What to do with documents.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Knowledge {
    /// Read documents into a collection; what has not changed since is left alone
    Ingest(ingest::Ingest),
    /// Find passages
    Search(Search),
    /// List the collections, or the documents of one
    List {
        /// Whose documents to list
        collection: Option<String>,
    },
    /// Remove documents from a collection
    Remove {
        /// Name of the collection
        collection: String,
        /// Sources from `tandem knowledge list COLLECTION`
        #[arg(required = true, value_name = "SOURCE")]
        sources: Vec<String>,
    },
    /// Delete a collection; the files that it was made from stay
    Delete {
        /// Name of the collection
        collection: String,
    },
    /// Read everything that is stored of a collection, and say what is damaged
    Check {
        /// Name of the collection
        collection: String,
    },
    /// Give back the space that removed documents still take
    Compact {
        /// Name of the collection
        collection: String,
    },
    /// Measure how well passages are found
    #[command(after_help = QUESTIONS)]
    Eval {
        /// Name of the collection
        collection: String,
        /// Questions whose answers are known
        #[arg(value_name = "QUESTIONS")]
        questions: PathBuf,
        /// Look at so many hits
        #[arg(long, value_name = "N", default_value_t = 10)]
        #[arg(value_parser = value_parser!(u32).range(1..=100))]
        count: u32,
    },
}

/// What to look for, and where.
#[derive(Debug, Args)]
pub(crate) struct Search {
    /// Name of the collection
    collection: String,
    /// What to look for
    #[arg(required = true, value_name = "QUESTION")]
    question: Vec<String>,
    /// Show at most so many passages
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = value_parser!(u32).range(1..=100))]
    count: u32,
    /// How to look
    #[arg(long, value_enum, default_value_t = Mode::Hybrid)]
    mode: Mode,
    /// Only in documents with this metadata; may be given several times
    #[arg(long = "where", value_name = "KEY=VALUE", value_parser = ingest::pair)]
    filter: Vec<(String, String)>,
    /// How much passages shall differ from each other, 0 to 1
    #[arg(long, value_name = "X")]
    diversity: Option<f32>,
    /// Ask no server that is not on this machine
    #[arg(long)]
    private: bool,
}

/// How to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// By words and by meaning
    Hybrid,
    /// By words
    Words,
    /// By meaning
    Meaning,
}

impl From<Mode> for v1::SearchMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Hybrid => Self::Hybrid,
            Mode::Words => Self::Words,
            Mode::Meaning => Self::Meaning,
        }
    }
}

impl Knowledge {
    pub(crate) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let client = context.connect().await?;
        unless_interrupted(self.ask(context, &client)).await
    }

    async fn ask(self, context: &Context, client: &Client) -> Result<ExitCode, Failure> {
        let terminal = context.terminal;
        match self {
            Self::Ingest(ingest) => return ingest.run(terminal, client).await,
            Self::Search(search) => {
                let found = search.run(client).await?;
                terminal.result(&found, report::Found::text)?;
                if let Some(notice) = &found.notice {
                    terminal.explain(&format!("note: {notice}"));
                }
            }
            Self::List { collection: None } => {
                let request = v1::ListCollectionsRequest {};
                let listed = client.knowledge().list_collections(request).await?.into_inner();
                terminal.result(&report::Collections::from(listed), report::Collections::text)?;
            }
            Self::List { collection: Some(collection) } => {
                let documents = documents(client, collection).await?;
                terminal.result(&documents, report::Documents::text)?;
            }
            Self::Remove { collection, sources } => {
                let request = v1::RemoveDocumentsRequest { collection, sources: sources.clone() };
                let removed = client.knowledge().remove_documents(request).await?.into_inner();
                let removal = report::Removal::new(removed.removed, &sources);
                terminal.result(&removal, report::Removal::text)?;
                for source in &removal.not_found {
                    terminal.explain(&format!("error: there is no document {source}"));
                }
                if !removal.not_found.is_empty() {
                    return Ok(ExitCode::FAILURE);
                }
            }
            Self::Delete { collection } => {
                let request = v1::DeleteCollectionRequest { collection: collection.clone() };
                client.knowledge().delete_collection(request).await?;
                terminal.result(&report::Deletion { deleted: collection }, |deletion| {
                    format!("deleted {}\n", deletion.deleted)
                })?;
            }
            Self::Check { collection } => {
                let request = v1::CheckCollectionRequest { collection };
                let checked = client.knowledge().check_collection(request).await?.into_inner();
                let check = report::Check { faults: checked.faults };
                terminal.result(&check, report::Check::text)?;
                if !check.faults.is_empty() {
                    return Ok(ExitCode::FAILURE);
                }
            }
            Self::Compact { collection } => {
                let request = v1::CompactCollectionRequest { collection };
                let compacted = client.knowledge().compact_collection(request).await?;
                let compaction = report::Compaction::from(compacted.into_inner());
                terminal.result(&compaction, report::Compaction::text)?;
            }
            Self::Eval { collection, questions, count } => {
                let questions = read(&questions)?;
                let request =
                    v1::EvaluateRequest { collection, questions, count, modes: Vec::new() };
                let spinner = terminal.spinner("searching");
                let evaluated = client.knowledge().evaluate(request).await;
                spinner.finish_and_clear();
                let evaluated = report::Evaluations::new(evaluated?.into_inner(), count);
                terminal.result(&evaluated, report::Evaluations::text)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Search {
    async fn run(self, client: &Client) -> Result<report::Found, Failure> {
        let request = v1::SearchRequest {
            collection: self.collection,
            question: self.question.join(" "),
            count: self.count,
            mode: v1::SearchMode::from(self.mode).into(),
            filter: self.filter.into_iter().collect(),
            may_leave: false,
            diversity: self.diversity,
            private: self.private,
        };
        Ok(client.knowledge().search(request).await?.into_inner().into())
    }
}

async fn documents(client: &Client, collection: String) -> Result<report::Documents, Failure> {
    let mut documents = report::Documents::default();
    let mut page_token = String::new();
    loop {
        let request = v1::ListDocumentsRequest {
            collection: collection.clone(),
            page_size: 1000,
            page_token: std::mem::take(&mut page_token),
        };
        let page = client.knowledge().list_documents(request).await?.into_inner();
        documents.extend(page.documents);
        if page.next_page_token.is_empty() {
            return Ok(documents);
        }
        page_token = page.next_page_token;
    }
}

fn read(path: &std::path::Path) -> Result<String, Failure> {
    if path.as_os_str() == "-" {
        return io::read_to_string(io::stdin()).map_err(|error| unreadable("-", &error));
    }
    fs::read_to_string(path).map_err(|error| unreadable(&path.display().to_string(), &error))
}

pub(super) fn unreadable(what: &str, error: &io::Error) -> Failure {
    Failure::usage(format!("{what} cannot be read: {error}"), "name a file that can be read")
}
