//! Which local model answers a question: the one that it names, or the default model, or who stands in
//! for that.

use ractor::ActorRef;
use tandem_proto::engine::Loaded;
use tandem_proto::v1::{NoticeKind, Rung};
use tokio::time::timeout;
use tracing::warn;

use super::Message;
use super::run::Question;
use crate::inference_worker::{Phase, Worker};
use crate::router::Services;
use crate::{Error, Result};

/// Models that are tried in place of the default one. Where none of them can be used, the fault is
/// not with the models.
const STAND_INS_MAX: usize = 4;

/// The worker that answers, loaded. A model that the caller named answers or fails; in place of the
/// default model another one may answer, and then the caller hears of it.
pub(super) async fn host(
    question: &Question,
    services: &Services,
    turn: &ActorRef<Message>,
) -> Result<(Worker, Loaded)> {
    if !question.model.is_empty() {
        return load(&question.model, question, services, turn).await;
    }
    let loader = &services.loader;
    let default = loader.default_model();
    let tell = |message| drop(turn.cast(Message::Notice(NoticeKind::OtherModel, message)));
    if let Some(news) = loader.news() {
        tell(news);
    }
    let mut model = String::new();
    let degraded = services.monitor.degraded();
    // Who covers for the default model does until all is well: that one could undo it.
    let short = services.monitor.is_in_effect(Rung::SmallerModel)
        || (degraded.is_some() && loader.is_covered());
    if short && let Some(smaller) = loader.smaller().await {
        let reasons = degraded.unwrap_or_default().reasons.join("; ");
        tell(format!(
            "model {smaller:?} answers in place of {default:?}, as the machine is short: {reasons}"
        ));
        model = smaller;
    } else if let Some((stand_in, why)) = loader.standing_in() {
        tell(why);
        model = stand_in;
    }
    let mut tried: Vec<String> = Vec::new();
    let mut first = None;
    let mut why: Option<String> = None;
    loop {
        let error = match load(&model, question, services, turn).await {
            Ok(hosted) => {
                if let Some(why) = &why {
                    loader.let_stand_in(&model, why);
                }
                return Ok(hosted);
            }
            Err(error) => error,
        };
        let next = match error.model_at_fault() {
            Some(at_fault)
                if tried.len() < STAND_INS_MAX && !tried.iter().any(|id| id == at_fault) =>
            {
                tried.push(at_fault.to_owned());
                loader.stand_in(&tried).await
            }
            _ => None,
        };
        let Some(next) = next else { return Err(first.unwrap_or(error)) };
        let failed = if model.is_empty() { &default } else { &model };
        let because = format!("model {failed:?} cannot be used ({error}): {next:?} answers");
        warn!(model = failed, stand_in = next, %error, "another model answers");
        tell(because.clone());
        why = Some(because);
        first.get_or_insert(error);
        model = next;
    }
}

/// The worker of a model, once it is loaded; an empty name means the default model.
async fn load(
    model: &str,
    question: &Question,
    services: &Services,
    turn: &ActorRef<Message>,
) -> Result<(Worker, Loaded)> {
    let worker = services.loader.acquire_for(model, &question.conversation_id).await?;
    if worker.facts().embedding_dimensions > 0 {
        let problem = format!("model {:?} makes embeddings and generates no text", worker.model());
        return Err(Error::ModelUnsuitable { problem });
    }
    let _ = turn.cast(Message::FastModel(worker.model().to_owned()));
    if worker.watch().borrow().phase != Phase::Ready {
        let message = format!("model {:?} is being loaded", worker.model());
        let _ = turn.cast(Message::Notice(NoticeKind::Waiting, message));
        if let Some(patience) = question.patience
            && timeout(patience, worker.loaded()).await.is_err()
        {
            let _ = turn.cast(Message::Cold);
        }
    }
    let loaded = worker.loaded().await?;
    Ok((worker, loaded))
}
