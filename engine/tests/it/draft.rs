//! A second model guesses: it changes when an answer comes, and nothing else.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use tandem_proto::engine::{Load, Speculation};
use tandem_proto::v1::Sampling;

use crate::harness::{Answer, Engine, chat, greedy, load_request, model_path, raw, seeded};
use crate::speculation::prompts;

/// More than the vocabulary at the beginning of the test model's file.
const VOCABULARY_BYTES: u64 = 2 << 20;

/// An engine in which `draft` guesses, if there is one.
fn engine(speculation: Speculation, draft: Option<&Path>) -> Engine {
    let mut engine = Engine::start();
    engine.load(load(speculation, draft)).unwrap();
    engine
}

fn load(speculation: Speculation, draft: Option<&Path>) -> Load {
    Load {
        context_tokens: 8192,
        // Several engines run side by side.
        threads: 1,
        self_test: false,
        speculation: speculation.into(),
        draft_path: draft.map_or_else(String::new, |path| path.display().to_string()),
        ..load_request()
    }
}

/// The test model with its first bytes, which `change` may change, and zeros for most of its
/// weights: whatever it is asked, it says the same.
fn dull(folder: &Path, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let whole = File::open(model_path()).unwrap();
    let bytes = whole.metadata().unwrap().len();
    let mut start = Vec::new();
    whole.take(VOCABULARY_BYTES).read_to_end(&mut start).unwrap();
    change(&mut start);
    let path = folder.join("dull.gguf");
    fs::write(&path, start).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(bytes).unwrap();
    path
}

fn said(answer: &Answer) -> (&str, &[u32], i32) {
    (&answer.text, &answer.tokens, answer.last.finish.as_ref().unwrap().reason)
}

/// Answers do not depend on `guessing`; of all tokens guessed, how many were right.
fn answers_are_the_same(guessing: &mut Engine, sampling: fn(u64, u32) -> Sampling) -> (u32, u32) {
    let mut plain = engine(Speculation::Unspecified, None);
    let (mut drafted, mut accepted) = (0, 0);
    for prompt in prompts(sampling) {
        let (expected, answer) = (plain.ask(prompt.clone()), guessing.ask(prompt.clone()));
        assert_eq!(said(&answer), said(&expected), "{prompt:?}");
        drafted += answer.usage().drafted_tokens;
        accepted += answer.usage().accepted_tokens;
    }
    (drafted, accepted)
}

#[test]
fn a_model_that_guesses_for_itself_is_nearly_always_right() {
    let itself = model_path();
    let mut guessing = engine(Speculation::Draft, Some(Path::new(&itself)));
    let (drafted, accepted) = answers_are_the_same(&mut guessing, |_, most| greedy(most));
    // What is guessed behind the end of an answer is never looked at.
    assert!(accepted > 300 && accepted * 10 >= drafted * 9, "{accepted} of {drafted}");
    assert_eq!(guessing.idle().draft_cells, 0);
}

#[test]
fn sampled_answers_are_the_same_with_a_draft_model() {
    let itself = model_path();
    let mut guessing = engine(Speculation::Draft, Some(Path::new(&itself)));
    let (drafted, accepted) = answers_are_the_same(&mut guessing, seeded);
    assert!(accepted > 100 && accepted < drafted, "{accepted} of {drafted}");
}

#[test]
fn lookup_and_draft_model_guess_together() {
    let itself = model_path();
    let mut guessing = engine(Speculation::Always, Some(Path::new(&itself)));
    let (drafted, accepted) = answers_are_the_same(&mut guessing, |_, most| greedy(most));
    assert!(accepted > 300 && accepted < drafted, "{accepted} of {drafted}");
}

#[test]
fn a_draft_model_that_is_always_wrong_changes_nothing_and_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let dull = dull(folder.path(), |_| {});
    let mut guessing = engine(Speculation::Auto, Some(&dull));
    let mut plain = engine(Speculation::Unspecified, None);
    let prompt = chat("Tell me a story about a fox.", greedy(200));
    let (expected, answer) = (plain.ask(prompt.clone()), guessing.ask(prompt));
    assert_eq!(said(&answer), said(&expected));
    let usage = answer.usage();
    // Those of a few tries, and those that repeat something.
    assert!(usage.drafted_tokens < usage.completion_tokens, "{usage:?}");
}

#[test]
fn a_draft_model_with_another_vocabulary_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let other = dull(folder.path(), |start| {
        let word = "\u{120}capital".as_bytes();
        let at = start.windows(word.len()).position(|text| text == word).unwrap();
        start[at + 2] = b'k';
    });
    let error = Engine::start().load(load(Speculation::Auto, Some(&other))).unwrap_err();
    assert!(error.contains("Draft"), "{error}");
    assert!(error.contains("dull.gguf does not fit") && error.contains(&model_path()), "{error}");
    assert!(error.contains("is \\\" kapital\\\" to it and \\\" capital\\\""), "{error}");

    let absent = Path::new("/no/such/draft.gguf");
    let error = Engine::start().load(load(Speculation::Auto, Some(absent))).unwrap_err();
    assert!(error.contains("/no/such/draft.gguf"), "{error}");
    // Where nothing is guessed it is not looked at.
    Engine::start().load(load(Speculation::Unspecified, Some(absent))).unwrap();
}

#[test]
fn ends_cancels_and_lost_places_free_what_the_draft_model_holds() {
    let itself = model_path();
    let mut guessing = Engine::start();
    let load = Load {
        context_tokens: 768,
        sequences_max: 4,
        batch_tokens: 64,
        ..load(Speculation::Draft, Some(Path::new(&itself)))
    };
    guessing.load(load).unwrap();
    let text = |n: usize| raw(&format!("{n} {}", "word ".repeat(n * 7 % 50)), greedy(150));
    for round in 0..3 {
        let ids: Vec<_> = (0..8).map(|n| guessing.generate(text(round * 8 + n))).collect();
        for &id in ids.iter().skip(round).step_by(3) {
            guessing.cancel(id);
        }
        let answers = guessing.answers(&ids);
        let right: u32 = answers.iter().map(|answer| answer.usage().accepted_tokens).sum();
        assert!(right > 0, "{answers:?}");
        let heartbeat = guessing.idle();
        assert_eq!(heartbeat.draft_cells, 0);
        assert_eq!(heartbeat.cells_free + heartbeat.cells_retained, 768);
    }
}
