//! `tandem.v1.Knowledge`.

use futures::StreamExt as _;
use futures::stream::BoxStream;
use tandem_proto::v1::knowledge_server::Knowledge;
use tandem_proto::v1::{
    CheckCollectionRequest, CheckCollectionResponse, CompactCollectionRequest,
    CompactCollectionResponse, DeleteCollectionRequest, DeleteCollectionResponse, EvaluateRequest,
    EvaluateResponse, IngestEvent, IngestRequest, ListCollectionsRequest, ListCollectionsResponse,
    ListDocumentsRequest, ListDocumentsResponse, RemoveDocumentsRequest, RemoveDocumentsResponse,
    SearchRequest, SearchResponse,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Daemon, status};

#[tonic::async_trait]
impl Knowledge for Daemon {
    type IngestStream = BoxStream<'static, Result<IngestEvent, Status>>;

    async fn ingest(
        &self,
        request: Request<IngestRequest>,
    ) -> Result<Response<Self::IngestStream>, Status> {
        let events = self.tandem.knowledge.ingest(request.into_inner()).map_err(status::of)?;
        let events = ReceiverStream::new(events).map(|event| event.map_err(status::of));
        // A daemon that shall end does not wait: what was ingested is on disk.
        let draining = self.draining.clone();
        Ok(Response::new(events.take_until(draining.cancelled_owned()).boxed()))
    }

    async fn search(
        &self,
        request: Request<SearchRequest>,
    ) -> Result<Response<SearchResponse>, Status> {
        let found = self.tandem.knowledge.search(request.into_inner()).await;
        found.map(Response::new).map_err(status::of)
    }

    async fn evaluate(
        &self,
        request: Request<EvaluateRequest>,
    ) -> Result<Response<EvaluateResponse>, Status> {
        let evaluated = self.tandem.knowledge.evaluate(request.into_inner()).await;
        evaluated.map(Response::new).map_err(status::of)
    }

    async fn list_collections(
        &self,
        _: Request<ListCollectionsRequest>,
    ) -> Result<Response<ListCollectionsResponse>, Status> {
        let collections = self.tandem.knowledge.collections().await.map_err(status::of)?;
        Ok(Response::new(ListCollectionsResponse { collections }))
    }

    async fn list_documents(
        &self,
        request: Request<ListDocumentsRequest>,
    ) -> Result<Response<ListDocumentsResponse>, Status> {
        let ListDocumentsRequest { collection, page_size, page_token } = request.into_inner();
        let listed = self.tandem.knowledge.documents(&collection, page_size, page_token).await;
        let (documents, next_page_token) = listed.map_err(status::of)?;
        Ok(Response::new(ListDocumentsResponse { documents, next_page_token }))
    }

    async fn remove_documents(
        &self,
        request: Request<RemoveDocumentsRequest>,
    ) -> Result<Response<RemoveDocumentsResponse>, Status> {
        let RemoveDocumentsRequest { collection, sources } = request.into_inner();
        let removed = self.tandem.knowledge.remove(&collection, sources).await;
        let removed = removed.map_err(status::of)?;
        Ok(Response::new(RemoveDocumentsResponse { removed }))
    }

    async fn delete_collection(
        &self,
        request: Request<DeleteCollectionRequest>,
    ) -> Result<Response<DeleteCollectionResponse>, Status> {
        let collection = request.into_inner().collection;
        self.tandem.knowledge.delete(&collection).await.map_err(status::of)?;
        Ok(Response::new(DeleteCollectionResponse {}))
    }

    async fn check_collection(
        &self,
        request: Request<CheckCollectionRequest>,
    ) -> Result<Response<CheckCollectionResponse>, Status> {
        let collection = request.into_inner().collection;
        let faults = self.tandem.knowledge.check(&collection).await.map_err(status::of)?;
        let faults = faults.iter().map(ToString::to_string).collect();
        Ok(Response::new(CheckCollectionResponse { faults }))
    }

    async fn compact_collection(
        &self,
        request: Request<CompactCollectionRequest>,
    ) -> Result<Response<CompactCollectionResponse>, Status> {
        let collection = request.into_inner().collection;
        let compacted = self.tandem.knowledge.compact(&collection).await;
        let (bytes_before, bytes_after) = compacted.map_err(status::of)?;
        Ok(Response::new(CompactCollectionResponse { bytes_before, bytes_after }))
    }
}
