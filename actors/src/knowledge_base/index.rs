//! Where the vectors nearest to a question are looked for: in the collection's own index, or in a copy
//! of it elsewhere ([`super::mirror`]).

use tandem_knowledge::{Candidate, Filter, Label};

use super::blocking;
use super::shelf::Shelf;
use crate::Result;

/// What is looked for.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    /// The vector of the question, of any length but 0.
    pub(super) vector: Vec<f32>,
    /// What may be found.
    pub(super) filter: Filter,
    /// The most candidates.
    pub(super) count: usize,
}

/// An index of a collection's vectors.
pub(super) trait VectorIndex {
    /// The chunks that are nearest and fit the filter, best first. Scores are cosines.
    fn nearest(&self, ask: &Ask) -> impl Future<Output = Result<Vec<Candidate>>> + Send;
}

/// The collection's own index, which has all there is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Embedded<'a>(pub(super) &'a Shelf);

impl VectorIndex for Embedded<'_> {
    async fn nearest(&self, ask: &Ask) -> Result<Vec<Candidate>> {
        self.look(ask.clone(), 0).await
    }
}

impl Embedded<'_> {
    /// The same among chunks with numbers above `after`.
    pub(super) async fn after(&self, ask: &Ask, after: u64) -> Result<Vec<Candidate>> {
        self.look(ask.clone(), after).await
    }

    /// The same among what has this label.
    pub(super) async fn labelled(&self, ask: &Ask, label: Label) -> Result<Vec<Candidate>> {
        if ask.filter.label.is_some_and(|only| only != label) {
            return Ok(Vec::new());
        }
        let filter = Filter { label: Some(label), ..ask.filter.clone() };
        self.look(Ask { filter, ..ask.clone() }, 0).await
    }

    async fn look(&self, Ask { vector, filter, count }: Ask, after: u64) -> Result<Vec<Candidate>> {
        let searcher = self.0.searcher().await?;
        let found = blocking(move || searcher.by_vector(&vector, &filter, count, after)).await?;
        found.map_err(|error| self.0.failed(&error))
    }
}

/// The best of several lists, which may have the same chunks.
pub(super) fn best(lists: &[Vec<Candidate>], count: usize) -> Vec<Candidate> {
    let mut all = lists.concat();
    // Equal numbers stand together, the better score first.
    all.sort_by(|one, other| one.id.cmp(&other.id).then(other.score.total_cmp(&one.score)));
    all.dedup_by_key(|candidate| candidate.id);
    all.sort_by(|one, other| other.score.total_cmp(&one.score));
    all.truncate(count);
    all
}

#[cfg(test)]
pub(super) mod tests;
