#![allow(clippy::unwrap_used, reason = "tests")]
use std::time::{Duration, Instant};

use tandem_config::Budget;
use tandem_proto::v1::{Health, Sampling};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::memory_store::MemoryStore;
use crate::router::Class;
use crate::{Prompt, Tools, TrackEvent, TrackRequest, Tree};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(1);

fn escalator(names: &[&str], base_url: &str) -> ApiEscalator {
    let settings = |&name: &&str| (name.to_owned(), Settings::new(base_url, "remote"));
    escalator_of(&names.iter().map(settings).collect())
}

fn escalator_of(settings: &BTreeMap<String, Settings>) -> ApiEscalator {
    let books = Bookkeeper::new(&Budget::default(), settings, &MemoryStore::new());
    ApiEscalator::new(&tandem_config::Router::default(), settings, &books)
}

fn idle_escalator(names: &[&str]) -> ApiEscalator {
    escalator(names, "http://127.0.0.1:1/v1")
}

fn request() -> TrackRequest {
    TrackRequest {
        turn_id: "turn".into(),
        prompt: Prompt::Text("hi".into()),
        sampling: Sampling::default(),
        tools: Tools::default(),
        class: Class::Batch,
        deadline: Instant::now() + PATIENCE,
    }
}

/// Waits until the provider of this number, in the order of names, was restarted so often.
async fn until(tree: &Tree, number: usize, health: Health, restarts: u32) {
    let mut changes = tree.changes();
    let reached = changes.wait_for(|_| {
        let status = &tree.snapshot().unwrap().children[number];
        (status.health(), status.restarts) == (health, restarts)
    });
    drop(timeout(PATIENCE, reached).await.unwrap().unwrap());
}

async fn start(handle: &ApiEscalator) -> (ActorRef<Message>, Tree) {
    let tree = Tree::new();
    let arguments = Arguments { handle: handle.clone(), node: tree.root("api_escalator") };
    let (actor, _) = Actor::spawn(None, ApiEscalatorActor, arguments).await.unwrap();
    (actor, tree)
}

#[test]
fn without_a_name_the_first_provider_in_service_is_asked_first() {
    let escalator = idle_escalator(&["b", "a", "c"]);
    let chosen = || escalator.provider(None).unwrap().name().to_owned();
    let candidates = || {
        let candidates = escalator.candidates(None)?;
        Ok::<_, Error>(candidates.iter().map(|it| it.name().to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(candidates().unwrap(), ["a", "b", "c"]);
    escalator.provider(Some("a")).unwrap().give_up("why");
    assert_eq!(chosen(), "b");
    assert_eq!(candidates().unwrap(), ["b", "c"]);
    assert!(escalator.candidates(Some("a")).is_err());
    assert_eq!(escalator.candidates(Some("c")).unwrap().len(), 1);
    for name in ["b", "c"] {
        escalator.provider(Some(name)).unwrap().give_up("for another reason");
    }
    assert_eq!(chosen(), "a", "when none is in service, the first");
    let error = candidates().unwrap_err().to_string();
    assert!(error.contains("(why)") && error.contains("(for another reason)"), "{error}");
}

#[test]
fn a_lower_priority_goes_first() {
    let settings = |(name, priority): (&str, u32)| {
        let settings = Settings::new("http://127.0.0.1:1/v1", "remote");
        (name.to_owned(), Settings { priority, ..settings })
    };
    let providers = [("a", 3), ("b", 1), ("c", 2)].map(settings).into();
    let escalator = escalator_of(&providers);
    let candidates = escalator.candidates(None).unwrap();
    assert_eq!(candidates.iter().map(Provider::name).collect::<Vec<_>>(), ["b", "c", "a"]);
}

#[test]
fn an_unknown_name_is_refused_with_those_that_exist() {
    let error = idle_escalator(&["b", "a"]).provider(Some("x")).unwrap_err();
    let problem = "no provider \"x\" is configured; known: a, b".to_owned();
    assert_eq!(error, Error::ProviderNotConfigured { problem });
}

#[test]
fn without_any_provider_the_error_says_so() {
    for name in [None, Some("x")] {
        let error = idle_escalator(&[]).provider(name).unwrap_err();
        assert!(error.to_string().starts_with("no provider is configured; add a table"));
    }
}

#[tokio::test]
async fn before_the_actor_has_started_requests_are_refused_and_not_lost() {
    let provider = idle_escalator(&["a"]).provider(None).unwrap();
    assert!(matches!(provider.start(request()).await, Err(Error::Restarting { .. })));
    assert_eq!(provider.status().requests, 0);
}

#[tokio::test]
async fn a_provider_that_panics_ends_its_requests_and_is_started_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let handle = escalator(&["a"], &base_url);
    let (actor, tree) = start(&handle).await;
    let provider = handle.provider(None).unwrap();

    let mut events = provider.start(request()).await.unwrap();
    let (mut connection, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    provider.crash();
    let last = timeout(PATIENCE, events.recv()).await.unwrap();
    assert!(matches!(last, Some(TrackEvent::Failed(Error::Restarting { .. }))), "{last:?}");
    let rest = timeout(PATIENCE, connection.read_to_end(&mut Vec::new())).await.unwrap();
    assert!(rest.is_ok(), "the connection is closed");

    until(&tree, 0, Health::Serving, 1).await;
    assert_eq!(provider.status().in_flight, 0);
    let _events = provider.start(request()).await.unwrap();
    timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    actor.stop(None);
}

#[tokio::test]
async fn a_provider_that_panics_again_and_again_is_given_up_alone() {
    let handle = idle_escalator(&["a", "b"]);
    let (actor, tree) = start(&handle).await;
    let provider = handle.provider(None).unwrap();
    let restarts_max = Intensity::default().restarts_max;
    for restarts in 0..=restarts_max {
        until(&tree, 0, Health::Serving, restarts).await;
        provider.crash();
    }
    until(&tree, 0, Health::Down, restarts_max).await;
    assert_eq!(provider.status().health(), Health::Down);
    let error = provider.start(request()).await.unwrap_err();
    assert!(error.to_string().contains("given up after too many restarts (a test wants it)"));

    until(&tree, 1, Health::Serving, 0).await;
    assert_eq!(handle.provider(None).unwrap().name(), "b");
    actor.stop(None);
}
