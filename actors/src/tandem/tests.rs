//! The whole tree: each actor goes down and comes back, and the others do not notice.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use tandem_proto::v1::{ActorStatus, Health, Policy};
use tokio::time::timeout;

use super::*;

const SOON: Duration = Duration::from_secs(30);
/// Children of the root.
const PARTS: usize = 9;

async fn start(dir: &tempfile::TempDir) -> (Tandem, JoinHandle<()>) {
    let config = Config::defaults(dir.path().to_owned(), dir.path().join("tandem.sock"));
    let engine = PathBuf::from("/nonexistent/tandem-engine");
    Tandem::start(&config, engine, Roots::default()).await.unwrap()
}

/// Waits until the parts of the tree are as expected.
async fn wait_for(tree: &Tree, expected: impl Fn(&[ActorStatus]) -> bool) {
    let mut changes = tree.changes();
    let seen = async {
        while !expected(&tree.snapshot().unwrap().children) {
            changes.changed().await.unwrap();
        }
    };
    timeout(SOON, seen).await.expect("the tree should come to this");
}

fn all_serve(parts: &[ActorStatus]) -> bool {
    parts.len() == PARTS && parts.iter().all(|part| part.health() == Health::Serving)
}

fn restarts(parts: &[ActorStatus]) -> u32 {
    parts.iter().map(|part| part.restarts).sum()
}

#[tokio::test]
async fn every_actor_that_is_killed_comes_back_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (tandem, _root) = start(&dir).await;
    wait_for(&tandem.tree, all_serve).await;
    let conversation = tandem.store.create_conversation("before", Policy::Auto).await.unwrap();

    let parts = tandem.root.get_cell().get_children();
    assert_eq!(parts.len(), PARTS);
    for (killed, part) in (1..).zip(parts) {
        part.kill();
        wait_for(&tandem.tree, |parts| all_serve(parts) && restarts(parts) == killed).await;
    }
    let status = tandem.tree.snapshot().unwrap();
    assert!(status.children.iter().all(|part| part.restarts == 1), "{status:?}");
    assert_eq!(status.restarts, 0, "the root was not touched");

    // The handles from before reach the new lives.
    assert_eq!(tandem.store.conversation(&conversation.id).await.unwrap().title, "before");
    assert!(!tandem.loader.list().await.unwrap().is_empty());
    let question = tandem_proto::v1::AskRequest {
        prompt: "Is anybody there?".to_owned(),
        ..tandem_proto::v1::AskRequest::default()
    };
    let mut answer = tandem.ask(question, "", None).await.unwrap();
    let mut last = None;
    while let Some(event) = timeout(SOON, answer.recv()).await.unwrap() {
        last = Some(event);
    }
    let absent = last.unwrap().unwrap_err();
    assert!(matches!(absent, crate::Error::ModelAbsent { .. }), "{absent}");
}

#[tokio::test]
async fn a_stopped_tree_has_closed_its_store() {
    let dir = tempfile::tempdir().unwrap();
    let (tandem, root) = start(&dir).await;
    let conversation = tandem.store.create_conversation("kept", Policy::Auto).await.unwrap();
    tandem.stop();
    timeout(SOON, root).await.unwrap().unwrap();

    let (again, _root) = start(&dir).await;
    assert_eq!(again.store.conversation(&conversation.id).await.unwrap().title, "kept");
}
