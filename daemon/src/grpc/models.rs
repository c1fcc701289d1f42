//! `tandem.v1.Models`.

use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tandem_actors::Error;
use tandem_actors::inference_worker::{Phase, Worker};
use tandem_actors::model_loader::{ImportProgress, make_signing_key};
use tandem_proto::v1::models_server::Models;
use tandem_proto::v1::{
    ImportModelEvent, ImportModelProgress, ImportModelRequest, InstallModelEvent,
    InstallModelRequest, ListModelsRequest, ListModelsResponse, LoadModelEvent, LoadModelProgress,
    LoadModelRequest, MakeSigningKeyRequest, MakeSigningKeyResponse, Model, ModelInfoRequest,
    ModelStatsRequest, ModelStatsResponse, PackageModelEvent, PackageModelRequest, PullModelEvent,
    PullModelRequest, PushModelEvent, PushModelRequest, RecommendRequest, RecommendResponse,
    RemoveModelRequest, RemoveModelResponse, RollBackModelRequest, TuneModelEvent,
    TuneModelRequest, UnloadModelRequest, UnloadModelResponse, UpdateModelEvent,
    UpdateModelRequest, UseModelEvent, UseModelRequest, VerifyModelRequest, VerifyModelResponse,
    import_model_event, load_model_event,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status};

use super::{Daemon, distribution, pulling, status, swapping, tuning};

#[tonic::async_trait]
impl Models for Daemon {
    type LoadStream = BoxStream<'static, Result<LoadModelEvent, Status>>;
    type ImportStream = BoxStream<'static, Result<ImportModelEvent, Status>>;
    type TuneStream = BoxStream<'static, Result<TuneModelEvent, Status>>;
    type UseStream = BoxStream<'static, Result<UseModelEvent, Status>>;
    type RollBackStream = BoxStream<'static, Result<UseModelEvent, Status>>;
    type PullStream = BoxStream<'static, Result<PullModelEvent, Status>>;
    type PackageStream = BoxStream<'static, Result<PackageModelEvent, Status>>;
    type InstallStream = BoxStream<'static, Result<InstallModelEvent, Status>>;
    type PushStream = BoxStream<'static, Result<PushModelEvent, Status>>;
    type UpdateStream = BoxStream<'static, Result<UpdateModelEvent, Status>>;

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
        let LoadModelRequest { id, pin } = request.into_inner();
        let worker = self.tandem.loader.acquire(&id).await.map_err(status::of)?;
        if pin {
            self.tandem.loader.pin(&worker);
        }
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

    async fn import(
        &self,
        request: Request<ImportModelRequest>,
    ) -> Result<Response<Self::ImportStream>, Status> {
        let ImportModelRequest { path, id } = request.into_inner();
        let source = folder(path).map_err(status::of)?;
        let (progress, received) = watch::channel(ImportProgress { fraction: 0.0, stage: "" });
        let (loader, models) = (self.tandem.loader.clone(), self.config.models.dir.clone());
        // Ends by itself when nobody receives its progress.
        let import = tokio::spawn(async move { loader.import(source, id, models, progress).await });
        Ok(Response::new(imported(received, import)))
    }

    async fn stats(
        &self,
        request: Request<ModelStatsRequest>,
    ) -> Result<Response<ModelStatsResponse>, Status> {
        let id = request.into_inner().id;
        let models = self.tandem.loader.stats(&id).await.map_err(status::of)?;
        Ok(Response::new(ModelStatsResponse { models }))
    }

    async fn tune(
        &self,
        request: Request<TuneModelRequest>,
    ) -> Result<Response<Self::TuneStream>, Status> {
        let id = request.into_inner().id;
        Ok(Response::new(tuning::events(self.tandem.loader.clone(), id)))
    }

    async fn pull(
        &self,
        request: Request<PullModelRequest>,
    ) -> Result<Response<Self::PullStream>, Status> {
        let id = request.into_inner().id;
        let loader = self.tandem.loader.clone();
        let pull = loader.pull(&id, &self.config.models).await.map_err(status::of)?;
        Ok(Response::new(pulling::events(loader, pull)))
    }

    async fn verify(
        &self,
        request: Request<VerifyModelRequest>,
    ) -> Result<Response<VerifyModelResponse>, Status> {
        let id = request.into_inner().id;
        let verified = self.tandem.loader.verify(&id, &self.config.models).await;
        verified.map(Response::new).map_err(status::of)
    }

