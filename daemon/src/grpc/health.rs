//! The standard health service: the daemon as a whole under the empty name, each gRPC service
//! under its own, and each actor below the root under its name in the tree.

use tandem_proto::v1::{ActorStatus, Health};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthApi, HealthServer};
use tonic_health::server::{HealthReporter, health_reporter};

use super::Daemon;

/// Which actors a service needs.
const SERVICES: [(&str, &[&str]); 6] = [
    ("tandem.v1.Assistant", &["router", "memory_store", "model_loader", "api_escalator"]),
    ("tandem.v1.Inference", &["model_loader"]),
    ("tandem.v1.Models", &["model_loader"]),
    ("tandem.v1.Conversations", &["memory_store"]),
    ("tandem.v1.Storage", &["memory_store"]),
    ("tandem.v1.Admin", &[]),
];

/// The service; it follows the tree until the daemon drains.
pub(crate) fn service(daemon: &Daemon) -> HealthServer<impl HealthApi> {
    let (reporter, service) = health_reporter();
    let (tree, draining) = (daemon.tandem.tree.clone(), daemon.draining.clone());
    tokio::spawn(async move {
        let mut changes = tree.changes();
        loop {
            changes.mark_unchanged();
            report(&reporter, tree.snapshot().as_ref(), draining.is_cancelled()).await;
            tokio::select! {
                result = changes.changed() => if result.is_err() { return },
                () = draining.cancelled(), if !draining.is_cancelled() => (),
            }
        }
    });
    service
}

async fn report(reporter: &HealthReporter, root: Option<&ActorStatus>, draining: bool) {
    let parts = root.map_or(&[][..], |root| &root.children);
    let is_up = |name: &str| parts.iter().any(|part| part.name == name && serves(part));
    for part in parts {
        reporter.set_service_status(&part.name, status(serves(part))).await;
    }
    for (service, needs) in SERVICES {
        let up = !draining && needs.iter().all(|part| is_up(part));
        reporter.set_service_status(service, status(up)).await;
    }
    let up = !draining && parts.iter().all(serves);
    reporter.set_service_status("", status(up)).await;
}

fn serves(actor: &ActorStatus) -> bool {
    matches!(actor.health(), Health::Serving | Health::Degraded)
}

fn status(up: bool) -> ServingStatus {
    if up { ServingStatus::Serving } else { ServingStatus::NotServing }
}
