#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::Config;

use super::*;
use crate::search::{Filter, Mode, Query};
use crate::vectors::tests::vectors as random;
use crate::{Cut, Label, Place};

const DIMENSIONS: usize = 8;
const VOCABULARY: [&str; 6] = ["río", "Haus", "tree", "sungai", "stone", "of"];

fn space() -> EmbeddingSpace {
    EmbeddingSpace { model: "tiny".into(), dimensions: DIMENSIONS }
}

/// A document that follows from two small numbers, and its chunks.
fn document(source: usize, version: u64) -> (Document, Vec<Embedded>) {
    let label = if version.is_multiple_of(3) { Label::MayLeave } else { Label::LocalOnly };
    let document = Document {
        source: format!("/folder/{source}"),
        title: format!("Title {source}"),
        sha256: format!("{source}-{version}"),
        bytes: version,
        modified: 7,
        metadata: BTreeMap::from([("parity".into(), (version % 2).to_string())]),
        label,
        cut: version.is_multiple_of(2).then_some(Cut { tokens_max: 200, overlap: 30 }),
    };
    let seed = source as u64 * 1000 + version;
    let chunk = |(ordinal, vector): (u32, Vec<f32>)| {
        let words = seed.rotate_left(ordinal).wrapping_mul(0x9e37_79b9) >> 7;
        let some = VOCABULARY.iter().enumerate().filter(|(at, _)| words >> at & 1 == 1);
        let text: Vec<&str> = some.map(|(_, word)| *word).collect();
        let place = Place { page: Some(ordinal), line: None, headings: vec![] };
        Embedded { chunk: Chunk { ordinal, text: text.join(" "), place }, vector }
    };
    let count = usize::try_from(version % 4).unwrap();
    (document, (0..).zip(random(count, DIMENSIONS, seed)).map(chunk).collect())
}

type Model = BTreeMap<String, (Document, Vec<Embedded>)>;

#[derive(Debug, Clone)]
enum Step {
    Replace(usize, u64),
    Remove(usize),
    Commit,
    RollBack,
    Reopen,
    Compact,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..5_usize, 0..40_u64).prop_map(|(source, version)| Step::Replace(source, version)),
        3 => (0..5_usize).prop_map(Step::Remove),
        4 => Just(Step::Commit),
        1 => Just(Step::RollBack),
        1 => Just(Step::Reopen),
        1 => Just(Step::Compact),
    ];
    prop::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(Config { cases: 24, ..Config::default() })]
    #[test]
    fn a_collection_is_what_a_map_in_memory_would_be(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let mut collection = Collection::open(folder.path(), Some(&space())).unwrap();
        let mut committed = Model::new();
        let mut staged = Model::new();
        for step in steps {
            match step {
                Step::Replace(source, version) => {
                    let (document, chunks) = document(source, version);
                    collection.replace(document.clone(), chunks.clone()).unwrap();
                    staged.insert(document.source.clone(), (document, chunks));
                    continue;
                }
                Step::Remove(source) => {
                    let source = format!("/folder/{source}");
                    let there = collection.remove(&source).unwrap();
                    prop_assert_eq!(there, staged.remove(&source).is_some());
                    continue;
                }
                Step::Commit => collection.commit().unwrap(),
                Step::Compact => collection.compact().unwrap(),
                Step::RollBack => {
                    collection.roll_back().unwrap();
                    staged = committed.clone();
                }
                Step::Reopen => {
                    drop(collection);
                    collection = Collection::open(folder.path(), Some(&space())).unwrap();
                    staged = committed.clone();
                }
            }
            committed = staged.clone();
            compare(&collection, &committed);
        }
    }
}

