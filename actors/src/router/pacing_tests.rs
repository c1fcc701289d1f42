//! Months of 10,000 questions each, replayed.
#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;

const MONTH_DAYS: u32 = 30;
const MONTH_SECONDS: i64 = MONTH_DAYS as i64 * 86_400;
const QUESTIONS: usize = 10_000;
const BASE: f64 = 0.4;
/// What all questions would cost at the first price is about four times as much.
const TARGET: u64 = 10_000_000;

/// Steele and Vigna's splitmix64.
struct Random(u64);

impl Random {
    /// 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// About normal, mean 0 and deviation 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Question {
    at: i64,
    score: f64,
    /// What the slow track costs, in millionths at the first price.
    cost: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Traffic {
    Even,
    /// Half of all questions within 20 bursts of ten minutes.
    Bursty,
    /// Few at night and at weekends.
    DayAndNight,
    /// The price doubles in the middle of the month.
    DearerPrice,
    CheaperPrice,
    /// Questions get harder in the middle of the month.
    HarderQuestions,
}

const ALL: [Traffic; 6] = [
    Traffic::Even,
    Traffic::Bursty,
    Traffic::DayAndNight,
    Traffic::DearerPrice,
    Traffic::CheaperPrice,
    Traffic::HarderQuestions,
];

impl Traffic {
    fn month(self, random: &mut Random) -> Vec<Question> {
        let mut questions: Vec<_> = (0..QUESTIONS).map(|_| self.question(random)).collect();
        questions.sort_by_key(|question| question.at);
        questions
    }

    fn question(self, random: &mut Random) -> Question {
        let at = self.time(random);
        let late = at > MONTH_SECONDS / 2;
        // Most questions are plain; the hard ones also have the longer answers.
        let hard = random.next() < if self == Self::HarderQuestions && late { 0.6 } else { 0.3 };
        let (mean, deviation) = if hard { (0.65, 0.12) } else { (0.25, 0.1) };
        let score = (mean + deviation * random.normal()).clamp(0.0, 1.0);
        let factor = match self {
            Self::DearerPrice if late => 2.0,
            Self::CheaperPrice if late => 0.5,
            _ => 1.0,
        };
        let cost = 2_000.0 * (0.6 * random.normal()).exp() * (1.0 + 2.0 * score) * factor;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
        Question { at, score, cost: cost as u64 }
    }

