//! `tandem.v1.Memories`.

use tandem_proto::v1::memories_server::Memories;
use tandem_proto::v1::{
    AddMemoryRequest, EditMemoryRequest, ForgetMemoryRequest, ForgetMemoryResponse,
    ListMemoriesRequest, ListMemoriesResponse, Memory, SearchMemoriesRequest,
    SearchMemoriesResponse,
};
use tonic::{Request, Response, Status};

use super::{Daemon, status};

#[tonic::async_trait]
impl Memories for Daemon {
    async fn list(
        &self,
        _: Request<ListMemoriesRequest>,
    ) -> Result<Response<ListMemoriesResponse>, Status> {
        let memories = self.tandem.store.memories().await.map_err(status::of)?;
        Ok(Response::new(ListMemoriesResponse { memories: memories.to_vec() }))
    }

    async fn search(
        &self,
        request: Request<SearchMemoriesRequest>,
    ) -> Result<Response<SearchMemoriesResponse>, Status> {
        let query = request.into_inner().query;
        let memories = self.tandem.find_memories(&query).await.map_err(status::of)?;
        Ok(Response::new(SearchMemoriesResponse { memories }))
    }

    async fn add(&self, request: Request<AddMemoryRequest>) -> Result<Response<Memory>, Status> {
        let most = self.tandem.settings().memory.facts_max as usize;
        let added = self.tandem.store.add_memory(request.into_inner(), most).await;
        added.map(Response::new).map_err(status::of)
    }

    async fn edit(&self, request: Request<EditMemoryRequest>) -> Result<Response<Memory>, Status> {
        let edited = self.tandem.store.edit_memory(request.into_inner()).await;
        edited.map(Response::new).map_err(status::of)
    }

    async fn forget(
        &self,
        request: Request<ForgetMemoryRequest>,
    ) -> Result<Response<ForgetMemoryResponse>, Status> {
        let id = request.into_inner().id;
        self.tandem.store.forget_memory(&id).await.map_err(status::of)?;
        Ok(Response::new(ForgetMemoryResponse {}))
    }
}
