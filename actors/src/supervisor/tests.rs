//! The supervisor against actors that panic, fail and refuse to start.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::atomic::{AtomicU32, Ordering};

use ractor::rpc::CallResult;
use ractor::{Actor, RpcReplyPort};
use tandem_proto::v1::{ActorStatus, Health};
use tokio::time::timeout;

use super::*;
use crate::{Address, Tree};

const SOON: Duration = Duration::from_secs(20);

/// Counts its lives and dies on request.
#[derive(Clone)]
struct Mortal;

#[derive(Clone)]
struct Life {
    address: Address<Wish>,
    lives: Arc<AtomicU32>,
    /// Names of those who stopped, in order.
    stopped: Arc<std::sync::Mutex<Vec<&'static str>>>,
    name: &'static str,
    /// Fails to start from this life on.
    barren_from: u32,
}

impl Life {
    fn new(name: &'static str) -> Self {
        Self {
            address: Address::new("mortal"),
            lives: Arc::default(),
            stopped: Arc::default(),
            name,
            barren_from: u32::MAX,
        }
    }

    fn spec(&self) -> ChildSpec {
        ChildSpec::new(self.name, Mortal, self.clone())
    }
}

enum Wish {
    Panic,
    Fail,
    CountLives(RpcReplyPort<u32>),
}

impl Actor for Mortal {
    type Msg = Wish;
    type State = Life;
    type Arguments = Life;

    async fn pre_start(
        &self,
        myself: ActorRef<Wish>,
        life: Life,
    ) -> Result<Life, ActorProcessingErr> {
        if life.lives.fetch_add(1, Ordering::Relaxed) + 1 >= life.barren_from {
            return Err("cannot start".into());
        }
        life.address.publish(myself);
        Ok(life)
    }

    async fn handle(
        &self,
        _: ActorRef<Wish>,
        wish: Wish,
        life: &mut Life,
    ) -> Result<(), ActorProcessingErr> {
        match wish {
            Wish::Panic => panic!("as wished"),
            Wish::Fail => Err("as wished".into()),
            Wish::CountLives(reply) => {
                let _ = reply.send(life.lives.load(Ordering::Relaxed));
                Ok(())
            }
        }
    }

    async fn post_stop(
        &self,
        _: ActorRef<Wish>,
        life: &mut Life,
    ) -> Result<(), ActorProcessingErr> {
        life.stopped.lock().unwrap().push(life.name);
        Ok(())
    }
}

async fn start(children: Vec<ChildSpec>) -> (Tree, ActorRef<Message>, tokio::task::JoinHandle<()>) {
    let tree = Tree::new();
    let arguments = Arguments { node: tree.root("root"), children };
    let (root, ended) = Actor::spawn(None, Supervisor, arguments).await.unwrap();
    (tree, root, ended)
}

/// Waits until the child's status is as expected.
async fn wait_for(tree: &Tree, name: &str, expected: impl Fn(&ActorStatus) -> bool) {
    let mut changes = tree.changes();
    let seen = async {
        loop {
            let root = tree.snapshot().unwrap();
            if root.children.iter().any(|child| child.name == name && expected(child)) {
                return;
            }
            changes.changed().await.unwrap();
        }
    };
    timeout(SOON, seen).await.expect("the status should come");
}

#[tokio::test]
async fn a_child_that_ends_is_started_again_and_its_siblings_live_on() {
    let (mortal, sibling) = (Life::new("mortal"), Life::new("sibling"));
    let (tree, _root, _) = start(vec![mortal.spec(), sibling.spec()]).await;
    for (wish, restarts) in [(Wish::Panic, 1), (Wish::Fail, 2)] {
        mortal.address.cast(wish).unwrap();
        wait_for(&tree, "mortal", |status| {
            status.restarts == restarts && status.health() == Health::Serving
        })
        .await;
    }
    assert_eq!(mortal.address.ask(SOON, Wish::CountLives).await.unwrap(), 3);
    assert_eq!(sibling.address.ask(SOON, Wish::CountLives).await.unwrap(), 1);
}

#[tokio::test]
async fn a_child_that_fails_too_often_takes_the_supervisor_down() {
    let mortal = Life { barren_from: 2, ..Life::new("mortal") };
    let (_tree, root, ended) = start(vec![mortal.spec()]).await;
    mortal.address.cast(Wish::Fail).unwrap();
    timeout(Duration::from_secs(60), ended).await.expect("the root should end").unwrap();
    assert_eq!(root.get_status(), ractor::ActorStatus::Stopped);
    assert!(mortal.lives.load(Ordering::Relaxed) > 2, "it was tried again before that");
}

#[tokio::test]
async fn children_are_stopped_in_reverse_order_and_may_clean_up() {
    let first = Life::new("first");
    let second = Life { stopped: Arc::clone(&first.stopped), ..Life::new("second") };
    let (_tree, root, ended) = start(vec![first.spec(), second.spec()]).await;
    root.stop(None);
    timeout(SOON, ended).await.expect("the root should end").unwrap();
    assert_eq!(*first.stopped.lock().unwrap(), ["second", "first"]);
}

#[tokio::test]
async fn a_killed_child_is_started_again() {
    let mortal = Life::new("mortal");
    let (tree, _root, _) = start(vec![mortal.spec()]).await;
    let result = mortal.address.current().unwrap();
    result.kill();
    wait_for(&tree, "mortal", |status| status.restarts == 1 && status.health() == Health::Serving)
        .await;
    let lives = result.call(Wish::CountLives, Some(SOON)).await;
    assert!(!matches!(lives, Ok(CallResult::Success(_))), "the old life is over");
}
