//! Reaches the tandem daemon over its unix socket, and starts it when it does not run.
//!
//! [`Client`] hands out the generated gRPC clients; every status they return becomes an [`Error`]
//! that says what to do. The `tandem` command is built on nothing else.
//!
//! ```no_run
//! use tandem_client::{Client, Error, v1};
//!
//! # async fn ask() -> Result<(), Error> {
//! let client = Client::connect("/run/user/1000/tandem/tandem.sock".as_ref()).await?;
//! let question = v1::AskRequest { prompt: "Why is the sky blue?".into(), ..Default::default() };
//! let mut events = client.assistant().ask(question).await?.into_inner();
//! while let Some(event) = events.message().await? {
//!     println!("{event:?}");
//! }
//! # Ok(())
//! # }
//! ```

use std::path::Path;

use hyper_util::rt::TokioIo;
use tandem_proto::v1::{
    admin_client::AdminClient, assistant_client::AssistantClient, cache_client::CacheClient,
    conversations_client::ConversationsClient, inference_client::InferenceClient,
    knowledge_client::KnowledgeClient, memories_client::MemoriesClient,
    models_client::ModelsClient, storage_client::StorageClient,
};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tower::service_fn;

mod autostart;
mod error;

pub use autostart::Autostart;
pub use error::Error;
pub use tandem_proto::v1;

/// Longest message accepted from the daemon, in bytes. A conversation of many long turns is one
/// message.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A connection to the daemon. Clones share it; when it breaks, the next call connects again.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
}

impl Client {
    /// Connects to the daemon that listens at `socket`.
    ///
    /// Fails with [`Error::NotReachable`] when nobody listens there, and with
    /// [`Error::NotAllowed`] when the socket belongs to somebody else.
    pub async fn connect(socket: &Path) -> Result<Self, Error> {
        let path = socket.to_owned();
        let connector = service_fn(move |_: Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        // The name is required by HTTP and never resolved.
        let channel = Endpoint::from_static("http://tandem")
            .connect_with_connector(connector)
            .await
            .map_err(|error| Error::connecting(socket, &error))?;
        Ok(Self { channel })
    }

    /// Whether the daemon says, by the standard health service, that it serves.
    pub async fn is_serving(&self) -> Result<bool, Error> {
        let answer = HealthClient::new(self.channel.clone())
            .check(HealthCheckRequest::default())
            .await?
            .into_inner();
        Ok(answer.status() == ServingStatus::Serving)
    }

    /// Questions and answers.
    pub fn assistant(&self) -> AssistantClient<Channel> {
        AssistantClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The local model without router and memory.
    pub fn inference(&self) -> InferenceClient<Channel> {
        InferenceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The known models and their engines.
    pub fn models(&self) -> ModelsClient<Channel> {
        ModelsClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Stored conversations.
    pub fn conversations(&self) -> ConversationsClient<Channel> {
        ConversationsClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The user's documents.
    pub fn knowledge(&self) -> KnowledgeClient<Channel> {
        KnowledgeClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// What is remembered of the user beyond conversations.
    pub fn memories(&self) -> MemoriesClient<Channel> {
        MemoriesClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The care of what is stored.
    pub fn storage(&self) -> StorageClient<Channel> {
        StorageClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// What is kept so that it need not be computed or asked again.
    pub fn cache(&self) -> CacheClient<Channel> {
        CacheClient::new(self.channel.clone())
    }

    /// The daemon itself.
    pub fn admin(&self) -> AdminClient<Channel> {
        AdminClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}
