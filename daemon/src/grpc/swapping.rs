//! What `tandem.v1.Models.Use` and `RollBack` stream.

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tandem_actors::Result;
use tandem_actors::model_loader::UseProgress;
use tandem_proto::v1::use_model_event::Event;
use tandem_proto::v1::{LoadModelProgress, Model, UseModelEvent};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::status;

/// Progress until `swap` is over; dropping the stream ends it.
pub(super) fn events<S>(
    swap: impl FnOnce(watch::Sender<UseProgress>) -> S,
) -> BoxStream<'static, Result<UseModelEvent, Status>>
where
    S: Future<Output = Result<Model>> + Send + 'static,
{
    let (progress, received) = watch::channel(UseProgress::default());
    let swapping = AbortOnDropHandle::new(tokio::spawn(swap(progress)));
    stream::unfold(Some((received, swapping)), |state| async move {
        let (mut received, swapping) = state?;
        if received.changed().await.is_ok() {
            let UseProgress { fraction, stage } = received.borrow_and_update().clone();
            let event = Some(Event::Progress(LoadModelProgress { fraction, stage }));
            return Some((Ok(UseModelEvent { event }), Some((received, swapping))));
        }
        let outcome = match swapping.await {
            Ok(Ok(model)) => Ok(UseModelEvent { event: Some(Event::InUse(model)) }),
            Ok(Err(error)) => Err(status::of(error)),
            Err(error) => {
                Err(Status::internal(format!("the swap ended without an outcome: {error}")))
            }
        };
        Some((outcome, None))
    })
    .boxed()
}
