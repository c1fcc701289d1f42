//! Passages of the user's documents that a question is answered from.

use std::sync::Arc;

use futures::future::try_join_all;
use tandem_config::Redact;
use tandem_knowledge::template::{self, Templates};
use tandem_proto::v1::{
    Citation, ContextLedger, ContextOutcome, ContextPart, Hit, Label, Policy, SearchRequest,
};

use super::context::Passage;
use super::reply;
use super::run::Question;
use crate::router::Services;
use crate::{Error, Result};

/// The passages that were found for a question.
#[derive(Debug, Default)]
pub(super) struct Documents {
    /// Best first, numbered from 1.
    pub(super) passages: Vec<Passage>,
    /// The same, as the caller is told of them.
    citations: Vec<Citation>,
}

impl Documents {
    /// Looks into the collections that the caller named. When they have nothing to do with the question,
    /// that is an error: a model would invent an answer.
    pub(super) async fn find(question: &Question, services: &Services) -> Result<Self> {
        let settings = &services.settings.knowledge;
        let searches = question.collections.iter().map(|collection| {
            let request = SearchRequest {
                collection: collection.clone(),
                question: question.prompt.clone(),
                count: settings.passages,
                #[allow(clippy::cast_possible_truncation, reason = "a fraction")]
                diversity: Some(settings.diversity as f32),
                private: stays_here(question, services),
                ..SearchRequest::default()
            };
            services.knowledge.search(request)
        });
        let found = try_join_all(searches).await?;
        let mut hits: Vec<Hit> = found.into_iter().flat_map(|found| found.hits).collect();
        hits.sort_by(|one, other| other.score.total_cmp(&one.score));
        let best = hits.iter().filter_map(|hit| hit.similarity).reduce(f32::max);
        // Without embeddings, a word in common is all that can be asked for.
        let relevant = |hit: &Hit| match hit.similarity {
            Some(cosine) => f64::from(cosine) >= settings.relevance,
            None => reply::shares_a_word(&question.prompt, &hit.text),
        };
        hits.retain(relevant);
        hits.truncate(settings.passages as usize);
        if hits.is_empty() && !question.collections.is_empty() {
            let collections = question.collections.join(", ");
            let closest = best.map_or_else(String::new, |best| {
                format!(
                    " (the closest has {best:.2}, and knowledge.relevance is {})",
                    settings.relevance
                )
            });
            let problem = format!("nothing in {collections} has to do with the question{closest}");
            return Err(Error::NotInDocuments { problem });
        }
        Ok(Self {
            passages: (1..).zip(&hits).map(|(number, hit)| passage(number, hit)).collect(),
            citations: (1..).zip(hits).map(|(number, hit)| citation(number, hit)).collect(),
        })
    }

    /// Whether a provider may read none of them.
    pub(super) fn stay_here(&self) -> bool {
        !self.passages.is_empty() && self.passages.iter().all(|passage| passage.private)
    }

    /// Those that the model read, and whether the answer refers to them.
    pub(super) fn citations(&self, read: Option<&ContextLedger>, cited: &[u32]) -> Vec<Citation> {
        let entries = read.map(|ledger| ledger.entries.as_slice()).unwrap_or_default();
        let was_read = |citation: &&Citation| {
            entries.iter().any(|entry| {
                entry.part() == ContextPart::Passage
                    && entry.outcome() == ContextOutcome::Kept
                    && entry.first == u64::from(citation.number)
            })
        };
        let read = self.citations.iter().filter(was_read);
        let said = |it: &Citation| Citation { cited: cited.contains(&it.number), ..it.clone() };
        read.map(said).collect()
    }
}

/// Whether nothing of the question may leave this machine, not even its vector, which cannot be masked.
fn stays_here(question: &Question, services: &Services) -> bool {
    let has_personal_data = || !services.settings.redaction.find(&question.prompt).is_empty();
    matches!(question.policy, Policy::Private | Policy::Fast)
        || (services.settings.redact != Redact::Off && has_personal_data())
}

fn passage(number: u32, hit: &Hit) -> Passage {
    let place = tandem_knowledge::Place {
        page: (hit.page > 0).then_some(hit.page),
        line: (hit.line > 0).then_some(hit.line),
        headings: hit.headings.clone(),
    };
    Passage {
        number,
        text: hit.text.clone(),
        source: hit.source.clone(),
        title: hit.title.clone(),
        place: place.describe(),
        private: hit.label() != Label::MayLeave,
    }
}

fn citation(number: u32, hit: Hit) -> Citation {
    Citation {
        number,
        source: hit.source,
        title: hit.title,
        text: hit.text,
        page: hit.page,
        line: hit.line,
        headings: hit.headings,
        similarity: hit.similarity,
        cited: false,
    }
}

/// How passages are told: by a template, in the language of the question.
#[derive(Debug, Clone, Default)]
pub(super) struct Quoting {
    pub(super) templates: Option<Arc<Templates>>,
    pub(super) name: String,
    pub(super) language: &'static str,
}

impl Quoting {
    /// The passages with their numbers, and what to do with them; `None` without templates.
    pub(super) fn tell(&self, passages: &[&Passage]) -> Option<String> {
        let passages: Vec<_> = passages
            .iter()
            .map(|passage| template::Passage {
                n: passage.number as usize,
                text: passage.text.clone(),
                source: passage.source.clone(),
                title: passage.title.clone(),
                place: passage.place.clone(),
            })
            .collect();
        let told = self.templates.as_ref()?.render(&self.name, self.language, &passages);
        // Templates are tried when they are loaded, and their names checked with the question.
        told.inspect_err(|error| tracing::warn!(%error, "passages are told without their template"))
            .ok()
    }
}

impl PartialEq for Quoting {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.language) == (&other.name, other.language)
    }
}
