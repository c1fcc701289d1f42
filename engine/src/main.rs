//! `tandem-engine` hosts one llama.cpp model for tandemd.
//!
//! It is a process of its own so that nothing a model file or a request does to llama.cpp
//! reaches the daemon. tandemd starts it with one end of a socketpair as stdin; the protocol is
//! `tandem/engine/v1/engine.proto`. It ends with the socket.
//!
//! The daemon puts `GGML_NO_BACKTRACE` into the environment, which keeps ggml from starting a
//! debugger when a C++ exception ends the process.
//!
//! Threads: the main thread reads the socket, the text thread turns text into tokens, and the
//! scheduler owns the llama.cpp context and answers. All of them write whole frames. A model that
//! makes embeddings has the embedder in place of the last two.

#![allow(
    unreachable_pub,
    reason = "a program has no outside; `pub` says what a module offers the others"
)]

mod alike;
mod allowance;
mod build;
mod chat;
mod confidence;
mod connection;
mod constraint;
mod contention;
mod draft;
mod embedder;
mod exact;
mod intake;
#[allow(unsafe_code, reason = "the calls into llama.cpp")]
mod llama;
mod load;
mod log;
mod measure;
mod offload;
mod output;
mod process;
mod reasoning;
mod request;
mod sampler;
mod sampling;
mod scheduler;
mod snapshot;
mod text;
mod transcript;
mod vocabulary;
mod wordpiece;

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use tandem_proto::engine::from_engine::Message as Outgoing;
use tandem_proto::engine::to_engine::Message as Incoming;
use tandem_proto::engine::{Hello, Load, PROTOCOL_VERSION};

use crate::allowance::Allowance;
use crate::connection::{Reader, Writer};
use crate::embedder::Embedder;
use crate::intake::{Handover, Intake, Job};
use crate::load::Engine;
use crate::scheduler::{Interrupts, Orders, Scheduler};
use crate::text::TextWorker;

const HELP: &str = "\
tandem-engine hosts one model for tandemd, which starts it.

Usage: tandem-engine [--version | --help]

To talk to a model, use the command `tandem`.
";

/// Exit code for wrong usage.
const USAGE: u8 = 2;

/// Exit code when the engine cannot go on.
const FAILED: i32 = 1;

/// Stack of the scheduler in bytes; loading a model parses its vocabulary on it.
const SCHEDULER_STACK_BYTES: usize = 64 << 20;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => {}
        Some("--version" | "-V") => return print(&version()),
        Some("--help" | "-h") => return print(HELP),
        Some(other) => {
            log::line(format_args!("unknown argument {other}; see --help"));
            return ExitCode::from(USAGE);
        }
    }
    let Ok(stream) = connection::from_stdin() else {
        log::line(format_args!(
            "stdin is not a socket; tandemd starts this program, to talk to a model use `tandem`"
        ));
        return ExitCode::from(USAGE);
    };
    serve(stream)
}

/// For people, and for `tandem doctor`, which looks for the last line.
fn version() -> String {
    let kinds = Some(build::gpu_kinds().join(" ")).filter(|kinds| !kinds.is_empty());
    let kinds = kinds.unwrap_or_else(|| "none".to_owned());
    format!("tandem-engine {}\ngraphics processors: {kinds}\n", build::name())
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Serves the daemon until one of both ends.
fn serve(stream: UnixStream) -> ExitCode {
    process::die_with_parent();
    process::forbid_core_dumps();
    end_with_any_panic();
    let mut reader = match stream.try_clone() {
        Ok(stream) => Reader::new(stream),
        Err(error) => fail(&error),
    };
    let writer = Arc::new(Writer::new(stream));
    llama::init();
    writer.send(Outgoing::Hello(Hello {
        protocol_version: PROTOCOL_VERSION,
        build: build::name(),
        system_info: llama::system_info(),
        gpu_support: !build::gpu_kinds().is_empty(),
    }));
    let request = match reader.next() {
        Ok(Some(Incoming::Load(request))) => request,
        Ok(None) => process::exit_now(0),
        Ok(Some(_)) => fail(&"tandemd sent something else before it sent a load"),
        Err(error) => fail(&error),
    };
    let (jobs_in, jobs) = channel();
    let (commands_in, commands) = channel();
    let interrupts = Arc::new(Interrupts::default());
    let handover = Arc::new(Handover::new(commands_in, Arc::clone(&interrupts)));
    let allowance = Arc::new(Allowance::default());
    let intake =
        Intake::new(Arc::clone(&writer), jobs_in, Arc::clone(&handover), Arc::clone(&allowance));
    let scheduler = thread::Builder::new()
        .name("scheduler".to_owned())
        .stack_size(SCHEDULER_STACK_BYTES)
        .spawn(move || {
            work(&request, &writer, handover, jobs, Orders { commands, interrupts, allowance });
        });
    if let Err(error) = scheduler {
        fail(&error);
    }
    loop {
        match reader.next() {
            Ok(Some(message)) => {
                if let Err(error) = intake.take(message) {
                    fail(&error);
                }
            }
            Ok(None) => process::exit_now(0),
            Err(error) => fail(&error),
        }
    }
}

/// Loads the model, then runs the scheduler or, for embeddings, leaves the work to the embedder.
fn work(
    request: &Load,
    writer: &Arc<Writer>,
    handover: Arc<Handover>,
    jobs: Receiver<Job>,
    orders: Orders,
) {
    let engine = match load::load(request, writer) {
        Ok(engine) => engine,
        Err(error) => {
            log::line(format_args!("{error}"));
            writer.send(error.into_message());
            process::exit_now(FAILED);
        }
    };
    let embeds = engine.loaded.embeds;
    writer.send(Outgoing::Loaded(engine.loaded.clone()));
    if embeds {
        // So that cancellations are not collected for a scheduler that there is not.
        drop(orders.commands);
        return embed(engine, handover, writer, jobs, orders.allowance);
    }
    let (model, sequence_tokens) = (Arc::clone(&engine.model), engine.sequence_tokens);
    let text_writer = Arc::clone(writer);
    let template = load::template(request, &model);
    let text = thread::Builder::new().name("text".to_owned()).stack_size(text::STACK_BYTES).spawn(
        move || {
            TextWorker::new(model, template.as_deref(), sequence_tokens, handover, text_writer)
                .run(&jobs);
        },
    );
    if let Err(error) = text {
        fail(&error);
    }
    let speculation = request.speculation();
    let scheduler = Scheduler::new(engine, speculation, Arc::clone(writer), orders);
    if let Err(error) = scheduler.run() {
        fail(&error);
    }
}

/// Runs the embedder, on a thread with a stack for tokenizers.
fn embed(
    engine: Engine,
    handover: Arc<Handover>,
    writer: &Arc<Writer>,
    jobs: Receiver<Job>,
    allowance: Arc<Allowance>,
) {
    let embedder = Embedder::new(engine, handover, Arc::clone(writer), allowance);
    let run = move || {
        if let Err(error) = embedder.run(&jobs) {
            fail(&error);
        }
    };
    let thread =
        thread::Builder::new().name("embedder".to_owned()).stack_size(text::STACK_BYTES).spawn(run);
    if let Err(error) = thread {
        fail(&error);
    }
}

/// A thread that panicked leaves an engine that looks alive and answers nothing.
fn end_with_any_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        process::exit_now(FAILED);
    }));
}

fn fail(error: &dyn std::fmt::Display) -> ! {
    log::line(format_args!("{error}"));
    process::exit_now(FAILED)
}
