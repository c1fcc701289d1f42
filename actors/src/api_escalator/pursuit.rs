//! Carries out the course of one question: makes the attempts, waits, and passes the events on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tandem_config::HedgeAfter;
use tokio::time::{sleep, sleep_until};
use tokio_stream::StreamMap;
use tokio_stream::wrappers::ReceiverStream;

use super::SlowRequest;
use super::attempt::attempt;
use super::course::{Candidate, Course, Effect, Moment, News};
use crate::bookkeeper::Bookkeeper;
use crate::provider::outlet::Outlet;
use crate::provider::{self, Provider};
use crate::{Error, TrackEvent};

/// A question and who may answer it.
#[derive(Debug)]
pub struct Pursuit {
    pub(super) slow: Arc<SlowRequest>,
    /// First to be asked first.
    pub(super) candidates: Vec<Provider>,
    /// Who reserves and records what an attempt costs.
    pub(super) books: Bookkeeper,
    pub(super) hedge_after: Option<HedgeAfter>,
}

/// What comes of the attempts under way. Removing one closes its connection.
type Lanes = StreamMap<u32, BoxStream<'static, News>>;

impl Pursuit {
    /// Sees it through to the last event. When the caller is gone, so are all connections.
    pub(super) async fn run(self, outlet: Outlet) {
        let last = tokio::select! {
            last = self.follow(&outlet) => last,
            () = outlet.closed() => return,
        };
        outlet.end(last);
    }

    async fn follow(&self, outlet: &Outlet) -> TrackEvent {
        let candidate = |provider: &Provider| Candidate {
            name: provider.name().to_owned(),
            model: provider.model().to_owned(),
        };
        let (mut course, mut effects) =
            Course::begin(self.candidates.iter().map(candidate).collect());
        let mut lanes = Lanes::new();
        let mut asked = Instant::now();
        loop {
            for effect in effects {
                match effect {
                    Effect::Ask { attempt, candidate, pause } => {
                        asked = Instant::now() + pause;
                        if let Some(lane) = self.lane(candidate, pause) {
                            lanes.insert(attempt, lane);
                        }
                    }
                    Effect::Close(attempt) => drop(lanes.remove(&attempt)),
                    Effect::Emit(event) => outlet.send(event).await,
                    Effect::End(last) => return last,
                }
            }
            let late = course.waits_for().and_then(|candidate| self.patience(candidate));
            effects = tokio::select! {
                Some((attempt, news)) = lanes.next() => course.on_news(attempt, news, self),
                () = sleep_until((asked + late.unwrap_or_default()).into()), if late.is_some() => {
                    course.on_late(self)
                }
                else => {
                    let problem = "a question is with no provider and has not ended".to_owned();
                    return TrackEvent::Failed(Error::Internal { problem });
                }
            };
        }
    }

    /// What comes of asking a candidate after a pause.
    fn lane(&self, candidate: usize, pause: Duration) -> Option<BoxStream<'static, News>> {
        let (provider, slow) = (self.candidates.get(candidate)?.clone(), Arc::clone(&self.slow));
        let books = self.books.clone();
        let started = async move {
            sleep(pause).await;
            attempt(&provider, &slow, &books).await
        };
        let news = stream::once(started).flat_map(|started| match started {
            Ok(events) => ReceiverStream::new(events).map(News::Said).boxed(),
            Err(error) => stream::once(async { News::Refused(error) }).boxed(),
        });
        // Ignored if there was a last event, as there should be.
        let gone = Error::Restarting { part: "the provider".to_owned() };
        Some(news.chain(stream::once(async { News::Refused(gone) })).boxed())
    }

    /// How long a candidate's first token may take before the next one is asked, too.
    fn patience(&self, candidate: usize) -> Option<Duration> {
        match self.hedge_after? {
            HedgeAfter::Time(time) => Some(time),
            HedgeAfter::Auto => self.candidates.get(candidate)?.first_token_p95(),
        }
    }
}

impl Moment for Pursuit {
    fn left(&self) -> Duration {
        self.slow.request.deadline.saturating_duration_since(Instant::now())
    }

    fn random(&self) -> f64 {
        provider::random()
    }

    fn may_retry(&self, candidate: usize) -> bool {
        self.candidates.get(candidate).is_some_and(Provider::may_retry)
    }

    fn may_hedge(&self, candidate: usize) -> bool {
        self.candidates.get(candidate).is_some_and(Provider::may_hedge)
    }
}
