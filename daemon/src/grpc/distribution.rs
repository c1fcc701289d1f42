//! Packages, repositories and updates of models, as streams.

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tandem_actors::Error;
use tandem_actors::model_loader::{FileProgress, Workshop};
use tandem_proto::v1::{
    InstallModelEvent, InstallModelRequest, PackageModelEvent, PackageModelRequest,
    PullModelProgress, PushModelEvent, PushModelRequest, UpdateModelEvent, UpdateModelRequest,
    install_model_event, package_model_event, push_model_event, update_model_event,
};
use tokio::sync::watch;
use tonic::Status;

use super::{Daemon, pulling, status};

type Events<E> = BoxStream<'static, Result<E, Status>>;

pub(super) fn package(daemon: &Daemon, request: PackageModelRequest) -> Events<PackageModelEvent> {
    use package_model_event::Event;
    let event = |event| PackageModelEvent { event: Some(event) };
    let (loader, workshop) = (daemon.tandem.loader.clone(), workshop(daemon));
    events(
        move |progress| async move { loader.package(request, workshop, progress).await },
        move |progress| event(Event::Progress(progress)),
        move |packaged| event(Event::Packaged(packaged)),
    )
}

pub(super) fn install(daemon: &Daemon, request: InstallModelRequest) -> Events<InstallModelEvent> {
    use install_model_event::Event;
    let event = |event| InstallModelEvent { event: Some(event) };
    let (loader, models) = (daemon.tandem.loader.clone(), daemon.config.models.clone());
    events(
        move |progress| async move { loader.install(request, models, progress).await },
        move |progress| event(Event::Progress(progress)),
        move |installed| event(Event::Installed(installed)),
    )
}

pub(super) fn push(daemon: &Daemon, request: PushModelRequest) -> Events<PushModelEvent> {
    use push_model_event::Event;
    let event = |event| PushModelEvent { event: Some(event) };
    let (loader, workshop) = (daemon.tandem.loader.clone(), workshop(daemon));
    events(
        move |progress| async move { loader.push(request, workshop, progress).await },
        move |progress| event(Event::Progress(progress)),
        move |pushed| event(Event::Pushed(pushed)),
    )
}

pub(super) fn update(daemon: &Daemon, request: UpdateModelRequest) -> Events<UpdateModelEvent> {
    use update_model_event::Event;
    let event = |event| UpdateModelEvent { event: Some(event) };
    let (loader, models) = (daemon.tandem.loader.clone(), daemon.config.models.clone());
    events(
        move |progress| async move { loader.update(request, models, progress).await },
        move |progress| event(Event::Progress(progress)),
        move |updated| event(Event::Updated(updated)),
    )
}

fn workshop(daemon: &Daemon) -> Workshop {
    let config = &daemon.config;
    Workshop { models: config.models.clone(), templates: config.engine.templates.clone() }
}

/// Progress of `work` until it has an outcome. It ends by itself when nobody receives its progress.
fn events<T, E, F>(
    work: impl FnOnce(watch::Sender<FileProgress>) -> F,
    progressed: impl Fn(PullModelProgress) -> E + Send + 'static,
    ended: impl Fn(T) -> E + Send + 'static,
) -> Events<E>
where
    T: Send + 'static,
    E: 'static,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    let (progress, received) = watch::channel(FileProgress::default());
    let work = tokio::spawn(work(progress));
    let begin = Some((received, work, progressed, ended));
    stream::unfold(begin, |current| async move {
        let (mut received, work, progressed, ended) = current?;
        if received.changed().await.is_ok() {
            let progress = received.borrow_and_update().clone();
            let event = progressed(pulling::told(progress));
            return Some((Ok(event), Some((received, work, progressed, ended))));
        }
        let outcome = work.await.unwrap_or_else(|error| {
            Err(Error::Internal { problem: format!("it ended without an outcome: {error}") })
        });
        Some((outcome.map(ended).map_err(status::of), None))
    })
    .boxed()
}
