//! Conversations, as the scripted daemon has them.

use std::sync::atomic::Ordering;

use tandem_client::v1::{self, conversations_server};
use tonic::{Request, Response, Status, Streaming};

use super::{Answers, Script, failure};

fn conversation(id: &str) -> v1::Conversation {
    v1::Conversation { id: id.into(), ..Default::default() }
}

#[tonic::async_trait]
impl conversations_server::Conversations for Script {
    async fn create(
        &self,
        _: Request<v1::CreateConversationRequest>,
    ) -> Result<Response<v1::Conversation>, Status> {
        self.conversations.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(conversation("conversation-1")))
    }

    async fn list(
        &self,
        request: Request<v1::ListConversationsRequest>,
    ) -> Result<Response<v1::ListConversationsResponse>, Status> {
        let (ids, next) = match request.into_inner().page_token.as_str() {
            "" => (&["c3", "c2"][..], "rest"),
            _ => (&["c1"][..], ""),
        };
        let conversations = ids.iter().map(|id| conversation(id)).collect();
        Ok(Response::new(v1::ListConversationsResponse {
            conversations,
            next_page_token: next.into(),
        }))
    }

    async fn get(
        &self,
        request: Request<v1::GetConversationRequest>,
    ) -> Result<Response<v1::GetConversationResponse>, Status> {
        let id = request.into_inner().id;
        if id == "nope" {
            return Err(failure("CONVERSATION_NOT_FOUND"));
        }
        Ok(Response::new(v1::GetConversationResponse {
            conversation: Some(conversation(&id)),
            turns: Vec::new(),
        }))
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteConversationRequest>,
    ) -> Result<Response<v1::DeleteConversationResponse>, Status> {
        if request.into_inner().id == "nope" {
            return Err(failure("CONVERSATION_NOT_FOUND"));
        }
        self.conversations.fetch_sub(1, Ordering::SeqCst);
        Ok(Response::new(v1::DeleteConversationResponse {}))
    }

    async fn rename(
        &self,
        _: Request<v1::RenameConversationRequest>,
    ) -> Result<Response<v1::Conversation>, Status> {
        Err(Status::unimplemented("no test asks for it"))
    }

    async fn search(
        &self,
        _: Request<v1::SearchConversationsRequest>,
    ) -> Result<Response<v1::SearchConversationsResponse>, Status> {
        Err(Status::unimplemented("no test asks for it"))
    }

    type ExportStream = Answers<v1::ExportConversationsResponse>;

    async fn export(
        &self,
        _: Request<v1::ExportConversationsRequest>,
    ) -> Result<Response<Self::ExportStream>, Status> {
        Err(Status::unimplemented("no test asks for it"))
    }

    async fn import(
        &self,
        _: Request<Streaming<v1::ImportConversationsRequest>>,
    ) -> Result<Response<v1::ImportConversationsResponse>, Status> {
        Err(Status::unimplemented("no test asks for it"))
    }
}
