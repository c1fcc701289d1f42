//! Finding passages for a question.

use tandem_knowledge::{Candidate, Filter, Hit, Label, Mode, Query};
use tandem_proto::v1::{self, SearchMode, SearchRequest, SearchResponse};
use tracing::warn;

use super::embedder::Embedder;
use super::index::{Ask, Embedded, VectorIndex as _};
use super::maker::Maker;
use super::mirror::Mirrored;
use super::shelf::Shelf;
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
            (Some(maker), _) => {
                let embedded = self.embedded(maker, &question).await;
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
        let (hits, notice) = self.find(&shelf, query, request.private).await?;
        Ok(SearchResponse {
            hits: hits.into_iter().map(hit).collect(),
            mode: mode.into(),
            notice: notice.unwrap_or_default(),
        })
    }

    /// What suits a query best, and what whoever asked should know. Of a private one, nothing leaves this
    /// machine.
    pub(super) async fn find(
        &self,
        shelf: &Shelf,
        query: Query,
        private: bool,
    ) -> Result<(Vec<Hit>, Option<String>)> {
        let (vectors, notice) = match query.meaning() {
            None => (Vec::new(), None),
            Some(vector) => {
                let (vector, filter) = (vector.to_vec(), query.filter.clone());
                let ask = Ask { vector, filter, count: query.depth() };
                self.nearest(shelf, &ask, private).await?
            }
        };
        let searcher = shelf.searcher().await?;
        let hits = blocking(move || searcher.hits(&query, &vectors)).await?;
        Ok((hits.map_err(|error| shelf.failed(&error))?, notice))
    }

    async fn nearest(
        &self,
        shelf: &Shelf,
        ask: &Ask,
        private: bool,
    ) -> Result<(Vec<Candidate>, Option<String>)> {
        let own = Embedded(shelf);
        let mirror = shelf.mirror().filter(|mirror| !(private && mirror.is_elsewhere()));
        let Some(mirror) = mirror else { return Ok((own.nearest(ask).await?, None)) };
        match (Mirrored { shelf, mirror }).nearest(ask).await {
            Err(Error::KnowledgeBackend { problem }) if self.settings.chroma.fallback => {
                let notice = format!("{problem}; the collection's own index was searched");
                Ok((own.nearest(ask).await?, Some(notice)))
            }
            found => Ok((found?, None)),
        }
    }

    async fn embedded(&self, maker: &Maker, question: &str) -> Result<Vec<f32>> {
        let embedder = Embedder::of(&self.models, maker).await?;
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
