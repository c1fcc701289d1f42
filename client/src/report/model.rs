//! Models and the engines that host them.

use std::fmt::Write as _;

use indicatif::HumanBytes;
use serde::Serialize;
use tandem_client::v1;

use super::{filled, name, table};

/// A known model.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Model {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) path: Option<String>,
    pub(crate) state: String,
    pub(crate) problem: Option<String>,
    pub(crate) architecture: Option<String>,
    pub(crate) quantization: Option<String>,
    pub(crate) parameters: u64,
    pub(crate) size_bytes: u64,
    pub(crate) context_trained: u32,
    pub(crate) memory_estimate_bytes: u64,
    pub(crate) license: Option<String>,
    pub(crate) is_default: bool,
    /// Neither time nor want of memory unloads it.
    pub(crate) pinned: bool,
    /// 0 for a model that generates text.
    pub(crate) embedding_dimensions: u32,
    pub(crate) engine: Option<Engine>,
    /// Further engines of the same model.
    pub(crate) other_engines: Vec<Engine>,
    /// Where the file came from, or can be had.
    pub(crate) sources: Vec<String>,
    pub(crate) memory_min_bytes: u64,
    pub(crate) languages: Vec<String>,
    pub(crate) abilities: Vec<String>,
    /// The same model in other quantizations.
    pub(crate) variants: Vec<String>,
    /// Of an absent model: what came in a pull that ended early.
    pub(crate) pulled_bytes: u64,
    pub(crate) sha256: Option<String>,
    /// The program that keeps the file: `hugging_face`, `ollama`, `lm_studio` or `tandemd`.
    pub(crate) found_in: Option<String>,
}

/// An engine process of a loaded model.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Engine {
    pub(crate) pid: u32,
    pub(crate) restarts: u32,
    pub(crate) memory_bytes: u64,
    pub(crate) context_tokens: u32,
    pub(crate) sequences_max: u32,
    pub(crate) sequences_active: u32,
    pub(crate) sequences_waiting: u32,
    pub(crate) threads: u32,
    pub(crate) settings: String,
    pub(crate) settings_reason: Option<String>,
    pub(crate) settings_source: Option<String>,
    pub(crate) system_info: Option<String>,
    /// How keys and values are kept.
    pub(crate) kv_cache: Option<String>,
    /// Layers that graphics processors compute.
    pub(crate) gpu_layers: u32,
    pub(crate) devices: Vec<Device>,
    /// What is not as it was asked for.
    pub(crate) notices: Vec<String>,
    /// Whether this build can use graphics processors.
    pub(crate) gpu_support: bool,
}

/// A graphics processor that an engine uses.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) memory_total_bytes: u64,
    /// What the model takes.
    pub(crate) memory_used_bytes: u64,
}

impl From<v1::Model> for Model {
    fn from(model: v1::Model) -> Self {
        let found_in = model.found_in();
        let found = found_in != v1::FoundIn::Unspecified;
        Self {
            found_in: found.then(|| name(found_in.as_str_name(), "FOUND_IN_")),
            state: name(model.state().as_str_name(), "MODEL_STATE_"),
            id: model.id,
            name: model.name,
            path: filled(model.path),
            problem: filled(model.problem),
            architecture: filled(model.architecture),
            quantization: filled(model.quantization),
            parameters: model.parameters,
            size_bytes: model.size_bytes,
            context_trained: model.context_trained,
            memory_estimate_bytes: model.memory_estimate_bytes,
            license: filled(model.license),
            is_default: model.is_default,
            pinned: model.pinned,
            embedding_dimensions: model.embedding_dimensions,
            engine: model.engine.map(Engine::from),
            other_engines: model.other_engines.into_iter().map(Engine::from).collect(),
            sources: model.sources,
            memory_min_bytes: model.memory_min_bytes,
            languages: model.languages,
            abilities: model.abilities,
            variants: model.variants,
            pulled_bytes: model.pulled_bytes,
            sha256: filled(model.sha256),
        }
    }
}

impl From<v1::EngineStatus> for Engine {
    fn from(engine: v1::EngineStatus) -> Self {
        let source = engine.settings_source();
        let known = source != v1::SettingsSource::Unspecified;
        Self {
            settings_source: known.then(|| name(source.as_str_name(), "SETTINGS_SOURCE_")),
            pid: engine.pid,
            restarts: engine.restarts,
            memory_bytes: engine.memory_bytes,
            context_tokens: engine.context_tokens,
            sequences_max: engine.sequences_max,
            sequences_active: engine.sequences_active,
            sequences_waiting: engine.sequences_waiting,
            threads: engine.threads,
            settings: engine.settings,
            settings_reason: filled(engine.settings_reason),
            system_info: filled(engine.system_info),
            kv_cache: filled(engine.kv_cache),
            gpu_layers: engine.gpu_layers,
            devices: engine.devices.into_iter().map(Device::from).collect(),
            notices: engine.notices,
            gpu_support: engine.gpu_support,
        }
    }
}

