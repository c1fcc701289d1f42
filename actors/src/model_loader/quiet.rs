//! When the machine has nothing better to do than to measure models.

use std::time::Duration;

use tandem_proto::v1::Pressure;

/// How long nobody may have asked anything.
const QUIET: Duration = Duration::from_secs(5);
/// Part of all cores that other programs may use.
const CPU_USED_MAX: f64 = 0.25;

/// What one look sees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Someone asks something, or a model is being loaded for someone.
    pub(super) busy: bool,
    /// Part of all cores in use.
    pub(super) cpu_used: f64,
    pub(super) pressure: Pressure,
}

/// Since when it has been quiet.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    since: Option<Duration>,
}

impl Quiet {
    /// Takes a look into account. Whether it has been quiet for long enough.
    pub(super) fn look(&mut self, look: Look, now: Duration) -> bool {
        let calm = look.cpu_used <= CPU_USED_MAX && look.pressure <= Pressure::Low;
        if look.busy || !calm {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        now.saturating_sub(since) >= QUIET
    }

    /// Someone asks something.
    pub(super) fn disturb(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Look = Look { busy: false, cpu_used: 0.05, pressure: Pressure::Low };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_takes_some_seconds_without_questions_and_load() {
        let mut quiet = Quiet::default();
        assert!(!quiet.look(CALM, seconds(100)));
        assert!(!quiet.look(CALM, seconds(104)));
        assert!(quiet.look(CALM, seconds(105)));
        for noise in [
            Look { busy: true, ..CALM },
            Look { cpu_used: 0.9, ..CALM },
            Look { pressure: Pressure::Moderate, ..CALM },
        ] {
            assert!(!quiet.look(noise, seconds(106)), "{noise:?}");
            assert!(!quiet.look(CALM, seconds(107)), "{noise:?}");
            assert!(quiet.look(CALM, seconds(112)), "{noise:?}");
        }
    }

    #[test]
    fn a_question_between_two_looks_is_not_overlooked() {
        let mut quiet = Quiet::default();
        quiet.look(CALM, seconds(1));
        quiet.disturb();
        assert!(!quiet.look(CALM, seconds(7)));
        assert!(quiet.look(CALM, seconds(12)));
    }
}
