//! Everything that can go wrong with a request, in the caller's words.
//!
//! Each message says what is wrong and what to do. `daemon/src/grpc/status.rs` maps every
//! variant to a gRPC status and a reason of [`tandem_proto::error`].

mod conversions;
mod judgements;

use std::time::Duration;

/// Result of anything that a caller asked for.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request was refused or ended without an answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A field of the request has a value that is not allowed.
    #[error("{field}: {problem}")]
    Invalid {
        /// Name of the field as the proto spells it.
        field: String,
        /// What is wrong and what is allowed.
        problem: String,
    },
    /// New settings cannot be used; those in effect stay.
    #[error("{problem}")]
    SettingsInvalid {
        /// Everything that is wrong with them, with file and line.
        problem: String,
    },
    /// Prompt and answer do not fit in the context.
    #[error("{problem}; shorten the prompt, lower max_tokens or use a model with a longer context")]
    PromptTooLong {
        /// Which numbers do not fit.
        problem: String,
    },
    /// No such model.
    #[error("no model {id:?} here; known: {known}. Give one of these, or the path of a GGUF file")]
    ModelNotFound {
        /// What the caller asked for.
        id: String,
        /// Ids of the catalog, comma separated.
        known: String,
    },
    /// The catalog knows the model, but its file is not on this machine.
    #[error(
        "model {id:?} is not here; `tandem model pull {id}` fetches it, or put its file at {path}"
    )]
    ModelAbsent {
        /// Catalog id.
        id: String,
        /// Where the file is expected.
        path: String,
    },
    /// The file is not a model that can be used.
    #[error("model {id:?} cannot be used: {problem}")]
    ModelInvalid {
        /// Catalog id or path.
        id: String,
        /// What is wrong with the file.
        problem: String,
    },
    /// The model is of another kind than the request needs.
    #[error("{problem}; `tandem model list` shows which there are")]
    ModelUnsuitable {
        /// What it can do, and what is needed.
        problem: String,
    },
    /// No embedding model was named, and which to use is not clear.
    #[error("{problem}; {advice}")]
    EmbeddingModelNotChosen {
        /// How many there are.
        problem: String,
        /// What to do.
        advice: &'static str,
    },
    /// A folder was not imported as a model.
    #[error("the import failed: {problem}")]
    ImportFailed {
        /// What is wrong and, where known, what to do.
        problem: String,
    },
    /// A model was not fetched, and trying again will not help.
    #[error("the pull failed: {problem}")]
    PullFailed {
        /// What is wrong and what to do.
        problem: String,
    },
    /// A model was not fetched as its source cannot be reached. What came is kept.
    #[error("the pull ended early: {problem}")]
    PullUnreachable {
        /// Which source, and what happened.
        problem: String,
    },
    /// A package or a version cannot be used, made or published as it stands.
    #[error("{problem}")]
    PackageFailed {
        /// What is wrong and what to do.
        problem: String,
    },
    /// A package or a version is not signed by a trusted key.
    #[error("{problem}")]
    PackageUntrusted {
        /// Which one, and what is wrong.
        problem: String,
    },
    /// A model cannot be removed while engines host it.
    #[error("model {id:?} is loaded; end its engines first with `tandem model unload {id}`")]
    ModelInUse {
        /// Catalog id or path.
        id: String,
    },
    /// The model does not fit in memory.
    #[error(
        "model {id:?} needs about {needed_mib} MiB and {available_mib} MiB may be used; \
         close other programs, lower engine.context_tokens or choose a smaller model"
    )]
    ModelTooLarge {
        /// Catalog id or path.
        id: String,
        /// Estimate for weights, KV cache and compute buffers.
        needed_mib: u64,
        /// Available memory less `resources.memory_reserve_bytes`.
        available_mib: u64,
    },
    /// The engine died while it served this request.
    #[error("the engine of model {model:?} died ({reason}) while it answered; ask again")]
    EngineCrashed {
        /// Catalog id or path.
        model: String,
        /// How it died.
        reason: String,
    },
    /// The engine is not up.
    #[error("the engine of model {model:?} is not available: {reason}")]
    EngineUnavailable {
        /// Catalog id or path.
        model: String,
        /// What happened to it.
        reason: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// A queue is full.
    #[error("overloaded: {what}; try again in {} s", retry_after.as_secs().max(1))]
    Overloaded {
        /// Which limit was reached.
        what: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// A client calls a method too often.
    #[error(
        "{client} calls {method} more than {per_minute} times a minute (resources.rates); try again \
         in {} s",
        retry_after.as_secs().max(1)
    )]
    RateLimited {
        /// Who calls.
        client: String,
        /// Service and name.
        method: String,
        /// How often it may.
        per_minute: u32,
        /// When to try again.
        retry_after: Duration,
    },
    /// The deadline passed.
    #[error("the deadline passed {stage}; allow more time or lower max_tokens")]
    DeadlineExceeded {
        /// What the request was waiting for: "while waiting for a slot".
        stage: String,
    },
    /// The request was ended on purpose.
    #[error("cancelled: {reason}")]
    Cancelled {
        /// By whom.
        reason: String,
    },
    /// No such conversation.
    #[error("no conversation {id:?}; `tandem conversation list` shows those that exist")]
    ConversationNotFound {
        /// What the caller asked for.
        id: String,
    },
    /// Nothing that is remembered has this id.
    #[error("no memory {id:?}; `tandem memory list` shows those that exist")]
    MemoryNotFound {
        /// What the caller asked for.
        id: String,
    },
    /// No such collection of documents.
    #[error("no collection {name:?}; `tandem knowledge list` shows those that exist")]
    CollectionNotFound {
        /// What the caller asked for.
        name: String,
    },
    /// A collection of documents cannot be used.
    #[error("collection {name:?}: {problem}")]
    Collection {
        /// Its name.
        name: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The model that made a collection's embeddings is not on this machine.
    #[error(
        "the embedding model that the collection was made with, {model} ({dimensions} dimensions), is \
         not here under any name; put its file back into the models folder, search by words, or delete \
         the collection and ingest its documents again"
    )]
    EmbeddingModelGone {
        /// What it was called then.
        model: String,
        /// Numbers of a vector.
        dimensions: usize,
    },
    /// The server in which vectors are searched does not do it.
    #[error(
        "{problem}; see to the server or to [knowledge.chroma], or set knowledge.chroma.fallback = true \
         to search without it"
    )]
    KnowledgeBackend {
        /// Which server, and what is wrong with it.
        problem: String,
    },
    /// The user's documents have nothing to do with the question.
    #[error("{problem}")]
    NotInDocuments {
        /// Which documents, and how far from the question they are.
        problem: String,
    },
    /// A provider may read none of the passages that were found.
    #[error(
        "what was found in {collections} is local-only; use the policy auto or fast, or ingest it \
         again with --may-leave"
    )]
    DocumentsStayHere {
        /// Where it was found.
        collections: String,
    },
    /// Nothing that may answer can do what the request needs.
    #[error("{problem}; {advice}")]
    NotSupported {
        /// Who cannot do what.
        problem: String,
        /// Who can, or how that could be.
        advice: String,
    },
    /// No such provider.
    #[error("{problem}; add a table [providers.NAME] with base_url and model to tandem.toml")]
    ProviderNotConfigured {
        /// Which provider is missing.
        problem: String,
    },
    /// The question has personal data, which the settings keep here.
    #[error(
        "{found} in the conversation, which stays on this machine (security.redact = \"local\"); \
         use the policy fast, or let such data be masked"
    )]
    PersonalData {
        /// How many values of which kinds.
        found: String,
    },
    /// The slow track is turned off.
    #[error(
        "the slow track is turned off (router.offline = true); turn it on, or use the policy fast"
    )]
    Offline,
    /// A remote API failed.
    #[error("provider {provider:?} failed: {problem}")]
    ProviderFailed {
        /// Name in the configuration.
        provider: String,
        /// What happened.
        problem: String,
        /// When the provider asks us to come back.
        retry_after: Option<Duration>,
    },
    /// A remote API refused the request or the credentials; trying again will not help.
    #[error("provider {provider:?} refused the request: {problem}")]
    ProviderRefused {
        /// Name in the configuration.
        provider: String,
        /// What it said.
        problem: String,
    },
    /// A remote API does not accept the key, or there is none to give it.
    #[error("provider {provider:?} refused the request: {problem}")]
    ProviderKeyRefused {
        /// Name in the configuration.
        provider: String,
        /// What to do about the key.
        problem: String,
    },
    /// A remote API took longer than its settings allow. Another time it may not.
    #[error("provider {provider:?} is too slow: {problem}")]
    ProviderTimedOut {
        /// Name in the configuration.
        provider: String,
        /// Which limit passed.
        problem: String,
    },
    /// What a remote API grants is used up for now.
    #[error(
        "the quota at provider {provider:?} is used up: {problem}; it is asked again in {} s",
        retry_after.as_secs().max(1)
    )]
    ProviderExhausted {
        /// Name in the configuration.
        provider: String,
        /// What it said.
        problem: String,
        /// When there may be more.
        retry_after: Duration,
    },
    /// A budget is spent, or this request could pass it.
    #[error("{problem}; it is there again in {}, and the fast track costs nothing", span(*retry_after))]
    BudgetSpent {
        /// Which budget, by its setting, and how much of it is left.
        problem: String,
        /// When there is room again.
        retry_after: Duration,
    },
    /// The egress ledger cannot be written, so nothing may leave.
    #[error("nothing leaves the machine, as the egress ledger cannot be written: {problem}")]
    Ledger {
        /// What the system said.
        problem: String,
    },
    /// The store could not read or write.
    #[error("the store failed: {problem}; check disk space and permissions")]
    Store {
        /// What the store said.
        problem: String,
    },
    /// There is no space on the disk. What was acknowledged is safe, and what reads is served.
    #[error(
        "nothing can be stored, as the disk is full: {problem}; make space there, and it goes on by \
         itself"
    )]
    DiskFull {
        /// What the system said, or how much is free where.
        problem: String,
    },
    /// The daemon is shutting down.
    #[error("the daemon is shutting down; ask again when it is back")]
    ShuttingDown,
    /// An actor is being restarted.
    #[error("{part} is being restarted; try again")]
    Restarting {
        /// Which actor.
        part: String,
    },
    /// An actor does not answer in time.
    #[error("{part} does not answer; try again, and look at `tandem status` if that lasts")]
    Unresponsive {
        /// Which actor.
        part: String,
    },
    /// A defect in tandem.
    #[error("internal error: {problem}; this is a defect in tandem, the log says more")]
    Internal {
        /// What was violated.
        problem: String,
    },
}

/// A time for a person: `3 h 20 min`.
pub(crate) fn span(time: Duration) -> String {
    match time.as_secs().max(1) {
        seconds @ ..60 => format!("{seconds} s"),
        seconds @ ..3600 => format!("{} min", seconds.div_ceil(60)),
        seconds @ ..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        seconds => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

impl Error {
    /// An [`Error::Invalid`].
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), problem: problem.into() }
    }
}