impl From<v1::EngineDevice> for Device {
    fn from(device: v1::EngineDevice) -> Self {
        let v1::EngineDevice { name, memory_total_bytes, memory_used_bytes } = device;
        Self { name, memory_total_bytes, memory_used_bytes }
    }
}

/// State of a model whose file is not here.
const ABSENT: &str = "absent";

/// The models below headings; the default one is marked with a star.
pub(crate) fn list(models: &[Model]) -> String {
    if models.is_empty() {
        return "no models are known; fetch one with `tandem model pull SOURCE`\n".into();
    }
    let rows: Vec<_> = models
        .iter()
        .map(|model| {
            [
                if model.is_default { format!("{} *", model.id) } else { model.id.clone() },
                if model.pinned { format!("{}, pinned", model.state) } else { model.state.clone() },
                size(model.size_bytes),
                size(match model.memory_estimate_bytes {
                    0 => model.memory_min_bytes,
                    estimate => estimate,
                }),
                model.quantization.clone().unwrap_or_default(),
                count(model.parameters),
                model.context_trained.to_string(),
            ]
        })
        .collect();
    let mut text = table(["ID", "STATE", "SIZE", "MEMORY", "TYPE", "PARAMETERS", "CONTEXT"], &rows);
    for (model, problem) in models.iter().filter_map(|it| Some((it, it.problem.as_ref()?))) {
        let _ = write!(text, "\n{}: {problem}\n", model.id);
    }
    if models.iter().any(|model| model.state == ABSENT) {
        return text + "\n`tandem model pull ID` fetches one that is absent.\n";
    }
    text
}

impl Model {
    /// All that is known about the model, one fact a line.
    pub(crate) fn details(&self) -> String {
        let mut facts = vec![
            ("id", self.id.clone()),
            ("name", self.name.clone()),
            ("state", self.state.clone()),
            ("problem", self.problem.clone().unwrap_or_default()),
            ("default", if self.is_default { "yes".into() } else { String::new() }),
            ("pinned", if self.pinned { "yes".into() } else { String::new() }),
            ("path", self.path.clone().unwrap_or_default()),
            ("architecture", self.architecture.clone().unwrap_or_default()),
            ("type", self.quantization.clone().unwrap_or_default()),
            ("parameters", count(self.parameters)),
            ("size", size(self.size_bytes)),
            ("context", format!("{} tokens", self.context_trained)),
            ("memory", format!("{} (estimate)", size(self.memory_estimate_bytes))),
            ("embeddings", dimensions(self.embedding_dimensions)),
            ("needs", self.needs()),
            ("languages", self.languages.join(", ")),
            ("good for", self.abilities.join(", ")),
            ("license", self.license.clone().unwrap_or_default()),
            ("others", self.variants.join(", ")),
            ("source", self.sources.join(", ")),
            ("sha256", self.sha256.clone().unwrap_or_default()),
            ("kept by", self.keeper().to_owned()),
            ("fetch", self.fetch()),
        ];
        if let Some(engine) = &self.engine {
            facts.extend([
                ("engine", engine.summary()),
                ("engines", self.others()),
                ("settings", engine.explained_settings()),
                ("devices", engine.device_list()),
                ("notice", engine.notices.join("; ")),
                ("system", engine.system_info.clone().unwrap_or_default()),
            ]);
        }
        facts.iter().filter(|(_, value)| !value.is_empty()).fold(String::new(), |mut text, fact| {
            let _ = writeln!(text, "{:<12}  {}", fact.0, fact.1);
            text
        })
    }

    /// The other program that keeps the file, for people; empty for a file of tandem's own.
    pub(crate) fn keeper(&self) -> &str {
        match self.found_in.as_deref() {
            Some("hugging_face") => "Hugging Face",
            Some("ollama") => "Ollama",
            Some("lm_studio") => "LM Studio",
            _ => "",
        }
    }

    /// Memory below which a machine should not try.
    fn needs(&self) -> String {
        match self.memory_min_bytes {
            0 => String::new(),
            bytes => format!("a machine with {} of memory", size(bytes)),
        }
    }

    /// The command that fetches a model that is absent.
    fn fetch(&self) -> String {
        let command = format!("tandem model pull {}", self.id);
        match (self.state.as_str(), self.pulled_bytes) {
            (ABSENT, 0) => command,
            (ABSENT, bytes) => format!("{command} ({} came before)", size(bytes)),
            _ => String::new(),
        }
    }

    /// What the further engines are doing, one after the other.
    fn others(&self) -> String {
        let others: Vec<_> = self.other_engines.iter().map(Engine::summary).collect();
        if others.is_empty() { String::new() } else { format!("and {}", others.join("; and ")) }
    }
}

