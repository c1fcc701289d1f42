//! How often each client may call each method. Every call passes here before its service hears of it.

use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use lru::LruCache;
use tandem_actors::Error;
use tandem_actors::settings::NEVER_LIMITED;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::Request;

use super::caller::Caller;
use super::{Daemon, status};

/// The package whose methods are limited. Health and reflection are others.
const PACKAGE: &str = "/tandem.v1.";
/// Clients, each with one method, that are remembered. The one that was seen longest ago is forgotten.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Says who calls, and refuses who calls too often.
pub(super) fn check(
    daemon: &Daemon,
    rates: &Rates,
    mut request: Request<Body>,
) -> Result<Request<Body>, Status> {
    let caller = Caller::identify(request.headers(), request.extensions());
    if let Some(method) = request.uri().path().strip_prefix(PACKAGE).filter(|it| is_limited(it)) {
        let per_minute = daemon.tandem.settings().rates.per_minute(method);
        rates.check(&caller, method, per_minute).map_err(|error| {
            daemon.tandem.router.refused();
            status::of(error)
        })?;
    }
    request.extensions_mut().insert(caller);
    Ok(request)
}

/// Whether calls of it are counted. What does not exist is refused anyway, and would only make others
/// be forgotten.
fn is_limited(method: &str) -> bool {
    static METHODS: LazyLock<BTreeSet<String>> = LazyLock::new(tandem_proto::methods);
    method != NEVER_LIMITED && METHODS.contains(method)
}

/// By who calls what; the one unused for longest is forgotten first.
type Meters<C> = LruCache<(Caller, String), Meter<C>>;

/// What each client has called of late. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Rates<C: Clock = MonotonicClock> {
    clock: C,
    /// Held for no longer than it takes to count.
    meters: Arc<Mutex<Meters<C>>>,
}

/// The calls of one method by one client.
#[derive(Debug)]
struct Meter<C: Clock> {
    per_minute: NonZeroU32,
    limiter: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
}

impl<C: Clock + Clone> Rates<C> {
    pub(super) fn new(clock: C) -> Self {
        Self { clock, meters: Arc::new(Mutex::new(LruCache::new(REMEMBERED))) }
    }

    /// Counts a call. As many as a minute allows may come at once; 0 allows all.
    fn check(&self, caller: &Caller, method: &str, per_minute: u32) -> Result<(), Error> {
        let Some(per_minute) = NonZeroU32::new(per_minute) else { return Ok(()) };
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (caller.clone(), method.to_owned());
        let new = || Meter::new(per_minute, self.clock.clone());
        let meter = meters.get_or_insert_mut(key, new);
        if meter.per_minute != per_minute {
            *meter = new();
        }
        meter.limiter.check().map_err(|early| Error::RateLimited {
            client: caller.name().to_owned(),
            method: method.to_owned(),
            per_minute: per_minute.get(),
            retry_after: early.wait_time_from(self.clock.now()).max(Duration::from_millis(1)),
        })
    }
}

impl<C: Clock> Meter<C> {
    fn new(per_minute: NonZeroU32, clock: C) -> Self {
        let limiter = RateLimiter::direct_with_clock(Quota::per_minute(per_minute), clock);
        Self { per_minute, limiter }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use governor::clock::FakeRelativeClock;
    use tonic::codegen::http::{Extensions, HeaderMap};

    use super::*;

    fn caller(name: &str) -> Caller {
        let headers =
            HeaderMap::from_iter([("tandem-client".parse().unwrap(), name.parse().unwrap())]);
        Caller::identify(&headers, &Extensions::new())
    }

    fn rates() -> (Rates<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Rates::new(clock.clone()), clock)
    }

    #[test]
    fn who_calls_too_often_is_told_when_to_call_again_and_others_are_not_held_back() {
        let (rates, clock) = rates();
        let ask = |name: &str| rates.check(&caller(name), "Assistant/Ask", 2);
        assert_eq!((ask("a"), ask("a")), (Ok(()), Ok(())));
        let Err(Error::RateLimited { retry_after, client, .. }) = ask("a") else { unreachable!() };
        assert_eq!((client.as_str(), retry_after), ("a", Duration::from_secs(30)));
        assert_eq!(ask("b"), Ok(()));
        assert_eq!(rates.check(&caller("a"), "Models/List", 2), Ok(()), "another method");
        clock.advance(retry_after);
        assert_eq!(ask("a"), Ok(()));
        assert!(ask("a").is_err());
    }

    #[test]
    fn a_new_rate_takes_effect_at_once_and_none_allows_all() {
        let (rates, _clock) = rates();
        let ask = |per_minute| rates.check(&caller("a"), "Assistant/Ask", per_minute);
        assert_eq!(ask(1), Ok(()));
        assert!(ask(1).is_err());
        assert_eq!((ask(0), ask(2), ask(2)), (Ok(()), Ok(()), Ok(())));
        assert!(ask(2).is_err());
    }

    #[test]
    fn only_methods_that_exist_are_counted_and_never_the_status() {
        assert!(is_limited("Assistant/Ask"));
        assert!(!is_limited("Assistant/MadeUp") && !is_limited(NEVER_LIMITED));
    }

    #[test]
    fn who_was_not_seen_for_long_is_forgotten() {
        let (rates, _clock) = rates();
        for number in 0..=REMEMBERED.get() {
            assert_eq!(rates.check(&caller(&number.to_string()), "Assistant/Ask", 1), Ok(()));
        }
        assert_eq!(rates.meters.lock().unwrap().len(), REMEMBERED.get());
    }
}
