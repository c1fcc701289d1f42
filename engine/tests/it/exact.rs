//! Exact answers: the same bytes alone, beside others, behind what others computed, guessed, after a
//! restart, and in a storm.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use tandem_proto::engine::from_engine::Message;
use tandem_proto::engine::{Generate, Load, Speculation};
use tandem_proto::v1::{ChatMessage, FinishReason, Role};

use crate::harness::{Answer, Engine, greedy, load_request, model_paths, raw};
use crate::sharing::saved;

/// An engine of exact answers.
fn engine(model: &str, change: impl FnOnce(&mut Load)) -> Engine {
    let mut load = Load {
        path: model.to_owned(),
        exact: true,
        self_test: false,
        sequences_max: 16,
        ..load_request()
    };
    change(&mut load);
    let mut engine = Engine::start();
    engine.load(load).unwrap();
    engine
}

const FOX: &str = "The quick brown fox jumps over the lazy dog, and the dog does not mind. ";

/// Prompts of some to some hundred tokens, many of which begin alike.
fn prompts() -> Vec<Generate> {
    let context = FOX.repeat(12);
    let questions = [
        "Why is the sky blue?",
        "Write a story about a lighthouse.",
        "one two three one two three one two three",
        "The history of bread begins",
        "| 1 | one |\n| 2 | two |\n| 3 | three |\n| 4 |",
        "List the planets.",
        "fn a(x: u32) -> u32 { x + 1 }\nfn b(x: u32) -> u32 { x + 2 }\nfn c(",
        "My favourite season is",
    ];
    let alone = questions.iter().map(|question| raw(question, greedy(64)));
    let behind = questions.iter().map(|question| raw(&format!("{context}{question}"), greedy(64)));
    alone.chain(behind).collect()
}

/// What is said of [`prompts`] alone, by model.
fn expected(model: &str) -> &'static [String] {
    static TEXTS: OnceLock<BTreeMap<String, Vec<String>>> = OnceLock::new();
    let texts = TEXTS.get_or_init(|| {
        let of = |model: String| {
            let texts = alone(&model, &prompts());
            (model, texts)
        };
        model_paths().into_iter().map(of).collect()
    });
    &texts[model]
}

/// A prompt of more than 1,200 tokens.
fn long() -> Generate {
    raw(&format!("{}In short, the fox", FOX.repeat(75)), greedy(64))
}

/// What is said of each prompt by an engine that has computed nothing else.
fn alone(model: &str, prompts: &[Generate]) -> Vec<String> {
    let ask = |prompt: &Generate| {
        let answer = engine(model, |_| {}).ask(prompt.clone());
        assert_eq!(answer.usage().cached_tokens, 0);
        answer.text
    };
    prompts.iter().map(ask).collect()
}

fn texts(answers: &[Answer]) -> Vec<String> {
    answers.iter().map(|answer| answer.text.clone()).collect()
}

fn together(engine: &mut Engine, prompts: &[Generate]) -> Vec<Answer> {
    let ids: Vec<u64> = prompts.iter().map(|prompt| engine.generate(prompt.clone())).collect();
    engine.answers(&ids)
}

#[test]
fn the_model_is_exact_on_this_machine() {
    for model in model_paths() {
        engine(&model, |load| load.self_test = true);
    }
}

#[test]
fn a_context_in_which_exactness_cannot_be_shown_is_refused() {
    let mut engine = Engine::start();
    let load = Load { exact: true, context_tokens: 256, ..load_request() };
    let refused = engine.load(load).unwrap_err();
    assert!(refused.contains("failure: NotExact"), "{refused}");
    assert!(refused.contains("engine.exact = false"), "{refused}");
}

#[test]
fn an_answer_is_the_same_alone_and_beside_fifteen_others() {
    for model in model_paths() {
        let prompts = prompts();
        let expected = expected(&model);
        let mut engine = engine(&model, |_| {});
        assert_eq!(texts(&together(&mut engine, &prompts)), expected, "{model}");
        let again = together(&mut engine, &prompts);
        assert_eq!(texts(&again), expected, "{model}: behind what is kept");
        assert!(again.iter().all(|answer| answer.usage().cached_tokens > 0));
    }
}

#[test]
fn an_answer_is_the_same_whatever_part_of_its_prompt_was_reused() {
    for model in model_paths() {
        let expected = alone(&model, &[long()]);
        let mut engine = engine(&model, |_| {});
        for words in [15, 700, 3000] {
            engine.ask(Generate { prompt: long().prompt[..words].to_owned(), ..long() });
            let answer = engine.ask(long());
            assert!(answer.usage().prompt_tokens > 1200, "{:?}", answer.usage());
            assert!(answer.usage().cached_tokens > 0, "{:?}", answer.usage());
            assert_eq!([answer.text], expected[..], "{model}: behind {words} bytes");
        }
    }
}

