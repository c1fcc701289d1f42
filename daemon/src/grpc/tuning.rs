//! What `tandem.v1.Models.Tune` streams.

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tandem_actors::inference_worker::TuneProgress;
use tandem_actors::model_loader::ModelLoader;
use tandem_proto::v1::tune_model_event::Event;
use tandem_proto::v1::{TuneModelEvent, TuneModelProgress};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::status;

/// Measures a model: progress until that is done or cannot be. Dropping the stream ends it.
pub(super) fn events(
    loader: ModelLoader,
    id: String,
) -> BoxStream<'static, Result<TuneModelEvent, Status>> {
    let (progress, received) = watch::channel(TuneProgress::default());
    let tuning = tokio::spawn(async move { loader.tune(&id, &progress).await });
    let state = Some((received, AbortOnDropHandle::new(tuning)));
    stream::unfold(state, |state| async move {
        let (mut received, tuning) = state?;
        if received.changed().await.is_ok() {
            let TuneProgress { fraction, stage } = received.borrow_and_update().clone();
            let event = Some(Event::Progress(TuneModelProgress { fraction, stage }));
            return Some((Ok(TuneModelEvent { event }), Some((received, tuning))));
        }
        let outcome = match tuning.await {
            Ok(Ok(tuned)) => Ok(TuneModelEvent { event: Some(Event::Tuned(tuned)) }),
            Ok(Err(error)) => Err(status::of(error)),
            Err(error) => {
                Err(Status::internal(format!("measuring ended without an outcome: {error}")))
            }
        };
        Some((outcome, None))
    })
    .boxed()
}
