//! The vectors that both hold, and what is truly nearest to each question.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read as _, Seek as _, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// How much less similar than the last of the nearest a hit may be, as both round differently.
const ROUNDING: f32 = 1e-5;

/// Vectors to hold and vectors to ask for.
pub(super) struct Sample {
    pub(super) vectors: Vec<Vec<f32>>,
    pub(super) texts: Vec<String>,
    pub(super) questions: Vec<Vec<f32>>,
}

impl Sample {
    /// Reads files of vectors and of texts.
    pub(super) fn read(
        vectors: &Path,
        texts: &Path,
        dimensions: usize,
        questions: usize,
    ) -> Result<Self> {
        ensure!(dimensions > 0, "--dimensions 0 is no vector");
        let bytes = fs::read(vectors).with_context(|| vectors.display().to_string())?;
        let mut vectors = rows(&bytes, dimensions);
        let texts = fs::read_to_string(texts).with_context(|| texts.display().to_string())?;
        let mut texts: Vec<String> = texts.lines().map(str::to_owned).collect();
        let (found, lines) = (vectors.len(), texts.len());
        ensure!(found == lines, "{found} vectors and {lines} texts; make them again");
        ensure!(found > questions, "{found} vectors are too few for {questions} questions");
        let questions = vectors.split_off(found - questions);
        texts.truncate(vectors.len());
        Ok(Self { vectors, texts, questions })
    }

    /// Reads the questions alone, with little memory.
    pub(super) fn questions(
        vectors: &Path,
        texts: &Path,
        dimensions: usize,
        questions: usize,
    ) -> Result<(Vec<Vec<f32>>, Vec<String>)> {
        let mut file = File::open(vectors).with_context(|| vectors.display().to_string())?;
        let bytes = i64::try_from(questions * dimensions * 4)?;
        file.seek(SeekFrom::End(-bytes))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        let mut asked = VecDeque::new();
        for line in BufReader::new(File::open(texts)?).lines() {
            asked.push_back(line?);
            if asked.len() > questions {
                asked.pop_front();
            }
        }
        Ok((rows(&tail, dimensions), asked.into()))
    }

    /// Of each question, the similarity of the last of the `count` nearest.
    pub(super) fn truth(&self, count: usize) -> Vec<f32> {
        let last = |question: &Vec<f32>| {
            let mut all: Vec<f32> =
                self.vectors.iter().map(|vector| similarity(question, vector)).collect();
            let at = count.min(all.len()).saturating_sub(1);
            *all.select_nth_unstable_by(at, |left, right| right.total_cmp(left)).1
        };
        self.questions.iter().map(last).collect()
    }

    /// How many of what was found for a question belong to the nearest.
    pub(super) fn right(&self, question: usize, found: &[usize], last: f32) -> usize {
        let near = |place: &&usize| {
            let vector = self.vectors.get(**place);
            vector.is_some_and(|vector| {
                similarity(&self.questions[question], vector) >= last - ROUNDING
            })
        };
        found.iter().filter(near).count()
    }
}

fn rows(bytes: &[u8], dimensions: usize) -> Vec<Vec<f32>> {
    let row =
        |row: &[u8]| row.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
    bytes.chunks_exact(dimensions * 4).map(row).collect()
}

fn similarity(left: &[f32], right: &[f32]) -> f32 {
    // Sums of their own let the compiler use wide registers.
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    for (left, right) in left.chunks(LANES).zip(right.chunks(LANES)) {
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            *sum += left * right;
        }
    }
    sums.iter().sum()
}

/// Turns lines with a JSON array each into 32-bit numbers, as this benchmark reads them.
pub fn pack(lines: impl BufRead, mut out: impl Write) -> Result<()> {
    for line in lines.lines() {
        let values: Vec<f32> =
            serde_json::from_str(&line?).context("a line is no array of numbers")?;
        for value in values {
            out.write_all(&value.to_le_bytes())?;
        }
    }
    Ok(out.flush()?)
}
