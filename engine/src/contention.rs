//! How busy other programs keep the machine, and how the engine computes beside them.
//!
//! A graph is a chain of small parts, and at the end of each all threads wait for the slowest. When
//! one of them has to share its core, all others wait for it: two threads on two busy cores are
//! slower than one. So the engine leaves to others the cores that they use, down to half of them.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::llama::Patience;

/// Time between two looks: short enough to give way within half a second.
const PERIOD: Duration = Duration::from_millis(200);

/// Cores that others may use beside all threads. The daemon and its client take some of a core
/// themselves while an answer streams.
const TOLERATED: f64 = 0.35;

/// Calm looks in a row before threads come back, so that a program that works in bursts does not
/// meet them each time.
const CALM_LOOKS: u32 = 5;

/// How to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// Threads.
    pub threads: u32,
    /// How they wait for each other.
    pub patience: Patience,
}

/// Watches the machine between steps.
#[derive(Debug)]
pub struct Contention {
    cores: u32,
    /// Threads on a calm machine.
    threads: u32,
    last: Option<Sample>,
    looked: Instant,
    calm: u32,
    manner: Manner,
}

/// Processor time since the machine and the process started.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sample {
    /// In ticks of all cores.
    busy: u64,
    idle: u64,
    /// Of `busy`, what this process used.
    own: u64,
}

impl Contention {
    /// Watches for an engine that computes with `threads` on a calm machine.
    pub fn new(threads: u32, now: Instant) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let cores = u32::try_from(cores).unwrap_or(u32::MAX);
        let manner = Manner { threads, patience: Patience::Spin };
        Self { cores, threads, last: Sample::take(), looked: now, calm: 0, manner }
    }

    /// Takes no more than `threads` from now on, however calm the machine is. How to compute until the
    /// next look.
    pub fn limit(&mut self, threads: u32) -> Manner {
        // More than there were come at once, too: the next look takes back what others need.
        self.manner.threads =
            if threads > self.threads { threads } else { threads.min(self.manner.threads) };
        self.threads = threads;
        self.manner
    }

    /// How to compute from now on, if it is time to look and that has changed.
    pub fn look(&mut self, now: Instant) -> Option<Manner> {
        if now.saturating_duration_since(self.looked) < PERIOD {
            return None;
        }
        self.looked = now;
        let sample = Sample::take()?;
        let last = self.last.replace(sample)?;
        let manner = self.judge(sample.others_since(last, self.cores)?);
        (manner != std::mem::replace(&mut self.manner, manner)).then_some(manner)
    }

    /// What to do when others use so many cores.
    fn judge(&mut self, others: f64) -> Manner {
        let free = (f64::from(self.cores) - others + TOLERATED).max(0.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to cores")]
        let free = free as u32;
        let fair = self.cores.div_ceil(2).min(self.threads);
        let threads = free.clamp(fair, self.threads);
        let patience = if threads > free { Patience::Sleep } else { Patience::Spin };
        let wakes = patience == Patience::Spin && self.manner.patience == Patience::Sleep;
        let calmer = threads > self.manner.threads || (threads == self.manner.threads && wakes);
        self.calm = if calmer { self.calm + 1 } else { 0 };
        if calmer && self.calm < CALM_LOOKS {
            return self.manner;
        }
        Manner { threads, patience }
    }
}