/// Everything that a collection says, against the same from the model.
fn compare(collection: &Collection, model: &Model) {
    let all: Vec<&Embedded> = model.values().flat_map(|(_, chunks)| chunks).collect();
    let expected: Vec<_> = model
        .values()
        .map(|(document, chunks)| (document.clone(), u32::try_from(chunks.len()).unwrap()))
        .collect();
    assert_eq!(collection.documents(None, 100).unwrap(), expected);
    for (document, chunks) in model.values() {
        assert_eq!(collection.chunks(&document.source).unwrap().as_ref(), Some(chunks));
        let same = collection.by_sha256(&document.sha256).unwrap();
        assert_eq!(same.map(|(document, _)| document).as_ref(), Some(document));
    }
    let stats = collection.stats().unwrap();
    assert_eq!((stats.documents, stats.chunks), (model.len() as u64, all.len() as u64));
    assert!(stats.rows >= stats.chunks);
    assert_eq!(collection.check().unwrap(), []);
    let ids = collection.reader().ids(None).unwrap();
    assert_eq!(collection.reader().points(&ids).unwrap().len(), all.len());

    let question = random(1, DIMENSIONS, 99).remove(0);
    let wanted = ["TREE", "rio"].map(str::to_owned);
    let local = Filter { label: Some(Label::LocalOnly), ..Filter::default() };
    let even = Filter {
        metadata: BTreeMap::from([("parity".into(), ["0".to_owned(), "7".to_owned()].into())]),
        sources: ["/folder/1".to_owned(), "/folder/2".to_owned()].into(),
        label: None,
    };
    for filter in [Filter::default(), local, even] {
        let through: Vec<(&Document, &Embedded)> = model
            .values()
            .filter(|(document, _)| lets_through(&filter, document))
            .flat_map(|(document, chunks)| chunks.iter().map(move |chunk| (document, chunk)))
            .collect();
        let query = |mode| Query {
            words: wanted.join("? "),
            vector: Some(question.clone()),
            count: 100,
            filter: filter.clone(),
            mode,
            diversity: None,
        };
        let name = |source: &str, chunk: &Chunk| format!("{source}#{}", chunk.ordinal);

        let by_words = collection.reader().search(&query(Mode::Words)).unwrap();
        let mut found: Vec<_> = by_words.iter().map(|hit| name(&hit.source, &hit.chunk)).collect();
        let has = |chunk: &Chunk| chunk.text.contains("tree") || chunk.text.contains("río");
        let mut expected: Vec<_> = through
            .iter()
            .filter(|(_, embedded)| has(&embedded.chunk))
            .map(|(document, embedded)| name(&document.source, &embedded.chunk))
            .collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
        assert!(by_words.is_sorted_by(|left, right| left.words >= right.words));

        let by_vector = collection.reader().search(&query(Mode::Vectors)).unwrap();
        let mut expected: Vec<_> = through
            .iter()
            .map(|(document, embedded)| {
                (
                    crate::vectors::dot(&question, &embedded.vector),
                    name(&document.source, &embedded.chunk),
                )
            })
            .collect();
        expected.sort_by(|left, right| right.0.total_cmp(&left.0));
        assert_eq!(by_vector.len(), expected.len());
        for (hit, (similarity, _)) in by_vector.iter().zip(&expected) {
            assert!((hit.similarity.unwrap() - similarity).abs() < 1e-5);
        }

        let hybrid = collection.reader().search(&query(Mode::Hybrid)).unwrap();
        let ids = |hits: &[crate::Hit]| hits.iter().map(|hit| hit.id).collect::<Vec<_>>();
        let fused = crate::fusion::fuse(&[ids(&by_words), ids(&by_vector)]);
        assert_eq!(ids(&hybrid), fused.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        for hit in &hybrid {
            let (document, chunks) = &model[&hit.source];
            assert_eq!(hit.chunk, chunks[hit.chunk.ordinal as usize].chunk);
            assert_eq!((&hit.title, &hit.label), (&document.title, &document.label));
            assert_eq!(&hit.metadata, &document.metadata);
        }
    }
}

fn lets_through(filter: &Filter, document: &Document) -> bool {
    filter.label.is_none_or(|label| label == document.label)
        && (filter.sources.is_empty() || filter.sources.contains(&document.source))
        && filter.metadata.iter().all(|(key, values)| {
            document.metadata.get(key).is_some_and(|value| values.contains(value))
        })
}

fn filled(folder: &Path) -> Collection {
    let mut collection = Collection::open(folder, Some(&space())).unwrap();
    for source in 0..5 {
        let (document, chunks) = document(source, 3);
        collection.replace(document, chunks).unwrap();
    }
    collection.commit().unwrap();
    collection
}

#[test]
fn a_collection_is_opened_once_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = filled(folder.path());
    let second = Collection::open(folder.path(), Some(&space())).unwrap_err();
    assert!(matches!(second, Error::Locked(_)), "{second}");
    drop(first);
    Collection::open(folder.path(), Some(&space())).unwrap();
}

#[test]
fn another_embedding_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path()));
    let other = EmbeddingSpace { model: "large".into(), dimensions: DIMENSIONS };
    for embedding in [Some(&other), None] {
        let error = Collection::open(folder.path(), embedding).unwrap_err();
        assert!(error.to_string().contains("was made with tiny (8 dimensions)"), "{error}");
    }
    let collection = Collection::open(folder.path(), Some(&space())).unwrap();
    assert_eq!(collection.stats().unwrap().chunks, 15);
}

