//! How one part of the daemon reaches an actor, across the actor's restarts.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use ractor::{ActorRef, Message, RpcReplyPort, rpc::CallResult};

use crate::{Error, Result};

/// The current life of one actor. Cheap to clone; every clone sees a restart.
///
/// An actor publishes itself in `pre_start`. Until then, and between two lives, messages are
/// refused with [`Error::Restarting`].
pub struct Address<M: Message> {
    part: &'static str,
    slot: Arc<RwLock<Option<ActorRef<M>>>>,
}

impl<M: Message> Address<M> {
    /// An address at which nobody lives yet. `part` names the actor in errors.
    pub fn new(part: &'static str) -> Self {
        Self { part, slot: Arc::default() }
    }

    /// Makes `actor` the one who is reached from now on.
    pub fn publish(&self, actor: ActorRef<M>) {
        *self.slot.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(actor);
    }

    /// Sends a message and does not wait.
    pub fn cast(&self, message: M) -> Result<()> {
        self.current()?.cast(message).map_err(|_| self.restarting())
    }

    /// Sends a message that carries a reply port and waits for the reply.
    ///
    /// The actor is not told when the deadline passes; handlers check `reply.is_closed()`.
    pub async fn ask<T: Send + 'static>(
        &self,
        deadline: Duration,
        message: impl FnOnce(RpcReplyPort<T>) -> M,
    ) -> Result<T> {
        match self.current()?.call(message, Some(deadline)).await {
            Ok(CallResult::Success(reply)) => Ok(reply),
            Ok(CallResult::Timeout) => Err(Error::Unresponsive { part: self.part.to_owned() }),
            Ok(CallResult::SenderError) | Err(_) => Err(self.restarting()),
        }
    }

    pub(crate) fn current(&self) -> Result<ActorRef<M>> {
        let slot = self.slot.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        slot.clone().ok_or_else(|| self.restarting())
    }

    fn restarting(&self) -> Error {
        Error::Restarting { part: self.part.to_owned() }
    }
}

impl<M: Message> Clone for Address<M> {
    fn clone(&self) -> Self {
        Self { part: self.part, slot: Arc::clone(&self.slot) }
    }
}

impl<M: Message> std::fmt::Debug for Address<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Address").field(&self.part).finish()
    }
}
