//! How far a pull is, as a stream.

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tandem_actors::Error;
use tandem_actors::model_loader::{FileProgress, ModelLoader, PullState};
use tandem_proto::v1::{PullModelEvent, PullModelProgress, pull_model_event::Event};
use tokio::sync::watch;
use tonic::Status;

use super::status;

/// Progress until the model is here or cannot be fetched.
pub(super) fn events(
    loader: ModelLoader,
    mut pull: watch::Receiver<PullState>,
) -> BoxStream<'static, Result<PullModelEvent, Status>> {
    pull.mark_changed();
    stream::unfold(Some((loader, pull)), |current| async move {
        let (loader, mut pull) = current?;
        let goes_on = pull.changed().await.is_ok();
        let state = pull.borrow_and_update().clone();
        let progress = match state {
            PullState::Running(progress) if goes_on => progress,
            PullState::Running(_) => {
                let problem = "the pull ended without an outcome".to_owned();
                return Some((Err(status::of(Error::Internal { problem })), None));
            }
            PullState::Ended(outcome) => {
                let pulled = ended(&loader, outcome).await.map_err(status::of);
                return Some((pulled, None));
            }
        };
        let event = PullModelEvent { event: Some(Event::Progress(told(progress))) };
        Some((Ok(event), Some((loader, pull))))
    })
    .boxed()
}

/// Progress as callers hear of it.
pub(super) fn told(progress: FileProgress) -> PullModelProgress {
    let FileProgress { stage, bytes_done, bytes_total, bytes_per_second, note } = progress;
    let stage = stage.name().to_owned();
    PullModelProgress { stage, bytes_done, bytes_total, bytes_per_second, note }
}

async fn ended(
    loader: &ModelLoader,
    outcome: Result<String, Error>,
) -> Result<PullModelEvent, Error> {
    let model = loader.info(&outcome?).await?;
    Ok(PullModelEvent { event: Some(Event::Pulled(model)) })
}
