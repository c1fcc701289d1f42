//! What was spent, saved and is left.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;
use tandem_client::v1;
use tandem_config::amount;

use super::{duration, filled, table};

/// Usage of some days. Amounts are in millionths of the currency; days are those of UTC.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Usage {
    currency: String,
    first_day: String,
    last_day: String,
    fast: Tally,
    slow: Tally,
    rows: Vec<Row>,
    budgets: Vec<Budget>,
    /// Providers whose requests count as costing nothing.
    unpriced_providers: Vec<String>,
    /// Whose price says what the fast track saves.
    saved_against: Option<String>,
    pace: Option<Pace>,
}

/// Sums.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Tally {
    requests: u64,
    answered: u64,
    prompt_tokens: u64,
    cached_tokens: u64,
    completion_tokens: u64,
    cost_micros: u64,
    saved_micros: u64,
    unpriced: u64,
    estimated: u64,
    total_ms: u64,
}

#[derive(Debug, Clone, Serialize)]
struct Row {
    name: String,
    #[serde(flatten)]
    tally: Tally,
}

#[derive(Debug, Clone, Serialize)]
struct Budget {
    setting: String,
    limit_micros: u64,
    spent_micros: u64,
    reserved_micros: u64,
    left_micros: u64,
    renews_in_s: u64,
}

#[derive(Debug, Clone, Serialize)]
struct Pace {
    target_micros: u64,
    spent_micros: u64,
    threshold: f64,
    reason: String,
}

impl From<v1::UsageResponse> for Usage {
    fn from(usage: v1::UsageResponse) -> Self {
        let tally = |tally: Option<v1::UsageTally>| tally.map(Tally::from).unwrap_or_default();
        Self {
            currency: usage.currency,
            first_day: usage.first_day,
            last_day: usage.last_day,
            fast: tally(usage.fast),
            slow: tally(usage.slow),
            rows: usage
                .rows
                .into_iter()
                .map(|row| Row { name: row.name, tally: tally(row.tally) })
                .collect(),
            budgets: usage.caps.into_iter().map(Budget::from).collect(),
            unpriced_providers: usage.unpriced_providers,
            saved_against: filled(usage.saved_against),
            pace: usage.pace.map(|pace| Pace {
                target_micros: pace.target_micros,
                spent_micros: pace.spent_micros,
                threshold: pace.threshold,
                reason: pace.reason,
            }),
        }
    }
}

impl From<v1::UsageTally> for Tally {
    fn from(tally: v1::UsageTally) -> Self {
        Self {
            requests: tally.requests,
            answered: tally.answered,
            prompt_tokens: tally.prompt_tokens,
            cached_tokens: tally.cached_tokens,
            completion_tokens: tally.completion_tokens,
            cost_micros: tally.cost_micros,
            saved_micros: tally.saved_micros,
            unpriced: tally.unpriced,
            estimated: tally.estimated,
            total_ms: tally.total_ms,
        }
    }
}

impl From<v1::BudgetCap> for Budget {
    fn from(cap: v1::BudgetCap) -> Self {
        let used = cap.spent_micros.saturating_add(cap.reserved_micros);
        Self {
            setting: cap.setting,
            limit_micros: cap.limit_micros,
            spent_micros: cap.spent_micros,
            reserved_micros: cap.reserved_micros,
            left_micros: cap.limit_micros.saturating_sub(used),
            renews_in_s: cap.renews_in_s,
        }
    }
}

impl Usage {
    /// All of it for a person; `heading` is that of the rows' names.
    pub(crate) fn text(&self, heading: &str) -> String {
        let mut text = format!("{} to {} (UTC)\n", self.first_day, self.last_day);
        if self.fast.requests + self.slow.requests == 0 {
            text += "nothing was asked; `tandem ask` asks a question\n";
        } else {
            self.write_sums(&mut text);
            self.write_rows(&mut text, heading);
        }
        self.write_budgets(&mut text);
        for name in &self.unpriced_providers {
            let _ = writeln!(
                text,
                "note: provider {name} has no price, so that its requests count as costing nothing; \
                 set [providers.{name}.price]"
            );
        }
        text
    }

    fn write_sums(&self, text: &mut String) {
        let (fast, slow) = (&self.fast, &self.slow);
        let mut aside = String::new();
        if slow.requests > slow.answered {
            let _ = write!(aside, " · {} without an answer", slow.requests - slow.answered);
        }
        if slow.estimated > 0 {
            let _ = write!(aside, " · {} estimated", slow.estimated);
        }
        let _ = writeln!(
            text,
            "spent      {} for {} requests to providers{aside}",
            self.amount(slow.cost_micros),
            slow.requests,
        );
        match &self.saved_against {
            Some(provider) => {
                let saved = self.amount(fast.saved_micros);
                let _ =
                    writeln!(text, "saved      {saved} by the fast track, at {provider}'s price");
            }
            None => *text += "saved      not known: no provider has a price\n",
        }
        let answers = (fast.answered + slow.answered).max(1);
        let _ = writeln!(
            text,
            "answers    {} fast, {} % · {} slow, {} %",
            fast.answered,
            percent(fast.answered, answers),
            slow.answered,
            percent(slow.answered, answers),
        );
        let sum = |of: fn(&Tally) -> u64| count(of(fast) + of(slow));
        let _ = writeln!(
            text,
            "tokens     {} in, {} of them cached · {} out",
            sum(|tally| tally.prompt_tokens),
            sum(|tally| tally.cached_tokens),
            sum(|tally| tally.completion_tokens),
        );
    }

