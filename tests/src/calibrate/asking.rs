//! Asks a daemon.

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tandem_client::Client;
use tandem_client::v1::{self, ask_event::Event};

use super::{Graded, Question, logistic};

/// How questions are asked.
#[derive(Debug, Clone)]
pub struct Manner {
    /// Empty: the daemon's default.
    pub model: String,
    /// Questions at the same time.
    pub at_once: usize,
}

/// Asks all questions and grades the answers, in the order of the questions. `progress` is told how
/// many are done.
pub async fn ask_all(
    client: &Client,
    questions: &[Question],
    manner: &Manner,
    progress: impl Fn(usize),
) -> Result<Vec<Graded>> {
    let asked = questions.iter().map(|question| async move {
        let answer = ask(client, question, &manner.model).await;
        answer.with_context(|| format!("question {:?}", question.id))
    });
    let mut answers = stream::iter(asked).buffered(manner.at_once).enumerate();
    let mut graded = Vec::with_capacity(questions.len());
    while let Some((done, answer)) = answers.next().await {
        graded.extend(answer?);
        progress(done + 1);
    }
    Ok(graded)
}

/// `None` for an answer without tokens, of which nothing can be said.
async fn ask(client: &Client, question: &Question, model: &str) -> Result<Option<Graded>> {
    let gold = question.gold()?;
    let request = v1::AskRequest {
        prompt: format!("{}\n{}", question.prompt, gold.instruction()),
        policy: v1::Policy::Fast.into(),
        model: model.to_owned(),
        sampling: Some(v1::Sampling {
            temperature: Some(0.0),
            max_tokens: Some(gold.max_tokens()),
            ..v1::Sampling::default()
        }),
        ..v1::AskRequest::default()
    };
    let stream = client.assistant().ask(request).await?.into_inner();
    let events: Vec<v1::AskEvent> = stream.try_collect().await?;
    let mut text = String::new();
    for event in events {
        match event.event {
            Some(Event::Delta(delta)) => text.push_str(&delta.text),
            Some(Event::TrackDone(done)) => {
                let (Some(confidence), Some(certainty)) = (done.confidence, done.certainty) else {
                    return Ok(None);
                };
                return Ok(Some(Graded {
                    id: question.id.clone(),
                    domain: question.domain.clone(),
                    right: gold.is_answered_by(&text),
                    confidence,
                    features: logistic::features(&certainty),
                    text,
                }));
            }
            _ => {}
        }
    }
    bail!("the answer ended without a result")
}
