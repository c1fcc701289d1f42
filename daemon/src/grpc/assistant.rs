//! `tandem.v1.Assistant`.

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tandem_actors::{Answer, Error};
use tandem_proto::v1::assistant_server::Assistant;
use tandem_proto::v1::{AskEvent, AskRequest, FeedbackRequest, FeedbackResponse, ask_event::Event};
use tonic::{Request, Response, Status};

use super::caller::Caller;
use super::{Daemon, deadline, status};

#[tonic::async_trait]
impl Assistant for Daemon {
    type AskStream = BoxStream<'static, Result<AskEvent, Status>>;

    async fn ask(&self, request: Request<AskRequest>) -> Result<Response<Self::AskStream>, Status> {
        let (caller, time) = (Caller::of(&request), deadline::of(request.metadata()));
        let answer = self.tandem.ask(request.into_inner(), caller.name(), time).await;
        Ok(Response::new(events(answer.map_err(status::of)?)))
    }

    async fn feedback(
        &self,
        request: Request<FeedbackRequest>,
    ) -> Result<Response<FeedbackResponse>, Status> {
        let taken = self.tandem.feedback(request.into_inner()).await;
        taken.map(Response::new).map_err(status::of)
    }
}

/// The events of an answer. Dropping the stream drops the answer, which cancels the turn.
fn events(answer: Answer) -> BoxStream<'static, Result<AskEvent, Status>> {
    stream::unfold(Some(answer), |answer| async move {
        let mut answer = answer?;
        let event = answer.recv().await.unwrap_or_else(|| {
            // A turn announces its end, unless it went down with the router.
            Err(Error::Restarting { part: "the router".to_owned() })
        });
        let over = match &event {
            Ok(event) => matches!(event.event, Some(Event::Done(_))),
            Err(_) => true,
        };
        Some((event.map_err(status::of), (!over).then_some(answer)))
    })
    .boxed()
}
