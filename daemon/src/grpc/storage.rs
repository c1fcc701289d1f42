//! `tandem.v1.Storage`.

use std::path::PathBuf;
use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use tandem_proto::v1::storage_server::Storage;
use tandem_proto::v1::{
    BackupRequest, BackupResponse, CheckStorageRequest, CheckStorageResponse,
    CompactStorageRequest, CompactStorageResponse, RestoreRequest, RestoreResponse, StorageFinding,
    StorageStatsRequest, StorageStatsResponse,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Daemon, status};

/// Parts of a file that wait to be taken in.
const PARTS_MAX: usize = 4;

#[tonic::async_trait]
impl Storage for Daemon {
    type BackupStream = Pin<Box<dyn Stream<Item = Result<BackupResponse, Status>> + Send>>;

    async fn backup(
        &self,
        _: Request<BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        let parts = ReceiverStream::new(self.tandem.storage.backup());
        let parts = parts.map(|part| match part {
            Ok(data) => Ok(BackupResponse { data }),
            Err(error) => Err(status::of(error)),
        });
        Ok(Response::new(Box::pin(parts)))
    }

    async fn restore(
        &self,
        request: Request<Streaming<RestoreRequest>>,
    ) -> Result<Response<RestoreResponse>, Status> {
        let mut requests = request.into_inner();
        let first = requests.message().await?.unwrap_or_default();
        let (sender, parts) = mpsc::channel(PARTS_MAX);
        let overwrite = first.overwrite;
        let feed = async move {
            let mut next = Some(first);
            while let Some(RestoreRequest { data, .. }) = next {
                if sender.send(data).await.is_err() {
                    // It is refused, and says why.
                    break;
                }
                // A caller that is gone leaves a file that is not whole.
                next = requests.message().await.ok().flatten();
            }
        };
        let ((), restored) = tokio::join!(feed, self.tandem.storage.restore(parts, overwrite));
        let restored = restored.map_err(status::of)?;
        let folder =
            |dir: Option<PathBuf>| dir.map(|it| it.display().to_string()).unwrap_or_default();
        Ok(Response::new(RestoreResponse {
            records: restored.records,
            previous: folder(restored.previous),
            collections: restored.collections,
            previous_collections: folder(restored.previous_collections),
        }))
    }

    async fn check(
        &self,
        request: Request<CheckStorageRequest>,
    ) -> Result<Response<CheckStorageResponse>, Status> {
        let CheckStorageRequest { repair } = request.into_inner();
        let report = self.tandem.storage.check(repair).await.map_err(status::of)?;
        let findings = report.findings.into_iter().map(|finding| StorageFinding {
            what: finding.what,
            advice: finding.advice.into_owned(),
            repaired: finding.repaired,
        });
        Ok(Response::new(CheckStorageResponse {
            records: report.records,
            findings: findings.collect(),
            collections: report.collections,
        }))
    }

    async fn compact(
        &self,
        _: Request<CompactStorageRequest>,
    ) -> Result<Response<CompactStorageResponse>, Status> {
        let compacted = self.tandem.storage.compact().await.map_err(status::of)?;
        let (bytes_before, bytes_after) = compacted;
        Ok(Response::new(CompactStorageResponse { bytes_before, bytes_after }))
    }

    async fn stats(
        &self,
        _: Request<StorageStatsRequest>,
    ) -> Result<Response<StorageStatsResponse>, Status> {
        let all = self.tandem.storage.stats().await.map_err(status::of)?;
        let stats = all.store;
        Ok(Response::new(StorageStatsResponse {
            folder: stats.dir.display().to_string(),
            disk_bytes: stats.disk_bytes,
            logical_bytes: stats.logical_bytes,
            conversation_bytes: stats.conversation_bytes,
            conversations: stats.conversations,
            turns: stats.turns,
            usage_rows: stats.usage_rows,
            index_bytes: all.index_bytes,
            committed_turns: stats.committed,
            flushes: stats.flushes,
            collections: all.collections,
            collection_bytes: all.collection_bytes,
            memories: stats.memories,
        }))
    }
}
