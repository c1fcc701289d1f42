//! Why the defaults are as they are on this machine, and what would be better.

use std::path::PathBuf;

use tandem_config::{Config, Models, Preset, hardware::Hardware};

use crate::report::doctor::Finding;

const GIB: u64 = 1 << 30;

/// What was chosen for the machine, each with its reason.
pub(super) fn explain(settings: &Config, hardware: &Hardware) -> Vec<String> {
    let gib = hardware.memory_usable_bytes() / GIB;
    let preset = match settings.resources.preset {
        Some(preset) => format!("preset {}, as the settings say", name(preset)),
        None => format!(
            "preset {}, for {gib} GiB of memory",
            name(Preset::fitting(Some(hardware.memory_usable_bytes())))
        ),
    };
    let engine = &settings.engine;
    let threads = match engine.threads {
        0 => format!(
            "threads are up to the engine: at most {}, fewer while other programs need them",
            hardware.cores_physical.unwrap_or(u32::MAX).min(hardware.cores_usable)
        ),
        threads => format!("{threads} threads, as the settings say"),
    };
    let copies = if engine.use_extra_bufts {
        "weights are repacked for this CPU, which makes a copy of them in memory"
    } else {
        "weights are used as they lie in the file, which saves a copy of them in memory"
    };
    let usual = Config::defaults(PathBuf::new(), PathBuf::new()).models.default;
    let model = &settings.models.default;
    let model = if *model == usual {
        format!("model {model}, which is small enough for any machine")
    } else if model == Models::AUTO {
        "the best model for this machine, as the settings say".to_owned()
    } else {
        format!("model {model}, as the settings say")
    };
    let providers: Vec<_> = settings.providers.keys().map(String::as_str).collect();
    let slow = if providers.is_empty() {
        "no provider, so that every answer is made on this machine".to_owned()
    } else {
        format!("a slow track of {}", providers.join(", "))
    };
    vec![
        preset,
        threads,
        format!(
            "a context of {} tokens for up to {} answers at a time",
            engine.context_tokens, engine.sequences_max
        ),
        copies.to_owned(),
        model,
        slow,
    ]
}

fn name(preset: Preset) -> &'static str {
    match preset {
        Preset::Small => "small",
        Preset::Standard => "standard",
        Preset::Large => "large",
    }
}

/// What the machine has that stays unused, or lacks.
pub(super) fn advise(hardware: &Hardware) -> Vec<Finding> {
    let mut findings = Vec::new();
    if cfg!(target_arch = "x86_64") && !hardware.instructions.contains(&"AVX2") {
        findings.push(Finding::note(
            "this CPU has no AVX2, so that models answer slowly",
            "prefer the slow track (`router.policy = \"slow\"`) or the smallest model",
        ));
    }
    findings
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One of 4 GiB.
    pub(in crate::command::doctor) fn machine() -> Hardware {
        Hardware {
            cpu: "A CPU".to_owned(),
            cores_physical: Some(4),
            cores_usable: 2,
            cache_bytes: None,
            instructions: vec!["AVX2"],
            memory_bytes: 4 * GIB,
            memory_limit_bytes: None,
            gpus: Vec::new(),
        }
    }

    #[test]
    fn a_choice_says_whether_machine_or_settings_made_it() {
        let mut settings = Config::defaults("/data".into(), "/socket".into());
        let text = explain(&settings, &machine()).join("\n");
        assert!(text.contains("preset small, for 4 GiB"), "{text}");
        assert!(text.contains("at most 2,"), "{text}");

        settings.resources.preset = Some(Preset::Large);
        settings.engine.threads = 3;
        let text = explain(&settings, &machine()).join("\n");
        assert!(text.contains("preset large, as the settings say\n3 threads, as"), "{text}");
    }

    #[test]
    fn a_processor_that_is_slow_with_models_is_told() {
        assert_eq!(advise(&machine()), []);
        let old = Hardware { instructions: vec!["AVX"], ..machine() };
        assert_eq!(advise(&old).len(), usize::from(cfg!(target_arch = "x86_64")));
    }
}
