//! `tandem.v1.Admin`: the daemon about itself.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tandem_proto::v1::admin_server::Admin;
use tandem_proto::v1::{
    AuditRequest, AuditResponse, DrainRequest, DrainResponse, ExperimentsRequest,
    ExperimentsResponse, ListFeedbackRequest, ListFeedbackResponse, ReloadRequest, ReloadResponse,
    StatusRequest, StatusResponse, UsageRequest, UsageResponse, WatchRequest,
};
use tonic::{Request, Response, Status};

use super::{Daemon, status};

/// Numbers such as memory change without the tree changing.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

#[tonic::async_trait]
impl Admin for Daemon {
    type WatchStream = BoxStream<'static, Result<StatusResponse, Status>>;

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(self.status_now().await))
    }

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let changes = self.tandem.tree.changes();
        let statuses = stream::unfold((self.clone(), changes, true), |state| async move {
            let (daemon, mut changes, first) = state;
            if !first {
                tokio::select! {
                    () = daemon.draining.cancelled() => return None,
                    _ = changes.changed() => (),
                    () = tokio::time::sleep(WATCH_INTERVAL) => (),
                }
            }
            changes.mark_unchanged();
            let status = daemon.status_now().await;
            Some((Ok(status), (daemon, changes, false)))
        });
        Ok(Response::new(statuses.boxed()))
    }

    async fn drain(&self, _: Request<DrainRequest>) -> Result<Response<DrainResponse>, Status> {
        self.begin_drain();
        Ok(Response::new(DrainResponse {}))
    }

    async fn experiments(
        &self,
        _: Request<ExperimentsRequest>,
    ) -> Result<Response<ExperimentsResponse>, Status> {
        let experiments = self.tandem.experiments().await.map_err(status::of)?;
        Ok(Response::new(ExperimentsResponse { experiments }))
    }

    async fn list_feedback(
        &self,
        request: Request<ListFeedbackRequest>,
    ) -> Result<Response<ListFeedbackResponse>, Status> {
        let ListFeedbackRequest { page_size, page_token } = request.into_inner();
        let listed = self.tandem.store.list_feedback(page_size, &page_token).await;
        let (feedback, next_page_token) = listed.map_err(status::of)?;
        Ok(Response::new(ListFeedbackResponse { feedback, next_page_token }))
    }

    async fn usage(
        &self,
        request: Request<UsageRequest>,
    ) -> Result<Response<UsageResponse>, Status> {
        let base = self.tandem.settings().router.slow_threshold;
        let usage = self.tandem.books.usage(request.into_inner(), base).await;
        usage.map(Response::new).map_err(super::status::of)
    }

    async fn reload(&self, _: Request<ReloadRequest>) -> Result<Response<ReloadResponse>, Status> {
        self.reloader.reload().await.map(Response::new).map_err(status::of)
    }

    async fn audit(&self, _: Request<AuditRequest>) -> Result<Response<AuditResponse>, Status> {
        Ok(Response::new(self.tandem.books.audit()))
    }
}

impl Daemon {
    async fn status_now(&self) -> StatusResponse {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let tandem = &self.tandem;
        StatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_ms: milliseconds(self.started.elapsed()),
            socket: self.config.daemon.socket.display().to_string(),
            data_dir: self.config.daemon.data_dir.display().to_string(),
            startup_ms: milliseconds(self.startup),
            tree: tandem.tree.snapshot(),
            models: tandem.loader.loaded().await,
            providers: tandem.escalator.status(),
            resources: Some(tandem.monitor.current()),
            admission: Some(tandem.router.admission()),
            turns: Some(tandem.router.counts()),
            caches: tandem.caches.status().into_iter().filter(|cache| cache.enabled).collect(),
            settings: Some(self.reloader.status()),
        }
    }
}
