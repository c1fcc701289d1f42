//! What a daemon that runs says about itself.

use std::collections::BTreeMap;

use tandem_client::{Error, v1};

use crate::{
    failure::Failure,
    report::{doctor::Finding, model::Model},
};

/// What it means that none answers.
pub(super) fn absent(failure: &Failure) -> Finding {
    if let Failure::Daemon(Error::NotReachable { .. }) = failure {
        return Finding::fine("the daemon does not run; the next question starts it");
    }
    let hint = failure.hint().unwrap_or_else(|| {
        "look into its log, and start it anew with `tandem service stop`".to_owned()
    });
    Finding::problem(format!("the daemon does not answer: {failure}"), hint)
}

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
    if let Some(resources) = &status.resources
        && resources.pressure() >= v1::Pressure::High
    {
        findings.push(Finding::note(
            "the machine is short of memory or processors now",
            "close what needs much, or wait; `tandem top` shows it",
        ));
    }
    findings
}

/// How many models of other programs can be used; nothing when there are none.
pub(super) fn models_of_others(models: &[v1::Model]) -> Option<Finding> {
    let mut counts = BTreeMap::<_, usize>::new();
    let usable = models.iter().filter(|model| model.state() != v1::ModelState::Broken);
    for model in usable.cloned().map(Model::from).filter(|model| !model.keeper().is_empty()) {
        *counts.entry(model.keeper().to_owned()).or_default() += 1;
    }
    let counted: Vec<_> =
        counts.iter().map(|(keeper, count)| format!("{count} that {keeper} keeps")).collect();
    (!counted.is_empty()).then(|| {
        Finding::fine(format!("models of other programs can be used: {}", counted.join(", ")))
    })
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

    #[test]
    fn models_of_other_programs_are_counted_unless_they_are_broken() {
        let kept = |found_in: v1::FoundIn, state: v1::ModelState| v1::Model {
            found_in: found_in.into(),
            state: state.into(),
            ..v1::Model::default()
        };
        let available = v1::ModelState::Available;
        let models = [
            kept(v1::FoundIn::Ollama, available),
            kept(v1::FoundIn::Ollama, available),
            kept(v1::FoundIn::Ollama, v1::ModelState::Broken),
            kept(v1::FoundIn::LmStudio, available),
            kept(v1::FoundIn::Unspecified, available),
        ];
        let found = models_of_others(&models).map(|finding| finding.found).unwrap_or_default();
        assert!(found.ends_with("1 that LM Studio keeps, 2 that Ollama keeps"), "{found}");
        assert_eq!(models_of_others(&models[4..]), None);
    }
}
