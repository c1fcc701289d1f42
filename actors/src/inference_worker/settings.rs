//! Which of llama.cpp's faster paths an engine uses, and what is remembered about it.
//!
//! Some kernels crash on some CPUs for some quantisations. A new combination of model, build
//! and CPU is tried with everything on, in an engine that serves nobody yet; when it dies, the
//! next rung is tried. The rung that worked is remembered.

use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sysinfo::{CpuRefreshKind, System};
use tandem_config::{Gpu, KvCache};
use tandem_proto::engine::{KvType, Load, Speculation};
use tandem_proto::v1::SettingsSource;

use super::tuning::Settings;

/// From fastest to safest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rung {
    Defaults,
    NoExtraBufts,
    Plain,
}

impl Rung {
    /// The next safer one.
    pub(super) fn safer(self) -> Option<Self> {
        match self {
            Self::Defaults => Some(Self::NoExtraBufts),
            Self::NoExtraBufts => Some(Self::Plain),
            Self::Plain => None,
        }
    }

    /// Writes this rung into a load request.
    pub(super) fn apply(self, load: &mut Load) {
        load.use_extra_bufts = self == Self::Defaults;
        load.flash_attention = self != Self::Plain;
        if self == Self::Plain {
            // A driver may be what crashes.
            load.gpu_layers = Some(0);
        }
    }

    /// For a person.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Defaults => "defaults",
            Self::NoExtraBufts => "use_extra_bufts=false",
            Self::Plain => "use_extra_bufts=false flash_attention=false",
        }
    }
}

/// A rung and why it is not a faster one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Choice {
    pub(super) rung: Rung,
    /// Threads that compute; 0: as the configuration says.
    #[serde(default)]
    pub(super) threads: u32,
    /// Empty for the fastest.
    pub(super) reason: String,
    #[serde(default)]
    pub(super) source: Source,
}

/// Where a choice comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    #[default]
    Configured,
    Measured,
    Fallback,
}

impl From<Source> for SettingsSource {
    fn from(source: Source) -> Self {
        match source {
            Source::Configured => Self::Default,
            Source::Measured => Self::Measured,
            Source::Fallback => Self::Fallback,
        }
    }
}

impl Choice {
    /// Where to begin when nothing is remembered.
    pub(super) fn first(use_extra_bufts: bool) -> Self {
        let (rung, reason) = if use_extra_bufts {
            (Rung::Defaults, "")
        } else {
            (Rung::NoExtraBufts, "engine.use_extra_bufts is off in the configuration")
        };
        Self { rung, threads: 0, reason: reason.to_owned(), source: Source::Configured }
    }

    /// What an engine is told.
    pub(super) fn settings(&self) -> Settings {
        Settings { rung: self.rung, threads: self.threads }
    }

    /// One rung down, because of `how` the engine died.
    pub(super) fn safer(&self, how: &str) -> Option<Self> {
        let rung = self.rung.safer()?;
        let reason = format!("with {}, the engine was {how}", self.settings().describe());
        Some(Self { rung, reason, source: Source::Fallback, ..*self })
    }

