#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::{Collection, EmbeddingSpace, Place};

/// A collection with a document a text, whose vector has the given angle.
fn collection(folder: &Path, texts: &[(&str, f32)]) -> Collection {
    let space = EmbeddingSpace { model: "angles".into(), dimensions: 2 };
    let mut collection = Collection::open(folder, Some(&space)).unwrap();
    for (at, (text, angle)) in texts.iter().enumerate() {
        let document = Document {
            source: at.to_string(),
            title: "About rivers".into(),
            sha256: at.to_string(),
            bytes: 1,
            modified: 0,
            metadata: BTreeMap::new(),
            label: Label::LocalOnly,
            cut: None,
        };
        let chunk = Chunk { ordinal: 0, text: (*text).into(), place: Place::default() };
        let vector = vec![angle.cos(), angle.sin()];
        collection.replace(document, vec![Embedded { chunk, vector }]).unwrap();
    }
    collection.commit().unwrap();
    collection
}

fn sources(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.source.as_str()).collect()
}

#[test]
fn nothing_in_the_words_of_a_query_is_syntax() {
    let folder = tempfile::tempdir().unwrap();
    let collection = collection(folder.path(), &[("what AND means", 0.0), ("nothing else", 1.0)]);
    for words in ["\"and", "and:(", "text:and*", "-and +", "AND OR NOT", "{and TO]"] {
        let query = Query { words: words.into(), count: 3, ..Query::default() };
        assert_eq!(sources(&collection.reader().search(&query).unwrap()), ["0"], "{words}");
    }
    let query = Query { words: "?!… \u{0}".into(), count: 3, ..Query::default() };
    assert_eq!(collection.reader().search(&query).unwrap(), []);
}

#[test]
fn a_hybrid_search_puts_first_what_both_find() {
    let folder = tempfile::tempdir().unwrap();
    let texts = [("old bridge", 1.0), ("stone bridge", 0.1), ("boat", 0.0), ("tower", 0.2)];
    let collection = collection(folder.path(), &texts);
    let query = Query {
        words: "bridge".into(),
        vector: Some(vec![5.0, 0.0]),
        count: 4,
        ..Query::default()
    };
    let hits = collection.reader().search(&query).unwrap();
    assert_eq!(hits[0].source, "1");
    assert!((hits[0].similarity.unwrap() - 0.1_f32.cos()).abs() < 1e-5);
    assert!(hits[0].words.is_some());
    let boat = hits.iter().find(|hit| hit.source == "2").unwrap();
    assert_eq!(boat.words, None);

    let words = Query { mode: Mode::Words, ..query };
    let hits = collection.reader().search(&words).unwrap();
    assert!(
        (hits.iter().find(|hit| hit.source == "0").unwrap().similarity.unwrap() - 1.0_f32.cos())
            .abs()
            < 1e-5
    );
}

#[test]
fn words_of_titles_find_chunks_but_count_less_than_their_text() {
    let folder = tempfile::tempdir().unwrap();
    let collection = collection(folder.path(), &[("deep water", 0.0), ("wide rivers", 1.0)]);
    let query = Query { words: "rivers".into(), count: 3, ..Query::default() };
    assert_eq!(sources(&collection.reader().search(&query).unwrap()), ["1", "0"]);
}

#[test]
fn diverse_hits_do_not_repeat_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let texts = [("a", 0.0), ("b", 0.01), ("c", 0.02), ("d", 1.0)];
    let collection = collection(folder.path(), &texts);
    let query = Query {
        vector: Some(vec![1.0, 0.0]),
        count: 2,
        mode: Mode::Vectors,
        diversity: Some(0.0),
        ..Query::default()
    };
    assert_eq!(sources(&collection.reader().search(&query).unwrap()), ["0", "1"]);
    let query = Query { diversity: Some(0.9), ..query };
    assert_eq!(sources(&collection.reader().search(&query).unwrap()), ["0", "3"]);
}

#[test]
fn candidates_of_another_server_are_ranked_and_those_that_are_gone_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut collection =
        collection(folder.path(), &[("bridge", 0.0), ("boat", 0.5), ("tower", 1.0)]);
    collection.remove("1").unwrap();
    collection.commit().unwrap();
    let reader = collection.reader();
    let query = Query { words: "bridge".into(), count: 5, ..Query::default() };
    let elsewhere = [3, 2, 1].map(|id| Candidate { id, score: 0.5 });
    assert!(!reader.has_all(&elsewhere));
    assert_eq!(sources(&reader.hits(&query, &elsewhere).unwrap()), ["0", "2"]);
}

#[test]
fn asking_for_nothing_finds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let collection = collection(folder.path(), &[("bridge", 0.0)]);
    for vector in [vec![0.0, 0.0], vec![f32::NAN, 1.0], vec![1.0], vec![]] {
        let query =
            Query { vector: Some(vector), count: 5, mode: Mode::Vectors, ..Query::default() };
        assert_eq!(collection.reader().search(&query).unwrap(), []);
    }
    let none = Query {
        words: "bridge".into(),
        vector: Some(vec![1.0, 0.0]),
        count: 0,
        ..Query::default()
    };
    assert_eq!(collection.reader().search(&none).unwrap(), []);
}
