//! `tandem.v1.Conversations`.

use tandem_actors::Error;
use tandem_proto::v1::conversations_server::Conversations;
use tandem_proto::v1::{
    Conversation, CreateConversationRequest, DeleteConversationRequest, DeleteConversationResponse,
    GetConversationRequest, GetConversationResponse, ListConversationsRequest,
    ListConversationsResponse, Policy,
};
use tonic::{Request, Response, Status};

use super::{Daemon, status};

#[tonic::async_trait]
impl Conversations for Daemon {
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
}
