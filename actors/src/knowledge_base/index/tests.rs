//! What every index of vectors has to answer, whatever happens to the collection.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tandem_knowledge::{Chunk, Document, Embedded as Stored, EmbeddingSpace, Place};

use super::super::mirror::Mirror;
use super::*;

const DIMENSIONS: usize = 8;
const DOCUMENTS: u64 = 30;

/// A collection, and what is in it by its own account.
pub(in super::super) struct Library {
    pub(in super::super) shelf: Shelf,
    /// Vectors of the chunks by their numbers, each with its document.
    chunks: BTreeMap<u64, (Vec<f32>, Document)>,
    next: u64,
}

impl Library {
    pub(in super::super) fn open(dir: &Path, mirror: Option<Mirror>) -> Self {
        let space = EmbeddingSpace { model: "tiny".to_owned(), dimensions: DIMENSIONS };
        let shelf = Shelf::open("notes", dir.to_owned(), Some(space), None, mirror).unwrap();
        Self { shelf, chunks: BTreeMap::new(), next: 1 }
    }

    /// How many chunks there are, and how many of them may leave.
    pub(in super::super) fn counts(&self) -> (u64, u64) {
        let may_leave = self.chunks.values().filter(|(_, it)| it.label == Label::MayLeave);
        (self.chunks.len() as u64, may_leave.count() as u64)
    }

    /// Puts documents in, or in the place of those of the same numbers. Every other version may leave.
    pub(in super::super) async fn put(&mut self, numbers: &[u64], version: u64) {
        let mut documents = Vec::new();
        for number in numbers {
            let document = document(*number, version);
            self.chunks.retain(|_, (_, other)| other.source != document.source);
            let mut chunks = Vec::new();
            for ordinal in 0..3 {
                let vector = vector(number * 1000 + version * 10 + u64::from(ordinal));
                self.chunks.insert(self.next, (vector.clone(), document.clone()));
                self.next += 1;
                let chunk = Chunk { ordinal, text: "text".to_owned(), place: Place::default() };
                chunks.push(Stored { chunk, vector });
            }
            documents.push((document, chunks));
        }
        let put = move |collection: &mut tandem_knowledge::Collection| {
            for (document, chunks) in documents {
                collection.replace(document, chunks)?;
            }
            collection.commit()
        };
        self.shelf.change(put).await.unwrap();
    }

    pub(in super::super) async fn remove(&mut self, numbers: &[u64]) {
        let sources: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        self.chunks.retain(|_, (_, document)| !sources.contains(&document.source));
        let remove = move |collection: &mut tandem_knowledge::Collection| {
            for source in sources {
                collection.remove(&source)?;
            }
            collection.commit()
        };
        self.shelf.change(remove).await.unwrap();
    }

    /// Every answer is that of a comparison with all vectors.
    async fn check(&self, index: &impl VectorIndex) {
        let year = |years: &[&str]| {
            let years: BTreeSet<String> = years.iter().map(|it| (*it).to_owned()).collect();
            [("year".to_owned(), years)].into()
        };
        let filters = [
            Filter::default(),
            Filter { label: Some(Label::MayLeave), ..Filter::default() },
            Filter { label: Some(Label::LocalOnly), ..Filter::default() },
            Filter { metadata: year(&["2021"]), ..Filter::default() },
            Filter { metadata: year(&["2020", "2022"]), ..Filter::default() },
            Filter { metadata: year(&["1999"]), ..Filter::default() },
            Filter { metadata: year(&[]), ..Filter::default() },
            Filter { metadata: year(&["2021"]), label: Some(Label::MayLeave), ..Filter::default() },
            Filter { sources: ["1".to_owned(), "2".to_owned()].into(), ..Filter::default() },
        ];
        for (seed, filter) in (90_000..).zip(filters) {
            for count in [1, 10, 200] {
                let ask = Ask { vector: vector(seed), filter: filter.clone(), count };
                let found = index.nearest(&ask).await.unwrap();
                let expected = self.nearest(&ask);
                let ids = |list: &[Candidate]| list.iter().map(|it| it.id).collect::<Vec<_>>();
                assert_eq!(ids(&found), ids(&expected), "{ask:?}");
                for (found, expected) in found.iter().zip(&expected) {
                    assert!((found.score - expected.score).abs() < 1e-4, "{found:?} {expected:?}");
                }
            }
        }
    }