impl Sample {
    /// `None` where the system has no such files.
    fn take() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/stat").ok()?;
        Self::parse(&fs::read_to_string("/proc/stat").ok()?, &own)
    }

    fn parse(machine: &str, own: &str) -> Option<Self> {
        let line = machine.lines().find(|line| line.starts_with("cpu "))?;
        let ticks: Vec<u64> =
            line.split_ascii_whitespace().skip(1).map_while(|n| n.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; guest time is part of user.
        let &[user, nice, system, idle, iowait, irq, softirq, ..] = ticks.as_slice() else {
            return None;
        };
        // The name may hold spaces and parentheses. Fields count from 1, the state is the third;
        // 14 and 15 are the times in user and system mode, 19 is how nice it is.
        let (_, fields) = own.rsplit_once(')')?;
        let fields: Vec<i64> =
            fields.split_ascii_whitespace().skip(1).map_while(|n| n.parse().ok()).collect();
        let field = |number: usize| fields.get(number - 4).copied();
        let own = u64::try_from(field(14)? + field(15)?).ok()?;
        // Niced work gives way by itself, but not to an engine that is niced, too.
        let gives_way = field(19)? <= 0;
        let (busy, idle) = (user + system + irq + softirq, idle + iowait);
        let (busy, idle) = if gives_way { (busy, idle + nice) } else { (busy + nice, idle) };
        Some(Self { busy, idle, own })
    }

    /// Cores that other programs used on average. `None` if too little time has passed to say.
    fn others_since(self, earlier: Self, cores: u32) -> Option<f64> {
        let busy = self.busy.checked_sub(earlier.busy)?;
        let idle = self.idle.saturating_sub(earlier.idle);
        let own = self.own.checked_sub(earlier.own)?;
        let total = busy + idle;
        #[allow(clippy::cast_precision_loss, reason = "ticks of some seconds")]
        let share = busy.saturating_sub(own) as f64 / total as f64;
        (total > 0).then_some(share * f64::from(cores))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn watch(cores: u32, threads: u32) -> Contention {
        let manner = Manner { threads, patience: Patience::Spin };
        Contention { cores, threads, last: None, looked: Instant::now(), calm: 0, manner }
    }

    /// What a look leads to.
    fn judge(contention: &mut Contention, others: f64) -> (u32, Patience) {
        contention.manner = contention.judge(others);
        (contention.manner.threads, contention.manner.patience)
    }

    #[test]
    fn threads_give_way_at_once_and_come_back_when_it_stays_calm() {
        let mut contention = watch(2, 2);
        assert_eq!(judge(&mut contention, 0.1), (2, Patience::Spin));
        assert_eq!(judge(&mut contention, 0.9), (1, Patience::Spin));
        for _ in 1..CALM_LOOKS {
            assert_eq!(judge(&mut contention, 0.1), (1, Patience::Spin));
        }
        assert_eq!(judge(&mut contention, 0.1), (2, Patience::Spin));
    }

    #[test]
    fn a_burst_keeps_threads_away() {
        let mut contention = watch(2, 2);
        for look in 0..50 {
            let others = if look % 4 == 0 { 1.0 } else { 0.0 };
            assert_eq!(judge(&mut contention, others).0, 1);
        }
    }

    #[test]
    fn spare_cores_are_for_others() {
        assert_eq!(judge(&mut watch(8, 4), 4.1), (4, Patience::Spin));
        assert_eq!(judge(&mut watch(8, 8), 3.0), (5, Patience::Spin));
    }

    #[test]
    fn half_of_the_cores_is_fair_but_then_threads_sleep_while_they_wait() {
        let mut contention = watch(8, 8);
        assert_eq!(judge(&mut contention, 6.0), (4, Patience::Sleep));
        assert_eq!(judge(&mut contention, 7.0), (4, Patience::Sleep));
        for _ in 1..CALM_LOOKS {
            assert_eq!(judge(&mut contention, 0.0), (4, Patience::Sleep));
        }
        assert_eq!(judge(&mut contention, 0.0), (8, Patience::Spin));
    }

    #[test]
    fn a_limit_holds_however_calm_it_is_until_it_is_lifted() {
        let mut contention = watch(8, 8);
        assert_eq!(contention.limit(3).threads, 3);
        for _ in 0..2 * CALM_LOOKS {
            assert_eq!(judge(&mut contention, 0.0), (3, Patience::Spin));
        }
        assert_eq!(judge(&mut contention, 7.0), (3, Patience::Sleep));
        assert_eq!(contention.limit(8).threads, 8);
        assert_eq!(judge(&mut contention, 3.0).0, 5);
        assert_eq!(contention.limit(6).threads, 5, "others have the rest");
    }

    #[test]
    fn what_others_use_is_what_is_busy_less_the_own_part() {
        let own = |ticks: u64| format!("7 (a) name) R 1 7 7 0 -1 0 0 0 0 0 {ticks} 10 0 0 20 0 9");
        let machine = |user, idle| format!("cpu  {user} 500 50 {idle} 0 0 0 9 0 0\ncpu0 1 1 1\n");
        let earlier = Sample::parse(&machine(100, 1000), &own(40)).unwrap();
        assert_eq!(earlier, Sample { busy: 150, idle: 1500, own: 50 });
        let later = Sample::parse(&machine(160, 1040), &own(70)).unwrap();
        let others = later.others_since(earlier, 4).unwrap();
        assert!((others - 1.2).abs() < 1e-9, "{others}");
        assert_eq!(earlier.others_since(earlier, 4), None, "no time has passed");
    }

    #[test]
    fn niced_work_counts_for_a_niced_engine() {
        let own = "7 (name) R 1 7 7 0 -1 0 0 0 0 0 40 10 0 0 25 5 9";
        let sample = Sample::parse("cpu  100 500 50 1000 0 0 0 9 0 0\n", own).unwrap();
        assert_eq!(sample, Sample { busy: 650, idle: 1000, own: 50 });
    }

    #[test]
    fn files_of_another_form_are_no_sample() {
        assert_eq!(Sample::parse("cpu  1 2 3\n", "7 (a) R 1"), None);
        assert_eq!(Sample::parse("", ""), None);
    }
}