    async fn remove(
        &self,
        request: Request<RemoveModelRequest>,
    ) -> Result<Response<RemoveModelResponse>, Status> {
        let id = request.into_inner().id;
        let removed = self.tandem.loader.remove(&id, self.config.models.dir.clone()).await;
        removed.map(Response::new).map_err(status::of)
    }

    async fn package(
        &self,
        request: Request<PackageModelRequest>,
    ) -> Result<Response<Self::PackageStream>, Status> {
        Ok(Response::new(distribution::package(self, request.into_inner())))
    }

    async fn install(
        &self,
        request: Request<InstallModelRequest>,
    ) -> Result<Response<Self::InstallStream>, Status> {
        Ok(Response::new(distribution::install(self, request.into_inner())))
    }

    async fn push(
        &self,
        request: Request<PushModelRequest>,
    ) -> Result<Response<Self::PushStream>, Status> {
        Ok(Response::new(distribution::push(self, request.into_inner())))
    }

    async fn update(
        &self,
        request: Request<UpdateModelRequest>,
    ) -> Result<Response<Self::UpdateStream>, Status> {
        Ok(Response::new(distribution::update(self, request.into_inner())))
    }

    async fn make_signing_key(
        &self,
        request: Request<MakeSigningKeyRequest>,
    ) -> Result<Response<MakeSigningKeyResponse>, Status> {
        let path = request.into_inner().path;
        let public_key = make_signing_key(&path).await.map_err(status::of)?;
        Ok(Response::new(MakeSigningKeyResponse { path, public_key }))
    }

    async fn r#use(
        &self,
        request: Request<UseModelRequest>,
    ) -> Result<Response<Self::UseStream>, Status> {
        let (id, loader) = (request.into_inner().id, self.tandem.loader.clone());
        let swap = move |progress| async move { loader.use_model(&id, &progress).await };
        Ok(Response::new(swapping::events(swap)))
    }

    async fn roll_back(
        &self,
        request: Request<RollBackModelRequest>,
    ) -> Result<Response<Self::RollBackStream>, Status> {
        let (id, loader) = (request.into_inner().id, self.tandem.loader.clone());
        let swap = move |progress| async move { loader.roll_back(&id, &progress).await };
        Ok(Response::new(swapping::events(swap)))
    }

    async fn recommend(
        &self,
        request: Request<RecommendRequest>,
    ) -> Result<Response<RecommendResponse>, Status> {
        let request = request.into_inner();
        let recommended = self.tandem.loader.recommend(&request).await;
        let recommendations = recommended.map_err(status::of)?;
        Ok(Response::new(RecommendResponse { recommendations }))
    }
}

/// A folder that the caller names; the daemon's own working directory is nobody's business.
fn folder(path: String) -> Result<PathBuf, Error> {
    const BYTES_MAX: usize = 4096;
    let usable = path.len() <= BYTES_MAX && !path.contains('\0') && Path::new(&path).is_absolute();
    if usable {
        return Ok(PathBuf::from(path));
    }
    let problem = format!("is not an absolute path of at most {BYTES_MAX} bytes");
    Err(Error::invalid("path", problem))
}

/// Progress until the model is imported or cannot be.
fn imported(
    progress: watch::Receiver<ImportProgress>,
    import: JoinHandle<Result<Model, Error>>,
) -> BoxStream<'static, Result<ImportModelEvent, Status>> {
    stream::unfold(Some((progress, import)), |current| async move {
        let (mut progress, import) = current?;
        if progress.changed().await.is_ok() {
            let ImportProgress { fraction, stage } = progress.borrow_and_update().clone();
            let progressed = ImportModelProgress { fraction, stage: stage.to_owned() };
            let event = Some(import_model_event::Event::Progress(progressed));
            return Some((Ok(ImportModelEvent { event }), Some((progress, import))));
        }
        let outcome = import.await.unwrap_or_else(|error| {
            Err(Error::Internal {
                problem: format!("the import ended without an outcome: {error}"),
            })
        });
        let event = outcome.map(|model| ImportModelEvent {
            event: Some(import_model_event::Event::Imported(model)),
        });
        Some((event.map_err(status::of), None))
    })
    .boxed()
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