    fn write_rows(&self, text: &mut String, heading: &str) {
        if self.rows.is_empty() {
            return;
        }
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|Row { name, tally }| {
                [
                    name.clone(),
                    tally.requests.to_string(),
                    count(tally.prompt_tokens),
                    count(tally.completion_tokens),
                    self.amount(tally.cost_micros),
                    self.amount(tally.saved_micros),
                ]
            })
            .collect();
        text.push('\n');
        *text += &table([heading, "REQUESTS", "IN", "OUT", "COST", "SAVED"], &rows);
    }

    fn write_budgets(&self, text: &mut String) {
        if !self.budgets.is_empty() {
            text.push('\n');
            let rows: Vec<_> = self.budgets.iter().map(|budget| self.budget(budget)).collect();
            *text += &table(["BUDGET", "LIMIT", "SPENT", "RESERVED", "LEFT", "RENEWS IN"], &rows);
        }
        if let Some(pace) = &self.pace {
            let _ = writeln!(
                text,
                "\ntarget     {} of {} this month; the threshold is {:.2}: {}",
                self.amount(pace.spent_micros),
                self.amount(pace.target_micros),
                pace.threshold,
                pace.reason,
            );
        }
    }

    fn budget(&self, budget: &Budget) -> [String; 6] {
        [
            budget.setting.clone(),
            self.amount(budget.limit_micros),
            self.amount(budget.spent_micros),
            self.amount(budget.reserved_micros),
            self.amount(budget.left_micros),
            duration(Duration::from_secs(budget.renews_in_s)),
        ]
    }

    fn amount(&self, micros: u64) -> String {
        amount(micros, &self.currency)
    }
}

fn percent(part: u64, whole: u64) -> u64 {
    (part * 200 + whole) / (whole * 2)
}

/// A number with a unit that keeps it short: `12.3 k`.
fn count(number: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", number / unit, number % unit * 10 / unit);
    match number {
        0..10_000 => number.to_string(),
        10_000..10_000_000 => format!("{} k", tenths(1_000)),
        _ => format!("{} M", tenths(1_000_000)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn usage() -> Usage {
        let slow = v1::UsageTally {
            requests: 4,
            answered: 3,
            prompt_tokens: 12_345,
            completion_tokens: 700,
            cost_micros: 1_250_000,
            estimated: 1,
            ..Default::default()
        };
        let fast =
            v1::UsageTally { requests: 9, answered: 9, saved_micros: 40_000, ..Default::default() };
        v1::UsageResponse {
            currency: "EUR".into(),
            first_day: "2026-11-01".into(),
            last_day: "2026-11-21".into(),
            fast: Some(fast),
            slow: Some(slow),
            rows: vec![v1::UsageRow { name: "far".into(), tally: Some(slow) }],
            caps: vec![v1::BudgetCap {
                setting: "router.budget.month".into(),
                limit_micros: 5_000_000,
                spent_micros: 1_250_000,
                reserved_micros: 250_000,
                renews_in_s: 90_000,
            }],
            unpriced_providers: vec!["near".into()],
            saved_against: "far".into(),
            ..Default::default()
        }
        .into()
    }

    #[test]
    fn spending_reads_at_a_glance() {
        let expected = "\
2026-11-01 to 2026-11-21 (UTC)
spent      1.25 EUR for 4 requests to providers · 1 without an answer · 1 estimated
saved      0.04 EUR by the fast track, at far's price
answers    9 fast, 75 % · 3 slow, 25 %
tokens     12.3 k in, 0 of them cached · 700 out

PROVIDER  REQUESTS  IN      OUT  COST      SAVED
far       4         12.3 k  700  1.25 EUR  0.00 EUR

BUDGET               LIMIT     SPENT     RESERVED  LEFT      RENEWS IN
router.budget.month  5.00 EUR  1.25 EUR  0.25 EUR  3.50 EUR  1 d 1 h
note: provider near has no price, so that its requests count as costing nothing; \
set [providers.near.price]
";
        assert_eq!(usage().text("PROVIDER"), expected);
    }

    #[test]
    fn without_usage_it_says_what_to_do() {
        let empty = v1::UsageResponse {
            first_day: "2026-11-01".into(),
            last_day: "2026-11-21".into(),
            ..Default::default()
        };
        let text = Usage::from(empty).text("PROVIDER");
        assert_eq!(
            text,
            "2026-11-01 to 2026-11-21 (UTC)\nnothing was asked; `tandem ask` asks a question\n"
        );
    }

    #[test]
    fn the_json_has_amounts_in_millionths() {
        let json = serde_json::to_value(usage()).unwrap();
        assert_eq!(json["slow"]["cost_micros"], 1_250_000);
        assert_eq!(json["rows"][0]["name"], "far");
        assert_eq!(json["rows"][0]["cost_micros"], 1_250_000);
        assert_eq!(json["budgets"][0]["left_micros"], 3_500_000);
        assert_eq!(json["pace"], serde_json::Value::Null);
    }
}
