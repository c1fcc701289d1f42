//! An API that is left alone.

use std::time::Duration;

use tandem_actors::Error;
use tandem_config::Provider as Settings;
use tandem_proto::v1::{Breaker, Health};
use tokio::time::timeout;

use crate::server::{
    Act, PATIENCE, Seen, Server, answer, ending, piece, stream_end, stream_head, words,
};
use crate::{SlowTrack, outcome, request, settings};

#[tokio::test]
async fn an_api_that_fails_five_times_is_left_alone_until_one_request_finds_it_well() {
    let broken = answer("500 Internal Server Error", "", "oops");
    let healthy = vec![stream_head(), piece(words("ok")), piece(ending()), stream_end()];
    let mut scripts = vec![broken; 5];
    scripts.push(healthy);
    let mut server = Server::start(scripts).await;
    let breaker_pause = Duration::from_millis(200);
    let track = SlowTrack::start(Settings { breaker_pause, ..settings(&server) }).await;
    let health = || track.tree.snapshot().unwrap().children[0].health();
    for _ in 0..5 {
        assert_eq!(health(), Health::Serving);
        let error = outcome(track.ask().await).await.1.unwrap_err();
        assert!(matches!(error, Error::ProviderFailed { .. }), "{error:?}");
        assert!(matches!(server.seen().await, Seen::Request { .. }));
    }
    let status = track.provider.status();
    assert_eq!((status.health(), health()), (Health::Degraded, Health::Degraded));
    assert_eq!((status.failures, status.breaker_reason.as_str()), (5, "5 failures in a row"));
    assert!(status.last_error.contains("500 Internal Server Error: oops"));

    let wait_until_asked_again = async {
        while let Err(error) = track.provider.available() {
            assert!(matches!(error, Error::ProviderFailed { retry_after: Some(_), .. }));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, wait_until_asked_again).await.unwrap();
    assert_eq!(track.provider.status().breaker(), Breaker::HalfOpen);
    let probe = track.ask().await;
    assert!(track.provider.start(request(PATIENCE)).await.is_err(), "one finds out for all");
    assert!(outcome(probe).await.1.is_ok());
    let status = track.provider.status();
    assert_eq!((status.health(), health()), (Health::Serving, Health::Serving));
    assert_eq!((status.breaker(), status.breaker_reason.as_str()), (Breaker::Closed, ""));
    assert_eq!(status.requests, 6, "nobody else asked it");
}

#[tokio::test]
async fn a_refused_key_and_a_used_up_quota_are_states_of_their_own() {
    for (script, state) in [
        (answer("401 Unauthorized", "", ""), Breaker::KeyRefused),
        (answer("402 Payment Required", "", ""), Breaker::Exhausted),
        (answer("429 Too Many Requests", "retry-after: 3600\r\n", ""), Breaker::Exhausted),
    ] {
        let server = Server::start(vec![script]).await;
        let track = SlowTrack::start(settings(&server)).await;
        let first = outcome(track.ask().await).await.1.unwrap_err();
        let status = track.provider.status();
        assert_eq!(status.breaker(), state, "{first:?}");
        assert!(status.asked_again_in_ms > Some(1_000), "{status:?}");
        let second = track.provider.start(request(PATIENCE)).await.unwrap_err();
        let kind = std::mem::discriminant::<Error>;
        assert_eq!(kind(&second), kind(&first), "{second:?}");
        assert_eq!(track.provider.status().requests, 1);
    }
}

#[tokio::test]
async fn a_request_that_is_dropped_leaves_its_place_as_a_probe() {
    let broken = answer("401 Unauthorized", "", "");
    let server = Server::start(vec![broken, vec![Act::AwaitClose]]).await;
    let breaker_pause = Duration::from_millis(10);
    let track = SlowTrack::start(Settings { breaker_pause, ..settings(&server) }).await;
    assert!(outcome(track.ask().await).await.1.is_err());
    for probe in 2..5 {
        let asked = async {
            loop {
                match track.provider.start(request(PATIENCE)).await {
                    Ok(events) => break events,
                    Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        };
        drop(timeout(PATIENCE, asked).await.unwrap());
        track.over(probe).await;
    }
}
