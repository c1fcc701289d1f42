//! Candidates by words and by meaning.

use std::borrow::Cow;
use std::collections::BTreeSet;

use tantivy::TantivyError;
use tantivy::collector::TopDocs;
use tantivy::query::{
    BooleanQuery, BoostQuery, ConstScoreQuery, Occur, Query, TermQuery, TermSetQuery,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocAddress, Term};

use super::{Candidate, Filter};
use crate::collection::{Snapshot, analyzer, label_term, tag_term};
use crate::vectors::unit;

/// Different words of a query that are looked for; the others are left out.
const WORDS_MOST: usize = 256;
/// What a word in the title or a heading counts, where one in the text counts 1.
const ABOVE: f32 = 0.5;

impl Snapshot {
    /// The best chunks by BM25: each word counts, and none has to be there.
    pub(super) fn by_words(
        &self,
        words: &str,
        filter: &Filter,
        count: usize,
    ) -> Result<Vec<Candidate>, TantivyError> {
        let words = self.terms(words);
        if words.is_empty() || count == 0 {
            return Ok(Vec::new());
        }
        let any: Box<dyn Query> = Box::new(BooleanQuery::union(words));
        let query = match self.filter(filter) {
            Some(filter) => {
                let silent: Box<dyn Query> = Box::new(ConstScoreQuery::new(filter, 0.0));
                Box::new(BooleanQuery::intersection(vec![any, silent]))
            }
            None => any,
        };
        let found: Vec<(f32, DocAddress)> =
            self.words.search(&query, &TopDocs::with_limit(count).order_by_score())?;
        let candidate = |(score, address)| Some(Candidate { id: self.id(address)?, score });
        Ok(found.into_iter().filter_map(candidate).collect())
    }

    /// The best chunks by the cosine of their vectors, of those with numbers above `after`.
    pub(super) fn by_vector(
        &self,
        vector: &[f32],
        filter: &Filter,
        count: usize,
        after: u64,
    ) -> Result<Vec<Candidate>, TantivyError> {
        let (Some(view), Some(vector)) = (&self.view, unit(vector)) else { return Ok(Vec::new()) };
        let mut rows = match self.filter(filter) {
            Some(filter) => Cow::Owned(self.rows(&filter)?),
            None => Cow::Borrowed(&self.alive),
        };
        if after > 0 {
            rows.to_mut().skip(view.rows_up_to(after));
        }
        let nearest = view.nearest(&vector, count, &rows);
        let candidate = |(row, score)| Candidate { id: view.id(row), score };
        Ok(nearest.into_iter().map(candidate).collect())
    }

    /// The words of a text, each once, as what is looked for.
    fn terms(&self, text: &str) -> Vec<Box<dyn Query>> {
        let mut words = BTreeSet::new();
        let mut analyzer = analyzer();
        let mut stream = analyzer.token_stream(text);
        while words.len() < WORDS_MOST && stream.advance() {
            words.insert(stream.token().text.clone());
        }
        let find = |field: Field, word: &str| -> Box<dyn Query> {
            let term = Term::from_field_text(field, word);
            Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs))
        };
        let both = |word: &String| {
            let above = BoostQuery::new(find(self.fields.above, word), ABOVE);
            [find(self.fields.text, word), Box::new(above)]
        };
        words.iter().flat_map(both).collect()
    }

    /// What a filter lets through; `None` when that is everything.
    fn filter(&self, filter: &Filter) -> Option<Box<dyn Query>> {
        let any =
            |terms: Vec<Term>| (Occur::Must, Box::new(TermSetQuery::new(terms)) as Box<dyn Query>);
        let mut all = Vec::new();
        for (key, values) in &filter.metadata {
            all.push(any(values.iter().map(|value| tag_term(self.fields, key, value)).collect()));
        }
        if !filter.sources.is_empty() {
            let source = |source: &String| Term::from_field_text(self.fields.source, source);
            all.push(any(filter.sources.iter().map(source).collect()));
        }
        all.extend(filter.label.map(|label| any(vec![label_term(self.fields, label)])));
        if all.is_empty() { None } else { Some(Box::new(BooleanQuery::new(all))) }
    }
}