#[test]
fn a_vector_that_cannot_be_compared_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut collection = filled(folder.path());
    for vector in [vec![0.0; DIMENSIONS], vec![f32::NAN; DIMENSIONS], vec![1.0; 3], vec![]] {
        let (document, mut chunks) = document(1, 7);
        chunks[2].vector = vector;
        let error = collection.replace(document, chunks).unwrap_err();
        assert!(matches!(error, Error::Vector { wanted: DIMENSIONS, .. }), "{error}");
    }
    collection.commit().unwrap();
    assert_eq!(collection.document("/folder/1").unwrap().unwrap().0.sha256, "1-3");
}

#[test]
fn a_source_that_no_index_could_find_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut collection = filled(folder.path());
    let (mut document, chunks) = document(1, 7);
    document.source = "x".repeat(40_000);
    let error = collection.replace(document, chunks).unwrap_err();
    assert!(matches!(error, Error::TooLong { bytes: 40_000, .. }), "{error}");
}

#[test]
fn without_vectors_a_collection_is_searched_by_words() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let mut collection = Collection::open(folder.path(), None).unwrap();
        let (document, mut chunks) = document(1, 3);
        for embedded in &mut chunks {
            embedded.vector.clear();
        }
        chunks[1].chunk.text = "Schlüsselwort".into();
        collection.replace(document, chunks.clone()).unwrap();
        collection.commit().unwrap();
        let words = "schlusselwort".into();
        let hits =
            collection.reader().search(&Query { words, count: 5, ..Query::default() }).unwrap();
        assert_eq!(hits.len(), 1);
        assert_eq!((hits[0].chunk.ordinal, hits[0].similarity), (1, None));
        assert_eq!(collection.chunks("/folder/1").unwrap(), Some(chunks));
    }
}

#[test]
fn a_searcher_sees_the_last_commit_and_a_copy_elsewhere_can_follow() {
    let folder = tempfile::tempdir().unwrap();
    let mut collection = filled(folder.path());
    let searcher = collection.reader();
    let before = searcher.ids(None).unwrap();
    assert_eq!(before, (1..=15).collect::<Vec<_>>());
    let (changed, chunks) = document(2, 2);
    collection.replace(changed, chunks.clone()).unwrap();
    assert_eq!(searcher.ids(None).unwrap(), before);
    collection.commit().unwrap();

    let after = searcher.ids(None).unwrap();
    assert_eq!(after, [1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 15, 16, 17]);
    assert_eq!(searcher.ids(Some(Label::LocalOnly)).unwrap(), [16, 17]);
    let points = searcher.points(&[7, 17, 16]).unwrap();
    let vector = |at: usize| crate::vectors::unit(&chunks[at].vector).unwrap();
    assert_eq!(points.iter().map(|it| it.id).collect::<Vec<_>>(), [17, 16]);
    assert_eq!([&points[0].vector, &points[1].vector], [&vector(1), &vector(0)]);
    assert_eq!((points[0].label, &points[0].metadata["parity"][..]), (Label::LocalOnly, "0"));

    let question = random(1, DIMENSIONS, 99).remove(0);
    let found = |after| {
        let found = searcher.by_vector(&question, &Filter::default(), 100, after).unwrap();
        let mut ids: Vec<u64> = found.iter().map(|candidate| candidate.id).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(found(0), after);
    assert_eq!(found(9), after[6..]);
    assert_eq!(found(16), [17]);
    assert!(found(17).is_empty() && found(u64::MAX).is_empty());
}

#[test]
fn compacting_removes_what_was_deleted_from_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut collection = Collection::open(folder.path(), Some(&space())).unwrap();
    for source in 0..4 {
        let (mut document, mut chunks) = document(source, 3);
        document.title = format!("confidential{source}");
        chunks[0].chunk.text = format!("secret{source}");
        collection.replace(document, chunks).unwrap();
        collection.commit().unwrap();
    }
    for source in 1..4 {
        assert!(collection.remove(&format!("/folder/{source}")).unwrap());
    }
    collection.compact().unwrap();
    let stats = collection.stats().unwrap();
    assert_eq!((stats.rows, stats.chunks), (3, 3));
    let mut kept = 0;
    for directory in [folder.path().to_owned(), folder.path().join(INDEX)] {
        for entry in
            directory.read_dir().unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file())
        {
            let bytes = std::fs::read(entry.path()).unwrap();
            let has = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
            assert!(!has(b"secret2") && !has(b"confidential2"), "{}", entry.path().display());
            kept += usize::from(has(b"secret0"));
        }
    }
    assert!(kept > 0);
    assert_eq!(collection.check().unwrap(), []);
}

