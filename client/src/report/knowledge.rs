//! Documents and how they are found.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use tandem_client::v1;

use super::{filled, model::size, name, table};

/// What an ingestion came to.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Ingestion {
    collection: String,
    added: u32,
    changed: u32,
    unchanged: u32,
    recut: u32,
    removed: u32,
    chunks: u32,
    reused: u32,
    pub(crate) refused: Vec<Refused>,
}

/// A document that was left out.
#[derive(Debug, Serialize)]
pub(crate) struct Refused {
    pub(crate) source: String,
    problem: String,
}

impl From<v1::RefusedDocument> for Refused {
    fn from(refused: v1::RefusedDocument) -> Self {
        Self { source: refused.source, problem: refused.problem }
    }
}

impl Ingestion {
    pub(crate) fn new(collection: String) -> Self {
        Self { collection, ..Self::default() }
    }

    pub(crate) fn finished(self, finished: &v1::IngestFinished) -> Self {
        Self {
            added: finished.added,
            changed: finished.changed,
            unchanged: finished.unchanged,
            recut: finished.recut,
            removed: finished.removed,
            chunks: finished.chunks,
            reused: finished.reused,
            ..self
        }
    }

    pub(crate) fn text(&self) -> String {
        let counts = [
            (self.added, "added"),
            (self.changed, "changed"),
            (self.recut, "cut anew"),
            (self.unchanged, "unchanged"),
            (self.removed, "removed"),
            (u32::try_from(self.refused.len()).unwrap_or(u32::MAX), "left out"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts.map(|(count, what)| format!("{count} {what}")).collect();
        let counts = if counts.is_empty() { "no documents".to_owned() } else { counts.join(", ") };
        let chunks = if self.chunks > 0 {
            format!("; {} chunks stored", self.chunks)
        } else {
            String::new()
        };
        format!("{}: {counts}{chunks}\n", self.collection)
    }
}

/// Where in a source something stands, to be put behind the source.
pub(super) fn place(page: Option<u32>, line: Option<u32>) -> String {
    match (page, line) {
        (Some(page), _) => format!(", page {page}"),
        (None, Some(line)) => format!(":{line}"),
        (None, None) => String::new(),
    }
}

/// A label's name, or nothing when it is not known.
fn label(label: v1::Label) -> Option<String> {
    (label != v1::Label::Unspecified).then(|| name(label.as_str_name(), "LABEL_").replace('_', "-"))
}

/// A passage that was found.
#[derive(Debug, Serialize)]
struct Hit {
    source: String,
    title: String,
    text: String,
    page: Option<u32>,
    line: Option<u32>,
    headings: Vec<String>,
    label: Option<String>,
    score: f32,
    similarity: Option<f32>,
    words: Option<f32>,
}

/// The passages that were found, best first.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    /// How it was searched.
    mode: String,
    hits: Vec<Hit>,
    /// Why it was not searched as the settings say.
    pub(crate) notice: Option<String>,
}

impl From<v1::SearchResponse> for Found {
    fn from(response: v1::SearchResponse) -> Self {
        let mode = name(response.mode().as_str_name(), "SEARCH_MODE_");
        let hits = response.hits.into_iter().map(|hit| Hit {
            label: label(hit.label()),
            page: (hit.page > 0).then_some(hit.page),
            line: (hit.line > 0).then_some(hit.line),
            source: hit.source,
            title: hit.title,
            text: hit.text,
            headings: hit.headings,
            score: hit.score,
            similarity: hit.similarity,
            words: hit.words,
        });
        Self { mode, hits: hits.collect(), notice: filled(response.notice) }
    }
}

impl Found {
    pub(crate) fn text(&self) -> String {
        if self.hits.is_empty() {
            return "nothing found\n".to_owned();
        }
        let mut text = String::new();
        for (number, hit) in self.hits.iter().enumerate() {
            let place = place(hit.page, hit.line);
            let similarity = hit.similarity.map(|it| format!("  ({it:.2})")).unwrap_or_default();
            let gap = if number > 0 { "\n" } else { "" };
            let _ = writeln!(text, "{gap}[{}] {}{place}{similarity}", number + 1, hit.source);
            if !hit.headings.is_empty() {
                let _ = writeln!(text, "    {}", hit.headings.join(" > "));
            }
            for line in hit.text.trim().lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
        text
    }
}

/// The collections, by name.
#[derive(Debug, Serialize)]
pub(crate) struct Collections {
    collections: Vec<Collection>,
}

#[derive(Debug, Serialize)]
struct Collection {
    name: String,
    documents: u64,
    chunks: u64,
    bytes: u64,
    embedding_model: Option<String>,
    dimensions: u32,
    label: Option<String>,
    watched: Vec<String>,
    problem: Option<String>,
    mirror: Option<Mirror>,
}

/// The copy of its vectors in another server.
#[derive(Debug, Serialize)]
struct Mirror {
    held: u64,
    wanted: u64,
    problem: Option<String>,
}

impl Mirror {
    fn text(&self) -> String {
        let problem = self.problem.as_ref().map(|it| format!(" ({it})")).unwrap_or_default();
        format!("mirrored {}/{}{problem}", self.held, self.wanted)
    }
}

impl From<v1::ListCollectionsResponse> for Collections {
    fn from(response: v1::ListCollectionsResponse) -> Self {
        let collections = response.collections.into_iter().map(|it| Collection {
            label: label(it.label()),
            name: it.name,
            documents: it.documents,
            chunks: it.chunks,
            bytes: it.bytes,
            embedding_model: filled(it.embedding_model),
            dimensions: it.dimensions,
            watched: it.watched,
            problem: filled(it.problem),
            mirror: it.mirror.map(|it| Mirror {
                held: it.held,
                wanted: it.wanted,
                problem: filled(it.problem),
            }),
        });
        Self { collections: collections.collect() }
    }
}

impl Collections {
    pub(crate) fn text(&self) -> String {
        if self.collections.is_empty() {
            return "no collections; `tandem knowledge ingest NAME PATH` makes one\n".to_owned();
        }
        let rows: Vec<_> = self
            .collections
            .iter()
            .map(|it| {
                let mut found =
                    it.embedding_model.clone().unwrap_or_else(|| "(words only)".to_owned());
                if let Some(mirror) = &it.mirror {
                    found = format!("{found}, {}", mirror.text());
                }
                [
                    it.name.clone(),
                    it.documents.to_string(),
                    it.chunks.to_string(),
                    size(it.bytes),
                    it.label.clone().unwrap_or_default(),
                    it.problem.clone().unwrap_or(found),
                ]
            })
            .collect();
        table(["NAME", "DOCUMENTS", "CHUNKS", "SIZE", "LABEL", "EMBEDDINGS"], &rows)
    }
}

/// The documents of a collection, by source.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Documents {
    documents: Vec<Document>,
}

#[derive(Debug, Serialize)]
struct Document {
    source: String,
    title: String,
    bytes: u64,
    chunks: u32,
    label: Option<String>,
    metadata: BTreeMap<String, String>,
}

impl Documents {
    pub(crate) fn extend(&mut self, documents: Vec<v1::Document>) {
        self.documents.extend(documents.into_iter().map(|it| Document {
            label: label(it.label()),
            source: it.source,
            title: it.title,
            bytes: it.bytes,
            chunks: it.chunks,
            metadata: it.metadata.into_iter().collect(),
        }));
    }

