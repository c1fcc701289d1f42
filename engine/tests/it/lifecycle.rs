//! How an engine begins, fails and ends.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use tandem_proto::engine::from_engine::Message;
use tandem_proto::engine::to_engine::Message as ToMessage;
use tandem_proto::engine::{Load, PROTOCOL_VERSION};

use crate::harness::{Engine, chat, greedy, load_request, raw};

#[test]
fn an_engine_says_hello_and_describes_the_loaded_model() {
    let mut engine = Engine::start();
    let Some(Message::Hello(hello)) = engine.receive() else { panic!("no hello") };
    assert_eq!(hello.protocol_version, PROTOCOL_VERSION);
    assert!(hello.build.contains("llama.cpp") && hello.build.contains("features"));
    assert!(!hello.system_info.is_empty());
    engine.send(ToMessage::Load(load_request()));
    let mut stages = Vec::new();
    let loaded = loop {
        match engine.reply() {
            Message::LoadProgress(progress) => {
                assert!((0.0..=1.0).contains(&progress.fraction));
                stages.push(progress.stage);
            }
            Message::Loaded(loaded) => break loaded,
            other => panic!("unexpected {other:?}"),
        }
    };
    stages.dedup();
    assert_eq!(stages, ["weights", "context", "self test"]);
    assert_eq!(loaded.architecture, "llama");
    assert!(loaded.description.contains("Q4_1"), "{}", loaded.description);
    assert_eq!((loaded.context_tokens, loaded.context_trained), (4096, 8192));
    assert_eq!((loaded.sequences_max, loaded.vocab_size), (8, 49152));
    assert!(loaded.parameters > 100_000_000 && loaded.size_bytes > 90_000_000);
    assert!(loaded.has_chat_template && loaded.threads > 0);
}

#[test]
fn an_idle_engine_keeps_telling_that_it_lives() {
    let mut engine = Engine::loaded();
    for _ in 0..2 {
        let Some(Message::Heartbeat(heartbeat)) = engine.receive() else { panic!("no heartbeat") };
        assert_eq!((heartbeat.sequences_active, heartbeat.cells_free), (0, 4096));
    }
}

#[test]
fn a_file_that_is_no_model_fails_to_load_and_ends_the_engine() {
    let mut garbage = tempfile::NamedTempFile::new().unwrap();
    garbage.write_all(b"GGUF and then nothing that makes sense").unwrap();
    let mut text = tempfile::NamedTempFile::new().unwrap();
    text.write_all(b"not a model").unwrap();
    let path = |file: &tempfile::NamedTempFile| file.path().to_str().unwrap().to_owned();
    let cases = [
        (path(&garbage), "failure: Model"),
        (path(&text), "not a GGUF file"),
        ("/no/such/file".to_owned(), "failure: Request"),
        ("/".to_owned(), "is not a file"),
        (String::new(), "failure: Request"),
    ];
    for (path, expected) in cases {
        let mut engine = Engine::start();
        let failed = engine.load(Load { path: path.clone(), ..load_request() }).unwrap_err();
        assert!(failed.contains(expected), "{path}: {failed}");
        assert_eq!(engine.wait().code(), Some(1));
    }
}

#[test]
fn a_load_with_impossible_numbers_fails() {
    let cases = [
        ("context_tokens", Load { context_tokens: 0, ..load_request() }),
        ("context_tokens", Load { context_tokens: u32::MAX, ..load_request() }),
        ("sequences_max", Load { sequences_max: 0, ..load_request() }),
        ("sequences_max", Load { sequences_max: 100_000, ..load_request() }),
        ("batch_tokens", Load { batch_tokens: 0, ..load_request() }),
        ("threads", Load { threads: 1_000_000, ..load_request() }),
    ];
    for (field, request) in cases {
        let failed = Engine::start().load(request).unwrap_err();
        assert!(failed.contains("failure: Request") && failed.contains(field), "{failed}");
    }
}