    /// As it is stored.
    pub(super) fn encode(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From the store; `None` when it was written by a version with other rungs.
    pub(super) fn decode(stored: &str) -> Option<Self> {
        serde_json::from_str(stored).ok()
    }
}

/// Names what a choice is valid for: this file, this build, these cores, and what is configured.
pub(super) fn choice_key(
    model: &Path,
    build: &str,
    cores: &str,
    config: &tandem_config::Engine,
) -> String {
    let (first, threads) = (Choice::first(config.use_extra_bufts).rung, config.threads);
    let (size, modified) = std::fs::metadata(model).map_or((0, 0), |facts| {
        let modified = facts.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        (facts.len(), modified.map_or(0, |time| time.as_nanos()))
    });
    let model = model.display();
    let text = format!("{model}\n{size}\n{modified}\n{build}\n{cores}\n{first:?}\n{threads}");
    let text = if config.exact { format!("{text}\nexact") } else { text };
    let text = match config.kv_cache {
        KvCache::F16 => text,
        KvCache::Q8_0 => format!("{text}\nq8_0"),
    };
    // As keys were before there were these settings.
    let text = match (config.gpu, config.gpu_layers) {
        (Gpu::Auto, None) => text,
        (gpu, layers) => format!("{text}\ngpu {gpu:?} {layers:?}"),
    };
    let digest = Sha256::digest(text);
    digest.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// Names what a tuning is valid for, given the key of the choice.
pub(super) fn tuning_key(choice_key: &str) -> String {
    format!("tuning {choice_key}")
}

/// How a model is loaded, but for the settings that are chosen.
pub(super) fn request(config: &tandem_config::Engine, path: &Path, template: &str) -> Load {
    Load {
        path: path.to_string_lossy().into_owned(),
        context_tokens: config.context_tokens,
        sequences_max: config.sequences_max,
        batch_tokens: config.batch_tokens,
        threads: config.threads,
        chat_template: template.to_owned(),
        exact: config.exact,
        kv_type: kv_type(config.kv_cache).into(),
        gpu_layers: match config.gpu {
            Gpu::Auto => config.gpu_layers,
            Gpu::Off => Some(0),
        },
        ..Load::default()
    }
}

/// As the engine knows it.
fn kv_type(kept: KvCache) -> KvType {
    match kept {
        KvCache::F16 => KvType::Unspecified,
        KvCache::Q8_0 => KvType::Q80,
    }
}

/// Settings and their reason, with what else is `given_up` and why, where something is.
pub(super) fn also(
    settings: String,
    reason: String,
    given_up: &str,
    why: impl FnOnce() -> String,
) -> (String, String) {
    if given_up.is_empty() {
        return (settings, reason);
    }
    let (nothing, none) = (Rung::Defaults.describe(), "");
    let listed = |first: String, empty: &str, between, then: String| {
        if first == empty { then } else { format!("{first}{between}{then}") }
    };
    let why = format!("{given_up}: {}", why());
    (listed(settings, nothing, " ", given_up.to_owned()), listed(reason, none, "; ", why))
}

/// Largest default for the memory of kept prefixes, in bytes.
const PREFIX_MEMORY_BYTES_MAX: u64 = 512 << 20;
/// The part of the memory beside the model that kept prefixes may take by default. A small machine
/// needs its memory for the model, and they are only there to save time.
const PREFIX_MEMORY_DIVISOR: u64 = 4;

/// Writes into a load request where and how much an engine may keep of the prompts that it
/// computed, when so much memory is free beside the model; 0 when that is not known yet.
pub(super) fn allow_prefixes(
    load: &mut Load,
    config: &tandem_config::Engine,
    folder: &Path,
    memory_free_bytes: u64,
) {
    let bytes = |mib: u32| u64::from(mib) << 20;
    load.prefix_folder = folder.to_string_lossy().into_owned();
    load.prefix_disk_bytes = bytes(config.prefix_disk_mib);
    load.prefix_memory_bytes = config.prefix_memory_mib.map_or_else(
        || PREFIX_MEMORY_BYTES_MAX.min(memory_free_bytes / PREFIX_MEMORY_DIVISOR),
        bytes,
    );
}

/// Writes into a load request whether the engine may guess tokens, and with which `draft` model.
pub(super) fn allow_speculation(
    load: &mut Load,
    config: &tandem_config::Engine,
    draft: Option<&Path>,
) {
    load.draft_path = draft.map_or_else(String::new, |path| path.to_string_lossy().into_owned());
    load.set_speculation(match config.speculation {
        tandem_config::Speculation::Auto => Speculation::Auto,
        tandem_config::Speculation::Off => Speculation::Unspecified,
    });
}

/// How many cores there are, and the CPU as its maker names it. Blocking.
pub(super) fn cores() -> String {
    let Ok(mut system) = System::new() else { return String::new() };
    system.refresh_cpu_list(CpuRefreshKind::nothing());
    let cpus = system.cpus();
    cpus.first().map_or_else(String::new, |cpu| format!("{} × {}", cpus.len(), cpu.brand()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn rungs_lead_from_everything_on_to_everything_off() {
        let mut choice = Choice::first(true);
        let mut seen = Vec::new();
        loop {
            let mut load = Load::default();
            choice.rung.apply(&mut load);
            seen.push((load.use_extra_bufts, load.flash_attention, load.gpu_layers));
            match choice.safer("killed by SIGILL") {
                Some(next) => choice = next,
                None => break,
            }
        }
        assert_eq!(seen, [(true, true, None), (false, true, None), (false, false, Some(0))]);
        assert!(choice.reason.contains("killed by SIGILL"));
    }

    #[test]
    fn kept_prefixes_take_what_is_configured_else_a_small_part_of_what_is_free() {
        let allowed = |config: &tandem_config::Engine, free| {
            let mut load = Load::default();
            allow_prefixes(&mut load, config, Path::new("/data/prefixes"), free);
            (load.prefix_folder, load.prefix_disk_bytes >> 20, load.prefix_memory_bytes >> 20)
        };
        let folder = || "/data/prefixes".to_owned();
        let mut config = tandem_config::Engine::default();
        assert_eq!(allowed(&config, 64 << 30), (folder(), 512, 512));
        assert_eq!(allowed(&config, 1 << 30), (folder(), 512, 256));
        assert_eq!(allowed(&config, 0), (folder(), 512, 0));
        config.prefix_disk_mib = 0;
        config.prefix_memory_mib = Some(4096);
        assert_eq!(allowed(&config, 2 << 30), (folder(), 0, 4096));
    }

    #[test]
    fn an_engine_is_told_how_to_keep_its_context_and_what_graphics_processors_may_do() {
        let asked = |config: &tandem_config::Engine| {
            let load = request(config, Path::new("/m.gguf"), "");
            (load.kv_type(), load.gpu_layers)
        };
        let mut config = tandem_config::Engine::default();
        assert_eq!(asked(&config), (KvType::Unspecified, None));
        config.kv_cache = KvCache::Q8_0;
        config.gpu_layers = Some(7);
        assert_eq!(asked(&config), (KvType::Q80, Some(7)));
        config.gpu = Gpu::Off;
        assert_eq!(asked(&config), (KvType::Q80, Some(0)));
    }

    #[test]
    fn an_engine_guesses_when_that_is_switched_on() {
        let mut load = Load::default();
        let speculation = tandem_config::Speculation::Auto;
        let mut config = tandem_config::Engine { speculation, ..tandem_config::Engine::default() };
        allow_speculation(&mut load, &config, Some(Path::new("/tiny.gguf")));
        assert_eq!((load.speculation(), &*load.draft_path), (Speculation::Auto, "/tiny.gguf"));
        config.speculation = tandem_config::Speculation::Off;
        allow_speculation(&mut load, &config, None);
        assert_eq!((load.speculation(), &*load.draft_path), (Speculation::Unspecified, ""));
    }

    #[test]
    fn what_is_given_up_is_said_beside_the_other_settings() {
        let both = |settings: &str, reason: &str, given_up: &str| {
            let why = || "little memory".to_owned();
            let (settings, reason) = also(settings.to_owned(), reason.to_owned(), given_up, why);
            format!("{settings} ({reason})")
        };
        assert_eq!(both("defaults", "", ""), "defaults ()");
        let short = "context_tokens=1024";
        assert_eq!(
            both("defaults", "", short),
            "context_tokens=1024 (context_tokens=1024: little memory)"
        );
        assert_eq!(
            both("threads=3", "measured", short),
            "threads=3 context_tokens=1024 (measured; context_tokens=1024: little memory)"
        );
    }

    #[test]
    fn a_choice_survives_storage_and_nonsense_is_no_choice() {
        let choice = Choice::first(true).safer("killed by SIGILL").unwrap();
        assert_eq!(Choice::decode(&choice.encode()), Some(choice));
        assert_eq!(Choice::decode(r#"{"rung":"warp","reason":""}"#), None);
    }

    #[test]
    fn another_file_build_or_cpu_and_other_configured_settings_are_another_key() {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("a.gguf");
        std::fs::write(&model, "1").unwrap();
        let config = tandem_config::Engine::default();
        let key = |build, cores, config| choice_key(&model, build, cores, config);
        let original = key("build", "2 × cpu", &config);
        assert_eq!(original, key("build", "2 × cpu", &config));
        assert_ne!(original, key("build 2", "2 × cpu", &config));
        assert_ne!(original, key("build", "8 × cpu", &config));
        let without = tandem_config::Engine { use_extra_bufts: false, ..config.clone() };
        assert_ne!(original, key("build", "2 × cpu", &without));
        let threads = tandem_config::Engine { threads: 2, ..config.clone() };
        assert_ne!(original, key("build", "2 × cpu", &threads));
        let exact = tandem_config::Engine { exact: true, ..config.clone() };
        assert_ne!(original, key("build", "2 × cpu", &exact));
        let kv_cache = KvCache::Q8_0;
        let quantized = tandem_config::Engine { kv_cache, ..config.clone() };
        assert_ne!(original, key("build", "2 × cpu", &quantized));
        let without = tandem_config::Engine { gpu: Gpu::Off, ..config.clone() };
        assert_ne!(original, key("build", "2 × cpu", &without));
        let layers = tandem_config::Engine { gpu_layers: Some(7), ..config.clone() };
        assert_ne!(original, key("build", "2 × cpu", &layers));
        std::fs::write(&model, "12").unwrap();
        assert_ne!(original, key("build", "2 × cpu", &config));
    }
}
