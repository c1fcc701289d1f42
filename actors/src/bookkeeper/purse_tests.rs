//! No sequence of requests, settlements, restarts and new days passes a cap.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use std::collections::BTreeMap;

use jiff::ToSpan as _;

use super::*;

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

fn caps() -> Vec<Cap> {
    let budget = Budget { day: Some(1_000), month: Some(5_000), ..Budget::default() };
    let mut near = Provider::new("http://h", "m");
    (near.budget_day, near.budget_month) = (Some(600), Some(2_000));
    let providers =
        BTreeMap::from([("near".into(), near), ("far".into(), Provider::new("http://h", "m"))]);
    Cap::all(&budget, &providers)
}

fn purse(now: Timestamp) -> Purse {
    Purse::new("USD", &caps(), [], now)
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn refused<T: std::fmt::Debug>(outcome: Result<T>) -> (String, Duration) {
    match outcome {
        Err(Error::BudgetSpent { problem, retry_after }) => (problem, retry_after),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_under_way_counts_in_full_until_it_is_settled() {
    let now = at("2026-11-21T18:00:00Z");
    let mut purse = purse(now);
    purse.reserve(id(1), "far", 700, now).unwrap();
    let (problem, pause) = refused(purse.reserve(id(2), "far", 400, now));
    assert!(problem.contains("answers under way may cost 0.0007 USD"), "{problem}");
    assert_eq!(pause, RESERVED_PAUSE);
    purse.settle(id(1), 100, now);
    purse.reserve(id(2), "far", 900, now).unwrap();
    purse.settle(id(2), 900, now);
    let (problem, pause) = refused(purse.check("far", 1, now));
    assert!(problem.contains("router.budget.day = 0.001 USD is spent"), "{problem}");
    assert_eq!(pause, Duration::from_hours(6));
    // Settled twice is settled once.
    purse.settle(id(2), 900, now);
    assert_eq!(purse.month(now), 1_000);
}

#[test]
fn from_nine_tenths_on_a_budget_says_how_much_of_it_is_gone() {
    let now = at("2026-11-21T18:00:00Z");
    let mut purse = purse(now);
    purse.reserve(id(1), "far", 899, now).unwrap();
    assert_eq!(purse.nearly_spent("far"), None);
    purse.reserve(id(2), "far", 1, now).unwrap();
    let said = "90 % of the budget router.budget.day = 0.001 USD is spent or reserved";
    assert_eq!(purse.nearly_spent("far").as_deref(), Some(said));
    purse.settle(id(1), 0, now);
    assert_eq!(purse.nearly_spent("far"), None);
}

#[test]
fn a_request_that_no_day_can_pay_says_so() {
    let now = at("2026-11-21T18:00:00Z");
    let (problem, _) = refused(purse(now).check("far", 1_001, now));
    assert!(problem.contains("more than the whole budget router.budget.day"), "{problem}");
}

#[test]
fn a_provider_has_caps_of_its_own_beside_those_of_all() {
    let now = at("2026-11-21T18:00:00Z");
    let mut purse = purse(now);
    purse.reserve(id(1), "near", 600, now).unwrap();
    purse.settle(id(1), 600, now);
    let (problem, _) = refused(purse.check("near", 10, now));
    assert!(problem.contains("providers.near.budget_day"), "{problem}");
    purse.check("far", 400, now).unwrap();
    refused(purse.check("far", 401, now));
}

#[test]
fn what_costs_nothing_is_never_refused() {
    let now = at("2026-11-21T18:00:00Z");
    let mut purse = Purse::new("USD", &caps(), [(Period::Day.number(now), "far", 9_999)], now);
    purse.check("far", 0, now).unwrap();
    refused(purse.check("far", 1, now));
}

#[test]
fn a_new_day_has_all_of_its_budget_less_what_is_still_under_way() {
    let evening = at("2026-11-30T23:59:00Z");
    let mut purse = purse(evening);
    purse.reserve(id(1), "far", 400, evening).unwrap();
    purse.reserve(id(2), "far", 600, evening).unwrap();
    purse.settle(id(2), 600, evening);
    let morning = evening + 1.minute();
    refused(purse.check("far", 601, morning));
    purse.check("far", 600, morning).unwrap();
    // It began yesterday, and is yesterday's.
    purse.settle(id(1), 400, morning);
    purse.check("far", 1_000, morning).unwrap();
    assert_eq!(purse.month(morning), 0);
    // The clock is put back: nothing is there twice.
    purse.reserve(id(3), "far", 1_000, evening).unwrap();
    purse.settle(id(3), 1_000, evening);
    refused(purse.check("far", 1, evening));
}

#[test]
fn no_cap_is_passed_whatever_happens() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let mut now = at("2026-11-28T00:00:00Z");
        let mut purse = purse(now);
        // What a store would hold: day, provider, and what it came to or may come to.
        let mut stored: Vec<(u32, &str, u64)> = Vec::new();
        let mut open: Vec<(Uuid, usize)> = Vec::new();
        for step in 0..300 {
            now += i64::try_from(random.below(90)).unwrap().minutes();
            let provider = ["near", "far"][usize::from(random.below(2) == 0)];
            match random.below(8) {
                0..4 => {
                    let micros = random.below(500);
                    if purse.reserve(id(step), provider, micros, now).is_ok() {
                        open.push((id(step), stored.len()));
                        stored.push((Period::Day.number(now), provider, micros));
                    }
                }
                4..7 if !open.is_empty() => {
                    let chosen = usize::try_from(random.below(open.len() as u64)).unwrap();
                    let (id, at) = open.swap_remove(chosen);
                    stored[at].2 = random.below(stored[at].2 + 1);
                    purse.settle(id, stored[at].2, now);
                }
                // Killed: what was open counts in full.
                7 => {
                    open.clear();
                    purse = Purse::new("USD", &caps(), stored.iter().copied(), now);
                }
                _ => {}
            }
            hold(&stored, seed);
        }
    }
}

/// No day and no month has more than its caps.
fn hold(stored: &[(u32, &str, u64)], seed: u64) {
    for cap in caps() {
        let mut sums: BTreeMap<u32, u64> = BTreeMap::new();
        for &(day, _, micros) in stored.iter().filter(|entry| cap.covers(entry.1)) {
            *sums.entry(cap.period.of_day(day)).or_default() += micros;
        }
        let most = sums.values().max().copied().unwrap_or(0);
        assert!(most <= cap.limit, "seed {seed}: {most} of {cap:?}");
    }
}

/// Steele and Vigna's splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

#[test]
fn what_was_reserved_when_the_books_were_opened_anew_is_still_reserved() {
    let now = at("2026-11-21T18:00:00Z");
    let mut before = purse(now);
    for number in 1..=2 {
        before.reserve(id(number), "far", 300, now).unwrap();
    }
    // The first was in the store by then and is counted as spent in full.
    let mut after = Purse::new("USD", &caps(), [(today(now), "far", 300)], now);
    after.take_over(before, |counted| counted == id(1));
    refused(after.reserve(id(3), "far", 401, now));
    after.settle(id(2), 0, now);
    after.reserve(id(3), "far", 700, now).unwrap();
}

fn today(now: Timestamp) -> u32 {
    Period::Day.number(now)
}
