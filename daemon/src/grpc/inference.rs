//! `tandem.v1.Inference`: the local model without router and memory.

use std::time::Instant;

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tandem_actors::router::{Class, Place};
use tandem_actors::{Error, Prompt, Tools, TrackEvent, TrackEvents, TrackRequest, sampling};
use tandem_proto::v1::inference_server::Inference;
use tandem_proto::v1::{
    ChatMessage, CountTokensRequest, CountTokensResponse, DetokenizeRequest, DetokenizeResponse,
    EmbedRequest, EmbedResponse, GenerateDelta, GenerateDone, GenerateEvent, GenerateRequest, Role,
    TokenizeRequest, TokenizeResponse, generate_event,
};
use tonic::{Request, Response, Status};

use super::caller::Caller;
use super::{Daemon, deadline, status};

#[tonic::async_trait]
impl Inference for Daemon {
    type GenerateStream = BoxStream<'static, Result<GenerateEvent, Status>>;

    async fn generate(
        &self,
        request: Request<GenerateRequest>,
    ) -> Result<Response<Self::GenerateStream>, Status> {
        let longest = self.tandem.settings().router.deadline;
        let time = deadline::of(request.metadata()).map_or(longest, |time| time.min(longest));
        let (caller, deadline) = (Caller::of(&request), Instant::now() + time);
        let request = request.into_inner();
        let asked = request.sampling.unwrap_or_default();
        sampling::validate(&asked).map_err(status::of)?;
        let prompt = self.prompt(request.prompt, request.messages).map_err(status::of)?;
        let bytes = match &prompt {
            Prompt::Text(text) => text.len(),
            Prompt::Chat(messages) => messages.iter().map(|message| message.content.len()).sum(),
        };
        let place = self.tandem.router.admit(Class::Batch, caller.name(), bytes);
        let place = place.map_err(status::of)?;
        self.tandem.monitor.let_compute().map_err(status::of)?;
        let worker = self.tandem.loader.acquire(&request.model).await.map_err(status::of)?;
        let turn_id = uuid::Uuid::now_v7().to_string();
        let sampling = sampling::complete(
            &asked,
            worker.recommended_sampling(),
            self.tandem.settings().max_tokens,
            sampling::random_seed(),
        );
        let seed = sampling.seed();
        let events = worker
            .start(TrackRequest {
                turn_id,
                prompt,
                sampling,
                tools: Tools::default(),
                class: Class::Batch,
                deadline,
            })
            .map_err(status::of)?;
        Ok(Response::new(generation(events, worker.model().to_owned(), seed, place)))
    }

    async fn tokenize(
        &self,
        request: Request<TokenizeRequest>,
    ) -> Result<Response<TokenizeResponse>, Status> {
        let TokenizeRequest { model, text, add_special, parse_special } = request.into_inner();
        self.check("text", &text).map_err(status::of)?;
        let worker = self.tandem.loader.acquire(&model).await.map_err(status::of)?;
        let tokens = worker.tokenize(text, add_special, parse_special).await;
        Ok(Response::new(TokenizeResponse { tokens: tokens.map_err(status::of)? }))
    }

    async fn detokenize(
        &self,
        request: Request<DetokenizeRequest>,
    ) -> Result<Response<DetokenizeResponse>, Status> {
        let DetokenizeRequest { model, tokens } = request.into_inner();
        let worker = self.tandem.loader.acquire(&model).await.map_err(status::of)?;
        let text = worker.detokenize(tokens).await.map_err(status::of)?;
        Ok(Response::new(DetokenizeResponse { text }))
    }

    async fn count_tokens(
        &self,
        request: Request<CountTokensRequest>,
    ) -> Result<Response<CountTokensResponse>, Status> {
        let CountTokensRequest { model, text, messages } = request.into_inner();
        let prompt = self.prompt(text, messages).map_err(status::of)?;
        let worker = self.tandem.loader.acquire(&model).await.map_err(status::of)?;
        let (texts, messages) = match prompt {
            Prompt::Text(text) => (vec![text], Vec::new()),
            Prompt::Chat(messages) => (Vec::new(), messages),
        };
        let counts = worker.count(texts, messages).await.map_err(status::of)?;
        let tokens = counts.texts.first().copied().unwrap_or(counts.messages);
        Ok(Response::new(CountTokensResponse { tokens }))
    }