    #[allow(clippy::cast_possible_truncation, reason = "small")]
    fn time(self, random: &mut Random) -> i64 {
        loop {
            let at = (random.next() * MONTH_SECONDS as f64) as i64;
            let (day, hour) = (at / 86_400, at / 3_600 % 24);
            let awake = if (7..22).contains(&hour) { 1.0 } else { 0.05 };
            let works = if day % 7 < 5 { 1.0 } else { 0.3 };
            match self {
                Self::Bursty if random.next() < 0.5 => {
                    let burst = (random.next() * 20.0).floor();
                    let begin = (burst * 0.618).fract() * (MONTH_SECONDS - 600) as f64;
                    return (begin + random.next() * 600.0) as i64;
                }
                Self::DayAndNight if random.next() > awake * works => {}
                _ => return at,
            }
        }
    }
}

struct Outcome {
    spent: u64,
    /// Mean score of what was sent.
    mean_score: f64,
    sent: usize,
}

/// Sends what reaches the threshold; never more than the cap allows.
fn replay(
    month: &[Question],
    cap: u64,
    mut threshold: impl FnMut(&mut History, Question, u64) -> f64,
) -> Outcome {
    let mut history = History::default();
    let (mut spent, mut count, mut scores) = (0, 0, 0.0);
    for &question in month {
        let day = u32::try_from(question.at / 86_400).unwrap();
        let bar = threshold(&mut history, question, spent);
        history.saw(day, question.score);
        if question.score >= bar && spent + question.cost <= cap {
            spent += question.cost;
            history.paid(day, question.cost, true);
            count += 1;
            scores += question.score;
        }
    }
    Outcome { spent, mean_score: scores / f64::from(u32::try_from(count).unwrap()), sent: count }
}

fn paced(history: &mut History, question: Question, spent: u64) -> f64 {
    let left = u64::try_from(MONTH_SECONDS - question.at).unwrap();
    history.threshold(BASE, Plan { target: TARGET, spent, now: question.at, left }).0
}

/// As the store gives it back.
fn restarted(history: &History) -> History {
    let days = history.days.iter().map(|(day, facts)| (*day, facts.clone()));
    let first = history.days.keys().next_back().unwrap().saturating_sub(DAYS);
    History { days: days.filter(|(day, _)| *day >= first).collect() }
}

#[test]
fn a_month_costs_its_target_whatever_its_traffic() {
    for traffic in ALL {
        for seed in 0..3 {
            let month = traffic.month(&mut Random(seed));
            let cap = TARGET / 100 * 105;
            let outcome = replay(&month, cap, paced);
            let off = outcome.spent as f64 / TARGET as f64 - 1.0;
            assert!(off.abs() <= 0.05, "{traffic:?} {seed}: {:+.1} %", off * 100.0);
            assert!(outcome.spent <= cap);
        }
    }
}

#[test]
fn a_restart_in_the_middle_changes_nothing() {
    for traffic in ALL {
        let month = traffic.month(&mut Random(7));
        let whole = replay(&month, TARGET, paced);
        let mut number = 0;
        let broken = replay(&month, TARGET, |history, question, spent| {
            number += 1;
            if number % 1_000 == 0 {
                *history = restarted(history);
            }
            paced(history, question, spent)
        });
        assert_eq!((broken.spent, broken.sent), (whole.spent, whole.sent), "{traffic:?}");
    }
}

#[test]
fn the_same_money_answers_harder_questions_than_a_hard_cut_does() {
    for traffic in ALL {
        let month = traffic.month(&mut Random(11));
        let paced = replay(&month, TARGET, paced);
        // Sends all that reaches the setting until nothing is left.
        let cut = replay(&month, paced.spent, |_, _, _| 0.3);
        let gain = paced.mean_score - cut.mean_score;
        assert!(gain > 0.02, "{traffic:?}: {:.3} and {:.3}", paced.mean_score, cut.mean_score);
    }
}

#[test]
fn the_threshold_moves_smoothly() {
    let month = Traffic::Even.month(&mut Random(3));
    let (mut last, mut most, mut number) = (BASE, 0.0_f64, 0);
    replay(&month, TARGET, |history, question, spent| {
        let threshold = paced(history, question, spent);
        number += 1;
        // The first hundred learn what there is, and in the last hour a single question weighs much.
        if number > 100 && question.at < MONTH_SECONDS - 3_600 * 12 {
            most = most.max((threshold - last).abs());
        }
        last = threshold;
        threshold
    });
    assert!(most < 0.05, "{most}");
}

#[test]
fn a_target_that_is_used_up_leaves_the_local_model() {
    let mut history = History::default();
    history.saw(0, 1.0);
    history.paid(0, 100, true);
    let plan = |spent| Plan { target: 1_000, spent, now: 3_600, left: 86_400 };
    let (threshold, why) = history.threshold(0.5, plan(1_000));
    assert!(threshold > 1.0 && why.contains("used up"), "{threshold} {why}");
    assert!(history.threshold(0.5, plan(0)).0 <= 1.0);
}

#[test]
fn without_anything_to_go_by_the_setting_holds() {
    let plan = Plan { target: 1_000, spent: 0, now: 3_600, left: 86_400 };
    let mut history = History::default();
    let held = |history: &History| (history.threshold(0.5, plan).0 - 0.5).abs() < f64::EPSILON;
    assert!(held(&history));
    history.paid(0, 100, true);
    assert!(held(&history));
    history.saw(0, 0.9);
    let threshold = history.threshold(0.5, plan).0;
    assert!((0.4..0.6).contains(&threshold), "one question moves it little: {threshold}");
}

#[test]
fn a_fixed_threshold_costs_what_it_should_when_traffic_stays_as_it_was() {
    let month = Traffic::Even.month(&mut Random(5));
    let mut seen = History::default();
    replay(&month[..2_500], u64::MAX, |history, _, _| {
        seen = history.clone();
        0.5
    });
    let now = month[2_499].at;
    let (threshold, questions) = seen.fixed_threshold(TARGET, MONTH_SECONDS as f64, now).unwrap();
    assert!(questions > 1_000.0);
    let spent = replay(&month, u64::MAX, |_, _, _| threshold).spent;
    let off = spent as f64 / TARGET as f64 - 1.0;
    assert!(off.abs() < 0.1, "{threshold}: {:+.1} %", off * 100.0);
    assert_eq!(History::default().fixed_threshold(TARGET, 1.0, now), None);
}
