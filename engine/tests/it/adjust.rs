//! What an engine gives up while it runs, and keys and values of 8 bits.

use std::fs;

use tandem_proto::engine::from_engine::Message;
use tandem_proto::engine::to_engine::Message as ToMessage;
use tandem_proto::engine::{Adjust, Generate, KvType, Load};

use crate::harness::{Engine, chat, greedy, load_request, raw};
use crate::sharing::commas;

fn adjust(engine: &mut Engine, adjust: Adjust) {
    engine.send(ToMessage::Adjust(adjust));
}

fn engine(change: impl FnOnce(&mut Load)) -> Engine {
    let mut load = load_request();
    change(&mut load);
    let mut engine = Engine::start();
    engine.load(load).unwrap();
    engine
}

/// A prompt of about `words` tokens that has nothing in common with those of other numbers.
fn long(words: usize, number: usize) -> Generate {
    let text =
        format!("{number} {}", "The quick brown fox jumps over the lazy dog. ".repeat(words / 10));
    raw(&text, greedy(1))
}

/// Steps in which a prompt is read and answered with one token.
fn steps_of(engine: &mut Engine, prompt: Generate) -> u64 {
    let before = engine.idle().steps;
    let answer = engine.ask(prompt);
    assert_eq!(answer.tokens.len(), 1);
    engine.idle().steps - before
}

#[test]
fn prompts_are_read_in_smaller_pieces_until_all_is_well_again() {
    let mut engine = Engine::loaded();
    let whole = steps_of(&mut engine, long(600, 1));
    assert!(whole <= 3, "{whole} steps");
    adjust(&mut engine, Adjust { batch_tokens: 32, ..Adjust::default() });
    let pieces = steps_of(&mut engine, long(600, 2));
    assert!(pieces >= 600 / 32, "{pieces} steps");
    adjust(&mut engine, Adjust::default());
    assert_eq!(steps_of(&mut engine, long(600, 3)), whole);
}

#[test]
fn an_answer_goes_on_as_it_would_have_when_batches_become_smaller() {
    let question = || chat("Why is the sky blue?", greedy(60));
    let expected = Engine::loaded().ask(question());
    let mut engine = Engine::loaded();
    let id = engine.generate(question());
    let first = engine.first_step(id);
    let smaller = Adjust { batch_tokens: 32, prefix_memory_bytes: 1, ..Adjust::default() };
    adjust(&mut engine, smaller);
    let mut answer = engine.answers(&[id]).remove(0);
    answer.tokens.splice(0..0, first.tokens);
    assert_eq!(answer.tokens, expected.tokens);
}

#[test]
fn an_answer_goes_on_when_threads_are_taken_away_and_given_back() {
    let mut engine = engine(|load| load.threads = 2);
    let id = engine.generate(raw("Once upon a time", commas(80)));
    let mut tokens = engine.first_step(id).tokens.len();
    for threads in [1, 0, 1000, 1] {
        adjust(&mut engine, Adjust { threads, ..Adjust::default() });
        tokens += engine.first_step(id).tokens.len();
    }
    let answer = engine.answers(&[id]).remove(0);
    assert_eq!(tokens + answer.tokens.len(), 80);
}

#[test]
fn exact_answers_do_not_depend_on_what_is_given_up() {
    let exact = |load: &mut Load| {
        load.exact = true;
        load.threads = 2;
    };
    let prompt = || {
        let context = "The quick brown fox jumps over the lazy dog. ".repeat(30);
        raw(&format!("{context}In short,"), greedy(40))
    };
    let expected = engine(exact).ask(prompt());
    let mut engine = engine(exact);
    adjust(&mut engine, Adjust { threads: 1, batch_tokens: 32, prefix_memory_bytes: 1 });
    let id = engine.generate(prompt());
    let mut tokens = engine.first_step(id).tokens;
    adjust(&mut engine, Adjust::default());
    tokens.extend(engine.answers(&[id]).remove(0).tokens);
    assert_eq!(tokens, expected.tokens);
}

#[cfg(target_os = "linux")]
/// Bytes that a process keeps for itself, without the model file, which is mapped.
fn own_bytes(engine: &Engine) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", engine.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[cfg(target_os = "linux")]
#[test]
fn keys_and_values_of_8_bits_take_about_half_of_the_memory_and_still_answer() {
    // 30 layers, 8192 cells, 3 heads with a key and a value of 64 numbers each.
    const NUMBERS: u64 = 30 * 8192 * 3 * 2 * 64;
    let wide = |load: &mut Load| load.context_tokens = 8192;
    let mut plain = engine(wide);
    let mut narrow = Engine::start();
    let request = Load { context_tokens: 8192, ..load_request() };
    let loaded = narrow.load(Load { kv_type: KvType::Q80.into(), ..request }).unwrap();
    assert_eq!((loaded.kv_type(), loaded.notices), (KvType::Q80, Vec::new()));
    let question = || chat("What is the capital of France? Answer briefly.", greedy(24));
    let (wide, small) = (plain.ask(question()), narrow.ask(question()));
    assert!(wide.text.contains("Paris") && small.text.contains("Paris"), "{}", small.text);
    let (more, less) = (own_bytes(&plain), own_bytes(&narrow));
    assert!(less + NUMBERS / 2 < more, "{less} and {more} bytes");

    // The same from what is kept, and beside others.
    assert_eq!(narrow.ask(question()).tokens, small.tokens);
    let ids = [question(), long(300, 1), question()].map(|prompt| narrow.generate(prompt));
    let answers = narrow.answers(&ids);
    assert_eq!((&answers[0].tokens, &answers[2].tokens), (&small.tokens, &small.tokens));
}

#[test]
fn keys_and_values_keep_16_bits_where_8_are_not_to_be_had_and_that_is_said() {
    let quantized = || Load { kv_type: KvType::Q80.into(), ..load_request() };
    let cases = [
        (Load { flash_attention: false, ..quantized() }, "flash attention"),
        (Load { exact: true, ..quantized() }, "exact answers"),
    ];
    for (request, reason) in cases {
        let mut engine = Engine::start();
        let loaded = engine.load(request).unwrap();
        assert_eq!(loaded.kv_type(), KvType::Unspecified);
        assert!(loaded.notices[0].contains(reason), "{:?}", loaded.notices);
        assert!(!engine.ask(chat("Say hello.", greedy(4))).text.is_empty());
    }
}

#[test]
fn without_graphics_processors_the_cpu_computes_all_whatever_was_asked_for() {
    for gpu_layers in [None, Some(0), Some(99)] {
        let mut engine = Engine::start();
        let Some(Message::Hello(hello)) = engine.receive() else { panic!("no hello") };
        engine.send(ToMessage::Load(Load { gpu_layers, ..load_request() }));
        let loaded = loop {
            match engine.reply() {
                Message::LoadProgress(_) => {}
                Message::Loaded(loaded) => break loaded,
                other => panic!("unexpected {other:?}"),
            }
        };
        if !hello.gpu_support {
            assert_eq!((loaded.gpu_layers, loaded.devices.len()), (0, 0));
            assert!(loaded.notices.is_empty(), "{:?}", loaded.notices);
        }
    }
}

#[test]
fn a_message_of_unknown_kind_is_passed_over() {
    let mut engine = Engine::loaded();
    // Field 999, with an empty message.
    engine.send_bytes(&[3, 0, 0, 0, 0xba, 0x3e, 0x00]);
    assert!(!engine.ask(chat("Say hello.", greedy(4))).text.is_empty());
}
