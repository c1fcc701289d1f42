//! The whole tree, put together.

use std::path::PathBuf;
use std::sync::Arc;

use ractor::concurrency::JoinHandle;
use ractor::{Actor, ActorRef, SpawnErr};
use tandem_config::Config;
use tandem_proto::v1::{Experiment, FeedbackRequest, FeedbackResponse, Memory};
use tokio::sync::watch;
use tracing::info;

use crate::api_escalator::{self, ApiEscalator, ApiEscalatorActor};
use crate::bookkeeper::{self, Bookkeeper, BookkeeperActor};
use crate::cache::{self, Caches, CachesActor};
use crate::experiments::{Recent, feedback, report};
use crate::knowledge_base::{self, KnowledgeBase, KnowledgeBaseActor};
use crate::memory_search::{self, MemorySearch, MemorySearchActor};
use crate::memory_store::{self, MemoryStore, MemoryStoreActor};
use crate::model_loader::{self, ModelLoader, ModelLoaderActor, Roots};
use crate::resource_monitor::{self, ResourceMonitor, ResourceMonitorActor};
use crate::router::{self, Router, RouterActor, Services};
use crate::settings::Settings;
use crate::storage::Storage;
use crate::supervisor::{self, ChildSpec, Supervisor};
use crate::turn::find_memories;
use crate::{Answer, Result, Tree};

#[cfg(test)]
mod tests;

/// A running tree and the handles of its actors.
#[derive(Debug)]
pub struct Tandem {
    /// Conversations.
    pub store: MemoryStore,
    /// What was said in them.
    pub search: MemorySearch,
    /// Local models.
    pub loader: ModelLoader,
    /// The user's documents.
    pub knowledge: KnowledgeBase,
    /// All that these store.
    pub storage: Storage,
    /// Remote providers.
    pub escalator: ApiEscalator,
    /// What was spent, and may be.
    pub books: Bookkeeper,
    /// What need not be computed or asked again.
    pub caches: Caches,
    /// The machine.
    pub monitor: ResourceMonitor,
    /// Questions.
    pub router: Router,
    /// The tree as status shows it.
    pub tree: Tree,
    services: watch::Sender<Services>,
    root: ActorRef<supervisor::Message>,
}