#[test]
fn a_copy_is_the_collection_as_of_one_commit_whatever_comes_then() {
    for embedding in [Some(space()), None] {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut collection = Collection::open(folder.path(), embedding.as_ref()).unwrap();
        let mut model = Model::new();
        let put = |collection: &mut Collection, source, version| {
            let (document, mut chunks) = document(source, version);
            if embedding.is_none() {
                for embedded in &mut chunks {
                    embedded.vector.clear();
                }
            }
            collection.replace(document.clone(), chunks.clone()).unwrap();
            (document.source.clone(), (document, chunks))
        };
        for source in 0..4 {
            model.extend([put(&mut collection, source, 3)]);
            collection.commit().unwrap();
        }
        collection.remove("/folder/2").unwrap();
        model.remove("/folder/2");
        collection.commit().unwrap();
        put(&mut collection, 7, 3);
        let copy = collection.copy().unwrap();
        collection.commit().unwrap();
        collection.compact().unwrap();
        drop(collection);
        std::fs::remove_dir_all(folder.path()).unwrap();

        std::fs::create_dir(elsewhere.path().join(INDEX)).unwrap();
        for mut file in copy {
            assert!(is_file_name(&file.name), "{file:?}");
            let mut to = std::fs::File::create_new(elsewhere.path().join(&file.name)).unwrap();
            std::io::copy(&mut file.content, &mut to).unwrap();
        }
        let open = || Collection::open(elsewhere.path(), embedding.as_ref()).unwrap();
        let collection = open();
        assert_eq!(collection.check().unwrap(), []);
        assert_eq!(collection.documents(None, 9).unwrap().len(), model.len());
        for (source, (_, chunks)) in &model {
            assert_eq!(collection.chunks(source).unwrap().as_ref(), Some(chunks));
        }
        drop(collection);
        // Damage is noticed in a copy, too, and it can be gone on with.
        let store = std::fs::read_dir(elsewhere.path().join(INDEX)).unwrap();
        let mut store = store.map(|entry| entry.unwrap().path());
        let store = store.find(|path| path.extension().is_some_and(|it| it == "store")).unwrap();
        let whole = std::fs::read(&store).unwrap();
        let mut bytes = whole.clone();
        bytes[5] ^= 0xff;
        std::fs::write(&store, bytes).unwrap();
        assert_eq!(open().check().unwrap().len(), 1);
        std::fs::write(&store, whole).unwrap();
        let mut collection = open();
        put(&mut collection, 1, 5);
        collection.compact().unwrap();
        assert_eq!(collection.check().unwrap(), []);
    }
}

#[test]
fn damage_is_named_and_no_search_panics() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path()));
    for kind in ["exact", "codes"] {
        let path = folder.path().join(format!("vectors-0.{kind}"));
        let whole = std::fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(whole.len() / 40) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            std::fs::write(&path, &bytes).unwrap();
            let collection = Collection::open(folder.path(), Some(&space())).unwrap();
            let faults = collection.check().unwrap();
            assert_eq!(faults.len(), 1, "{kind} {at}");
            assert_eq!(faults[0].path, path);
            assert!(faults[0].advice.contains("ingest /folder/"), "{}", faults[0]);
            for mode in [Mode::Hybrid, Mode::Words, Mode::Vectors] {
                let vector = Some(random(1, DIMENSIONS, 1).remove(0));
                let query =
                    Query { words: "tree".into(), vector, count: 20, mode, ..Query::default() };
                let query = Query { diversity: Some(0.5), ..query };
                assert!(!collection.reader().search(&query).unwrap().is_empty());
            }
        }
        std::fs::write(&path, &whole).unwrap();
    }
    let index = folder.path().join(INDEX);
    let store = index.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let store = store
        .into_iter()
        .find(|path| path.extension().is_some_and(|kind| kind == "store"))
        .unwrap();
    let mut bytes = std::fs::read(&store).unwrap();
    bytes[5] ^= 0xff;
    std::fs::write(&store, bytes).unwrap();
    let collection = Collection::open(folder.path(), Some(&space())).unwrap();
    assert_eq!(collection.check().unwrap()[0].path, store);
}
