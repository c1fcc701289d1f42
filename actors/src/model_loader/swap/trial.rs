//! Whether a model that was loaded does what a model has to.

use std::time::{Duration, Instant};

use tandem_proto::v1::Sampling;

use crate::inference_worker::Worker;
use crate::router::Class;
use crate::{Completion, Error, Prompt, Result, Tools, TrackEvent, TrackRequest};

/// Any model that writes goes on with this.
const BEGINNING: &str = "Once upon a time, there was a";
const TOKENS: u32 = 8;
/// Longest trial.
const PATIENCE: Duration = Duration::from_mins(1);

/// Has the model go on with a text, or embed it. One that `chats` has to write.
pub(super) async fn try_out(worker: &Worker, chats: bool) -> Result<()> {
    if worker.facts().embedding_dimensions == 0 {
        return generate(worker).await;
    }
    if chats {
        let problem = format!("model {:?} makes embeddings and generates no text", worker.model());
        return Err(Error::ModelUnsuitable { problem });
    }
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let embeddings = worker.embed(vec![BEGINNING.to_owned()], true, deadline).await?;
    let mut numbers = embeddings.embeddings.iter().flat_map(|it| &it.values).peekable();
    if numbers.peek().is_none() || !numbers.all(|number| number.is_finite()) {
        return Err(failed(worker, "its embedding of a text is no vector"));
    }
    Ok(())
}

async fn generate(worker: &Worker) -> Result<()> {
    let sampling = Sampling {
        temperature: Some(0.0),
        max_tokens: Some(TOKENS),
        seed: Some(0),
        ..Sampling::default()
    };
    let mut events = worker.start(TrackRequest {
        turn_id: "trial".to_owned(),
        prompt: Prompt::Text(BEGINNING.to_owned()),
        sampling,
        tools: Tools::default(),
        class: Class::Batch,
        deadline: Instant::now() + PATIENCE,
    })?;
    let mut written = String::new();
    while let Some(event) = events.recv().await {
        match event {
            TrackEvent::Delta { text, reasoning, .. } => {
                written.push_str(&text);
                written.push_str(&reasoning);
            }
            TrackEvent::Failed(error) => return Err(error),
            TrackEvent::Done(completion) => {
                return judge(&written, &completion).map_err(|problem| failed(worker, problem));
            }
            _ => (),
        }
    }
    Err(Error::Restarting { part: "the inference worker".to_owned() })
}

fn judge(written: &str, completion: &Completion) -> Result<(), &'static str> {
    if written.trim().is_empty() {
        return Err("it writes nothing");
    }
    match completion.mean_logprob {
        Some(mean) if !mean.is_finite() => Err("the probabilities of its tokens are no numbers"),
        _ => Ok(()),
    }
}

fn failed(worker: &Worker, problem: &str) -> Error {
    Error::ModelInvalid {
        id: worker.model().to_owned(),
        problem: format!("it did not pass its trial: {problem}; fetch its file again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_writes_nothing_or_computes_no_numbers_does_not_pass() {
        let with = |mean_logprob| Completion { mean_logprob, ..Completion::whole() };
        assert_eq!(judge("cat", &with(Some(-0.5))), Ok(()));
        assert_eq!(judge("cat", &with(None)), Ok(()));
        assert!(judge(" \n", &with(Some(-0.5))).is_err());
        assert!(judge("cat", &with(Some(f64::NAN))).is_err());
        assert!(judge("cat", &with(Some(f64::NEG_INFINITY))).is_err());
    }
}
