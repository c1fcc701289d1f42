//! How hard the machine is pressed, as one word.
//!
//! |                                | moderate | high    | critical |
//! |--------------------------------|----------|---------|----------|
//! | memory available, of the total | < 20 %   | < 10 %  | < 5 %    |
//! | some task waited for memory    | > 5 %    | > 20 %  | > 50 %   |
//! | some task waited for disks     | > 30 %   | > 70 %  |          |
//! | some task waited for a CPU     | > 60 %   |         |          |
//!
//! A level is entered at its threshold and left when the value is better by a quarter, so that a
//! value at a threshold does not flicker. The engines themselves keep all CPUs busy, which harms
//! nobody beyond slowness: that alone is never more than moderate.

use tandem_proto::v1::{Pressure, ResourceStatus};

/// Thresholds of moderate, high and critical.
type Thresholds = [f64; 3];

const MEMORY_AVAILABLE: Thresholds = [0.20, 0.10, 0.05];
const MEMORY_STALLED: Thresholds = [0.05, 0.20, 0.50];
const IO_STALLED: Thresholds = [0.30, 0.70, f64::INFINITY];
const CPU_STALLED: Thresholds = [0.60, f64::INFINITY, f64::INFINITY];
/// How much better than its threshold a value must be for a level to be left.
const LEAVE: f64 = 1.25;

/// The level after `current`, given a sample.
pub(super) fn next(current: Pressure, sample: &ResourceStatus) -> Pressure {
    current.clamp(level(sample, 1.0), level(sample, LEAVE))
}

/// The highest level that some value reaches when thresholds are eased by `margin`.
fn level(sample: &ResourceStatus, margin: f64) -> Pressure {
    let above = |value: Option<f64>, thresholds: Thresholds| {
        let value = value.unwrap_or(0.0);
        thresholds.into_iter().filter(|threshold| value * margin > *threshold).count()
    };
    // Shares need no more precision than this keeps.
    let mib = |bytes: u64| f64::from(u32::try_from(bytes >> 20).unwrap_or(u32::MAX));
    let (total, available) = (mib(sample.memory_total_bytes), mib(sample.memory_available_bytes));
    let scarce = MEMORY_AVAILABLE.into_iter();
    let levels = [
        scarce.filter(|threshold| available < total * threshold * margin).count(),
        above(sample.memory_stalled, MEMORY_STALLED),
        above(sample.io_stalled, IO_STALLED),
        above(sample.cpu_stalled, CPU_STALLED),
    ];
    match levels.into_iter().max() {
        Some(3) => Pressure::Critical,
        Some(2) => Pressure::High,
        Some(1) => Pressure::Moderate,
        _ => Pressure::Low,
    }
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

    #[test]
    fn each_value_has_its_thresholds() {
        let first = |sample| next(Pressure::Unspecified, &sample);
        assert_eq!(first(available(20)), Pressure::Low);
        assert_eq!(first(available(19)), Pressure::Moderate);
        assert_eq!(first(available(9)), Pressure::High);
        assert_eq!(first(available(4)), Pressure::Critical);
        assert_eq!(first(stalled(0.0, 0.0, 0.0)), Pressure::Low);
        assert_eq!(first(stalled(1.0, 0.0, 0.0)), Pressure::Moderate);
        assert_eq!(first(stalled(0.0, 0.06, 0.0)), Pressure::Moderate);
        assert_eq!(first(stalled(0.0, 0.6, 0.0)), Pressure::Critical);
        assert_eq!(first(stalled(0.0, 0.0, 1.0)), Pressure::High);
    }

    #[test]
    fn the_worst_value_decides() {
        let sample = ResourceStatus { memory_stalled: Some(0.25), ..available(19) };
        assert_eq!(next(Pressure::Low, &sample), Pressure::High);
    }

    #[test]
    fn a_value_at_a_threshold_does_not_flicker() {
        let mut level = Pressure::Low;
        let mut changes = 0;
        for gib in [21, 19, 21, 19, 22, 24, 19, 21] {
            let after = next(level, &available(gib));
            changes += u32::from(after != level);
            level = after;
        }
        assert_eq!((level, changes), (Pressure::Moderate, 1));
        assert_eq!(next(level, &available(26)), Pressure::Low);
    }

    #[test]
    fn relief_skips_levels_and_so_does_distress() {
        assert_eq!(next(Pressure::Low, &available(1)), Pressure::Critical);
        assert_eq!(next(Pressure::Critical, &available(6)), Pressure::Critical);
        assert_eq!(next(Pressure::Critical, &available(11)), Pressure::High);
        assert_eq!(next(Pressure::Critical, &available(80)), Pressure::Low);
    }

    #[test]
    fn a_machine_that_says_nothing_is_not_pressed() {
        assert_eq!(next(Pressure::Unspecified, &ResourceStatus::default()), Pressure::Low);
    }
}
