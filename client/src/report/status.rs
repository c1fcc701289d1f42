//! The daemon's status: the supervision tree, models, providers, the machine.

use serde::Serialize;
use tandem_client::v1;

use super::{cache::Cache, filled, model::Model, name};

mod text;

/// What the daemon is doing.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Status {
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) uptime_ms: u64,
    pub(crate) socket: String,
    pub(crate) data_dir: String,
    pub(crate) startup_ms: u64,
    pub(crate) tree: Option<Actor>,
    pub(crate) models: Vec<Model>,
    pub(crate) providers: Vec<Provider>,
    pub(crate) resources: Option<Resources>,
    pub(crate) admission: Option<Admission>,
    pub(crate) turns: Option<Turns>,
    pub(crate) caches: Vec<Cache>,
}

/// One actor and those it supervises.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Actor {
    pub(crate) name: String,
    pub(crate) health: String,
    pub(crate) restarts: u32,
    pub(crate) last_exit: Option<String>,
    pub(crate) queue: u32,
    pub(crate) uptime_ms: u64,
    pub(crate) children: Vec<Actor>,
}

/// One remote API.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Provider {
    pub(crate) name: String,
    pub(crate) base_url: String,
    pub(crate) model: String,
    pub(crate) health: String,
    pub(crate) in_flight: u32,
    pub(crate) requests: u64,
    pub(crate) failures: u64,
    pub(crate) last_error: Option<String>,
    pub(crate) breaker: String,
    pub(crate) breaker_reason: Option<String>,
    pub(crate) asked_again_in_ms: Option<u64>,
    pub(crate) retries: u64,
    pub(crate) hedges: u64,
    pub(crate) first_token_p95_ms: Option<u64>,
}

/// The machine. Shares are 0 to 1, null where the kernel does not say.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Resources {
    pub(crate) memory_total_bytes: u64,
    pub(crate) memory_available_bytes: u64,
    pub(crate) daemon_memory_bytes: u64,
    pub(crate) cpu_used: f64,
    pub(crate) cores: u32,
    pub(crate) cpu_stalled: Option<f64>,
    pub(crate) memory_stalled: Option<f64>,
    pub(crate) io_stalled: Option<f64>,
    pub(crate) pressure: String,
    pub(crate) engines_memory_bytes: u64,
    pub(crate) disk_free_bytes: Option<u64>,
    pub(crate) battery_charge: Option<f64>,
    pub(crate) on_battery: bool,
    pub(crate) temperature_celsius: Option<f64>,
    pub(crate) gpus: Vec<Gpu>,
    pub(crate) ladder: Option<Ladder>,
}

/// A graphics processor; null where its driver does not say.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Gpu {
    pub(crate) name: String,
    pub(crate) memory_total_bytes: Option<u64>,
    pub(crate) memory_used_bytes: Option<u64>,
    pub(crate) used: Option<f64>,
}

/// What the daemon gives up for the sake of the machine.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Ladder {
    pub(crate) rung: String,
    pub(crate) reasons: Vec<String>,
    pub(crate) since_ms: u64,
    pub(crate) moves: u64,
}

/// A rung as it is called in the settings; `full` when nothing is given up.
pub(crate) fn rung(rung: v1::Rung) -> String {
    name(rung.as_str_name(), "RUNG_")
}

/// How much work is accepted.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Admission {
    pub(crate) running: u32,
    pub(crate) running_max: u32,
    pub(crate) waiting: u32,
    pub(crate) waiting_max: u32,
    pub(crate) draining: bool,
    pub(crate) waiting_interactive: u32,
    pub(crate) waiting_batch: u32,
    pub(crate) waiting_background: u32,
    pub(crate) refused: u64,
    pub(crate) clients: Vec<ClientLoad>,
}

/// Questions of one client.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ClientLoad {
    pub(crate) client: String,
    pub(crate) running: u32,
    pub(crate) waiting: u32,
}

/// Turns since the daemon started.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Turns {
    pub(crate) started: u64,
    pub(crate) answered_fast: u64,
    pub(crate) answered_slow: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
    pub(crate) resumed: u64,
    pub(crate) fell_back: u64,
    pub(crate) escalated: u64,
    pub(crate) answered_built_in: u64,
}

