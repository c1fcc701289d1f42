//! What changes slowly: disk, battery, temperature, graphics processors. Blocking, some milliseconds
//! where there are many sensors.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::statvfs;
use tandem_config::hardware::{Gpu, gpu};
use tandem_proto::v1::{GpuStatus, ResourceStatus};

/// Degrees Celsius that a sensor which works can tell.
const PLAUSIBLE: std::ops::RangeInclusive<f64> = 1.0..=150.0;

/// Drivers of chips that measure processors. Other chips have inputs that nothing is connected to, and
/// tell of those whatever they like.
const CHIPS: [&str; 5] = ["coretemp", "k10temp", "zenpower", "cpu_thermal", "amdgpu"];

/// What they said when they were read.
#[derive(Debug, Default)]
pub(super) struct Sensors {
    disk_free_bytes: Option<u64>,
    battery: Option<Battery>,
    temperature_celsius: Option<f64>,
    gpus: Vec<GpuStatus>,
}

/// All batteries of the machine together.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Battery {
    /// 0 to 1.
    charge: f64,
    discharges: bool,
}

impl Sensors {
    /// Reads those whose files are below `root`, and the space on the disk of `data_dir`.
    pub(super) fn read(root: &Path, data_dir: &Path) -> Self {
        let space = statvfs(data_dir).ok();
        Self {
            disk_free_bytes: space.map(|it| it.f_bavail.saturating_mul(it.f_frsize)),
            battery: battery(&root.join("sys/class/power_supply")),
            temperature_celsius: temperature(&root.join("sys/class")),
            gpus: gpu::find(root).into_iter().map(describe).collect(),
        }
    }

    /// Puts them into a sample.
    pub(super) fn fill(&self, sample: &mut ResourceStatus) {
        sample.disk_free_bytes = self.disk_free_bytes;
        sample.battery_charge = self.battery.map(|battery| battery.charge);
        sample.on_battery = self.battery.is_some_and(|battery| battery.discharges);
        sample.temperature_celsius = self.temperature_celsius;
        sample.gpus.clone_from(&self.gpus);
    }
}

/// The batteries in a folder as `/sys/class/power_supply`. That of a mouse is none of the machine's.
fn battery(folder: &Path) -> Option<Battery> {
    let is = |supply: &Path, file: &str, word: &str| {
        read::<String>(&supply.join(file)).is_some_and(|text| text == word)
    };
    let mut batteries = entries(folder);
    batteries.retain(|it| is(it, "type", "Battery") && !is(it, "scope", "Device"));
    let charges: Vec<f64> =
        batteries.iter().filter_map(|it| read::<f64>(&it.join("capacity"))).collect();
    let count = u32::try_from(charges.len()).ok().filter(|count| *count > 0)?;
    let charge = charges.iter().sum::<f64>() / f64::from(count) / 100.0;
    let discharges = batteries.iter().any(|it| is(it, "status", "Discharging"));
    Some(Battery { charge: charge.clamp(0.0, 1.0), discharges })
}

/// Of the hottest sensor in a folder as `/sys/class`.
fn temperature(classes: &Path) -> Option<f64> {
    let zones = entries(&classes.join("thermal"));
    let zones = zones.into_iter().filter(|it| is_named(it, "thermal_zone", ""));
    let known = |chip: &PathBuf| {
        read::<String>(&chip.join("name")).is_some_and(|name| CHIPS.contains(&name.as_str()))
    };
    let chips = entries(&classes.join("hwmon")).into_iter().filter(known);
    let inputs = chips.flat_map(|chip| entries(&chip));
    let inputs = inputs.filter(|it| is_named(it, "temp", "_input"));
    zones
        .map(|zone| zone.join("temp"))
        .chain(inputs)
        .filter_map(|file| read::<f64>(&file))
        .map(|thousandths| thousandths / 1000.0)
        .filter(|celsius| PLAUSIBLE.contains(celsius))
        .max_by(f64::total_cmp)
}