    fn nearest(&self, ask: &Ask) -> Vec<Candidate> {
        let fits = |document: &Document| {
            let Filter { metadata, sources, label } = &ask.filter;
            label.is_none_or(|label| label == document.label)
                && (sources.is_empty() || sources.contains(&document.source))
                && metadata.iter().all(|(key, values)| values.contains(&document.metadata[key]))
        };
        let fitting = self.chunks.iter().filter(|(_, (_, document))| fits(document));
        let cosine = |vector: &[f32]| vector.iter().zip(&ask.vector).map(|(a, b)| a * b).sum();
        let scored = fitting.map(|(id, (vector, _))| Candidate { id: *id, score: cosine(vector) });
        best(&[scored.collect()], ask.count)
    }
}

fn document(number: u64, version: u64) -> Document {
    let may_leave = (number + version).is_multiple_of(2);
    Document {
        source: number.to_string(),
        title: String::new(),
        sha256: format!("{number}-{version}"),
        bytes: 1,
        modified: 0,
        metadata: [("year".to_owned(), (2020 + number % 3).to_string())].into(),
        cut: None,
        label: if may_leave { Label::MayLeave } else { Label::LocalOnly },
    }
}

/// A vector of length 1 that looks random, the same for the same seed.
fn vector(seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut number = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        #[allow(clippy::cast_precision_loss, reason = "of 24 bits")]
        let number = (state >> 40) as f32 / (1_u64 << 23) as f32;
        number - 1.0
    };
    let vector: Vec<f32> = (0..DIMENSIONS).map(|_| number()).collect();
    let length = vector.iter().map(|it| it * it).sum::<f32>().sqrt();
    vector.iter().map(|it| it / length).collect()
}

/// The suite. `settled` waits until the index has caught up; answers must be right before, too.
pub(in super::super) async fn suite(
    library: &mut Library,
    index: &impl VectorIndex,
    settled: impl AsyncFn(&Library),
) {
    settled(library).await;
    library.check(index).await;
    let all: Vec<u64> = (0..DOCUMENTS).collect();
    library.put(&all, 0).await;
    library.check(index).await;
    settled(library).await;
    library.check(index).await;

    // The labels of these change.
    library.put(&all[..10], 1).await;
    library.remove(&all[20..25]).await;
    library.check(index).await;
    settled(library).await;
    library.check(index).await;

    library.remove(&all[1..]).await;
    library.check(index).await;
    settled(library).await;
    library.check(index).await;
}

#[tokio::test]
async fn the_collections_own_index_answers_as_a_comparison_with_all_vectors_would() {
    let dir = tempfile::tempdir().unwrap();
    let mut library = Library::open(dir.path(), None);
    let shelf = library.shelf.clone();
    suite(&mut library, &Embedded(&shelf), async |_| ()).await;
}

#[test]
fn lists_are_joined_by_score_and_nothing_comes_twice() {
    let list = |all: &[(u64, f32)]| {
        all.iter().map(|&(id, score)| Candidate { id, score }).collect::<Vec<_>>()
    };
    let joined = best(&[list(&[(1, 0.9), (2, 0.5)]), list(&[(3, 0.7), (2, 0.6)]), vec![]], 3);
    assert_eq!(joined, list(&[(1, 0.9), (3, 0.7), (2, 0.6)]));
    assert_eq!(best(&[joined], 1), list(&[(1, 0.9)]));
}
