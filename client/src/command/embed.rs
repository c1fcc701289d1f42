//! `tandem embed`: texts in, vectors out.

use std::io::{self, BufRead};

use clap::Args;
use serde::Serialize;
use tandem_client::{Client, v1};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::{
    context::{Context, unless_interrupted},
    failure::Failure,
    model_path,
    terminal::Terminal,
};

/// Lines of standard input in one request.
const TEXTS_MAX: usize = 256;
/// Their bytes, unless one line alone has more.
const BYTES_MAX: usize = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  tandem embed \"How do I reset my password?\"
  tandem embed \"one text\" \"another text\" --model all-minilm-l6-v2
  tandem embed - < sentences.txt > vectors.jsonl
  tandem embed --json \"a text\" | jq .tokens

Prints one JSON array a text, on a line of its own and in the order of the texts; with `--json` an
object with `model`, `values`, `tokens`, `truncated` and `cached`. Vectors have length 1 unless `--raw` is
given, so that the dot product of two says how close their texts are: 1 is the same.

Takes an embedding model. `tandem model import FOLDER` makes one of a BERT model; when there are
several, name one here or in models.embedding of the settings.";

/// Texts, and the model to turn them into vectors.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Embed {
    /// The texts; `-` stands for the lines of standard input
    #[arg(value_name = "TEXT", required = true)]
    texts: Vec<String>,

    /// Embedding model: id or path of a GGUF file [default: models.embedding, else the only one]
    #[arg(long, value_name = "ID")]
    model: Option<String>,

    /// Leave the vectors as long as the model makes them
    #[arg(long)]
    raw: bool,
}

/// One text's vector and what is to be known about it.
#[derive(Serialize)]
struct Line<'a> {
    model: &'a str,
    values: &'a [f32],
    tokens: u32,
    truncated: bool,
    cached: bool,
}

impl Embed {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let model = self.model.map(model_path::resolve).transpose()?.unwrap_or_default();
        let client = context.connect().await?;
        let session = Session { client, terminal: context.terminal, model, normalize: !self.raw };
        unless_interrupted(session.run(self.texts)).await
    }
}

struct Session {
    client: Client,
    terminal: Terminal,
    model: String,
    normalize: bool,
}

impl Session {
    async fn run(self, texts: Vec<String>) -> Result<(), Failure> {
        let mut truncated = 0;
        let mut given = Vec::new();
        for text in texts {
            if text == "-" {
                truncated += self.embed(std::mem::take(&mut given)).await?;
                let (sender, mut lines) = mpsc::channel(1);
                let reading = spawn_blocking(move || read(io::stdin().lock(), &sender));
                while let Some(texts) = lines.recv().await {
                    truncated += self.embed(texts).await?;
                }
                reading.await.map_err(io::Error::other).map_err(Failure::Output)??;
            } else {
                given.push(text);
            }
        }
        truncated += self.embed(given).await?;
        if truncated > 0 {
            self.terminal.notice(&format!(
                "note: of {truncated} text(s), the model has read only the beginning"
            ));
        }
        Ok(())
    }

    /// Prints the vectors of these texts. How many texts were too long.
    async fn embed(&self, texts: Vec<String>) -> Result<usize, Failure> {
        if texts.is_empty() {
            return Ok(0);
        }
        let (model, normalize) = (self.model.clone(), Some(self.normalize));
        let request = v1::EmbedRequest { model, texts, normalize };
        let answer = self.client.inference().embed(request).await?.into_inner();
        for embedding in &answer.embeddings {
            let line = Line {
                model: &answer.model,
                values: &embedding.values,
                tokens: embedding.tokens,
                truncated: embedding.truncated,
                cached: embedding.cached,
            };
            self.terminal.result(&line, |line| {
                let values: Vec<String> = line.values.iter().map(f32::to_string).collect();
                format!("[{}]\n", values.join(","))
            })?;
        }
        Ok(answer.embeddings.iter().filter(|embedding| embedding.truncated).count())
    }
}

/// Reads lines, and hands out as many as make a request.
fn read(mut input: impl BufRead, sender: &mpsc::Sender<Vec<String>>) -> Result<(), Failure> {
    let mut lines = Vec::new();
    let mut bytes = 0;
    loop {
        let mut line = Vec::new();
        let limit = crate::prompt::BYTES_MAX;
        let read = io::Read::take(&mut input, limit + 1).read_until(b'\n', &mut line);
        let over = read.map_err(Failure::Output)? == 0;
        if line.len() as u64 > limit {
            let message = format!("a line of standard input is longer than {limit} bytes");
            return Err(Failure::usage(message, "split it into shorter texts"));
        }
        let full = lines.len() == TEXTS_MAX || bytes + line.len() > BYTES_MAX;
        if (over || full) && !lines.is_empty() {
            bytes = 0;
            if sender.blocking_send(std::mem::take(&mut lines)).is_err() {
                return Ok(());
            }
        }
        if over {
            return Ok(());
        }
        bytes += line.len();
        let text = String::from_utf8(line).map_err(|_| {
            let hint = "convert it, for example with iconv";
            Failure::usage("standard input is not UTF-8 text", hint)
        })?;
        lines.push(text.trim_end_matches(['\n', '\r']).to_owned());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn requests(input: &[u8]) -> Vec<Vec<String>> {
        let (sender, mut receiver) = mpsc::channel(64);
        read(input, &sender).unwrap();
        drop(sender);
        std::iter::from_fn(|| receiver.blocking_recv()).collect()
    }

    #[test]
    fn every_line_is_a_text_also_an_empty_one() {
        assert_eq!(requests(b"one\r\n\nthree"), [["one", "", "three"]]);
        assert!(requests(b"").is_empty());
    }

    #[test]
    fn many_or_large_lines_make_several_requests() {
        let many = "x\n".repeat(2 * TEXTS_MAX + 1);
        let sizes: Vec<_> = requests(many.as_bytes()).iter().map(Vec::len).collect();
        assert_eq!(sizes, [TEXTS_MAX, TEXTS_MAX, 1]);
        let large = format!("{}\n", "x".repeat(BYTES_MAX / 2)).repeat(3);
        assert_eq!(requests(large.as_bytes()).len(), 3);
    }

    #[test]
    fn what_is_not_text_is_refused() {
        let (sender, _receiver) = mpsc::channel(1);
        assert_eq!(read(&b"\xff\n"[..], &sender).unwrap_err().exit_code(), 2);
    }
}
