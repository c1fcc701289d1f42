//! Loading: from the daemon's request to a context that is known to work.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tandem_proto::engine::from_engine::Message;
use tandem_proto::engine::{
    Heartbeat, KvType, Load, LoadFailed, LoadFailure, LoadProgress, Loaded, Speculation,
};

use crate::alike::{ROWS_MAX, rows_alike};
use crate::build;
use crate::chat;
use crate::connection::Writer;
use crate::draft::{self, Draft};
use crate::embedder;
use crate::exact::{self, Inexact};
use crate::llama::{self, Context, ContextSettings, Model};
use crate::load::opening::{Opened, open};
use crate::load::trial::self_test;
use crate::measure::measure;
use crate::scheduler::{IDLE_HEARTBEAT, PREFIXES_KEPT};
use crate::snapshot::{Budget, Key, ModelFile, Store};
use crate::vocabulary::Vocabulary;

mod opening;
mod trial;

pub use opening::make_context;

/// Longest chat template in bytes.
const TEMPLATE_BYTES_MAX: usize = 256 << 10;

/// The first bytes of every model file.
const GGUF_MAGIC: [u8; 4] = *b"GGUF";

/// A model and a context that work.
#[derive(Debug)]
pub struct Engine {
    /// Shared with the text thread.
    pub model: Arc<Model>,
    /// For the scheduler or the embedder.
    pub context: Context,
    /// Sequences of the context.
    pub sequences: u32,
    /// Tokens that one sequence can have: no more than the model was trained with, as positions
    /// beyond make nonsense.
    pub sequence_tokens: u32,
    /// Rows of a step that are computed as each alone; looked at where tokens are guessed only.
    pub rows_alike: u32,
    /// A smaller model that guesses for it.
    pub draft: Option<Draft>,
    /// Copies of prefixes that were computed before; `None` for a model that embeds.
    pub snapshots: Option<Store>,
    /// What the daemon is told.
    pub loaded: Loaded,
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The daemon's request is wrong.
    #[error("{0}")]
    Request(String),
    /// The file is no model that can be used.
    #[error("{0}")]
    Model(String),
    /// The chat template that the daemon sent does not compile.
    #[error("the chat template given for this model does not compile: {0}")]
    Template(String),
    /// The draft model cannot be used.
    #[error("{0}")]
    Draft(String),
    /// There is not enough memory.
    #[error("{0}")]
    Memory(String),
    /// The model does not compute numbers.
    #[error("the self test failed: {0}")]
    SelfTest(String),
    /// The model does not compute alike whatever is computed beside.
    #[error(transparent)]
    NotExact(#[from] Inexact),
}

impl LoadError {
    /// The frame that says so, with llama.cpp's last log lines.
    pub fn into_message(self) -> Message {
        let failure = match &self {
            Self::Request(_) => LoadFailure::Request,
            Self::Model(_) => LoadFailure::Model,
            Self::Template(_) => LoadFailure::Template,
            Self::Draft(_) => LoadFailure::Draft,
            Self::Memory(_) => LoadFailure::Memory,
            Self::SelfTest(_) => LoadFailure::SelfTest,
            Self::NotExact(_) => LoadFailure::NotExact,
        };
        let mut message = self.to_string();
        for line in llama::recent_log() {
            message.push('\n');
            message.push_str(&line);
        }
        Message::LoadFailed(LoadFailed { failure: failure.into(), message })
    }
}

/// Loads what `request` asks for, reporting progress and sending heartbeats meanwhile.
pub fn load(request: &Load, writer: &Arc<Writer>) -> Result<Engine, LoadError> {
    let started = Instant::now();
    if request.exact {
        llama::forgo_tiled_kernels();
    }
    let _heart = Heart::start(Arc::clone(writer));
    check(request)?;
    let mut progress = Progress { writer, stage: "weights", percent: 0 };
    let path = Path::new(&request.path);
    let settings = ContextSettings {
        tokens: request.context_tokens,
        sequences: request.sequences_max,
        spare_sequences: PREFIXES_KEPT,
        spare_rows: if request.speculation() == Speculation::Unspecified { 0 } else { ROWS_MAX },
        // Every sequence must fit into a step with one token.
        batch: request.batch_tokens.max(request.sequences_max),
        threads: threads(request.threads),
        flash_attention: request.flash_attention,
        exact: request.exact,
        quantized_kv: request.kv_type() == KvType::Q80,
    };
    let file = ModelFile::look(path).map_err(|error| unreadable(request, &error))?;
    let Opened { model, context, settings, way } = open(request, settings, &mut progress)?;
    if model.embeds() && model.size() > 0 && model.has_texts() {
        let mut engine = embedder::load(model, request, writer, started)?;
        way.describe(&mut engine.loaded);
        return Ok(engine);
    }
    let Some(mut context) = context else {
        let message = "the model neither generates text nor makes embeddings; load one that does";
        return Err(LoadError::Model(message.to_owned()));
    };
    if !context.has_memory() {
        let message = "the model keeps no context, so it cannot generate text";
        return Err(LoadError::Model(message.to_owned()));
    }
    if request.exact {
        exact::require(&context)?;
    }
    if request.self_test {
        stage(writer, "self test");
        self_test(&mut context, model.size(), settings)?;
        if request.exact {
            stage(writer, "exactness");
            exact::check(&mut context, model.size(), settings.threads)?;
        }
    }
    let mut loaded =
        describe(request, &model, &context, settings.sequences, settings.threads, started);
    if request.measure {
        stage(writer, "measuring");
        let measured = measure(&mut context, model.size());
        let measured = measured.map_err(|error| LoadError::SelfTest(error.to_string()))?;
        loaded.measured = Some(measured);
    }
    let guesses = request.speculation() != Speculation::Unspecified && context.shares();
    let rows_alike = if guesses {
        let rows = rows_alike(&mut context, model.size());
        rows.map_err(|error| LoadError::SelfTest(error.to_string()))?
    } else {
        1
    };
    let draft = if guesses && !request.draft_path.is_empty() {
        stage(writer, "draft model");
        Some(draft::load(request, &model, settings)?)
    } else {
        None
    };
    let (cells, trained) = (context.tokens(), model.context_trained());
    let sequence_tokens = if trained == 0 { cells } else { cells.min(trained) };
    let folder = Some(Path::new(&request.prefix_folder));
    let budget = Budget {
        memory_bytes: usize::try_from(request.prefix_memory_bytes).unwrap_or(usize::MAX),
        folder: folder.filter(|path| !path.as_os_str().is_empty()),
        disk_bytes: request.prefix_disk_bytes,
    };
    let key = Key::new(file, &build::name(), way.model, &settings);
    let snapshots = Some(Store::open(key, &budget));
    way.describe(&mut loaded);
    let sequences = settings.sequences;
    Ok(Engine { model, context, sequences, sequence_tokens, rows_alike, draft, snapshots, loaded })
}

/// What the daemon is told about a model that was loaded.
pub fn describe(
    request: &Load,
    model: &Model,
    context: &Context,
    sequences_max: u32,
    threads: u32,
    started: Instant,
) -> Loaded {
    let embeds = model.embeds();
    Loaded {
        architecture: model.architecture(),
        description: model.description(),
        parameters: model.parameters(),
        size_bytes: model.size_bytes(),
        context_trained: model.context_trained(),
        context_tokens: context.tokens(),
        sequences_max,
        vocab_size: model.size(),
        threads,
        has_chat_template: template(request, model).is_some(),
        load_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        embeds,
        embedding_dimensions: if embeds { model.embedding_dimensions() } else { 0 },
        ..Loaded::default()
    }
}

/// The chat template in effect: the daemon's, else the model's own.
pub fn template(request: &Load, model: &Model) -> Option<String> {
    let sent = Some(&request.chat_template).filter(|template| !template.is_empty());
    sent.cloned().or_else(|| model.chat_template())
}

/// Finds what is wrong with a request before llama.cpp does, whose parser is not for strangers.
fn check(request: &Load) -> Result<(), LoadError> {
    let sequences_max = llama::sequences_max();
    if request.context_tokens == 0 || i32::try_from(request.context_tokens).is_err() {
        let message = format!("context_tokens: {}; use 1 to 2^31 - 1", request.context_tokens);
        return Err(LoadError::Request(message));
    }
    if request.sequences_max == 0 || request.sequences_max > sequences_max {
        let found = request.sequences_max;
        let message = format!("sequences_max: {found}; use 1 to {sequences_max}");
        return Err(LoadError::Request(message));
    }
    if request.batch_tokens == 0 || i32::try_from(request.batch_tokens).is_err() {
        let message = format!("batch_tokens: {}; use 1 to 2^31 - 1", request.batch_tokens);
        return Err(LoadError::Request(message));
    }
    if request.sequences_max > request.context_tokens {
        let message = "sequences_max: more than context_tokens; each needs a cell at least";
        return Err(LoadError::Request(message.to_owned()));
    }
    if request.threads > 1024 {
        let message = format!("threads: {}; use 0 to 1024", request.threads);
        return Err(LoadError::Request(message));
    }
    let bytes = request.chat_template.len();
    if bytes > TEMPLATE_BYTES_MAX {
        let message = format!("chat_template: {bytes} bytes; at most {TEMPLATE_BYTES_MAX}");
        return Err(LoadError::Request(message));
    }
    if let Some(problem) = chat::problem(&request.chat_template) {
        return Err(LoadError::Template(problem));
    }
    if !looks_like_gguf(&request.path).map_err(|error| unreadable(request, &error))? {
        let message = format!("{} is not a GGUF file; download it again", request.path);
        return Err(LoadError::Model(message));
    }
    Ok(())
}

/// Whether a file begins as a model does.
pub fn looks_like_gguf(path: &str) -> io::Result<bool> {
    // Not opened before it is known to be a file: a pipe would block.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut magic = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut magic)?;
    Ok(magic == GGUF_MAGIC)
}

fn unreadable(request: &Load, error: &io::Error) -> LoadError {
    LoadError::Request(format!("path: cannot read {}: {error}", request.path))
}

/// llama.cpp returns nothing but null; its log tells a lack of memory from a bad file.
fn refused(message: &str) -> LoadError {
    let signs = ["failed to allocate", "unable to allocate", "Cannot allocate memory", "bad_alloc"];
    let memory =
        llama::recent_log().iter().any(|line| signs.iter().any(|sign| line.contains(sign)));
    if memory {
        LoadError::Memory("there is not enough memory for the model".to_owned())
    } else {
        LoadError::Model(message.to_owned())
    }
}

/// Threads to compute with: those asked for, else one for each core that this process may use.
/// Where cores share two hardware threads, the daemon, which knows the machine, asks for fewer.
pub fn threads(requested: u32) -> u32 {
    if requested > 0 {
        return requested;
    }
    let available = thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(available).unwrap_or(1)
}

/// Reports each percent once.
struct Progress<'a> {
    writer: &'a Writer,
    stage: &'static str,
    percent: u32,
}

impl Progress<'_> {
    fn report(&mut self, fraction: f32) {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0 to 100"
        )]
        let percent = (fraction * 100.0).clamp(0.0, 100.0) as u32;
        if percent > self.percent {
            self.percent = percent;
            let stage = self.stage.to_owned();
            self.writer.send(Message::LoadProgress(LoadProgress { fraction, stage }));
        }
    }
}

/// Tells the daemon what is being done.
pub fn stage(writer: &Writer, stage: &str) {
    let stage = stage.to_owned();
    writer.send(Message::LoadProgress(LoadProgress { fraction: 1.0, stage }));
}

/// Sends heartbeats from a thread of its own until dropped: a large model takes minutes to load.
struct Heart {
    /// Dropped to stop the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heart {
    fn start(writer: Arc<Writer>) -> Self {
        let (stop, stopped) = channel();
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(IDLE_HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
                writer.send(Message::Heartbeat(Heartbeat::default()));
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Heart {
    /// No heartbeat of the load follows what is said after it.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
