//! `tandem.v1.Models`.

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tandem_actors::inference_worker::{Phase, Worker};
use tandem_proto::v1::models_server::Models;
use tandem_proto::v1::{
    ListModelsRequest, ListModelsResponse, LoadModelEvent, LoadModelProgress, LoadModelRequest,
    Model, ModelInfoRequest, UnloadModelRequest, UnloadModelResponse, load_model_event,
};
use tonic::{Request, Response, Status};

use super::{Daemon, status};

#[tonic::async_trait]
impl Models for Daemon {
    type LoadStream = BoxStream<'static, Result<LoadModelEvent, Status>>;

    async fn list(
        &self,
        _: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        let models = self.tandem.loader.list().await.map_err(status::of)?;
        Ok(Response::new(ListModelsResponse { models }))
    }

    async fn info(&self, request: Request<ModelInfoRequest>) -> Result<Response<Model>, Status> {
        let id = request.into_inner().id;
        self.tandem.loader.info(&id).await.map(Response::new).map_err(status::of)
    }

    async fn load(
        &self,
        request: Request<LoadModelRequest>,
    ) -> Result<Response<Self::LoadStream>, Status> {
        let id = request.into_inner().id;
        let worker = self.tandem.loader.acquire(&id).await.map_err(status::of)?;
        Ok(Response::new(progress(self.clone(), worker)))
    }

    async fn unload(
        &self,
        request: Request<UnloadModelRequest>,
    ) -> Result<Response<UnloadModelResponse>, Status> {
        let id = request.into_inner().id;
        let unloaded = self.tandem.loader.unload(&id).await.map_err(status::of)?;
        Ok(Response::new(UnloadModelResponse { unloaded }))
    }
}

/// Progress until the model is loaded or cannot be. Dropping the stream does not stop the load.
fn progress(daemon: Daemon, worker: Worker) -> BoxStream<'static, Result<LoadModelEvent, Status>> {
    let mut report = worker.watch();
    report.mark_changed();
    stream::unfold(Some((daemon, worker, report)), |current| async move {
        let (daemon, worker, mut report) = current?;
        // The sender lives in `worker`.
        let _ = report.changed().await;
        let phase = report.borrow_and_update().phase.clone();
        let (fraction, stage) = match phase {
            Phase::Failed(error) => return Some((Err(status::of(error)), None)),
            Phase::Ready => {
                let model = daemon.tandem.loader.info(worker.model()).await.map_err(status::of);
                let loaded = model.map(|model| LoadModelEvent {
                    event: Some(load_model_event::Event::Loaded(model)),
                });
                return Some((loaded, None));
            }
            Phase::Loading(fraction, stage) => (fraction, stage),
            Phase::Starting => (0.0, "starting the engine".to_owned()),
            Phase::Restarting(reason) => {
                (0.0, format!("the engine was {reason}; starting another"))
            }
        };
        let progress = LoadModelProgress { fraction, stage };
        let event = LoadModelEvent { event: Some(load_model_event::Event::Progress(progress)) };
        Some((Ok(event), Some((daemon, worker, report))))
    })
    .boxed()
}
