//! What tells a model from every other one, and from itself before its file was replaced, without
//! loading it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use ractor::RpcReplyPort;
use tandem_models::catalog::Located;
use tandem_proto::v1::Sampling;

use super::inspect::Inspector;
use super::state::State;
use super::template;
use super::{Message, ModelLoader, checked};
use crate::Result;
use crate::cache::{Digest, Fingerprint};

/// A model whose file was found.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its id.
    pub id: String,
    /// Hash of what its answers depend on beside the question: file and chat template. Those of the
    /// engine that serves it, where one does.
    pub(crate) identity: Digest,
    /// How the catalog recommends to sample from it.
    pub(crate) sampling: Sampling,
}

impl ModelLoader {
    /// Finds a model by id or path and loads nothing. An empty id means the default model.
    pub async fn locate(&self, id: &str) -> Result<Place> {
        self.locate_or(id, false).await
    }

    /// As [`locate`](Self::locate), where an empty id means the default embedding model.
    pub async fn locate_embedding(&self, id: &str) -> Result<Place> {
        self.locate_or(id, true).await
    }

    async fn locate_or(&self, id: &str, embeds: bool) -> Result<Place> {
        let (id, _permit) = (checked(id)?, self.permit()?);
        let locate = |reply| Message::Locate { id, embeds, reply };
        self.address.ask(super::ASK_TIMEOUT, locate).await?
    }
}

impl State {
    /// `embeds` says what an empty `id` means.
    pub(super) fn locate(&mut self, id: String, embeds: bool, reply: RpcReplyPort<Result<Place>>) {
        let default = self.or_default(&id);
        let workers = self.workers();
        self.blocking(move |inspector| {
            let id =
                if embeds && id.is_empty() { inspector.embedding_model() } else { Ok(default) };
            let located = id.and_then(|id| inspector.locate(&id));
            let place = located.map(|located| {
                let path = located.path.display().to_string();
                let serving = workers.iter().find(|worker| worker.facts().path == path);
                Place {
                    identity: serving
                        .map_or_else(|| identity(&located, inspector), |it| *it.identity()),
                    sampling: located.sampling(),
                    id: located.id,
                }
            });
            let _ = reply.send(place);
        });
    }
}

/// Blocking.
pub(super) fn identity(located: &Located, inspector: &Inspector) -> Digest {
    let mut all = Fingerprint::of("model").with(located.path.as_os_str().as_encoded_bytes());
    if let Ok(file) = fs::metadata(&located.path) {
        for number in [file.dev(), file.ino(), file.size()] {
            all = all.with(number.to_le_bytes());
        }
        for number in [file.mtime(), file.mtime_nsec()] {
            all = all.with(number.to_le_bytes());
        }
    }
    let template = template::of(located.entry.as_ref(), inspector.templates());
    all.with(template.ok().flatten().unwrap_or_default()).digest()
}
