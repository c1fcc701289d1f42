//! The gRPC services: each a thin translation between a request and the actors' handles.

use std::sync::Arc;
use std::time::{Duration, Instant};

use governor::clock::MonotonicClock;
use tandem_actors::Tandem;
use tandem_config::Config;
use tandem_proto::v1::admin_server::AdminServer;
use tandem_proto::v1::assistant_server::AssistantServer;
use tandem_proto::v1::cache_server::CacheServer;
use tandem_proto::v1::conversations_server::ConversationsServer;
use tandem_proto::v1::inference_server::InferenceServer;
use tandem_proto::v1::knowledge_server::KnowledgeServer;
use tandem_proto::v1::memories_server::MemoriesServer;
use tandem_proto::v1::models_server::ModelsServer;
use tandem_proto::v1::storage_server::StorageServer;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use tower::filter::FilterLayer;

use crate::reload::Reloader;

mod admin;
mod assistant;
mod cache;
mod caller;
mod connections;
mod conversations;
mod deadline;
mod distribution;
mod embedding;
mod health;
mod inference;
mod knowledge;
mod memories;
mod models;
mod pulling;
mod rates;
mod status;
mod storage;
mod swapping;
mod tuning;

/// Largest request that is read at all. Larger than any that is allowed, so that the refusal
/// can say what is.
const REQUEST_BYTES_MAX: usize = 16 << 20;
/// Calls that one connection may have open.
const STREAMS_MAX: u32 = 1024;
/// Calls of one connection that are read and worked on before their answer begins. It bounds the
/// requests in memory that no place was found for yet. The others are read later.
const BEGINNING_MAX: usize = 256;

/// What the services work with.
#[derive(Debug, Clone)]
pub(crate) struct Daemon {
    pub(crate) tandem: Arc<Tandem>,
    /// The settings that it was started with.
    pub(crate) config: Arc<Config>,
    pub(crate) reloader: Reloader,
    /// Cancelled when the daemon is about to end.
    pub(crate) draining: CancellationToken,
    pub(crate) started: Instant,
    /// From start to the first moment calls were accepted.
    pub(crate) startup: Duration,
}

impl Daemon {
    /// Refuses new questions, and only then says that the daemon is about to end.
    pub(crate) fn begin_drain(&self) {
        self.tandem.router.refuse_new();
        self.draining.cancel();
    }
}

/// Serves until `closing`.
pub(crate) async fn serve(
    daemon: Daemon,
    listener: UnixListener,
    closing: CancellationToken,
) -> anyhow::Result<()> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tandem_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let health = health::service(&daemon);
    let (rates, limited) = (rates::Rates::new(MonotonicClock), daemon.clone());
    let server = tonic::transport::Server::builder()
        .concurrency_limit_per_connection(BEGINNING_MAX)
        .layer(FilterLayer::new(move |request| rates::check(&limited, &rates, request)))
        .max_concurrent_streams(STREAMS_MAX)
        .add_service(health)
        .add_service(reflection)
        .add_service(
            AssistantServer::new(daemon.clone()).max_decoding_message_size(REQUEST_BYTES_MAX),
        )
        .add_service(
            InferenceServer::new(daemon.clone()).max_decoding_message_size(REQUEST_BYTES_MAX),
        )
        .add_service(
            KnowledgeServer::new(daemon.clone()).max_decoding_message_size(REQUEST_BYTES_MAX),
        )
        .add_service(ModelsServer::new(daemon.clone()))
        .add_service(
            ConversationsServer::new(daemon.clone()).max_decoding_message_size(REQUEST_BYTES_MAX),
        )
        .add_service(
            StorageServer::new(daemon.clone()).max_decoding_message_size(REQUEST_BYTES_MAX),
        )
        .add_service(MemoriesServer::new(daemon.clone()))
        .add_service(CacheServer::new(daemon.clone()))
        .add_service(AdminServer::new(daemon));
    let incoming = connections::incoming(listener, connections::connections_max());
    server.serve_with_incoming_shutdown(incoming, closing.cancelled_owned()).await?;
    Ok(())
}
