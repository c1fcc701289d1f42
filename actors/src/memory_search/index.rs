//! The index itself, in tantivy. It has words and places of turns, and no text.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tantivy::collector::TopDocs;
use tantivy::collector::sort_key::{SortBySimilarityScore, SortByStaticFastValue};
use tantivy::query::{Query, QueryParser};
use tantivy::schema::{
    FAST, Field, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions,
    Value as _,
};
use tantivy::snippet::SnippetGenerator;
use tantivy::tokenizer::{
    AsciiFoldingFilter, LowerCaser, RemoveLongFilter, SimpleTokenizer, TextAnalyzer,
};
use tantivy::{
    DocAddress, IndexReader, IndexWriter, Order, ReloadPolicy, Searcher, TantivyDocument, Term,
};
use uuid::Uuid;

use crate::memory_store::journal::Text;

type Result<T> = tantivy::Result<T>;

/// Raised when fields or words are made differently.
const VERSION: u32 = 1;
/// Memory of the writer, the least that tantivy takes.
const WRITER_BYTES: usize = 15_000_000;
/// Longest word that is found, in bytes.
const WORD_BYTES_MAX: usize = 64;
/// Longest snippet, in characters.
const SNIPPET_CHARS_MAX: usize = 160;
const TOKENIZER: &str = "words";

/// How far the index came in which store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) identity: String,
    pub(super) position: u64,
}

/// A mark as a commit carries it.
#[derive(Serialize, Deserialize)]
struct Payload {
    version: u32,
    identity: String,
    position: u64,
}

#[derive(Debug, Clone, Copy)]
struct Fields {
    /// Conversation and number of the turn; names a turn.
    place: Field,
    conversation: Field,
    words: Field,
    micros: Field,
}

/// An index that is open.
pub(super) struct Index {
    tantivy: tantivy::Index,
    reader: IndexReader,
    fields: Fields,
    mark: Option<Mark>,
}

impl Index {
    /// Opens the index in `dir`; `None` when there is none, or a damaged one.
    pub(super) fn open(dir: &Path) -> Result<Option<Self>> {
        if !dir.join("meta.json").exists() {
            return Ok(None);
        }
        let index = tantivy::Index::open_in_dir(dir)?;
        if !index.validate_checksum()?.is_empty() {
            return Ok(None);
        }
        Self::of(index).map(Some)
    }

    /// An empty one.
    pub(super) fn create(dir: &Path) -> Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        Self::of(tantivy::Index::create_in_dir(dir, schema().0)?)
    }

    fn of(index: tantivy::Index) -> Result<Self> {
        let words = TextAnalyzer::builder(SimpleTokenizer::default())
            .filter(RemoveLongFilter::limit(WORD_BYTES_MAX))
            .filter(LowerCaser)
            .filter(AsciiFoldingFilter)
            .build();
        index.tokenizers().register(TOKENIZER, words);
        let payload = index.load_metas()?.payload;
        let payload = payload.and_then(|text| serde_json::from_str::<Payload>(&text).ok());
        let (schema, fields) = schema();
        let payload = payload.filter(|it| it.version == VERSION && index.schema() == schema);
        let mark = payload.map(|it| Mark { identity: it.identity, position: it.position });
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Self { tantivy: index, reader, fields, mark })
    }

    /// How far it came; `None` when it is of another version, or was not made to the end.
    pub(super) fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    /// Begins to change it. Nothing changes without [`Writing::commit`].
    pub(super) fn write(&mut self) -> Result<Writing<'_>> {
        let writer = self.tantivy.writer_with_num_threads(1, WRITER_BYTES)?;
        Ok(Writing { index: self, writer })
    }

    /// The best turns, best first and of equals the latest first.
    pub(super) fn search(&self, query: &str, limit: usize) -> Result<Hits> {
        let Fields { words, .. } = self.fields;
        let mut parser = QueryParser::for_index(&self.tantivy, vec![words]);
        parser.set_conjunction_by_default();
        // What is no query is read as far as it is one.
        let (query, _) = parser.parse_query_lenient(query);
        let searcher = self.reader.searcher();
        let by_recency = SortByStaticFastValue::<u64>::for_field("micros");
        let order = ((SortBySimilarityScore, Order::Desc), (by_recency, Order::Desc));
        let top = searcher.search(&query, &TopDocs::with_limit(limit).order_by(order))?;
        let mut list = Vec::new();
        for ((score, _), address) in top {
            if let Some(place) = self.place(&searcher, address)? {
                list.push(Hit { place, score });
            }
        }
        let snippets = snippets(&searcher, query.as_ref(), words)?;
        Ok(Hits { list, snippets })
    }

    fn place(&self, searcher: &Searcher, address: DocAddress) -> Result<Option<(Uuid, u64)>> {
        let document: TantivyDocument = searcher.doc(address)?;
        let place = document.get_first(self.fields.place).and_then(|value| value.as_str());
        Ok(place.and_then(|place| {
            let (conversation, sequence) = place.split_once('/')?;
            Some((Uuid::try_parse(conversation).ok()?, sequence.parse().ok()?))
        }))
    }
}

