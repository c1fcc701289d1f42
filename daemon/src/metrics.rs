//! What the daemon measures, as Prometheus reads it: `GET /metrics` at `telemetry.metrics`.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusBuilder;
use tandem_actors::Tandem;
use tandem_proto::v1::{Admission, ResourceStatus, Rung};
use tokio::task::JoinSet;

/// Every rung that gives something up, and its label.
const RUNGS: [(Rung, &str); 7] = [
    (Rung::FewerThreads, "fewer_threads"),
    (Rung::SmallerBatch, "smaller_batch"),
    (Rung::ShorterContext, "shorter_context"),
    (Rung::QuantizedKv, "quantized_kv"),
    (Rung::SmallerModel, "smaller_model"),
    (Rung::Remote, "remote"),
    (Rung::Template, "template"),
];

/// Serves metrics at `address` until what it returns is dropped. They are as new as the last sample of
/// the machine (`resources.sample_interval`).
pub(crate) fn serve(address: SocketAddr, tandem: Arc<Tandem>) -> anyhow::Result<JoinSet<()>> {
    let (recorder, exporter) =
        PrometheusBuilder::new().with_http_listener(address).build().with_context(|| {
            format!("cannot serve metrics at {address}; set telemetry.metrics to a free port")
        })?;
    metrics::set_global_recorder(recorder).context("metrics are recorded already")?;
    describe();
    // Whoever reads them before the next sample finds them all.
    record(&tandem);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        if exporter.await.is_err() {
            tracing::error!(%address, "metrics are not served any more");
        }
    });
    tasks.spawn(async move {
        let mut samples = tandem.monitor.watch();
        while samples.changed().await.is_ok() {
            record(&tandem);
        }
    });
    Ok(tasks)
}

fn record(tandem: &Tandem) {
    record_machine(&tandem.monitor.current(), |rung| tandem.monitor.is_in_effect(rung));
    record_admission(&tandem.router.admission());
}

fn describe() {
    for (name, unit, what) in [
        ("tandem_memory_available_bytes", Unit::Bytes, "memory that programs can still take"),
        ("tandem_memory_total_bytes", Unit::Bytes, "memory of the machine or of the control group"),
        ("tandem_daemon_memory_bytes", Unit::Bytes, "resident memory of the daemon"),
        ("tandem_engines_memory_bytes", Unit::Bytes, "resident memory of all engines"),
        ("tandem_cpu_used_ratio", Unit::Count, "share of all cores that is busy"),
        ("tandem_pressure", Unit::Count, "1 low, 2 moderate, 3 high, 4 critical"),
        ("tandem_rung", Unit::Count, "1 while the rung of the ladder is in effect"),
        ("tandem_questions_running", Unit::Count, "questions that are being answered"),
        ("tandem_questions_waiting", Unit::Count, "questions that wait for a slot"),
    ] {
        describe_gauge!(name, unit, what);
    }
    describe_counter!("tandem_ladder_moves_total", Unit::Count, "moves on the ladder");
    describe_counter!("tandem_questions_refused_total", Unit::Count, "questions without a place");
}

#[allow(clippy::cast_precision_loss, reason = "a metric is a float")]
fn record_machine(machine: &ResourceStatus, is_in_effect: impl Fn(Rung) -> bool) {
    gauge!("tandem_memory_available_bytes").set(machine.memory_available_bytes as f64);
    gauge!("tandem_memory_total_bytes").set(machine.memory_total_bytes as f64);
    gauge!("tandem_daemon_memory_bytes").set(machine.daemon_memory_bytes as f64);
    gauge!("tandem_engines_memory_bytes").set(machine.engines_memory_bytes as f64);
    gauge!("tandem_cpu_used_ratio").set(machine.cpu_used);
    gauge!("tandem_pressure").set(f64::from(machine.pressure));
    let ladder = machine.ladder.clone().unwrap_or_default();
    for (rung, name) in RUNGS {
        let in_effect = u8::from(is_in_effect(rung));
        gauge!("tandem_rung", "rung" => name).set(in_effect);
    }
    counter!("tandem_ladder_moves_total").absolute(ladder.moves);
}

fn record_admission(admission: &Admission) {
    gauge!("tandem_questions_running").set(f64::from(admission.running));
    for (priority, waiting) in [
        ("interactive", admission.waiting_interactive),
        ("batch", admission.waiting_batch),
        ("background", admission.waiting_background),
    ] {
        gauge!("tandem_questions_waiting", "priority" => priority).set(f64::from(waiting));
    }
    counter!("tandem_questions_refused_total").absolute(admission.refused);
}