fn describe(gpu: Gpu) -> GpuStatus {
    GpuStatus {
        name: gpu.name.unwrap_or_else(|| gpu.vendor.to_string()),
        memory_total_bytes: gpu.memory_bytes.unwrap_or_default(),
        memory_used_bytes: gpu.memory_used_bytes.unwrap_or_default(),
        used: gpu.busy_percent.map(|percent| f64::from(percent) / 100.0),
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn is_named(path: &Path, begin: &str, end: &str) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(begin) && name.ends_with(end))
}

fn read<T: FromStr>(file: &Path) -> Option<T> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// A machine whose files say this.
    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
        root
    }

    fn sampled(files: &[(&str, &str)]) -> ResourceStatus {
        let root = machine(files);
        let mut sample = ResourceStatus::default();
        Sensors::read(root.path(), root.path()).fill(&mut sample);
        sample
    }

    #[test]
    fn a_machine_without_sensors_leaves_them_unset() {
        let sample = sampled(&[]);
        assert!(sample.disk_free_bytes.is_some_and(|bytes| bytes > 0));
        assert_eq!(ResourceStatus { disk_free_bytes: None, ..sample }, ResourceStatus::default());
        assert_eq!(Sensors::read(Path::new("/"), Path::new("/nowhere")).disk_free_bytes, None);
    }

    #[test]
    fn the_batteries_of_a_laptop_count_together_and_that_of_a_mouse_does_not() {
        let supply = "sys/class/power_supply";
        let sample = sampled(&[
            (&format!("{supply}/AC/type"), "Mains"),
            (&format!("{supply}/BAT0/type"), "Battery"),
            (&format!("{supply}/BAT0/capacity"), "80"),
            (&format!("{supply}/BAT0/status"), "Discharging"),
            (&format!("{supply}/BAT1/type"), "Battery"),
            (&format!("{supply}/BAT1/capacity"), "20"),
            (&format!("{supply}/BAT1/status"), "Not charging"),
            (&format!("{supply}/hid-mouse/type"), "Battery"),
            (&format!("{supply}/hid-mouse/scope"), "Device"),
            (&format!("{supply}/hid-mouse/capacity"), "1"),
        ]);
        assert_eq!((sample.battery_charge, sample.on_battery), (Some(0.5), true));
    }

    #[test]
    fn a_battery_that_charges_is_not_what_the_machine_runs_on() {
        let sample = sampled(&[
            ("sys/class/power_supply/BAT0/type", "Battery"),
            ("sys/class/power_supply/BAT0/capacity", "7"),
            ("sys/class/power_supply/BAT0/status", "Charging"),
        ]);
        assert_eq!((sample.battery_charge, sample.on_battery), (Some(0.07), false));
    }

    #[test]
    fn the_hottest_sensor_that_works_counts() {
        let sample = sampled(&[
            ("sys/class/thermal/thermal_zone0/temp", "41000"),
            ("sys/class/thermal/thermal_zone1/temp", "-274000"),
            ("sys/class/thermal/cooling_device0/temp", "99000"),
            ("sys/class/hwmon/hwmon0/name", "coretemp"),
            ("sys/class/hwmon/hwmon0/temp1_input", "66500"),
            ("sys/class/hwmon/hwmon0/temp1_max", "110000"),
            ("sys/class/hwmon/hwmon1/name", "k10temp"),
            ("sys/class/hwmon/hwmon1/temp2_input", "255000"),
            ("sys/class/hwmon/hwmon1/temp3_input", "not a number"),
            ("sys/class/hwmon/hwmon2/name", "nct6775"),
            ("sys/class/hwmon/hwmon2/temp3_input", "127000"),
            ("sys/class/hwmon/hwmon3/temp1_input", "99000"),
        ]);
        assert_eq!(sample.temperature_celsius, Some(66.5));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_graphics_processor_tells_memory_and_use() {
        let card = "sys/class/drm/card0/device";
        let sample = sampled(&[
            (&format!("{card}/vendor"), "0x1002"),
            (&format!("{card}/mem_info_vram_total"), "1000"),
            (&format!("{card}/mem_info_vram_used"), "400"),
            (&format!("{card}/gpu_busy_percent"), "25"),
        ]);
        let expected = GpuStatus {
            name: "AMD".to_owned(),
            memory_total_bytes: 1000,
            memory_used_bytes: 400,
            used: Some(0.25),
        };
        assert_eq!(sample.gpus, [expected]);
    }
}