fn schema() -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let indexing = TextFieldIndexing::default()
        .set_tokenizer(TOKENIZER)
        .set_index_option(IndexRecordOption::WithFreqsAndPositions);
    let fields = Fields {
        place: schema.add_text_field("place", STRING | STORED),
        conversation: schema.add_text_field("conversation", STRING),
        words: schema
            .add_text_field("words", TextOptions::default().set_indexing_options(indexing)),
        micros: schema.add_u64_field("micros", FAST),
    };
    (schema.build(), fields)
}

/// Changes to the index that are made together.
pub(super) struct Writing<'a> {
    index: &'a mut Index,
    writer: IndexWriter,
}

impl Writing<'_> {
    /// Forgets all turns of a conversation.
    pub(super) fn forget(&self, conversation: Uuid) {
        let conversation = conversation.to_string();
        let field = self.index.fields.conversation;
        self.writer.delete_term(Term::from_field_text(field, &conversation));
    }

    /// Adds a turn, in the place of what it was.
    pub(super) fn add(&self, text: &Text) -> Result<()> {
        let fields = self.index.fields;
        let place = format!("{}/{}", text.conversation, text.sequence);
        self.writer.delete_term(Term::from_field_text(fields.place, &place));
        let mut document = TantivyDocument::new();
        document.add_text(fields.place, place);
        document.add_text(fields.conversation, text.conversation.to_string());
        document.add_text(fields.words, &text.prompt);
        document.add_text(fields.words, &text.answer);
        document.add_u64(fields.micros, text.micros);
        self.writer.add_document(document).map(|_| ())
    }

    /// Makes it last, and found.
    pub(super) fn commit(mut self, mark: Mark) -> Result<()> {
        let Mark { identity, position } = mark.clone();
        let payload = Payload { version: VERSION, identity, position };
        let mut commit = self.writer.prepare_commit()?;
        commit.set_payload(&serde_json::to_string(&payload).map_err(std::io::Error::from)?);
        commit.commit()?;
        self.writer.wait_merging_threads()?;
        self.index.reader.reload()?;
        self.index.mark = Some(mark);
        Ok(())
    }
}

/// A turn that fits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hit {
    pub(super) place: (Uuid, u64),
    pub(super) score: f32,
}

/// What was found, and what snippets are made with.
pub(super) struct Hits {
    pub(super) list: Vec<Hit>,
    snippets: SnippetGenerator,
}

impl Hits {
    /// The part of prompt or answer that has most of the words, and where they are in it.
    pub(super) fn snippet(&self, prompt: &str, answer: &str) -> (String, Vec<(u32, u32)>) {
        let (of_prompt, of_answer) = (self.snippets.snippet(prompt), self.snippets.snippet(answer));
        let more = of_answer.highlighted().len() > of_prompt.highlighted().len();
        let best = if more { of_answer } else { of_prompt };
        let byte = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let marked = best.highlighted().iter().map(|range| (byte(range.start), byte(range.end)));
        (best.fragment().to_owned(), marked.collect())
    }
}

fn snippets(searcher: &Searcher, query: &dyn Query, words: Field) -> Result<SnippetGenerator> {
    let mut snippets = SnippetGenerator::create(searcher, query, words)?;
    snippets.set_max_num_chars(SNIPPET_CHARS_MAX);
    Ok(snippets)
}
