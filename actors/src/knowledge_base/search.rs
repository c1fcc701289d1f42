//! Finding passages for a question.

use tandem_knowledge::{Filter, Hit, Label, Mode, Query};
use tandem_proto::v1::{self, SearchMode, SearchRequest, SearchResponse};
use tracing::warn;

use super::embedder::Embedder;
use super::{KnowledgeBase, blocking, label};
use crate::{Error, Result};

const COUNT_DEFAULT: u32 = 10;
pub(super) const COUNT_MAX: u32 = 100;
/// Longest question that is searched for.
const QUESTION_BYTES_MAX: usize = 64 << 10;

impl KnowledgeBase {
    /// The chunks that suit a question best.
    pub async fn search(&self, request: SearchRequest) -> Result<SearchResponse> {
        let _permit = self.permit()?;
        let (shelf, card) = self.shelf(&request.collection).await?;
        let question = checked_question(request.question)?;
        let count = checked_count(request.count)?;
        let asked = SearchMode::try_from(request.mode)
            .map_err(|_| Error::invalid("mode", format!("{} is not known", request.mode)))?;
        let vector = match (&card.embedding, asked) {
            (None, SearchMode::Meaning) => {
                let problem = "it has no embeddings, as there was no embedding model when it was made; \
                               search by words, or delete it and ingest its documents again";
                return Err(shelf.unusable(problem));
            }
            (None, _) | (_, SearchMode::Words) => None,
            (Some(space), _) => {
                let embedded = self.embedded(&space.model, &question).await;
                match embedded {
                    Ok(vector) => Some(vector),
                    Err(error) if asked == SearchMode::Meaning => return Err(error),
                    Err(error) => {
                        warn!(%error, "the question is searched for by its words only");
                        None
                    }
                }
            }
        };
        let mode = match (asked, &vector) {
            (SearchMode::Meaning, _) => SearchMode::Meaning,
            (_, None) => SearchMode::Words,
            _ => SearchMode::Hybrid,
        };
        let query = Query {
            words: question,
            vector,
            count: count as usize,
            filter: Filter {
                metadata: request
                    .filter
                    .into_iter()
                    .map(|(key, value)| (key, [value].into()))
                    .collect(),
                label: request.may_leave.then_some(Label::MayLeave),
                ..Filter::default()
            },
            mode: mode_of(mode),
            diversity: request.diversity.map(|it| it.clamp(0.0, 1.0)),
        };
        let searcher = shelf.searcher().await?;
        let hits = blocking(move || searcher.search(&query)).await?;
        let hits = hits.map_err(|error| shelf.failed(&error))?;
        Ok(SearchResponse { hits: hits.into_iter().map(hit).collect(), mode: mode.into() })
    }

    async fn embedded(&self, model: &str, question: &str) -> Result<Vec<f32>> {
        let embedder = Embedder::acquire(&self.models, model).await?;
        let mut vectors = embedder.embed(vec![question.to_owned()]).await?;
        vectors.pop().ok_or_else(|| Error::Internal {
            problem: "the engine returned no embedding for a question".to_owned(),
        })
    }
}

pub(super) fn mode_of(mode: SearchMode) -> Mode {
    match mode {
        SearchMode::Unspecified | SearchMode::Hybrid => Mode::Hybrid,
        SearchMode::Words => Mode::Words,
        SearchMode::Meaning => Mode::Vectors,
    }
}

pub(super) fn checked_count(count: u32) -> Result<u32> {
    match count {
        0 => Ok(COUNT_DEFAULT),
        1..=COUNT_MAX => Ok(count),
        _ => Err(Error::invalid("count", format!("{count}; 0 to {COUNT_MAX} are allowed"))),
    }
}

fn checked_question(question: String) -> Result<String> {
    if question.trim().is_empty() {
        return Err(Error::invalid("question", "is empty; say what to look for"));
    }
    if question.len() > QUESTION_BYTES_MAX {
        let problem =
            format!("has {} bytes; at most {QUESTION_BYTES_MAX} are allowed", question.len());
        return Err(Error::invalid("question", problem));
    }
    Ok(question)
}

fn hit(hit: Hit) -> v1::Hit {
    v1::Hit {
        source: hit.source,
        title: hit.title,
        text: hit.chunk.text,
        page: hit.chunk.place.page.unwrap_or(0),
        line: hit.chunk.place.line.unwrap_or(0),
        headings: hit.chunk.place.headings,
        label: label(hit.label).into(),
        score: hit.score,
        similarity: hit.similarity,
        words: hit.words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_looked_for_is_refused_by_name() {
        assert_eq!(checked_count(0), Ok(10));
        for (field, refused) in [
            ("count", checked_count(101).err()),
            ("question", checked_question(" \n".to_owned()).err()),
            ("question", checked_question("x".repeat(QUESTION_BYTES_MAX + 1)).err()),
        ] {
            assert!(matches!(refused, Some(Error::Invalid { field: of, .. }) if of == field));
        }
    }
}