    async fn embed(
        &self,
        request: Request<EmbedRequest>,
    ) -> Result<Response<EmbedResponse>, Status> {
        let longest = self.tandem.settings().router.deadline;
        let time = deadline::of(request.metadata()).map_or(longest, |time| time.min(longest));
        let deadline = tokio::time::Instant::now() + time;
        let caller = Caller::of(&request);
        let embeddings = self.embeddings(request.into_inner(), &caller, deadline);
        let embeddings = tokio::time::timeout_at(deadline, embeddings).await;
        let late = Error::DeadlineExceeded { stage: "while the texts were embedded".to_owned() };
        embeddings.unwrap_or(Err(late)).map(Response::new).map_err(status::of)
    }
}

impl Daemon {
    fn prompt(&self, text: String, messages: Vec<ChatMessage>) -> Result<Prompt, Error> {
        match (text.is_empty(), messages.is_empty()) {
            (true, true) => Err(Error::invalid("prompt", "is empty; give a prompt or messages")),
            (false, false) => {
                Err(Error::invalid("messages", "are given beside a prompt; give one of them"))
            }
            (false, true) => {
                self.check("prompt", &text)?;
                Ok(Prompt::Text(text))
            }
            (true, false) => {
                if let Some(message) = messages.iter().find(|it| it.role() == Role::Unspecified) {
                    let problem = format!("{} is not a role", message.role);
                    return Err(Error::invalid("messages.role", problem));
                }
                let plain = |it: &ChatMessage| {
                    it.images.is_empty() && it.tool_calls.is_empty() && it.role() != Role::Tool
                };
                if !messages.iter().all(plain) {
                    return Err(Error::NotSupported {
                        problem: "the local model knows neither pictures nor tools".to_owned(),
                        advice: "ask a provider that does, with Assistant.Ask".to_owned(),
                    });
                }
                let bytes = messages.iter().map(|message| message.content.len()).sum();
                self.check_length("messages.content", bytes)?;
                Ok(Prompt::Chat(messages))
            }
        }
    }

    fn check(&self, field: &str, text: &str) -> Result<(), Error> {
        self.check_length(field, text.len())
    }

    fn check_length(&self, field: &str, bytes: usize) -> Result<(), Error> {
        tandem_actors::router::check_length(field, bytes, self.config.daemon.prompt_bytes_max)
    }
}

/// The events of a generation. Dropping the stream cancels it and gives its place up.
fn generation(
    events: TrackEvents,
    model: String,
    seed: u64,
    place: Place,
) -> BoxStream<'static, Result<GenerateEvent, Status>> {
    stream::unfold(Some((events, model, place)), move |state| async move {
        let (mut events, model, place) = state?;
        loop {
            let event = match events.recv().await {
                Some(TrackEvent::Delta { text, reasoning, logprobs }) => {
                    generate_event::Event::Delta(GenerateDelta { text, logprobs, reasoning })
                }
                // What is sent stays as it is, so there is nothing to say.
                Some(
                    TrackEvent::Cached(_)
                    | TrackEvent::Resumed { .. }
                    | TrackEvent::Notice(..)
                    | TrackEvent::ToolCall(_),
                ) => continue,
                Some(TrackEvent::Done(completion)) => generate_event::Event::Done(GenerateDone {
                    model: model.clone(),
                    finish_reason: completion.finish_reason.into(),
                    usage: Some(completion.usage),
                    timings: Some(completion.timings),
                    seed,
                    confidence: completion.confidence,
                    certainty: completion.certainty,
                }),
                Some(TrackEvent::Failed(error)) => {
                    return Some((Err(status::of(error)), None));
                }
                None => {
                    let part = "the inference worker".to_owned();
                    return Some((Err(status::of(Error::Restarting { part })), None));
                }
            };
            let over = matches!(event, generate_event::Event::Done(_));
            let event = GenerateEvent { event: Some(event) };
            return Some((Ok(event), (!over).then_some((events, model, place))));
        }
    })
    .boxed()
}