impl Tandem {
    /// Starts all actors. The handle returned ends when the root does, which it does on its
    /// own only when an actor fails too often.
    ///
    /// # Errors
    /// When the root cannot be started; actors that cannot are retried and show in the tree.
    #[allow(clippy::too_many_lines, reason = "a list of all parts")]
    pub async fn start(
        config: &Config,
        binary: PathBuf,
        roots: Roots,
    ) -> Result<(Self, JoinHandle<()>), SpawnErr> {
        let tree = Tree::new();
        let root = tree.root("tandem");
        let monitor = ResourceMonitor::new();
        monitor.set(config.resources.clone());
        let store = MemoryStore::new();
        let search = MemorySearch::new(config.daemon.data_dir.join("store-search"));
        let caches = Caches::new(&config.memory);
        let loader = ModelLoader::new().finding(roots);
        let knowledge = KnowledgeBase::new(
            config.daemon.data_dir.join("knowledge"),
            config.daemon.data_dir.join("store").join(memory_store::COLLECTIONS),
            &loader,
            &caches,
            config.knowledge.clone(),
        );
        let books = Bookkeeper::new(&config.router.budget, &config.providers, &store);
        let escalator = ApiEscalator::new(&config.router, &config.providers, &books);
        let router = Router::new(config.router.clone(), config.daemon.prompt_bytes_max);
        let settings =
            Settings::new(config).map_err(|error| SpawnErr::StartupFailed(error.into()))?;
        let services = Services {
            store: store.clone(),
            loader: loader.clone(),
            escalator: escalator.clone(),
            books: books.clone(),
            caches: caches.clone(),
            monitor: monitor.clone(),
            recent: Recent::default(),
            knowledge: knowledge.clone(),
            settings: Arc::new(settings),
        };
        let services = watch::Sender::new(services);
        // Each needs only those before it.
        let children = vec![
            ChildSpec::new(
                "resource_monitor",
                ResourceMonitorActor,
                resource_monitor::Arguments {
                    sample_interval: config.resources.sample_interval,
                    data_dir: config.daemon.data_dir.clone(),
                    handle: monitor.clone(),
                    node: root.child("resource_monitor"),
                },
            ),
            ChildSpec::new(
                "memory_store",
                MemoryStoreActor,
                memory_store::Arguments {
                    dir: config.daemon.data_dir.join("store"),
                    retention: config.memory.retention,
                    size_max: config.memory.size_max,
                    handle: store.clone(),
                    node: root.child("memory_store"),
                },
            ),
            ChildSpec::new(
                "memory_search",
                MemorySearchActor,
                memory_search::Arguments {
                    store: store.clone(),
                    handle: search.clone(),
                    node: root.child("memory_search"),
                },
            ),
            ChildSpec::new(
                "bookkeeper",
                BookkeeperActor,
                bookkeeper::Arguments {
                    ledger: config.daemon.data_dir.join("audit"),
                    handle: books.clone(),
                    node: root.child("bookkeeper"),
                },
            ),
            ChildSpec::new(
                "caches",
                CachesActor,
                cache::Arguments {
                    data_dir: config.daemon.data_dir.clone(),
                    store_key: config.security.store_key.clone(),
                    handle: caches.clone(),
                },
            ),
            ChildSpec::new(
                "model_loader",
                ModelLoaderActor,
                model_loader::Arguments {
                    engine: config.engine.clone(),
                    binary,
                    models: config.models.clone(),
                    prefix_dir: config.daemon.data_dir.join("prefixes"),
                    memory_reserve_bytes: config.resources.memory_reserve_bytes,
                    store: store.clone(),
                    monitor: monitor.clone(),
                    handle: loader.clone(),
                    node: root.child("model_loader"),
                },
            ),
            ChildSpec::new(
                "knowledge_base",
                KnowledgeBaseActor,
                knowledge_base::Arguments {
                    handle: knowledge.clone(),
                    node: root.child("knowledge_base"),
                },
            ),
            ChildSpec::new(
                "api_escalator",
                ApiEscalatorActor,
                api_escalator::Arguments {
                    handle: escalator.clone(),
                    node: root.child("api_escalator"),
                },
            ),
            ChildSpec::new(
                "router",
                RouterActor,
                router::Arguments {
                    services: services.subscribe(),
                    handle: router.clone(),
                    node: root.child("router"),
                },
            ),
        ];
        let arguments = supervisor::Arguments { node: root, children };
        let (root, ended) = Actor::spawn(None, Supervisor, arguments).await?;
        let tandem = Self {
            storage: Storage::new(&store, &search, &knowledge),
            store,
            search,
            loader,
            knowledge,
            escalator,
            books,
            caches,
            monitor,
            router,
            tree,
            services,
            root,
        };
        Ok((tandem, ended))
    }

    /// Asks a question; see [`Router::ask`].
    pub async fn ask(
        &self,
        request: tandem_proto::v1::AskRequest,
        caller: &str,
        time: Option<std::time::Duration>,
    ) -> Result<Answer> {
        let services = self.services.borrow().clone();
        self.router.ask(request, caller, time, &services).await
    }

    /// The settings that questions are answered by.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.services.borrow().settings)
    }

    /// Answers questions by these settings from now on. Those under way keep theirs.
    pub fn set(&self, settings: Settings) {
        self.monitor.set(settings.resources.clone());
        self.services.send_modify(|services| services.settings = Arc::new(settings));
    }

    /// What is remembered that has to do with a text of 1 to 1000 bytes, as for a question of these
    /// words.
    pub async fn find_memories(&self, query: &str) -> Result<Vec<Memory>> {
        find_memories(&self.store, query).await
    }

    /// Takes a verdict on an answer; see [`feedback::take`].
    pub async fn feedback(&self, request: FeedbackRequest) -> Result<FeedbackResponse> {
        let recent = self.services.borrow().recent.clone();
        feedback::take(request, &recent, &self.store).await
    }

    /// The experiments and how their variants do.
    pub async fn experiments(&self) -> Result<Vec<Experiment>> {
        let outcomes = self.store.outcomes().await?;
        Ok(report(&self.settings().experiments, outcomes))
    }

    /// Stops everything, last started first. The handle of [`Tandem::start`] ends when it is
    /// done. Call [`Router::drain`] before, or turns in flight are lost.
    pub fn stop(&self) {
        info!("stopping the actors");
        self.root.stop(None);
    }
}
