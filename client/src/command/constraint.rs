//! What the answer to one question must obey, read from a file.

use std::{io, path::PathBuf};

use clap::Args;
use tokio::{fs::File, io::AsyncReadExt as _};

use super::turn::Options;
use crate::failure::Failure;

/// Most bytes of a schema or a grammar; more is refused by the daemon as well.
const BYTES_MAX: u64 = 65_536;

/// The form of the answer.
#[derive(Debug, Args)]
#[command(next_help_heading = "Form of the answer")]
pub(crate) struct Constraint {
    /// Answer with JSON that fits the JSON schema in this file
    #[arg(long, value_name = "FILE", conflicts_with = "grammar")]
    json_schema: Option<PathBuf>,

    /// Answer with what the grammar in this file describes: GBNF or Lark
    ///
    /// Only the local model can do that; with --policy slow it is refused.
    #[arg(long, value_name = "FILE")]
    grammar: Option<PathBuf>,
}

impl Constraint {
    /// Reads the file, if one is named.
    pub(crate) async fn read_into(self, options: &mut Options) -> Result<(), Failure> {
        options.constrain(read(self.json_schema).await?, read(self.grammar).await?);
        Ok(())
    }
}

async fn read(path: Option<PathBuf>) -> Result<String, Failure> {
    let Some(path) = path else { return Ok(String::new()) };
    let unreadable = |error: io::Error| {
        let message = format!("cannot read {}: {error}", path.display());
        Failure::usage(message, "name a text file that you may read")
    };
    let mut text = String::new();
    let file = File::open(&path).await.map_err(unreadable)?;
    file.take(BYTES_MAX + 1).read_to_string(&mut text).await.map_err(unreadable)?;
    if text.len() as u64 > BYTES_MAX {
        let message = format!("{} is longer than {BYTES_MAX} bytes", path.display());
        return Err(Failure::usage(message, "make it shorter"));
    }
    if text.trim().is_empty() {
        let message = format!("{} is empty", path.display());
        return Err(Failure::usage(message, "write a schema or a grammar into it"));
    }
    Ok(text)
}