#[test]
fn a_context_larger_than_memory_fails_to_load() {
    let request = Load { context_tokens: 1 << 30, self_test: false, ..load_request() };
    let failed = Engine::start().load(request).unwrap_err();
    assert!(failed.contains("failure: Memory"), "{failed}");
}

#[test]
fn a_truncated_model_fails_to_load() {
    let whole = std::fs::read(crate::harness::model_path()).unwrap();
    let mut half = tempfile::NamedTempFile::new().unwrap();
    half.write_all(&whole[..whole.len() / 2]).unwrap();
    let path = half.path().to_str().unwrap().to_owned();
    let failed = Engine::start().load(Load { path, ..load_request() }).unwrap_err();
    assert!(failed.contains("failure: Model"), "{failed}");
}

#[test]
fn an_engine_ends_when_the_daemon_hangs_up() {
    let mut idle = Engine::start();
    idle.hang_up();
    assert_eq!(idle.wait().code(), Some(0));

    let mut busy = Engine::loaded();
    let id = busy.generate(raw("Once upon a time", greedy(4000)));
    busy.first_step(id);
    busy.stop_sending();
    assert_eq!(busy.wait().code(), Some(0));
}

#[test]
fn an_engine_ends_when_the_daemon_sends_garbage() {
    for garbage in [&[3, 0, 0, 0, 0xff, 0xff, 0xff][..], &[0xff; 8]] {
        let mut engine = Engine::loaded();
        engine.send_bytes(garbage);
        assert_eq!(engine.wait().code(), Some(1), "{garbage:?}");
    }
}

#[test]
fn an_engine_loads_once_and_first() {
    let mut twice = Engine::loaded();
    twice.send(ToMessage::Load(load_request()));
    assert_eq!(twice.wait().code(), Some(1));
    let mut early = Engine::start();
    early.generate(chat("Hi", greedy(1)));
    assert_eq!(early.wait().code(), Some(1));
}

#[test]
fn requests_sent_while_the_model_loads_are_served_after_it() {
    let mut engine = Engine::start();
    engine.send(ToMessage::Load(load_request()));
    let id = engine.generate(chat("Say hello.", greedy(3)));
    let mut loaded = false;
    loop {
        match engine.reply() {
            Message::Loaded(_) => loaded = true,
            Message::Step(step) if step.sequences.iter().any(|s| s.finish.is_some()) => {
                assert!(loaded && step.sequences[0].id == id);
                break;
            }
            _ => {}
        }
    }
}

#[test]
fn a_kernel_that_this_cpu_cannot_run_kills_the_engine_before_it_is_loaded() {
    let mut engine = Engine::start();
    match engine.load(Load { use_extra_bufts: true, ..load_request() }) {
        Ok(_) => {
            // Loaded is a promise: the same kernels answer.
            assert!(!engine.ask(chat("Say hello.", greedy(8))).tokens.is_empty());
        }
        Err(_) => assert!(engine.wait().signal().is_some(), "it was a signal that ended it"),
    }
}

#[test]
fn without_a_socket_the_program_says_who_starts_it() {
    let run = |arguments: &[&str]| {
        let mut engine = Command::new(env!("CARGO_BIN_EXE_tandem-engine"));
        engine.args(arguments).stdin(Stdio::null()).output().unwrap()
    };
    let plain = run(&[]);
    assert_eq!(plain.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&plain.stderr).contains("tandemd starts this program"));
    assert_eq!(run(&["--frobnicate"]).status.code(), Some(2));
    let version = run(&["--version"]);
    assert!(version.status.success());
    let text = String::from_utf8_lossy(&version.stdout);
    assert!(text.contains(env!("CARGO_PKG_VERSION")), "{text}");
    assert!(text.contains("\ngraphics processors: "), "{text}");
    assert!(run(&["--help"]).status.success());
}