#[test]
fn answers_that_are_guessed_beside_each_other_are_the_same() {
    for model in model_paths() {
        let expected = expected(&model);
        let mut engine = engine(&model, |load| {
            load.set_speculation(Speculation::Always);
            // Cells are moved now and then.
            load.context_tokens = 2048;
        });
        let answers = together(&mut engine, &prompts());
        assert_eq!(texts(&answers), expected, "{model}");
        let usages = answers.iter().map(Answer::usage);
        let (drafted, accepted) = usages.fold((0, 0), |(drafted, accepted), usage| {
            (drafted + usage.drafted_tokens, accepted + usage.accepted_tokens)
        });
        assert!(accepted > 50 && drafted > accepted, "{accepted} of {drafted}");
    }
}

#[test]
fn an_answer_is_the_same_behind_a_system_part_that_an_earlier_engine_saved() {
    for model in model_paths() {
        let folder = tempfile::tempdir().unwrap();
        let saving = |load: &mut Load| saves_to(load, folder.path());
        let message = |role: Role, content: &str| ChatMessage {
            role: role.into(),
            content: content.to_owned(),
            ..Default::default()
        };
        let messages = vec![
            message(Role::System, &FOX.repeat(20)),
            message(Role::User, "Who jumps over whom, and who does not mind?"),
        ];
        let question = Generate { messages, sampling: Some(greedy(64)), ..Generate::default() };
        let mut first = engine(&model, saving);
        let expected = first.ask(question.clone());
        assert_eq!(expected.usage().cached_tokens, 0);
        // The next heartbeat is a second away at most.
        while saved(folder.path()) == 0 {
            assert!(matches!(first.receive(), Some(Message::Heartbeat(_))));
        }
        drop(first);
        let answer = engine(&model, saving).ask(question);
        assert!(answer.usage().cached_tokens > 200, "{:?}", answer.usage());
        assert_eq!(answer.text, expected.text, "{model}");
    }
}

fn saves_to(load: &mut Load, folder: &Path) {
    folder.to_str().unwrap().clone_into(&mut load.prefix_folder);
    load.prefix_disk_bytes = 64 << 20;
    load.prefix_memory_bytes = 64 << 20;
    // A base model has none that could be told from its text.
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"
        .clone_into(&mut load.chat_template);
}

/// Pseudo-random numbers; the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % end
    }
}

#[test]
fn answers_are_the_same_in_a_storm() {
    for model in model_paths() {
        storm(&model, Speculation::Always, 400);
        storm(&model, Speculation::Unspecified, 600);
    }
}

/// Sends requests for so many steps, and cancels some at random.
fn storm(model: &str, speculation: Speculation, steps: u32) {
    const CELLS: u32 = 768;
    let (prompts, expected) = (prompts(), expected(model));
    let mut engine = engine(model, |load| {
        load.set_speculation(speculation);
        load.sequences_max = 6;
        // Kept prefixes give way, and cells are moved.
        load.context_tokens = CELLS;
        load.prefix_memory_bytes = 16 << 20;
    });
    let mut random = Random(5);
    let mut open: BTreeMap<u64, (usize, Answer)> = BTreeMap::new();
    let (mut seen, mut sent, mut complete) = (0, 0, 0);
    while seen < steps || !open.is_empty() {
        while seen < steps && open.len() < 10 {
            let at = random.below(prompts.len());
            open.insert(engine.generate(prompts[at].clone()), (at, Answer::default()));
            sent += 1;
        }
        if random.below(25) == 0 {
            let chosen = random.below(open.len());
            engine.cancel(*open.keys().nth(chosen).unwrap());
        }
        match engine.receive() {
            Some(Message::Step(step)) => {
                seen += 1;
                for sequence in step.sequences {
                    let id = sequence.id;
                    let (at, answer) = open.get_mut(&id).unwrap();
                    if !answer.add(sequence) {
                        continue;
                    }
                    if answer.reason() == FinishReason::Cancelled {
                        assert!(expected[*at].starts_with(&answer.text), "{model}: {answer:?}");
                    } else {
                        assert_eq!(answer.text, expected[*at], "{model}: prompt {at}");
                        complete += 1;
                    }
                    open.remove(&id);
                }
            }
            Some(Message::Started(_) | Message::Heartbeat(_)) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!(complete > sent / 3, "{complete} of {sent} answers");
    let heartbeat = engine.idle();
    assert_eq!(heartbeat.cells_free + heartbeat.cells_retained, CELLS);
}
