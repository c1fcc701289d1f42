//! `tandem cache`: what is kept so that it need not be computed or asked again.

use clap::{Subcommand, ValueEnum};
use tandem_client::v1;

use crate::{
    context::Context,
    failure::Failure,
    report::cache::{Caches, Cleared},
};

const NOTES: &str = "\
Embeddings are kept unless memory.embedding_cache.bytes_max is 0. Answers are kept when
memory.response_cache.enabled is set, and only where the same question would get the same answer:
with a seed or temperature 0. Both are encrypted; see docs/caches.md.

Examples:
  tandem cache stats                what is kept, and how often it was of use
  tandem cache clear answers        forget all answers
  tandem cache stats --json | jq '.caches[] | {name, hits, misses}'";

/// What to do with the caches.
#[derive(Debug, Subcommand)]
#[command(after_help = NOTES)]
pub(crate) enum Cache {
    /// Show what is kept, and how often it was of use
    Stats,
    /// Forget what is kept
    Clear {
        /// Which cache [default: both]
        #[arg(value_enum)]
        cache: Option<Name>,
    },
}

/// Which cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// Vectors of texts
    Embeddings,
    /// Answers to questions
    Answers,
}

impl Cache {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.connect().await?;
        match self {
            Self::Stats => {
                let stats = client.cache().stats(v1::CacheStatsRequest {}).await?.into_inner();
                context.terminal.result(&Caches::from(stats), Caches::text)
            }
            Self::Clear { cache } => {
                let name = match cache {
                    None => "",
                    Some(Name::Embeddings) => "embeddings",
                    Some(Name::Answers) => "answers",
                };
                let request = v1::ClearCacheRequest { name: name.to_owned() };
                let bytes = client.cache().clear(request).await?.into_inner().bytes;
                context.terminal.result(&Cleared { bytes }, Cleared::text)
            }
        }
    }
}
