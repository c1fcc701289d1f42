//! An engine that follows a script: it speaks the protocol on stdin like the real one, answers
//! with the words it is given, and dies, hangs or lies when it is told to.
#![allow(clippy::unwrap_used, clippy::panic, reason = "its end is its error message")]

mod answers;
mod connection;
mod engine;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::thread;

use tandem_proto::engine::to_engine::Message as Incoming;
use tandem_proto::engine::{
    Hello, LoadFailed, LoadFailure, LoadProgress, Loaded, Measured,
    from_engine::Message as Outgoing,
};
use tandem_tests::script::{self, Life, Script};

use connection::Connection;
use engine::Engine;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        let version = env!("CARGO_PKG_VERSION");
        let mut out = std::io::stdout();
        return writeln!(out, "scripted-engine {version}").unwrap();
    }
    let path = PathBuf::from(std::env::var_os("TANDEM_HOME").expect("a home")).join(script::FILE);
    let script: Script = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let (mut connection, incoming) = Connection::open(&path);
    let life = script.life(connection.life()).clone();

    connection.send(Outgoing::Hello(Hello {
        protocol_version: life.protocol,
        build: "scripted".to_owned(),
        system_info: "none".to_owned(),
        ..Hello::default()
    }));
    load(&mut connection, &incoming, &life, &script::release_file(&path));
    Engine::new(connection, life, script::release_file(&path)).serve(&incoming);
}

/// Waits for the order to load, and carries it out as the script says.
fn load(connection: &mut Connection, incoming: &Receiver<Incoming>, life: &Life, release: &Path) {
    let Incoming::Load(load) = incoming.recv().unwrap() else { panic!("not told to load first") };
    let exact = if load.exact { " exact=true" } else { "" };
    connection.log(&format!(
        "load use_extra_bufts={} flash_attention={} self_test={}{exact}",
        load.use_extra_bufts, load.flash_attention, load.self_test
    ));
    let kv = load.kv_type().as_str_name();
    connection.log(&format!("context tokens={} {kv}", load.context_tokens));
    let stage = "reading the script".to_owned();
    connection.send(Outgoing::LoadProgress(LoadProgress { fraction: 0.5, stage }));
    match &life.load {
        script::Load::Succeed => (),
        script::Load::Die(signal) => engine::die(signal),
        script::Load::Hang => engine::stop(),
        script::Load::Wait => {
            while !release.exists() {
                thread::sleep(engine::LOOK_AGAIN);
            }
        }
        script::Load::Fail(failure, message) => {
            let failure = LoadFailure::from_str_name(failure).unwrap().into();
            connection.send(Outgoing::LoadFailed(LoadFailed { failure, message: message.clone() }));
            engine::stop();
        }
    }
    connection.send(Outgoing::Loaded(Loaded {
        architecture: "script".to_owned(),
        description: "scripted".to_owned(),
        context_trained: load.context_tokens,
        context_tokens: load.context_tokens,
        sequences_max: load.sequences_max,
        threads: 1,
        kv_type: load.kv_type,
        measured: load.measure.then(|| Measured {
            prefill_us_128: life.measured.0,
            decode_us_1: life.measured.1,
            ..Measured::default()
        }),
        ..Loaded::default()
    }));
}
