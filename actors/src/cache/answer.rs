//! Answers as they are kept, and finding one that was given before.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use prost::Message;
use tandem_proto::v1::{CacheMatch, Cached, TrackDone};
use tokio::task::spawn_blocking;

use super::Caches;
use super::guard;
use super::near::Vectors;
use super::seal::Digest;
use super::stock::{Located, Stock};

/// Close questions that are looked at before it is given up.
const CANDIDATES_MAX: usize = 4;

/// An answer and the question that it was given to.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Kept {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
    #[prost(string, tag = "2")]
    pub(crate) reasoning: String,
    /// Its facts, with the time and the tokens that it once took.
    #[prost(message, optional, tag = "3")]
    pub(crate) done: Option<TrackDone>,
    /// Below this confidence the slow track is to answer as well, if that is known.
    #[prost(double, optional, tag = "4")]
    pub(crate) confidence_floor: Option<f64>,
    #[prost(string, tag = "5")]
    pub(crate) question: String,
    /// What the question has in common with those that its answer may be given to, if they are close.
    #[prost(bytes = "vec", tag = "6")]
    pub(crate) scope: Vec<u8>,
    /// Of the question, with length 1; empty where there is none.
    #[prost(float, repeated, tag = "7")]
    pub(crate) vector: Vec<f32>,
}

/// Scope and vector of an answer that can be found by what was asked.
pub(super) fn near(plain: &[u8]) -> Option<(Digest, Vec<f32>)> {
    let kept = Kept::decode(plain).ok().filter(|kept| !kept.vector.is_empty())?;
    Some((kept.scope.try_into().ok()?, kept.vector))
}

impl Caches {
    /// The answer that was given to the very same question.
    pub(crate) async fn same(&self, exact: &Digest) -> Option<(Kept, Cached)> {
        let Some(located) = self.answers.find(exact, SystemTime::now()) else {
            self.answers.missed(1);
            return None;
        };
        let age = located.age;
        let stock = Arc::clone(&self.answers);
        let kept = spawn_blocking(move || read(&stock, &located)).await.ok().flatten()?;
        self.answers.hit(1);
        Some((kept, cached(CacheMatch::Exact, None, age)))
    }

    /// The answer that was given to a question of the same scope in words that mean the same.
    pub(crate) async fn similar(
        &self,
        scope: Digest,
        question: String,
        vector: Vec<f32>,
    ) -> Option<(Kept, Cached)> {
        let least = self.similarity?;
        let (stock, vectors) = (Arc::clone(&self.answers), Arc::clone(&self.vectors));
        let now = SystemTime::now();
        let search = move || search(&stock, &vectors, &scope, &question, &vector, least, now);
        let (kept, similarity, age) = spawn_blocking(search).await.ok().flatten()?;
        self.answers.semantic_hit();
        Some((kept, cached(CacheMatch::Semantic, Some(similarity), age)))
    }

    /// Keeps an answer, if there is room among what is about to be written.
    pub(crate) fn keep_answer(&self, exact: Digest, kept: &Kept) {
        self.keep(super::Which::Answers, vec![(exact, kept.encode_to_vec())]);
    }
}

fn search(
    stock: &Stock,
    vectors: &Mutex<Vectors>,
    scope: &Digest,
    question: &str,
    vector: &[f32],
    least: f64,
    now: SystemTime,
) -> Option<(Kept, f64, Duration)> {
    let near = vectors.lock().unwrap_or_else(PoisonError::into_inner).nearest(
        scope,
        vector,
        least,
        CANDIDATES_MAX,
    );
    let seal = stock.seal()?;
    near.into_iter().find_map(|(id, similarity)| {
        let located = stock.find_id(id, Arc::clone(&seal), now)?;
        let kept = read(stock, &located)?;
        guard::mean_the_same(question, &kept.question).then_some((kept, similarity, located.age))
    })
}

fn read(stock: &Stock, located: &Located) -> Option<Kept> {
    Kept::decode(stock.read(located)?.as_slice()).ok()
}

fn cached(how: CacheMatch, similarity: Option<f64>, age: Duration) -> Cached {
    let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    Cached { r#match: how.into(), similarity, age_ms }
}
