//! tandem's collection, filled by this process and searched by one of its own, so that its memory is
//! that of searching.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use tandem_knowledge::{
    Chunk, Collection, Document, Embedded, EmbeddingSpace, Filter, Label, Mode, Place, Query,
};

use super::super::process::Memory;
use super::vectors::Sample;
use super::{Answers, COUNT, Intake, Retrieval, Size, folder_bytes};

/// Chunks of a document.
const CHUNKS: usize = 10;
/// Documents that become true with one commit.
const DOCUMENTS: usize = 50;
/// One document in so many has the value that the filter looks for.
const PARTS: usize = 10;

/// A process that searches.
pub(super) struct Ours {
    folder: PathBuf,
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    opened: Opened,
}

/// What the process says when it is ready.
#[derive(Debug, Serialize, Deserialize)]
struct Opened {
    opening_ms: f64,
    /// Since the process began.
    first_answer_ms: f64,
}

fn space(dimensions: usize) -> EmbeddingSpace {
    EmbeddingSpace { model: "sample".to_owned(), dimensions }
}

impl Ours {
    /// Fills a collection and starts a process that searches it.
    pub(super) fn start(
        folder: &Path,
        plan: &Retrieval,
        sample: &Sample,
    ) -> Result<(Self, Intake)> {
        let began = Instant::now();
        fill(folder, sample)?;
        let intake = Intake { seconds: began.elapsed().as_secs_f64() };
        let started = Instant::now();
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--vectors")
            .arg(&plan.vectors)
            .arg("--texts")
            .arg(&plan.texts)
            .args(["--dimensions", &plan.dimensions.to_string()])
            .args(["--questions", &plan.questions.to_string()])
            .arg("--search")
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a process that searches")?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the process has no pipes");
        };
        let mut from = BufReader::new(from);
        let opened: Opened = line(&mut from)?;
        let first_answer_ms = started.elapsed().as_secs_f64() * 1e3;
        let opened = Opened { first_answer_ms, ..opened };
        Ok((Self { folder: folder.into(), child, to, from, opened }, intake))
    }

    /// Asks all questions in that manner.
    pub(super) fn ask(&mut self, manner: &str) -> Result<Answers> {
        writeln!(self.to, "{manner}")?;
        line(&mut self.from)
    }

    pub(super) fn size(&self) -> Result<Size> {
        let memory = Memory::of(self.child.id())?;
        Ok(Size {
            disk: folder_bytes(&self.folder)?,
            anonymous: memory.anonymous,
            resident: memory.resident,
            first_answer_ms: self.opened.first_answer_ms,
            opening_ms: Some(self.opened.opening_ms),
        })
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line<T: serde::de::DeserializeOwned>(from: &mut BufReader<ChildStdout>) -> Result<T> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    serde_json::from_str(&line).context("the process that searches ended")
}

fn fill(folder: &Path, sample: &Sample) -> Result<()> {
    let dimensions = sample.questions.first().map_or(0, Vec::len);
    let mut collection = Collection::open(folder, Some(&space(dimensions)))?;
    let chunks = sample.texts.chunks(CHUNKS).zip(sample.vectors.chunks(CHUNKS));
    for (number, (texts, vectors)) in chunks.enumerate() {
        let document = Document {
            source: format!("/sample/{number:06}.txt"),
            title: format!("Document {number}"),
            sha256: number.to_string(),
            bytes: texts.iter().map(|text| text.len() as u64).sum(),
            modified: 0,
            metadata: BTreeMap::from([("part".to_owned(), (number % PARTS).to_string())]),
            label: Label::MayLeave,
            cut: None,
        };
        let chunk = |(ordinal, (text, vector)): (u32, (&String, &Vec<f32>))| Embedded {
            chunk: Chunk { ordinal, text: text.clone(), place: Place::default() },
            vector: vector.clone(),
        };
        let chunks = (0..).zip(texts.iter().zip(vectors)).map(chunk).collect();
        collection.replace(document, chunks)?;
        if number % DOCUMENTS == DOCUMENTS - 1 {
            collection.commit()?;
        }
    }
    Ok(collection.commit()?)
}

/// Opens the collection in a folder, says how long that took, and then asks all questions in the manner of
/// each line of standard input. Answers are lines of standard output.
pub fn serve(folder: &Path, plan: &Retrieval) -> Result<()> {
    let began = Instant::now();
    let collection = Collection::open(folder, Some(&space(plan.dimensions)))?;
    let opening_ms = began.elapsed().as_secs_f64() * 1e3;
    let searcher = collection.reader();
    // Vectors are not read here, so that the memory of this process is that of searching.
    let (questions, asked) =
        Sample::questions(&plan.vectors, &plan.texts, plan.dimensions, plan.questions)?;
    let first = questions.first().context("no question")?;
    searcher.search(&query("vectors", first, "")?)?;
    tell(&Opened { opening_ms, first_answer_ms: 0.0 })?;
    for manner in std::io::stdin().lines() {
        let manner = manner?;
        let mut answers = Answers { ms: Vec::new(), found: Vec::new() };
        for (vector, words) in questions.iter().zip(&asked) {
            let query = query(&manner, vector, words)?;
            let began = Instant::now();
            let hits = searcher.search(&query)?;
            answers.ms.push(began.elapsed().as_secs_f64() * 1e3);
            // The first chunk is number 1.
            answers.found.push(hits.iter().map(|hit| hit.id as usize - 1).collect());
        }
        tell(&answers)?;
    }
    Ok(())
}

fn query(manner: &str, vector: &[f32], words: &str) -> Result<Query> {
    let query = Query {
        words: words.to_owned(),
        vector: Some(vector.to_vec()),
        count: COUNT,
        ..Query::default()
    };
    Ok(match manner {
        "vectors" => Query { mode: Mode::Vectors, ..query },
        "words" => Query { mode: Mode::Words, vector: None, ..query },
        "hybrid" => query,
        "diverse" => Query { diversity: Some(0.3), ..query },
        "filtered" => {
            let metadata = BTreeMap::from([("part".to_owned(), ["3".to_owned()].into())]);
            let filter = Filter { metadata, ..Filter::default() };
            Query { mode: Mode::Vectors, filter, ..query }
        }
        other => bail!("no manner of asking is called {other}"),
    })
}

#[allow(clippy::print_stdout, reason = "the process that started this one reads it")]
fn tell(what: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(what)?);
    Ok(())
}