impl Engine {
    /// What the engine is doing, on one line.
    pub(crate) fn summary(&self) -> String {
        let mut text = format!(
            "pid {} · {} · {} of {} sequences · {} threads · context {}",
            self.pid,
            size(self.memory_bytes),
            self.sequences_active,
            self.sequences_max,
            self.threads,
            self.context_tokens,
        );
        if self.gpu_layers > 0 {
            let _ = write!(text, " · {} layers on gpu", self.gpu_layers);
        }
        if self.sequences_waiting > 0 {
            let _ = write!(text, " · {} waiting", self.sequences_waiting);
        }
        if self.restarts > 0 {
            let _ = write!(text, " · restarts {}", self.restarts);
        }
        text
    }

    /// The graphics processors and what they do; empty when there are none.
    fn device_list(&self) -> String {
        if self.devices.is_empty() {
            return String::new();
        }
        let each = self.devices.iter().map(|device| {
            let (used, total) = (size(device.memory_used_bytes), size(device.memory_total_bytes));
            format!("{} ({used} of {total})", device.name)
        });
        format!("{} layers on {}", self.gpu_layers, each.collect::<Vec<_>>().join(", "))
    }

    /// The settings, and why they are not the defaults.
    pub(crate) fn explained_settings(&self) -> String {
        match &self.settings_reason {
            Some(reason) => format!("{} (because {reason})", self.settings),
            None => self.settings.clone(),
        }
    }
}

/// Bytes for a person; a dash for none.
pub(crate) fn size(bytes: u64) -> String {
    if bytes == 0 { "-".into() } else { HumanBytes(bytes).to_string() }
}

/// What an embedding of the model is; nothing for a model without.
fn dimensions(number: u32) -> String {
    if number == 0 { String::new() } else { format!("{number} dimensions") }
}

#[allow(clippy::cast_precision_loss, reason = "shown with one digit")]
fn count(number: u64) -> String {
    let shown = number as f64;
    match number {
        0 => "-".into(),
        1..1_000_000 => number.to_string(),
        1_000_000..1_000_000_000 => format!("{:.1} M", shown / 1e6),
        _ => format!("{:.1} G", shown / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> v1::Model {
        v1::Model {
            id: "small".into(),
            name: "Small".into(),
            state: v1::ModelState::Loaded.into(),
            quantization: "Q4_1".into(),
            parameters: 134_515_008,
            size_bytes: 98 << 20,
            is_default: true,
            engine: Some(v1::EngineStatus {
                pid: 77,
                sequences_active: 2,
                sequences_max: 8,
                settings: "without extra buffer types".into(),
                settings_reason: "the self test ended with signal 4".into(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn the_list_marks_the_default_model() {
        let text = list(&[model().into()]);
        let row = text.lines().nth(1).unwrap_or_default();
        assert!(row.starts_with("small *  loaded  98.00 MiB"), "{text}");
        assert!(row.contains("Q4_1") && row.contains("134.5 M"), "{text}");
    }

    #[test]
    fn a_model_that_is_absent_is_shown_with_the_command_that_fetches_it() {
        let absent = v1::Model {
            state: v1::ModelState::Absent.into(),
            engine: None,
            pulled_bytes: 7 << 20,
            sources: vec!["hf:o/r/small.gguf".into()],
            ..model()
        };
        let text = list(&[absent.clone().into()]);
        assert!(text.ends_with("\n`tandem model pull ID` fetches one that is absent.\n"), "{text}");
        assert!(!list(&[model().into()]).contains("pull"));
        let details = Model::from(absent).details();
        let fetch = "fetch         tandem model pull small (7.00 MiB came before)";
        assert!(details.lines().any(|line| line == fetch), "{details}");
        assert!(details.contains("hf:o/r/small.gguf"), "{details}");
    }

    #[test]
    fn graphics_processors_are_shown_with_what_they_hold_and_what_went_wrong() {
        let device = v1::EngineDevice {
            name: "A processor".into(),
            memory_total_bytes: 8 << 30,
            memory_used_bytes: 3 << 30,
        };
        let engine = v1::EngineStatus {
            gpu_layers: 20,
            devices: vec![device],
            notices: vec!["something is not as it was asked for".into()],
            ..Default::default()
        };
        let text = Model::from(v1::Model { engine: Some(engine), ..model() }).details();
        assert!(text.contains("20 layers on A processor (3.00 GiB of 8.00 GiB)"), "{text}");
        assert!(text.contains("notice        something is not"), "{text}");
        assert!(!Model::from(model()).details().contains("layers"));
    }

    #[test]
    fn the_details_say_why_an_engine_runs_with_other_settings() {
        let text = Model::from(model()).details();
        let settings =
            "settings      without extra buffer types (because the self test ended with signal 4)";
        assert!(text.lines().any(|line| line == settings), "{text}");
        assert!(!text.contains("license"), "unknown facts are left out: {text}");
    }
}
