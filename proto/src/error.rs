//! Names of error reasons, carried in `google.rpc.ErrorInfo.reason` with domain [`DOMAIN`].
//!
//! Clients decide by reason, never by message. A reason is never renamed.

/// `ErrorInfo.domain` of every error that tandem makes.
pub const DOMAIN: &str = "tandem";

/// A field of the request has a value that is not allowed; `BadRequest` details name it.
pub const INVALID_ARGUMENT: &str = "INVALID_ARGUMENT";
/// New settings have mistakes; those in effect stay.
pub const SETTINGS_INVALID: &str = "SETTINGS_INVALID";
/// The prompt does not fit in the model's context with room for an answer.
pub const PROMPT_TOO_LONG: &str = "PROMPT_TOO_LONG";
/// No model has this id and no file this path.
pub const MODEL_NOT_FOUND: &str = "MODEL_NOT_FOUND";
/// The file is not a model that can be used.
pub const MODEL_INVALID: &str = "MODEL_INVALID";
/// The model is of another kind: it embeds and cannot generate, or the other way round.
pub const MODEL_UNSUITABLE: &str = "MODEL_UNSUITABLE";
/// No embedding model was named, and there is none or more than one.
pub const EMBEDDING_MODEL_NOT_CHOSEN: &str = "EMBEDDING_MODEL_NOT_CHOSEN";
/// What was to be imported is not a model that can be imported, or its name is taken.
pub const IMPORT_FAILED: &str = "IMPORT_FAILED";
/// A model was not fetched, and trying again will not help.
pub const PULL_FAILED: &str = "PULL_FAILED";
/// A model was not fetched as its source cannot be reached. What came is kept; retry later.
pub const PULL_UNREACHABLE: &str = "PULL_UNREACHABLE";
/// A package or a version cannot be used, made or published as it stands; nothing was changed.
pub const PACKAGE_FAILED: &str = "PACKAGE_FAILED";
/// A package or a version is not signed by a key that `models.trusted_keys` names.
pub const PACKAGE_UNTRUSTED: &str = "PACKAGE_UNTRUSTED";
/// A model cannot be removed while engines host it.
pub const MODEL_IN_USE: &str = "MODEL_IN_USE";
/// The model does not fit in the memory of this machine.
pub const MODEL_TOO_LARGE: &str = "MODEL_TOO_LARGE";
/// The model's engine died while it served this request. Retry.
pub const ENGINE_CRASHED: &str = "ENGINE_CRASHED";
/// The model's engine is not up: it is starting, backing off, or was given up. Retry later.
pub const ENGINE_UNAVAILABLE: &str = "ENGINE_UNAVAILABLE";
/// Too much work is waiting; `RetryInfo` says when to try again.
pub const OVERLOADED: &str = "OVERLOADED";
/// A client calls a method more often than `resources.rates` allows; `RetryInfo` says when to try again.
pub const RATE_LIMITED: &str = "RATE_LIMITED";
/// The deadline passed.
pub const DEADLINE_EXCEEDED: &str = "DEADLINE_EXCEEDED";
/// The caller, or an `Unload`, ended the request.
pub const CANCELLED: &str = "CANCELLED";
/// No conversation has this id.
pub const CONVERSATION_NOT_FOUND: &str = "CONVERSATION_NOT_FOUND";
/// Nothing that is remembered of the user has this id.
pub const MEMORY_NOT_FOUND: &str = "MEMORY_NOT_FOUND";
/// No collection of documents has this name.
pub const COLLECTION_NOT_FOUND: &str = "COLLECTION_NOT_FOUND";
/// A collection of documents cannot be read or written, or was made for another embedding model.
pub const COLLECTION_FAILED: &str = "COLLECTION_FAILED";
/// The embedding model that a collection was made with is not on this machine.
pub const EMBEDDING_MODEL_GONE: &str = "EMBEDDING_MODEL_GONE";
/// The server in which the vectors of collections are searched does not answer. Retry.
pub const KNOWLEDGE_BACKEND_FAILED: &str = "KNOWLEDGE_BACKEND_FAILED";
/// The user's documents have nothing to do with the question.
pub const NOT_IN_DOCUMENTS: &str = "NOT_IN_DOCUMENTS";
/// What was found in the user's documents is local-only, and only a provider was allowed to answer.
pub const DOCUMENTS_STAY_HERE: &str = "DOCUMENTS_STAY_HERE";
/// No provider has this name, or none is configured.
pub const PROVIDER_NOT_CONFIGURED: &str = "PROVIDER_NOT_CONFIGURED";
/// There is personal data in the question, which the settings keep on this machine.
pub const PERSONAL_DATA: &str = "PERSONAL_DATA";
/// The slow track is turned off in the settings.
pub const OFFLINE: &str = "OFFLINE";
/// The remote API failed or could not be reached.
pub const PROVIDER_FAILED: &str = "PROVIDER_FAILED";
/// Nothing that the request allows to answer it can do what it needs, such as look at images.
pub const NOT_SUPPORTED: &str = "NOT_SUPPORTED";
/// The remote API refused the credentials, or the request.
pub const PROVIDER_REFUSED: &str = "PROVIDER_REFUSED";
/// The quota at the remote API is used up; `RetryInfo` says when there may be more.
pub const PROVIDER_EXHAUSTED: &str = "PROVIDER_EXHAUSTED";
/// A budget is spent, or would be passed; `RetryInfo` says when it is there again.
pub const BUDGET_SPENT: &str = "BUDGET_SPENT";
/// The egress ledger cannot be written, so nothing leaves the machine.
pub const LEDGER_FAILED: &str = "LEDGER_FAILED";
/// The store could not read or write.
pub const STORE_FAILED: &str = "STORE_FAILED";
/// There is no space on the disk; nothing is stored until there is. Retry when there is some.
pub const DISK_FULL: &str = "DISK_FULL";
/// The daemon is shutting down.
pub const SHUTTING_DOWN: &str = "SHUTTING_DOWN";
/// A part of the daemon is being restarted. Retry.
pub const RESTARTING: &str = "RESTARTING";
/// A part of the daemon does not answer in time. Retry.
pub const UNRESPONSIVE: &str = "UNRESPONSIVE";
/// A defect in tandem. The log has the cause under the turn's id.
pub const INTERNAL: &str = "INTERNAL";
