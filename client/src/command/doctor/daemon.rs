//! What a daemon that runs says about itself.

use tandem_client::v1;

use crate::report::doctor::Finding;

/// What is wrong with the daemon of this status, for a command of version `own`.
pub(super) fn judge(status: &v1::StatusResponse, own: &str) -> Vec<Finding> {
    let mut findings = vec![if status.version == own {
        Finding::fine(format!("the daemon runs, version {own}"))
    } else {
        Finding::note(
            format!("the daemon is version {}, this command {own}", status.version),
            "`tandem service stop`; the next question starts the new one",
        )
    }];
    if let Some(settings) = &status.settings {
        if !settings.problem.is_empty() {
            findings.push(Finding::note(
                format!("the daemon refused its latest settings: {}", settings.problem),
                "put that right, then `tandem config reload`",
            ));
        }
        if !settings.needs_restart.is_empty() {
            let keys = settings.needs_restart.join(", ");
            findings.push(Finding::note(
                format!("these settings wait for a restart: {keys}"),
                "`tandem service stop`; the next question starts the daemon anew",
            ));
        }
    }
    for model in &status.models {
        if model.state() == v1::ModelState::Broken {
            findings.push(Finding::problem(
                format!("model {}: {}", model.id, model.problem),
                format!("`tandem model unload {}` and try again, or use another model", model.id),
            ));
        }
        for engine in model.engine.iter().chain(&model.other_engines) {
            if engine.settings_source() == v1::SettingsSource::Fallback {
                findings.push(Finding::note(
                    format!(
                        "model {} runs with slower, safer settings: {}",
                        model.id, engine.settings_reason
                    ),
                    "nothing has to be done; a newer tandem may have kernels that work here",
                ));
            }
        }
    }
    for provider in &status.providers {
        if matches!(provider.breaker(), v1::Breaker::Open | v1::Breaker::KeyRefused) {
            findings.push(Finding::note(
                format!(
                    "provider {} is left alone for now: {}",
                    provider.name, provider.last_error
                ),
                format!("check providers.{} in the settings and the API itself", provider.name),
            ));
        }
    }
    if let Some(resources) = &status.resources {
        if resources.pressure() >= v1::Pressure::High {
            findings.push(Finding::note(
                "the machine is short of memory or processors now",
                "close what needs much, or wait; `tandem status --watch` shows it",
            ));
        }
        if cfg!(target_os = "linux") && resources.memory_stalled.is_none() {
            findings.push(Finding::note(
                "the kernel does not tell how long programs wait for memory",
                "boot it with psi=1, so that a shortage is seen earlier",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_of_another_version_and_a_broken_model_are_told() {
        let broken = v1::Model {
            id: "tiny".into(),
            state: v1::ModelState::Broken.into(),
            problem: "its engine died 5 times".into(),
            ..v1::Model::default()
        };
        let status = v1::StatusResponse {
            version: "0.0.9".into(),
            models: vec![broken],
            ..v1::StatusResponse::default()
        };
        let findings = judge(&status, "0.1.0");
        assert!(findings[0].found.contains("0.0.9, this command 0.1.0"), "{findings:?}");
        assert!(findings[1].is_problem() && findings[1].found.contains("died 5 times"));

        let well = v1::StatusResponse { version: "0.1.0".into(), ..Default::default() };
        assert_eq!(judge(&well, "0.1.0").len(), 1);
    }
}
