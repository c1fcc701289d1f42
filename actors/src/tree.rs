//! The supervision tree as anyone may read it: which actors there are and how they are.
//!
//! Supervisors and actors write into it as things happen; readers never send a message, so
//! a stuck actor cannot hide the state of the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tandem_proto::v1::{ActorStatus, Health};
use tokio::sync::watch;

/// All actors of one daemon.
#[derive(Debug, Clone)]
pub struct Tree {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Keyed by path, for example `["tandem", "model_loader", "worker smollm2"]`.
    nodes: Mutex<BTreeMap<Vec<String>, Record>>,
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Record {
    health: Health,
    restarts: u32,
    last_exit: String,
    started: Option<Instant>,
    queue: u32,
}

impl Tree {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared { nodes: Mutex::default(), changes: watch::Sender::new(0) }),
        }
    }

    /// The place of the root.
    #[must_use]
    pub fn root(&self, name: &str) -> Node {
        self.node(vec![name.to_owned()])
    }

    /// Wakes whenever health, restarts or the set of actors changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// The tree now; `None` before the root has started.
    #[must_use]
    pub fn snapshot(&self) -> Option<ActorStatus> {
        let nodes = self.shared.nodes();
        let root = nodes.keys().next()?;
        Some(status_of(&nodes, root, Instant::now()))
    }

    fn node(&self, path: Vec<String>) -> Node {
        self.shared.nodes().entry(path.clone()).or_insert_with(|| Record {
            health: Health::Starting,
            restarts: 0,
            last_exit: String::new(),
            started: None,
            queue: 0,
        });
        self.shared.changed();
        Node { tree: self.clone(), path }
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    fn nodes(&self) -> MutexGuard<'_, BTreeMap<Vec<String>, Record>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|version| *version += 1);
    }
}

fn status_of(
    nodes: &BTreeMap<Vec<String>, Record>,
    path: &Vec<String>,
    now: Instant,
) -> ActorStatus {
    let children = nodes
        .range(path.clone()..)
        .take_while(|(key, _)| key.starts_with(path))
        .filter(|(key, _)| key.len() == path.len() + 1)
        .map(|(key, _)| status_of(nodes, key, now))
        .collect();
    let record = &nodes[path];
    let uptime = record.started.map_or(0, |started| now.duration_since(started).as_millis());
    ActorStatus {
        name: path.last().cloned().unwrap_or_default(),
        health: record.health.into(),
        restarts: record.restarts,
        last_exit: record.last_exit.clone(),
        queue: record.queue,
        uptime_ms: u64::try_from(uptime).unwrap_or(u64::MAX),
        children,
    }
}

/// One actor's place in the tree. Outlives the actor's restarts.
#[derive(Debug, Clone)]
pub struct Node {
    tree: Tree,
    path: Vec<String>,
}

impl Node {
    /// The place of a child, made when it is not there yet.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        let mut path = self.path.clone();
        path.push(name.to_owned());
        self.tree.node(path)
    }

    /// The last part of the path.
    pub fn name(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    /// A new life began.
    pub fn started(&self) {
        self.update(|record| {
            record.health = Health::Serving;
            record.started = Some(Instant::now());
        });
    }

    /// The actor judges itself.
    pub fn set_health(&self, health: Health) {
        self.update(|record| record.health = health);
    }

    /// A life ended. `restarting` says whether another one follows.
    pub fn ended(&self, why: &str, restarting: bool) {
        self.update(|record| {
            record.health = if restarting { Health::Restarting } else { Health::Down };
            record.restarts += u32::from(restarting);
            why.clone_into(&mut record.last_exit);
            record.started = None;
        });
    }

    /// How much work the actor has accepted and not finished.
    pub fn set_queue(&self, length: usize) {
        if let Some(record) = self.tree.shared.nodes().get_mut(&self.path) {
            record.queue = u32::try_from(length).unwrap_or(u32::MAX);
        }
    }

    /// Removes the actor and everything below it.
    pub fn remove(&self) {
        self.tree.shared.nodes().retain(|path, _| !path.starts_with(&self.path));
        self.tree.shared.changed();
    }

    /// Removes everything below the actor, which begins a life without children.
    pub fn remove_children(&self) {
        let is_below =
            |path: &Vec<String>| path.len() > self.path.len() && path.starts_with(&self.path);
        self.tree.shared.nodes().retain(|path, _| !is_below(path));
        self.tree.shared.changed();
    }

    fn update(&self, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.tree.shared.nodes().get_mut(&self.path) {
            change(record);
        }
        self.tree.shared.changed();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_snapshot_nests_children_under_their_parents() {
        let tree = Tree::new();
        let root = tree.root("tandem");
        let loader = root.child("model_loader");
        let _worker = loader.child("worker a");
        let _router = root.child("router");

        let status = tree.snapshot().unwrap();
        assert_eq!(status.name, "tandem");
        let names: Vec<_> = status.children.iter().map(|child| child.name.as_str()).collect();
        assert_eq!(names, ["model_loader", "router"]);
        assert_eq!(status.children[0].children[0].name, "worker a");
    }

    #[test]
    fn a_restart_is_counted_and_keeps_its_reason() {
        let tree = Tree::new();
        let node = tree.root("tandem");
        node.started();
        node.ended("panicked", true);
        let status = tree.snapshot().unwrap();
        assert_eq!((status.restarts, status.last_exit.as_str()), (1, "panicked"));
        assert_eq!(status.health(), Health::Restarting);
    }

    #[test]
    fn every_change_wakes_the_watchers() {
        let tree = Tree::new();
        let mut changes = tree.changes();
        let node = tree.root("tandem");
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        node.child("router").remove();
        assert!(changes.has_changed().unwrap());
        assert!(tree.snapshot().unwrap().children.is_empty());
    }
}
