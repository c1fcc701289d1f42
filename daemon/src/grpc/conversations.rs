//! `tandem.v1.Conversations`.

use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use tandem_actors::Error;
use tandem_actors::memory_store::exchange::Importer;
use tandem_proto::v1::conversations_server::Conversations;
use tandem_proto::v1::{
    Conversation, CreateConversationRequest, DeleteConversationRequest, DeleteConversationResponse,
    ExportConversationsRequest, ExportConversationsResponse, FoundTurn, GetConversationRequest,
    GetConversationResponse, ImportConversationsRequest, ImportConversationsResponse,
    ListConversationsRequest, ListConversationsResponse, Marked, Policy, RenameConversationRequest,
    SearchConversationsRequest, SearchConversationsResponse,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Daemon, status};

mod import;

use import::Import;

#[tonic::async_trait]
impl Conversations for Daemon {
    type ExportStream =
        Pin<Box<dyn Stream<Item = Result<ExportConversationsResponse, Status>> + Send>>;

    async fn create(
        &self,
        request: Request<CreateConversationRequest>,
    ) -> Result<Response<Conversation>, Status> {
        let CreateConversationRequest { title, policy } = request.into_inner();
        // A policy that is not known here may be stricter than any that is.
        let policy = Policy::try_from(policy).map_err(|_| {
            let problem = format!("{policy} is not known to this daemon");
            status::of(Error::invalid("policy", problem))
        })?;
        let created = self.tandem.store.create_conversation(&title, policy).await;
        created.map(Response::new).map_err(status::of)
    }

    async fn list(
        &self,
        request: Request<ListConversationsRequest>,
    ) -> Result<Response<ListConversationsResponse>, Status> {
        let ListConversationsRequest { page_size, page_token } = request.into_inner();
        let listed = self.tandem.store.list_conversations(page_size, &page_token).await;
        let (conversations, next_page_token) = listed.map_err(status::of)?;
        Ok(Response::new(ListConversationsResponse { conversations, next_page_token }))
    }

    async fn get(
        &self,
        request: Request<GetConversationRequest>,
    ) -> Result<Response<GetConversationResponse>, Status> {
        let id = request.into_inner().id;
        let store = &self.tandem.store;
        let conversation = store.conversation(&id).await.map_err(status::of)?;
        let turns = store.turns(&id).await.map_err(status::of)?;
        Ok(Response::new(GetConversationResponse { conversation: Some(conversation), turns }))
    }

    async fn delete(
        &self,
        request: Request<DeleteConversationRequest>,
    ) -> Result<Response<DeleteConversationResponse>, Status> {
        let id = request.into_inner().id;
        self.tandem.store.delete_conversation(&id).await.map_err(status::of)?;
        Ok(Response::new(DeleteConversationResponse {}))
    }

    async fn rename(
        &self,
        request: Request<RenameConversationRequest>,
    ) -> Result<Response<Conversation>, Status> {
        let RenameConversationRequest { id, title } = request.into_inner();
        let renamed = self.tandem.store.rename_conversation(&id, &title).await;
        renamed.map(Response::new).map_err(status::of)
    }

    async fn search(
        &self,
        request: Request<SearchConversationsRequest>,
    ) -> Result<Response<SearchConversationsResponse>, Status> {
        let SearchConversationsRequest { query, limit } = request.into_inner();
        let found = self.tandem.search.find(&query, limit).await.map_err(status::of)?;
        let found = found.into_iter().map(|found| FoundTurn {
            conversation: Some(found.conversation),
            turn_id: found.turn_id,
            created: found.created,
            snippet: found.snippet,
            marked: found.marked.into_iter().map(|(begin, end)| Marked { begin, end }).collect(),
            score: found.score,
        });
        Ok(Response::new(SearchConversationsResponse { found: found.collect() }))
    }

    async fn export(
        &self,
        request: Request<ExportConversationsRequest>,
    ) -> Result<Response<Self::ExportStream>, Status> {
        let ExportConversationsRequest { ids } = request.into_inner();
        let lines = ReceiverStream::new(self.tandem.store.export(ids)).map(|lines| match lines {
            Ok(data) => Ok(ExportConversationsResponse { data }),
            Err(error) => Err(status::of(error)),
        });
        Ok(Response::new(Box::pin(lines)))
    }

    async fn import(
        &self,
        request: Request<Streaming<ImportConversationsRequest>>,
    ) -> Result<Response<ImportConversationsResponse>, Status> {
        let mut requests = request.into_inner();
        let mut import = Import::new(&self.tandem.store);
        let mut lines = Importer::default();
        let mut is_first = true;
        while let Some(ImportConversationsRequest { data, replace }) = requests.message().await? {
            if std::mem::take(&mut is_first) {
                import.replace(replace);
            }
            import.take(lines.push(&data)).await.map_err(status::of)?;
        }
        import.take(lines.finish()).await.map_err(status::of)?;
        Ok(Response::new(import.done()))
    }
}
