//! A thousand documents that were written for people, and the questions about them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};

use tandem_knowledge::chunk::{Budget, chunk};
use tandem_knowledge::evaluate::load_questions;
use tandem_knowledge::read::{Limits, WalkLimits, read, take, walk};

/// The folder that `scripts/documents.sh` lays out.
const DOCUMENTS: &str = "TANDEM_TEST_DOCUMENTS";

fn documents() -> PathBuf {
    let folder = std::env::var_os(DOCUMENTS).map(PathBuf::from);
    folder.unwrap_or_else(|| {
        panic!("{DOCUMENTS} must name the folder that scripts/documents.sh prints")
    })
}

/// About as many tokens as a model makes of a text: four letters each.
fn tokens(text: &str) -> u32 {
    u32::try_from(text.split_whitespace().map(|word| word.len().div_ceil(4)).sum::<usize>())
        .unwrap()
}

#[test]
fn a_thousand_documents_are_read_and_hold_the_answers_in_one_chunk_each() {
    let folder = documents();
    let found = walk(&folder, &WalkLimits::default()).unwrap();
    assert_eq!((found.found.len(), found.skipped.len()), (1000, 0));
    let budget = Budget::new(200, 30).unwrap();
    let mut chunks: HashMap<String, Vec<String>> = HashMap::new();
    for document in &found.found {
        let taken = take(&document.path, usize::MAX).unwrap();
        let reading = read(&taken.bytes, document.format, &Limits::default());
        let reading =
            reading.unwrap_or_else(|refusal| panic!("{} {refusal}", document.path.display()));
        let Ok(cut) = chunk::<Infallible>(&reading.blocks, budget, |texts| {
            Ok(texts.iter().map(|text| tokens(text)).collect())
        });
        let source = document.path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
        let over = cut.iter().find(|chunk| tokens(&chunk.embedded_text()) > 200);
        assert!(over.is_none(), "{source}: {over:?}");
        assert!(chunks.insert(source, cut.into_iter().map(|chunk| chunk.text).collect()).is_none());
    }
    let questions = load_questions(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/knowledge/questions.jsonl"),
    )
    .unwrap();
    assert!(
        questions.len() >= 140
            && questions.iter().filter(|question| !question.answerable).count() == 20
    );
    for question in &questions {
        for passage in &question.relevant {
            let texts = chunks
                .get(&passage.source)
                .unwrap_or_else(|| panic!("{}: no document {}", question.id, passage.source));
            let hits = texts.iter().filter(|text| passage.is(&passage.source, text)).count();
            assert!(
                hits > 0,
                "{}: no chunk of {} contains {:?}",
                question.id,
                passage.source,
                passage.contains
            );
            assert!(
                hits <= 3,
                "{}: {hits} chunks contain {:?}; say more of it",
                question.id,
                passage.contains
            );
        }
    }
}
