//! How hard the machine is pressed, and by what.
//!
//! A degree is entered at its threshold and left when the value is better by a margin, so that a
//! value at a threshold does not flicker. The worst signal decides.

use tandem_config::{Degree, PressureThresholds, Thresholds};
use tandem_proto::v1::{Pressure, ResourceStatus};

/// How much better than its threshold a value must be for a degree to be left.
const MARGIN: f64 = 1.25;
/// The same for degrees Celsius, which do not begin at nothing.
const MARGIN_CELSIUS: f64 = 1.05;

/// The degree of pressure; `None` is calm.
pub(super) type Level = Option<Degree>;

/// The level after `current`, given a sample.
pub(super) fn next(
    current: Level,
    sample: &ResourceStatus,
    thresholds: &PressureThresholds,
) -> Level {
    let worst = |eased| signals(sample, thresholds).iter().filter_map(|it| it.level(eased)).max();
    current.clamp(worst(false), worst(true))
}

/// What holds the machine at `level`, each a sentence for a person. None when it is calm.
pub(super) fn reasons(
    level: Level,
    sample: &ResourceStatus,
    thresholds: &PressureThresholds,
) -> Vec<String> {
    let Some(degree) = level else { return Vec::new() };
    let signals = signals(sample, thresholds);
    signals.iter().filter(|it| it.level(true) >= level).map(|it| it.sentence(degree)).collect()
}

/// The level in the words of the protocol.
pub(super) fn word(level: Level) -> Pressure {
    match level {
        None => Pressure::Low,
        Some(Degree::Moderate) => Pressure::Moderate,
        Some(Degree::High) => Pressure::High,
        Some(Degree::Critical | Degree::Extreme) => Pressure::Critical,
    }
}

/// One value of a sample, and from where on it is bad.
struct Signal {
    value: f64,
    thresholds: Thresholds,
    kind: Kind,
}

enum Kind {
    /// Share of so many MiB.
    Memory {
        available: u64,
        total: u64,
    },
    /// Share of time in which tasks waited for this.
    Stalled(&'static str),
    Temperature,
    Battery,
}

/// What the sample tells; what the machine does not say is no signal.
fn signals(sample: &ResourceStatus, thresholds: &PressureThresholds) -> Vec<Signal> {
    let stalled = |value: Option<f64>, thresholds, what| {
        Some(Signal { value: value?, thresholds, kind: Kind::Stalled(what) })
    };
    let battery = sample.battery_charge.filter(|_| sample.on_battery);
    let signals = [
        memory(sample, thresholds.memory_available),
        stalled(sample.memory_stalled, thresholds.memory_stalled, "memory"),
        stalled(sample.io_stalled, thresholds.io_stalled, "disks"),
        stalled(sample.cpu_stalled, thresholds.cpu_stalled, "a processor"),
        sample.temperature_celsius.map(|value| Signal {
            value,
            thresholds: thresholds.temperature_celsius,
            kind: Kind::Temperature,
        }),
        battery.map(|value| Signal {
            value,
            thresholds: thresholds.battery_charge,
            kind: Kind::Battery,
        }),
    ];
    signals.into_iter().flatten().collect()
}

fn memory(sample: &ResourceStatus, thresholds: Thresholds) -> Option<Signal> {
    let mib = |bytes: u64| bytes >> 20;
    let (total, available) = (mib(sample.memory_total_bytes), mib(sample.memory_available_bytes));
    // Shares need no more precision than this keeps.
    let number = |mib: u64| f64::from(u32::try_from(mib).unwrap_or(u32::MAX));
    (total > 0).then(|| Signal {
        value: number(available) / number(total),
        thresholds,
        kind: Kind::Memory { available, total },
    })
}

impl Signal {
    /// The degree that the value reaches, or with thresholds `eased`, the one it has not left.
    fn level(&self, eased: bool) -> Level {
        Degree::ALL.into_iter().filter(|degree| self.is_past(self.threshold(*degree, eased))).max()
    }

    fn is_past(&self, threshold: f64) -> bool {
        if self.is_scarcity() { self.value < threshold } else { self.value > threshold }
    }

    fn threshold(&self, degree: Degree, eased: bool) -> f64 {
        let [moderate, high, critical, extreme] = self.thresholds;
        let threshold = match degree {
            Degree::Moderate => moderate,
            Degree::High => high,
            Degree::Critical => critical,
            Degree::Extreme => extreme,
        };
        match self.kind {
            _ if !eased => threshold,
            Kind::Memory { .. } | Kind::Battery => threshold * MARGIN,
            // What is said never to be reached is not reached by easing it.
            Kind::Stalled(_) if threshold >= 1.0 => threshold,
            Kind::Stalled(_) => threshold / MARGIN,
            Kind::Temperature if threshold >= PressureThresholds::CELSIUS_MAX => threshold,
            Kind::Temperature => threshold / MARGIN_CELSIUS,
        }
    }

    /// Less is worse.
    fn is_scarcity(&self) -> bool {
        matches!(self.kind, Kind::Memory { .. } | Kind::Battery)
    }

