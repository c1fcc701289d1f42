//! From what on the machine is pressed, and what is given up then.

use std::time::Duration;

/// How hard the machine is pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Degree {
    /// Noticeable.
    Moderate,
    /// Programs wait for each other.
    High,
    /// Little is left.
    Critical,
    /// Next to nothing is left.
    Extreme,
}

impl Degree {
    /// All of them, the least first.
    pub const ALL: [Self; 4] = [Self::Moderate, Self::High, Self::Critical, Self::Extreme];

    /// As it is written in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Moderate => "moderate",
            Self::High => "high",
            Self::Critical => "critical",
            Self::Extreme => "extreme",
        }
    }
}

/// The value of one signal at which each degree begins, in the order of [`Degree::ALL`].
pub type Thresholds = [f64; 4];

/// At which values of its sensors the machine counts as pressed. The worst one decides.
#[derive(Debug, Clone, PartialEq)]
pub struct PressureThresholds {
    /// Share of the memory that is available, below which a degree begins; 0 is never.
    pub memory_available: Thresholds,
    /// Share of the last 10 seconds in which some task waited for memory, above which a degree begins;
    /// 1 is never.
    pub memory_stalled: Thresholds,
    /// The same for disks.
    pub io_stalled: Thresholds,
    /// The same for processors. Engines keep them busy and harm nobody beyond slowness.
    pub cpu_stalled: Thresholds,
    /// Degrees Celsius of the hottest sensor, above which a degree begins; 200 is never.
    pub temperature_celsius: Thresholds,
    /// Charge of the battery that the machine runs on, below which a degree begins; 0 is never.
    pub battery_charge: Thresholds,
}

impl PressureThresholds {
    /// A temperature that no sensor tells.
    pub const CELSIUS_MAX: f64 = 200.0;
}

impl Default for PressureThresholds {
    fn default() -> Self {
        let never = Self::CELSIUS_MAX;
        Self {
            memory_available: [0.20, 0.10, 0.05, 0.025],
            memory_stalled: [0.05, 0.20, 0.50, 0.80],
            io_stalled: [0.30, 0.70, 1.0, 1.0],
            cpu_stalled: [0.60, 1.0, 1.0, 1.0],
            // Laptops that compute reach 95 and slow down by themselves at 100.
            temperature_celsius: [97.0, 103.0, never, never],
            battery_charge: [0.20, 0.10, 0.0, 0.0],
        }
    }
}

/// What is given up, and from which degree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder {
    /// The degree from which each of [`Ladder::KEYS`] is in effect; `None` is never. None begins at a
    /// lower degree than one before it.
    pub rungs: [Option<Degree>; Self::KEYS.len()],
    /// Shortest time between two moves, down or up.
    pub dwell: Duration,
    /// How long the machine must have been calmer before the first move up.
    pub calm: Duration,
}

impl Ladder {
    /// Keys of the rungs in the settings. Each gives up more than the one before it.
    pub const KEYS: [&'static str; 7] = [
        "fewer_threads",
        "smaller_batch",
        "shorter_context",
        "quantized_kv",
        "smaller_model",
        "remote",
        "template",
    ];
}

impl Default for Ladder {
    fn default() -> Self {
        Self {
            rungs: [
                Some(Degree::Moderate),
                Some(Degree::High),
                Some(Degree::High),
                Some(Degree::High),
                Some(Degree::High),
                Some(Degree::Critical),
                Some(Degree::Extreme),
            ],
            dwell: Duration::from_secs(5),
            calm: Duration::from_secs(30),
        }
    }
}
