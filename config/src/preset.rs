//! Presets: defaults for the size of the machine, under all others.

use std::time::Duration;

use crate::{
    Config, Preset,
    kind::{Kind as _, OneOf},
    paths::Environment,
    source::{Node, Table},
};

/// The presets by name.
pub(crate) const PRESETS: OneOf<Option<Preset>> = OneOf(&[
    ("auto", None),
    ("small", Some(Preset::Small)),
    ("standard", Some(Preset::Standard)),
    ("large", Some(Preset::Large)),
]);

const GIB: u64 = 1 << 30;
/// Below this a machine is small. One that is sold with 4 GB or even 5 is, one with 6 is not; what its
/// firmware and graphics take is not seen.
const SMALL_BELOW: u64 = 5 * GIB + GIB / 2;
/// From this on a machine is large.
const LARGE_FROM: u64 = 60 * GIB;

/// The preset that was written, else the one for this machine's memory.
pub(crate) fn chosen(written: &Table, environment: &Environment) -> Preset {
    let resources = match written.entries.get("resources") {
        Some(Node::Table(table)) => table.entries.get("preset"),
        _ => None,
    };
    let named = resources.and_then(|node| PRESETS.read(node)).flatten();
    named.unwrap_or_else(|| Preset::fitting(environment.memory_bytes))
}

impl Preset {
    /// The preset for so many bytes of memory; the usual one when they are not known.
    pub fn fitting(memory_bytes: Option<u64>) -> Self {
        match memory_bytes {
            Some(bytes) if bytes < SMALL_BELOW => Self::Small,
            Some(bytes) if bytes >= LARGE_FROM => Self::Large,
            _ => Self::Standard,
        }
    }
}

impl Config {
    /// Changes the defaults to those of a preset.
    pub(crate) fn apply(&mut self, preset: Preset) {
        match preset {
            Preset::Standard => {}
            Preset::Small => {
                // Keys and values of a model of 3 billion weights take about 100 KiB a token.
                self.engine.context_tokens = 2048;
                self.engine.sequences_max = 2;
                self.engine.batch_tokens = 256;
                self.engine.max_tokens = 512;
                // Repacked weights are a second copy, which the kernel cannot drop and read again.
                self.engine.use_extra_bufts = false;
                self.engine.prefix_memory_mib = Some(64);
                self.engine.prefix_disk_mib = 256;
                self.models.keep_alive = Duration::from_mins(2);
                self.memory.context_tokens = 1536;
                self.router.running_max = 2;
                self.router.waiting_max = 16;
            }
            Preset::Large => {
                self.engine.context_tokens = 32_768;
                self.engine.sequences_max = 16;
                self.engine.prefix_disk_mib = 4096;
                self.models.keep_alive = Duration::from_mins(30);
                self.memory.context_tokens = 8192;
                self.router.running_max = 16;
                self.router.waiting_max = 256;
                self.resources.memory_reserve_bytes = 4 << 30;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_gets_the_preset_of_its_memory() {
        for (gib, preset) in [
            (2, Preset::Small),
            (4, Preset::Small),
            (8, Preset::Standard),
            (32, Preset::Standard),
            (62, Preset::Large),
            (512, Preset::Large),
        ] {
            assert_eq!(Preset::fitting(Some(gib * GIB)), preset, "{gib} GiB");
        }
        assert_eq!(Preset::fitting(None), Preset::Standard);
    }

    #[test]
    fn a_model_that_was_let_in_leaves_a_small_machine_above_high_pressure() {
        let mut config = Config::documented();
        config.apply(Preset::Small);
        let [_, high, ..] = config.resources.pressure.memory_available;
        #[allow(clippy::cast_precision_loss, reason = "few bytes")]
        let (reserve, memory) = (config.resources.memory_reserve_bytes as f64, (4 * GIB) as f64);
        assert!(reserve > high * memory, "{reserve}");
    }
}