    fn sentence(&self, degree: Degree) -> String {
        let entered = self.threshold(degree, false);
        // A degree that is held until the value is better says by what.
        let bound = if self.is_past(entered) { entered } else { self.threshold(degree, true) };
        match self.kind {
            Kind::Memory { available, total } => format!(
                "{available} MiB of {total} MiB memory are available (less than {})",
                percent(bound)
            ),
            Kind::Stalled(what) => format!(
                "programs waited for {what} in {} of the last 10 s (more than {})",
                percent(self.value),
                percent(bound)
            ),
            Kind::Temperature => {
                format!("the hottest sensor is at {:.0} °C (more than {bound:.0} °C)", self.value)
            }
            Kind::Battery => format!(
                "the machine runs on its battery, which is at {} (less than {})",
                percent(self.value),
                percent(bound)
            ),
        }
    }
}

/// `12.5 %`, without a fraction where there is none.
fn percent(share: f64) -> String {
    format!("{} %", (share * 1000.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of 100 GiB with so many of them available.
    fn available(gib: u64) -> ResourceStatus {
        ResourceStatus {
            memory_total_bytes: 100 << 30,
            memory_available_bytes: gib << 30,
            ..ResourceStatus::default()
        }
    }

    fn stalled(cpu: f64, memory: f64, io: f64) -> ResourceStatus {
        ResourceStatus {
            cpu_stalled: Some(cpu),
            memory_stalled: Some(memory),
            io_stalled: Some(io),
            ..available(90)
        }
    }

    fn after(current: Level, sample: &ResourceStatus) -> Level {
        next(current, sample, &PressureThresholds::default())
    }

    fn first(sample: &ResourceStatus) -> Level {
        after(None, sample)
    }

    #[test]
    fn each_value_has_its_thresholds() {
        assert_eq!(first(&available(20)), None);
        assert_eq!(first(&available(19)), Some(Degree::Moderate));
        assert_eq!(first(&available(9)), Some(Degree::High));
        assert_eq!(first(&available(4)), Some(Degree::Critical));
        assert_eq!(first(&available(2)), Some(Degree::Extreme));
        assert_eq!(first(&stalled(0.0, 0.0, 0.0)), None);
        assert_eq!(first(&stalled(1.0, 0.0, 0.0)), Some(Degree::Moderate));
        assert_eq!(first(&stalled(0.0, 0.06, 0.0)), Some(Degree::Moderate));
        assert_eq!(first(&stalled(0.0, 0.6, 0.0)), Some(Degree::Critical));
        assert_eq!(first(&stalled(0.0, 0.0, 1.0)), Some(Degree::High));
    }

    #[test]
    fn heat_counts_and_a_low_battery_only_where_the_machine_runs_on_it() {
        let hot = |celsius| ResourceStatus { temperature_celsius: Some(celsius), ..available(90) };
        assert_eq!(first(&hot(95.0)), None);
        assert_eq!(first(&hot(98.0)), Some(Degree::Moderate));
        assert_eq!(first(&hot(104.0)), Some(Degree::High));
        assert_eq!(after(Some(Degree::Moderate), &hot(93.0)), Some(Degree::Moderate));
        assert_eq!(after(Some(Degree::Moderate), &hot(92.0)), None);
        let battery = |charge, on_battery| ResourceStatus {
            battery_charge: Some(charge),
            on_battery,
            ..available(90)
        };
        assert_eq!(first(&battery(0.05, false)), None);
        assert_eq!(first(&battery(0.15, true)), Some(Degree::Moderate));
        assert_eq!(first(&battery(0.05, true)), Some(Degree::High));
        assert_eq!(after(Some(Degree::High), &battery(0.05, false)), None);
    }

    #[test]
    fn the_worst_value_decides_and_is_the_reason() {
        let sample = ResourceStatus { memory_stalled: Some(0.25), ..available(19) };
        let level = after(None, &sample);
        assert_eq!(level, Some(Degree::High));
        assert_eq!(
            reasons(level, &sample, &PressureThresholds::default()),
            ["programs waited for memory in 25 % of the last 10 s (more than 20 %)"]
        );
    }

    #[test]
    fn reasons_are_sentences_with_the_value_and_the_bound() {
        let thresholds = PressureThresholds::default();
        let sample = ResourceStatus {
            memory_total_bytes: 4096 << 20,
            memory_available_bytes: 312 << 20,
            temperature_celsius: Some(103.6),
            battery_charge: Some(0.09),
            on_battery: true,
            ..ResourceStatus::default()
        };
        assert_eq!(
            reasons(Some(Degree::High), &sample, &thresholds),
            [
                "312 MiB of 4096 MiB memory are available (less than 10 %)",
                "the hottest sensor is at 104 °C (more than 103 °C)",
                "the machine runs on its battery, which is at 9 % (less than 10 %)",
            ]
        );
        let held = ResourceStatus { memory_available_bytes: 500 << 20, ..sample };
        let held = &reasons(Some(Degree::High), &held, &thresholds)[0];
        assert_eq!(held, "500 MiB of 4096 MiB memory are available (less than 12.5 %)");
        assert_eq!(reasons(None, &available(1), &thresholds), [""; 0]);
    }

    #[test]
    fn a_value_at_a_threshold_does_not_flicker() {
        let mut level = None;
        let mut changes = 0;
        for gib in [21, 19, 21, 19, 22, 24, 19, 21] {
            let after = after(level, &available(gib));
            changes += u32::from(after != level);
            level = after;
        }
        assert_eq!((level, changes), (Some(Degree::Moderate), 1));
        assert_eq!(after(level, &available(26)), None);
    }

    #[test]
    fn relief_skips_degrees_and_so_does_distress() {
        let critical = Some(Degree::Critical);
        assert_eq!(first(&available(1)), Some(Degree::Extreme));
        assert_eq!(after(critical, &available(6)), critical);
        assert_eq!(after(critical, &available(11)), Some(Degree::High));
        assert_eq!(after(critical, &available(80)), None);
    }

    #[test]
    fn what_is_never_to_be_reached_is_not_reached_by_easing_it() {
        let level = Some(Degree::Extreme);
        assert_eq!(after(level, &stalled(1.0, 0.0, 0.0)), Some(Degree::Moderate));
    }

    #[test]
    fn a_machine_that_says_nothing_is_not_pressed() {
        assert_eq!(first(&ResourceStatus::default()), None);
        assert_eq!(word(None), Pressure::Low);
    }
}
