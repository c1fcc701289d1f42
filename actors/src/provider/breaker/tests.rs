#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "random numbers are small"
)]
use super::*;

const SECOND: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_secs(30);
/// No jitter.
const EVEN: f64 = 0.5;

struct Bench {
    breaker: Breaker,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { breaker: Breaker::new(PAUSE), now: Instant::now() }
    }

    /// One request from beginning to end. False when it is not admitted.
    fn request(&mut self, outcome: &Outcome) -> bool {
        let Ok(pass) = self.breaker.admit(self.now) else { return false };
        self.breaker.settle(pass, outcome, self.now, EVEN);
        true
    }

    fn fails(&mut self, times: u32) {
        for _ in 0..times {
            assert!(self.request(&Outcome::Failed(None)));
        }
    }

    fn refusal(&self) -> Option<(Cause, Duration)> {
        let refusal = self.breaker.refusal(self.now)?;
        Some((refusal.cause, refusal.until - self.now))
    }
}

#[test]
fn five_failures_in_a_row_open_it_and_a_success_between_them_does_not() {
    let mut bench = Bench::new();
    bench.fails(4);
    assert!(bench.request(&Outcome::Answered));
    bench.fails(4);
    assert_eq!(bench.refusal(), None);
    bench.fails(1);
    assert_eq!(bench.refusal(), Some((Cause::Failing, PAUSE)));
    assert_eq!(bench.breaker.open().unwrap().why, "5 failures in a row");
    assert!(!bench.request(&Outcome::Answered));
}

#[test]
fn half_of_ten_requests_failing_within_the_window_opens_it() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        bench.fails(1);
        assert!(bench.request(&Outcome::Answered));
    }
    bench.fails(1);
    assert_eq!(bench.refusal(), None, "nine requests say too little");
    assert!(bench.request(&Outcome::Answered));
    assert_eq!(bench.refusal(), None, "only a failure opens it");
    bench.fails(1);
    assert_eq!(bench.breaker.open().unwrap().why, "6 of 11 requests failed within 30 s");

    let mut bench = Bench::new();
    for _ in 0..20 {
        bench.now += 4 * SECOND;
        bench.fails(1);
        assert!(bench.request(&Outcome::Answered));
        bench.now += 4 * SECOND;
        assert_eq!(bench.refusal(), None, "old failures are forgotten");
    }
}

#[test]
fn after_the_pause_one_request_finds_out_and_others_wait_for_it() {
    let mut bench = Bench::new();
    bench.fails(5);
    bench.now += PAUSE;
    let probe = bench.breaker.admit(bench.now).unwrap();
    assert!(bench.breaker.admit(bench.now).unwrap_err().probing);
    bench.breaker.settle(probe, &Outcome::Answered, bench.now, EVEN);
    assert_eq!(bench.breaker.open(), None);
    bench.fails(4);
    assert_eq!(bench.refusal(), None, "it starts anew");
}

#[test]
fn each_failed_probe_doubles_the_pause_up_to_ten_times_the_first() {
    let mut bench = Bench::new();
    bench.fails(5);
    for seconds in [30, 60, 120, 240, 300, 300] {
        assert_eq!(bench.refusal(), Some((Cause::Failing, seconds * SECOND)));
        bench.now += (seconds - 1) * SECOND;
        assert!(!bench.request(&Outcome::Answered));
        bench.now += SECOND;
        bench.fails(1);
    }
    bench.now += 300 * SECOND;
    assert!(bench.request(&Outcome::Answered));
    bench.fails(5);
    assert_eq!(bench.refusal(), Some((Cause::Failing, PAUSE)), "a success resets the pause");
}

#[test]
fn the_pause_varies_by_a_fifth() {
    for (random, seconds) in [(0.0, 24), (EVEN, 30), (0.999_999, 36)] {
        let mut breaker = Breaker::new(PAUSE);
        let now = Instant::now();
        for _ in 0..FAILURES_IN_A_ROW {
            let pass = breaker.admit(now).unwrap();
            breaker.settle(pass, &Outcome::Failed(None), now, random);
        }
        let pause = breaker.refusal(now).unwrap().until - now;
        assert_eq!((pause + SECOND / 2).as_secs(), seconds);
    }
}

#[test]
fn a_refused_key_opens_it_at_once_with_its_own_cause() {
    let mut bench = Bench::new();
    assert!(bench.request(&Outcome::KeyRefused));
    assert_eq!(bench.refusal(), Some((Cause::KeyRefused, PAUSE)));
    bench.now += PAUSE;
    assert!(bench.request(&Outcome::KeyRefused));
    assert_eq!(bench.refusal(), Some((Cause::KeyRefused, 2 * PAUSE)));
}

