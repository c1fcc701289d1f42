//! What the loader says about models without loading them.

use ractor::RpcReplyPort;
use tandem_proto::v1::Model;

use super::describe;
use super::state::State;
use crate::Result;

impl State {
    pub(super) fn list(&mut self, reply: RpcReplyPort<Vec<Model>>) {
        let workers = self.workers();
        self.blocking(move |inspector| {
            let mut models = inspector.list();
            for mut hosted in describe::of_workers(&workers) {
                inspector.refresh(&mut hosted);
                match models.iter_mut().find(|model| model.id == hosted.id) {
                    Some(model) => *model = hosted,
                    None => models.push(hosted),
                }
            }
            let _ = reply.send(models);
        });
    }

    pub(super) fn embedding_model(&mut self, reply: RpcReplyPort<Result<String>>) {
        self.blocking(move |inspector| {
            let _ = reply.send(inspector.embedding_model());
        });
    }

    pub(super) fn info(&mut self, id: &str, reply: RpcReplyPort<Result<Model>>) {
        let id = self.or_default(id);
        let mut workers = self.workers();
        self.blocking(move |inspector| {
            let model = inspector.info(&id).map(|model| {
                workers.retain(|worker| worker.facts().path == model.path);
                let Some(mut hosted) = describe::of_workers(&workers).pop() else { return model };
                inspector.refresh(&mut hosted);
                hosted
            });
            let _ = reply.send(model);
        });
    }
}
