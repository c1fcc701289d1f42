//! What tandem asks the local model for itself, while nobody else asks anything.

use std::time::{Duration, Instant};

use tandem_proto::v1::{ChatMessage, Role, Sampling};

use crate::inference_worker::{Phase, Worker};
use crate::router::{Class, Services};
use crate::{Error, Prompt, Result, Tools, TrackEvent, TrackRequest};

/// Longest time that one answer may take.
const TIME_MAX: Duration = Duration::from_mins(2);

/// A worker that could answer at once. No model is loaded for it.
pub(super) fn free_worker(services: &Services) -> Option<Worker> {
    let ready = |worker: &Worker| {
        worker.facts().embedding_dimensions == 0 && worker.watch().borrow().phase == Phase::Ready
    };
    services.loader.workers().into_iter().find(ready)
}

/// The likeliest answer, of at most `sampling.max_tokens`. Dropping it cancels what the model does.
pub(super) async fn ask(
    worker: &Worker,
    turn_id: &str,
    [system, question]: [String; 2],
    sampling: Sampling,
) -> Result<String> {
    let message = |role: Role, content: String| ChatMessage {
        role: role.into(),
        content,
        ..ChatMessage::default()
    };
    let messages = vec![message(Role::System, system), message(Role::User, question)];
    let mut events = worker.start(TrackRequest {
        turn_id: turn_id.to_owned(),
        prompt: Prompt::Chat(messages),
        // The seed has no say, but is always set.
        sampling: Sampling { temperature: Some(0.0), seed: Some(0), ..sampling },
        tools: Tools::default(),
        class: Class::Background,
        deadline: Instant::now() + TIME_MAX,
    })?;
    let mut answer = String::new();
    while let Some(event) = events.recv().await {
        match event {
            TrackEvent::Delta { text, .. } => answer.push_str(&text),
            TrackEvent::Done(_) => return Ok(answer.trim().to_owned()),
            TrackEvent::Failed(error) => return Err(error),
            _ => (),
        }
    }
    Err(Error::Restarting { part: "the inference worker".to_owned() })
}