    pub(crate) fn text(&self) -> String {
        let rows: Vec<_> = self
            .documents
            .iter()
            .map(|it| {
                let label = it.label.clone().unwrap_or_default();
                [it.source.clone(), it.title.clone(), size(it.bytes), it.chunks.to_string(), label]
            })
            .collect();
        table(["SOURCE", "TITLE", "SIZE", "CHUNKS", "LABEL"], &rows)
    }
}

/// Documents that were removed.
#[derive(Debug, Serialize)]
pub(crate) struct Removal {
    removed: Vec<String>,
    pub(crate) not_found: Vec<String>,
}

impl Removal {
    pub(crate) fn new(removed: Vec<String>, asked: &[String]) -> Self {
        let not_found = asked.iter().filter(|source| !removed.contains(source)).cloned().collect();
        Self { removed, not_found }
    }

    pub(crate) fn text(&self) -> String {
        match self.removed.as_slice() {
            [] => String::new(),
            removed => format!("removed {}\n", removed.join(", ")),
        }
    }
}

/// A collection that was deleted.
#[derive(Debug, Serialize)]
pub(crate) struct Deletion {
    pub(crate) deleted: String,
}

/// What is damaged.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) faults: Vec<String>,
}

impl Check {
    pub(crate) fn text(&self) -> String {
        match self.faults.as_slice() {
            [] => "nothing is damaged\n".to_owned(),
            faults => format!("{}\n", faults.join("\n")),
        }
    }
}

