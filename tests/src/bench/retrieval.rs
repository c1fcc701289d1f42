//! The benchmark of searches: a collection of tandem and a server of Chroma hold the same texts and
//! vectors, answer the same questions, in turn, and are held against what an exact comparison finds.

mod chroma;
mod ours;
mod report;
mod vectors;

use std::path::PathBuf;

use anyhow::{Context as _, Result};

pub use ours::serve;
pub use report::Report;
pub use vectors::pack;

use self::chroma::Chroma;
use self::ours::Ours;
use self::report::Row;
use self::vectors::Sample;
use super::say;

/// Hits that are asked for.
const COUNT: usize = 10;
/// What Chroma's graph is searched with by default.
const DEFAULT: u32 = 100;
/// The greatest value of it that is tried.
const MOST: u32 = 3200;

/// What is measured.
#[derive(Debug)]
pub struct Retrieval {
    /// The program `chroma`; without it only tandem is measured.
    pub chroma: Option<PathBuf>,
    /// Vectors as 32-bit numbers, one after the other; the last ones are questions.
    pub vectors: PathBuf,
    /// A text a line for each vector.
    pub texts: PathBuf,
    /// Numbers a vector.
    pub dimensions: usize,
    /// How many of the vectors are questions.
    pub questions: usize,
    /// How often all questions are asked.
    pub repeats: usize,
    /// Where both keep their data while this runs.
    pub folder: PathBuf,
}

/// Measures and returns what came of it.
pub async fn measure(plan: &Retrieval) -> Result<Report> {
    let sample = Sample::read(&plan.vectors, &plan.texts, plan.dimensions, plan.questions)?;
    let total = sample.vectors.len();
    say(&format!("{total} vectors, {} questions; comparing all exactly", sample.questions.len()));
    let truth = sample.truth(COUNT);
    std::fs::create_dir_all(&plan.folder)?;
    let folder = tempfile::tempdir_in(&plan.folder).context("no folder for the data")?;

    say("tandem takes them in");
    let (mut ours, intake) = Ours::start(&folder.path().join("tandem"), plan, &sample)?;
    let mut report = Report::new(total, sample.questions.len(), plan.dimensions, plan.repeats);
    report.intake("tandem", intake);
    let mut theirs = None;
    if let Some(program) = &plan.chroma {
        say("Chroma takes them in");
        let (server, intake) =
            Chroma::fill(program, &folder.path().join("chroma"), &sample).await?;
        report.intake("Chroma", intake);
        theirs = Some(server);
    }

    let mut rows = vec![Row::new("tandem, meaning")];
    rows[0].add(&ours.ask("vectors")?, &sample, &truth);
    let recall = rows[0].recall();
    let mut raised = DEFAULT;
    if let Some(chroma) = &mut theirs {
        loop {
            chroma.width(raised).await?;
            let mut row = Row::new(&format!("Chroma, ef_search {raised}"));
            // The first answers load what is not there yet.
            chroma.ask(&sample).await?;
            row.add(&chroma.ask(&sample).await?, &sample, &truth);
            say(&format!("Chroma with ef_search {raised}: recall {:.4}", row.recall()));
            if row.recall() >= recall || raised >= MOST {
                break;
            }
            raised *= 2;
        }
        rows.push(Row::new(&format!("Chroma, ef_search {DEFAULT}")));
        if raised != DEFAULT {
            rows.push(Row::new(&format!("Chroma, ef_search {raised}")));
        }
    }
    rows[0] = Row::new("tandem, meaning");
    for repeat in 0..plan.repeats {
        say(&format!("round {} of {}", repeat + 1, plan.repeats));
        for place in super::statistics::order(repeat, rows.len()) {
            let answers = match (place, &mut theirs) {
                (0, _) | (_, None) => ours.ask("vectors")?,
                (at, Some(chroma)) => {
                    chroma.width(if at == 1 { DEFAULT } else { raised }).await?;
                    chroma.ask(&sample).await?;
                    chroma.ask(&sample).await?
                }
            };
            rows[place].add(&answers, &sample, &truth);
        }
    }
    for (what, name) in [
        ("hybrid", "tandem, words and meaning"),
        ("words", "tandem, words"),
        ("filtered", "tandem, meaning, of a tenth by a filter"),
        ("diverse", "tandem, words and meaning, diverse"),
    ] {
        let mut row = Row::new(name);
        for _ in 0..plan.repeats {
            row.time(&ours.ask(what)?);
        }
        rows.push(row);
    }
    report.rows(rows);
    report.size("tandem", ours.size()?);
    if let Some(chroma) = theirs {
        report.floor(chroma.floor().await?);
        report.size("Chroma", chroma.finish(&sample).await?);
    }
    Ok(report)
}

/// The answers to all questions.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Answers {
    /// Of each, the milliseconds it took.
    ms: Vec<f64>,
    /// Of each, the places of the vectors that were found.
    found: Vec<Vec<usize>>,
}

/// What taking everything in cost.
#[derive(Debug, Clone, Copy, serde::Serialize)]
struct Intake {
    seconds: f64,
}

/// What is there afterwards.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
struct Size {
    /// Bytes on disk.
    disk: u64,
    /// Resident memory that is no content of files.
    anonymous: u64,
    /// All resident memory.
    resident: u64,
    /// Milliseconds from the start of a process to its first answer.
    first_answer_ms: f64,
    /// Of these, those in which the collection is opened; unknown of others.
    opening_ms: Option<f64>,
}

/// Bytes of all files below a folder.
fn folder_bytes(folder: &std::path::Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in folder.read_dir()? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { folder_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