impl From<v1::StatusResponse> for Status {
    fn from(status: v1::StatusResponse) -> Self {
        Self {
            version: status.version,
            pid: status.pid,
            uptime_ms: status.uptime_ms,
            socket: status.socket,
            data_dir: status.data_dir,
            startup_ms: status.startup_ms,
            tree: status.tree.map(Actor::from),
            models: status.models.into_iter().map(Model::from).collect(),
            providers: status.providers.into_iter().map(Provider::from).collect(),
            resources: status.resources.map(Resources::from),
            admission: status.admission.map(Admission::from),
            turns: status.turns.map(Turns::from),
            caches: status.caches.into_iter().map(Cache::from).collect(),
        }
    }
}

impl From<v1::ActorStatus> for Actor {
    fn from(actor: v1::ActorStatus) -> Self {
        Self {
            health: name(actor.health().as_str_name(), "HEALTH_"),
            name: actor.name,
            restarts: actor.restarts,
            last_exit: filled(actor.last_exit),
            queue: actor.queue,
            uptime_ms: actor.uptime_ms,
            children: actor.children.into_iter().map(Self::from).collect(),
        }
    }
}

impl From<v1::ProviderStatus> for Provider {
    fn from(provider: v1::ProviderStatus) -> Self {
        Self {
            health: name(provider.health().as_str_name(), "HEALTH_"),
            breaker: name(provider.breaker().as_str_name(), "BREAKER_"),
            name: provider.name,
            base_url: provider.base_url,
            model: provider.model,
            in_flight: provider.in_flight,
            requests: provider.requests,
            failures: provider.failures,
            last_error: filled(provider.last_error),
            breaker_reason: filled(provider.breaker_reason),
            asked_again_in_ms: provider.asked_again_in_ms,
            retries: provider.retries,
            hedges: provider.hedges,
            first_token_p95_ms: provider.first_token_p95_ms,
        }
    }
}

impl From<v1::ResourceStatus> for Resources {
    fn from(resources: v1::ResourceStatus) -> Self {
        Self {
            pressure: name(resources.pressure().as_str_name(), "PRESSURE_"),
            memory_total_bytes: resources.memory_total_bytes,
            memory_available_bytes: resources.memory_available_bytes,
            daemon_memory_bytes: resources.daemon_memory_bytes,
            cpu_used: resources.cpu_used,
            cores: resources.cores,
            cpu_stalled: resources.cpu_stalled,
            memory_stalled: resources.memory_stalled,
            io_stalled: resources.io_stalled,
            engines_memory_bytes: resources.engines_memory_bytes,
            disk_free_bytes: resources.disk_free_bytes,
            battery_charge: resources.battery_charge,
            on_battery: resources.on_battery,
            temperature_celsius: resources.temperature_celsius,
            gpus: resources.gpus.into_iter().map(Gpu::from).collect(),
            ladder: resources.ladder.map(Ladder::from),
        }
    }
}

impl From<v1::GpuStatus> for Gpu {
    fn from(gpu: v1::GpuStatus) -> Self {
        let told = gpu.memory_total_bytes > 0;
        Self {
            name: gpu.name,
            memory_total_bytes: told.then_some(gpu.memory_total_bytes),
            memory_used_bytes: told.then_some(gpu.memory_used_bytes),
            used: gpu.used,
        }
    }
}

impl From<v1::LadderStatus> for Ladder {
    fn from(ladder: v1::LadderStatus) -> Self {
        Self {
            rung: rung(ladder.rung()),
            reasons: ladder.reasons,
            since_ms: ladder.since_ms,
            moves: ladder.moves,
        }
    }
}

impl From<v1::Admission> for Admission {
    fn from(admission: v1::Admission) -> Self {
        Self {
            running: admission.running,
            running_max: admission.running_max,
            waiting: admission.waiting,
            waiting_max: admission.waiting_max,
            draining: admission.draining,
            waiting_interactive: admission.waiting_interactive,
            waiting_batch: admission.waiting_batch,
            waiting_background: admission.waiting_background,
            refused: admission.refused,
            clients: admission.clients.into_iter().map(ClientLoad::from).collect(),
        }
    }
}

impl From<v1::ClientLoad> for ClientLoad {
    fn from(load: v1::ClientLoad) -> Self {
        Self { client: load.client, running: load.running, waiting: load.waiting }
    }
}

impl From<v1::TurnCounts> for Turns {
    fn from(turns: v1::TurnCounts) -> Self {
        Self {
            started: turns.started,
            answered_fast: turns.answered_fast,
            answered_slow: turns.answered_slow,
            failed: turns.failed,
            cancelled: turns.cancelled,
            resumed: turns.resumed,
            fell_back: turns.fell_back,
            escalated: turns.escalated,
            answered_built_in: turns.answered_built_in,
        }
    }
}
