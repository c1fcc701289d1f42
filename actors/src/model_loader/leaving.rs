//! Which engines end, and when: on request, when nobody uses them, when another has their place.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{ActorRef, RpcReplyPort};
use tandem_models::catalog::Located;
use tandem_proto::v1::Rung;
use tracing::info;

use super::Message;
use super::state::State;
use crate::{Error, Result};

impl State {
    pub(super) fn unload(
        &mut self,
        myself: &ActorRef<Message>,
        id: &str,
        reply: RpcReplyPort<Result<bool>>,
    ) {
        let (id, myself) = (self.or_default(id), myself.clone());
        if let Some(path) = self.file_of(&id) {
            return self.unload_file(&myself, path, reply);
        }
        self.blocking(move |inspector| match inspector.locate(&id) {
            Ok(Located { path, .. }) => {
                let _ = myself.cast(Message::UnloadFile { path, reply });
            }
            Err(Error::ModelAbsent { .. }) => drop(reply.send(Ok(false))),
            Err(error) => drop(reply.send(Err(error))),
        });
    }

    /// Stops the workers of this file, and replies when their memory is back.
    pub(super) fn unload_file(
        &mut self,
        myself: &ActorRef<Message>,
        path: PathBuf,
        reply: RpcReplyPort<Result<bool>>,
    ) {
        self.standing().unpin(&path);
        let pool = self.hosted.iter().filter(|hosted| hosted.path() == path);
        let numbers: Vec<u64> = pool.map(|hosted| hosted.number).collect();
        if numbers.is_empty() {
            return drop(reply.send(Ok(false)));
        }
        self.unloads.push((path, reply));
        for number in numbers {
            self.begin_stop(myself, number);
        }
    }

    /// Stops the workers that nobody has used for `models.keep_alive`, and those in whose place others
    /// are as soon as nobody uses them.
    pub(super) fn stop_idle(&mut self, myself: &ActorRef<Message>) {
        while self.tasks.try_join_next().is_some() {}
        let keep_alive = self.arguments.models.keep_alive;
        // Looked at first, as it also lets go of the cover. An engine that was loaded since then stays.
        let covered = self.is_covered() && self.arguments.monitor.is_in_effect(Rung::SmallerModel);
        let mut expired = Vec::new();
        let standing = Arc::clone(&self.arguments.handle.standing);
        for hosted in &mut self.hosted {
            let replaced = covered && standing.is_default_file(hosted.path());
            if hosted.retiring && hosted.is_idle() {
                info!(
                    model = hosted.worker.model(),
                    "unloading an engine, as another took its place"
                );
                expired.push(hosted.number);
            } else if standing.is_pinned(hosted.path()) {
                hosted.last_used = Instant::now();
            } else if replaced && hosted.is_idle() {
                info!(model = hosted.worker.model(), "unloading an engine, as memory is short");
                expired.push(hosted.number);
            } else if !hosted.is_idle() || hosted.is_loading() {
                hosted.last_used = Instant::now();
            } else if keep_alive > Duration::ZERO && hosted.last_used.elapsed() > keep_alive {
                info!(model = hosted.worker.model(), "unloading an engine, as nobody uses it");
                expired.push(hosted.number);
            }
        }
        for number in expired {
            self.begin_stop(myself, number);
        }
    }
}