#[test]
fn a_used_up_quota_is_a_state_with_an_end() {
    let mut bench = Bench::new();
    assert!(bench.request(&Outcome::Exhausted(3600 * SECOND)));
    assert_eq!(bench.refusal(), Some((Cause::Exhausted, 3600 * SECOND)));
    bench.now += 3600 * SECOND;
    assert_eq!(bench.refusal(), None);
    assert!(bench.request(&Outcome::Answered));
    assert_eq!(bench.breaker.open(), None);
}

#[test]
fn an_api_that_asks_for_a_long_rest_gets_it_and_a_short_one_opens_nothing() {
    let mut bench = Bench::new();
    assert!(bench.request(&Outcome::Failed(Some(REST_MAX))));
    assert_eq!(bench.refusal(), None);
    assert!(bench.request(&Outcome::Failed(Some(600 * SECOND))));
    assert_eq!(bench.refusal(), Some((Cause::Failing, 600 * SECOND)));
    assert_eq!(bench.breaker.open().unwrap().why, "it asked for 600 s of rest");
}

#[test]
fn a_probe_that_says_nothing_leaves_its_place_to_the_next_one() {
    let mut bench = Bench::new();
    bench.fails(5);
    bench.now += PAUSE;
    assert!(bench.request(&Outcome::Unknown));
    assert!(bench.request(&Outcome::Answered));
    assert_eq!(bench.breaker.open(), None);
}

#[test]
fn what_was_admitted_before_it_opened_changes_nothing() {
    let mut bench = Bench::new();
    let [early, late] = [0, 1].map(|_| bench.breaker.admit(bench.now).unwrap());
    bench.fails(5);
    bench.breaker.settle(early, &Outcome::Answered, bench.now, EVEN);
    assert_eq!(bench.refusal(), Some((Cause::Failing, PAUSE)));
    bench.now += PAUSE;
    let probe = bench.breaker.admit(bench.now).unwrap();
    bench.breaker.settle(late, &Outcome::Failed(None), bench.now, EVEN);
    assert!(bench.breaker.open().unwrap().probing, "the probe is still out");
    bench.breaker.settle(probe, &Outcome::Answered, bench.now, EVEN);
    assert_eq!(bench.breaker.open(), None);
}

/// Whatever happens in whatever order: it never lets more than one probe through, every refusal
/// has an end within ten pauses or the rest that was asked for, and it closes once all is well.
#[test]
fn every_sequence_of_outcomes_ends_with_a_closed_breaker_once_the_api_is_well() {
    let outcomes = [
        Outcome::Answered,
        Outcome::Failed(None),
        Outcome::Failed(Some(100 * SECOND)),
        Outcome::KeyRefused,
        Outcome::Exhausted(200 * SECOND),
        Outcome::Unknown,
    ];
    for seed in 0..500_u64 {
        let mut random = fractions(seed);
        let mut bench = Bench::new();
        let mut passes = Vec::new();
        for _ in 0..200 {
            let pick = |below: usize, random: f64| (random * below as f64) as usize;
            match pick(3, random()) {
                0 => {
                    let probes = bench.breaker.open().is_some();
                    if let Ok(pass) = bench.breaker.admit(bench.now) {
                        if probes {
                            assert!(bench.breaker.admit(bench.now).is_err(), "seed {seed}");
                        }
                        passes.push(pass);
                    }
                }
                1 if !passes.is_empty() => {
                    let pass = passes.swap_remove(pick(passes.len(), random()));
                    let outcome = &outcomes[pick(outcomes.len(), random())];
                    bench.breaker.settle(pass, outcome, bench.now, random());
                }
                _ => bench.now += SECOND.mul_f64(random() * 60.0),
            }
            if let Some(open) = bench.breaker.open() {
                assert!(open.until <= bench.now + 360 * SECOND, "seed {seed}");
            }
        }
        for pass in passes.drain(..) {
            bench.breaker.settle(pass, &Outcome::Unknown, bench.now, EVEN);
        }
        bench.now += 360 * SECOND;
        assert!(bench.request(&Outcome::Answered), "seed {seed}");
        assert_eq!(bench.breaker.open(), None, "seed {seed}");
    }
}

/// Numbers from 0 up to 1 (`SplitMix64`).
fn fractions(mut state: u64) -> impl FnMut() -> f64 {
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
