//! A hosted model with its engines, as status shows it.

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use tandem_proto::engine::{Device, KvType, Loaded};
use tandem_proto::v1::{EngineDevice, EngineStatus, Model, ModelState};

use crate::inference_worker::{Phase, Worker};

/// Describes the models of workers, each once. Reads the memory of their processes; blocking, but
/// short.
pub(super) fn of_workers(workers: &[Worker]) -> Vec<Model> {
    let mut models: Vec<Model> = Vec::new();
    for model in workers.iter().map(of_worker) {
        match models.iter_mut().find(|known| known.path == model.path) {
            Some(known) => join(known, model),
            None => models.push(model),
        }
    }
    models
}

/// Adds another engine of the same model. A model is as well as the best of its engines.
fn join(known: &mut Model, other: Model) {
    if known.state() != ModelState::Loaded && other.state() == ModelState::Loaded {
        known.state = other.state;
        known.problem = other.problem;
    }
    known.other_engines.extend(other.engine);
}

fn of_worker(worker: &Worker) -> Model {
    let report = worker.watch().borrow().clone();
    let mut model = worker.facts().clone();
    model.set_state(match &report.phase {
        Phase::Starting | Phase::Loading(..) => ModelState::Loading,
        Phase::Ready => ModelState::Loaded,
        Phase::Restarting(_) => ModelState::Restarting,
        Phase::Failed(_) => ModelState::Broken,
    });
    if let Phase::Failed(error) = &report.phase {
        model.problem = error.to_string();
    }
    let loaded = report.loaded.unwrap_or_default();
    model.engine = Some(EngineStatus {
        pid: report.pid,
        restarts: report.restarts,
        memory_bytes: resident_bytes(report.pid),
        context_tokens: loaded.context_tokens,
        sequences_max: loaded.sequences_max,
        sequences_active: report.heartbeat.sequences_active,
        sequences_waiting: report.heartbeat.sequences_waiting,
        threads: loaded.threads,
        settings: report.settings,
        settings_reason: report.settings_reason,
        settings_source: report.settings_source.into(),
        kv_cache: kv_cache(&loaded).to_owned(),
        gpu_layers: loaded.gpu_layers,
        devices: loaded.devices.into_iter().map(device).collect(),
        notices: loaded.notices,
        gpu_support: report.hello.as_ref().is_some_and(|hello| hello.gpu_support),
        system_info: report.hello.map(|hello| hello.system_info).unwrap_or_default(),
    });
    model
}

/// How keys and values are kept; empty while nothing is loaded, and where there are none.
fn kv_cache(loaded: &Loaded) -> &'static str {
    match loaded.kv_type() {
        _ if loaded.context_tokens == 0 || loaded.embeds => "",
        KvType::Unspecified => "f16",
        KvType::Q80 => "q8_0",
    }
}

fn device(device: Device) -> EngineDevice {
    let Device { name, memory_total_bytes, memory_used_bytes } = device;
    EngineDevice { name, memory_total_bytes, memory_used_bytes }
}

fn resident_bytes(pid: u32) -> u64 {
    let (1.., Ok(mut system)) = (pid, System::new()) else { return 0 };
    let pid = Pid::from_u32(pid);
    system.refresh_processes_specifics(
        ProcessesToUpdate::Some(&[pid]),
        true,
        ProcessRefreshKind::nothing().with_memory(),
    );
    system.process(pid).map_or(0, sysinfo::Process::memory)
}