/// What a compaction gave back.
#[derive(Debug, Serialize)]
pub(crate) struct Compaction {
    bytes_before: u64,
    bytes_after: u64,
}

impl From<v1::CompactCollectionResponse> for Compaction {
    fn from(response: v1::CompactCollectionResponse) -> Self {
        Self { bytes_before: response.bytes_before, bytes_after: response.bytes_after }
    }
}

impl Compaction {
    pub(crate) fn text(&self) -> String {
        format!("{} before, {} now\n", size(self.bytes_before), size(self.bytes_after))
    }
}

/// How well passages are found, by mode.
#[derive(Debug, Serialize)]
pub(crate) struct Evaluations {
    /// Hits that were looked at.
    count: u32,
    evaluations: Vec<Evaluation>,
}

#[derive(Debug, Serialize)]
struct Evaluation {
    mode: String,
    questions: u32,
    recall: Estimate,
    mrr: Estimate,
    ndcg: Estimate,
    latency_p50_us: u64,
    latency_p99_us: u64,
}

/// A mean and its 95 % confidence interval.
#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Estimate {
    mean: f64,
    low: f64,
    high: f64,
}

impl From<Option<v1::Estimate>> for Estimate {
    fn from(estimate: Option<v1::Estimate>) -> Self {
        let v1::Estimate { mean, low, high } = estimate.unwrap_or_default();
        Self { mean, low, high }
    }
}

impl Estimate {
    fn text(self) -> String {
        format!("{:.3} ({:.3}–{:.3})", self.mean, self.low, self.high)
    }
}

impl Evaluations {
    pub(crate) fn new(response: v1::EvaluateResponse, count: u32) -> Self {
        let evaluations = response.evaluations.into_iter().map(|it| Evaluation {
            mode: name(it.mode().as_str_name(), "SEARCH_MODE_"),
            questions: it.questions,
            recall: it.recall.into(),
            mrr: it.mrr.into(),
            ndcg: it.ndcg.into(),
            latency_p50_us: it.latency_p50_us,
            latency_p99_us: it.latency_p99_us,
        });
        Self { count, evaluations: evaluations.collect() }
    }

    pub(crate) fn text(&self) -> String {
        let questions = self.evaluations.first().map_or(0, |it| it.questions);
        #[allow(clippy::cast_precision_loss, reason = "for people")]
        let ms = |us: u64| format!("{:.2} ms", us as f64 / 1e3);
        let rows: Vec<_> = self
            .evaluations
            .iter()
            .map(|it| {
                [
                    it.mode.clone(),
                    it.recall.text(),
                    it.mrr.text(),
                    it.ndcg.text(),
                    ms(it.latency_p50_us),
                    ms(it.latency_p99_us),
                ]
            })
            .collect();
        let table = table(["MODE", "RECALL", "MRR", "NDCG", "P50", "P99"], &rows);
        format!("{table}{questions} questions, the first {} hits of each\n", self.count)
    }
}
