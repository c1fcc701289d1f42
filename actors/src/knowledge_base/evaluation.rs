//! How well a collection's documents are found, by questions whose answers are known.

use std::path::Path;
use std::time::{Duration, Instant};

use tandem_knowledge::{Filter, Query, evaluate};
use tandem_proto::v1::{Estimate, EvaluateRequest, EvaluateResponse, Evaluation, SearchMode};

use super::KnowledgeBase;
use super::embedder::Embedder;
use super::search::{checked_count, mode_of};
use super::shelf::Shelf;
use crate::{Error, Result};

const MODES: [SearchMode; 3] = [SearchMode::Words, SearchMode::Meaning, SearchMode::Hybrid];
/// Most questions of an evaluation.
const QUESTIONS_MAX: usize = 10_000;
/// The same questions and hits give the same intervals.
const BOOTSTRAP_SEED: u64 = 1;

impl KnowledgeBase {
    /// Searches for each question in each mode, one at a time.
    pub async fn evaluate(&self, request: EvaluateRequest) -> Result<EvaluateResponse> {
        let _permit = self.permit()?;
        let (shelf, card) = self.shelf(&request.collection).await?;
        let count = checked_count(request.count)? as usize;
        let mut questions = evaluate::parse_questions(Path::new("questions"), &request.questions)
            .map_err(|error| Error::invalid("questions", error.to_string()))?;
        questions.retain(|question| question.answerable);
        if questions.is_empty() || questions.len() > QUESTIONS_MAX {
            let problem =
                format!("are {} that have an answer; give 1 to {QUESTIONS_MAX}", questions.len());
            return Err(Error::invalid("questions", problem));
        }
        let vectors = match &card.embedding {
            None => None,
            Some(maker) => {
                let embedder = Embedder::of(&self.models, maker).await?;
                let texts = questions.iter().map(|question| question.question.clone()).collect();
                Some(embedder.embed(texts).await?)
            }
        };
        let modes: Vec<SearchMode> = match request.modes.as_slice() {
            [] if vectors.is_some() => MODES.to_vec(),
            [] => vec![SearchMode::Words],
            _ => request.modes().collect(),
        };
        if vectors.is_none() && modes.iter().any(|mode| *mode != SearchMode::Words) {
            return Err(shelf.unusable("it has no embeddings; evaluate the mode words only"));
        }
        let mut evaluations = Vec::with_capacity(modes.len());
        for mode in modes {
            let measured = self.measured(&shelf, &questions, vectors.as_deref(), mode, count);
            evaluations.push(measured.await?);
        }
        Ok(EvaluateResponse { evaluations })
    }

    async fn measured(
        &self,
        shelf: &Shelf,
        questions: &[evaluate::Question],
        vectors: Option<&[Vec<f32>]>,
        mode: SearchMode,
        count: usize,
    ) -> Result<Evaluation> {
        let mut judgements = Vec::with_capacity(questions.len());
        let mut times = Vec::with_capacity(questions.len());
        for (number, question) in questions.iter().enumerate() {
            let query = Query {
                words: question.question.clone(),
                vector: vectors.and_then(|vectors| vectors.get(number)).cloned(),
                count,
                filter: Filter::default(),
                mode: mode_of(mode),
                diversity: None,
            };
            let begin = Instant::now();
            let (hits, _) = self.find(shelf, query, false).await?;
            times.push(begin.elapsed());
            let found = hits.iter().map(|hit| (hit.source.as_str(), hit.chunk.text.as_str()));
            judgements.push(evaluate::judge(question, found));
        }
        let report = evaluate::report(&judgements, count, BOOTSTRAP_SEED);
        times.sort_unstable();
        Ok(Evaluation {
            mode: mode.into(),
            questions: u32::try_from(questions.len()).unwrap_or(u32::MAX),
            recall: Some(estimate(report.recall)),
            mrr: Some(estimate(report.mrr)),
            ndcg: Some(estimate(report.ndcg)),
            latency_p50_us: percentile(&times, 50),
            latency_p99_us: percentile(&times, 99),
        })
    }
}

fn estimate(estimate: evaluate::Estimate) -> Estimate {
    Estimate { mean: estimate.mean, low: estimate.low, high: estimate.high }
}

/// Of sorted times, by the nearest rank, in microseconds.
fn percentile(sorted: &[Duration], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    let time = sorted.get(rank - 1).copied().unwrap_or_default();
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!((percentile(&times, 50), percentile(&times, 99)), (100, 198));
        assert_eq!(percentile(&times[..1], 99), 1);
        assert_eq!(percentile(&[], 50), 0);
    }
}
