//! What was spent, as it is reported.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tandem_proto::v1::{
    BudgetCalibration, BudgetPace, UsageBy, UsageRequest, UsageResponse, UsageRow, UsageTally,
};

use super::{Bookkeeper, Message, calendar};
use crate::memory_store::books::Row;
use crate::memory_store::usage::add;
use crate::{Error, Result};

/// Days that are looked back on when the caller does not say.
const DAYS_DEFAULT: u32 = 30;
const DAYS_MAX: u32 = 400;
/// The provider's name of the local model.
const LOCAL: &str = "local";
/// A month, as far as a fixed threshold is concerned.
const MONTH_SECONDS: f64 = 30.44 * 86_400.0;

impl Bookkeeper {
    /// What was spent and saved, and what may still be spent. `base` is the threshold in the settings.
    ///
    /// [`Error::Invalid`] for days that are not allowed, and errors of the store.
    pub async fn usage(&self, request: UsageRequest, base: f64) -> Result<UsageResponse> {
        let now = Timestamp::now();
        let (first, last) = days(&request, now)?;
        // What was settled a moment ago is not in the sums yet.
        let address = &self.shared.address;
        address.ask(super::LEDGER_DEADLINE, |reply| Message::SumUp(Some(reply))).await??;
        let store = &self.shared.store;
        let rows = store.usage(first, last).await?;
        let by = request.by();
        let shown = if by == UsageBy::Conversation {
            let rows = store.usage_by_conversation(first, last).await?;
            rows.into_iter().map(|(id, tally)| row_of(id.to_string(), tally)).collect()
        } else {
            grouped(&rows, by)
        };
        let priced = |name: &&String| {
            self.shared.prices.get(*name).is_some_and(tandem_config::Price::is_known)
        };
        let unpriced = self.shared.prices.keys().filter(|name| !priced(name)).cloned().collect();
        let calibration = request.calibrate_month_micros;
        Ok(UsageResponse {
            currency: self.shared.budget.currency.clone(),
            first_day: calendar::name(first),
            last_day: calendar::name(last),
            fast: Some(total(rows.iter().filter(|row| row.fast))),
            slow: Some(total(rows.iter().filter(|row| !row.fast))),
            rows: shown,
            caps: self.purse(super::Purse::caps)?,
            unpriced_providers: unpriced,
            saved_against: self.reference().map(|(name, _)| name.clone()).unwrap_or_default(),
            pace: self.pace_report(base, now),
            calibration: calibration.map(|micros| self.calibrate(micros, base, now)),
        })
    }

    fn pace_report(&self, base: f64, now: Timestamp) -> Option<BudgetPace> {
        let target_micros = self.shared.budget.target?;
        let spent_micros = self.purse(super::Purse::month).ok()?;
        let (threshold, reason) = self.pace(base, now)?;
        Some(BudgetPace { target_micros, spent_micros, threshold, reason })
    }

    fn calibrate(&self, micros: u64, base: f64, now: Timestamp) -> BudgetCalibration {
        let found = self.demand(|demand| {
            demand.history.fixed_threshold(micros, MONTH_SECONDS, now.as_second())
        });
        let days = crate::router::pacing::DAYS;
        match found {
            Some((threshold, questions)) => BudgetCalibration {
                threshold,
                reason: format!(
                    "judged by {questions:.0} questions of the last {days} days and by what answers \
                     of the slow track cost"
                ),
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a count"
                )]
                questions: questions as u64,
            },
            None => BudgetCalibration {
                threshold: base,
                reason:
                    "there are no scored questions yet, or no answers that cost anything; ask some \
                         with the policy auto, and set the prices of the providers"
                        .to_owned(),
                questions: 0,
            },
        }
    }
}

/// First and last day.
fn days(request: &UsageRequest, now: Timestamp) -> Result<(u32, u32)> {
    let today = calendar::day(now);
    if request.month {
        return Ok((calendar::first_day_of_month(now), today));
    }
    let days = match request.days {
        0 => DAYS_DEFAULT,
        days @ 1..=DAYS_MAX => days,
        days => {
            return Err(Error::invalid("days", format!("{days}; 1 to {DAYS_MAX} are allowed")));
        }
    };
    Ok((today.saturating_sub(days - 1), today))
}

fn grouped(rows: &[Row], by: UsageBy) -> Vec<UsageRow> {
    let name = |row: &Row| match by {
        UsageBy::Day => calendar::name(row.day),
        UsageBy::Model => row.model.clone(),
        UsageBy::Provider | UsageBy::Unspecified | UsageBy::Conversation => {
            if row.fast {
                LOCAL.to_owned()
            } else {
                row.provider.clone()
            }
        }
    };
    let mut groups: BTreeMap<String, UsageTally> = BTreeMap::new();
    for row in rows {
        add(groups.entry(name(row)).or_default(), &row.tally);
    }
    let mut groups: Vec<_> = groups.into_iter().map(|(name, tally)| row_of(name, tally)).collect();
    if by != UsageBy::Day {
        groups.sort_by_key(|row| std::cmp::Reverse(row.tally.map_or(0, |tally| tally.cost_micros)));
    }
    groups
}

fn total<'a>(rows: impl Iterator<Item = &'a Row>) -> UsageTally {
    rows.fold(UsageTally::default(), |mut sum, row| {
        add(&mut sum, &row.tally);
        sum
    })
}

fn row_of(name: String, tally: UsageTally) -> UsageRow {
    UsageRow { name, tally: Some(tally) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn used(day: u32, fast: bool, provider: &str, cost_micros: u64) -> Row {
        let tally = UsageTally { requests: 1, cost_micros, ..UsageTally::default() };
        Row { day, fast, provider: provider.into(), model: format!("{provider} model"), tally }
    }

    fn names(rows: &[UsageRow]) -> Vec<(&str, u64)> {
        rows.iter().map(|row| (row.name.as_str(), row.tally.unwrap().cost_micros)).collect()
    }

    #[test]
    fn rows_are_grouped_and_the_dearest_comes_first_except_by_day() {
        let rows = [
            used(1, true, "", 0),
            used(1, false, "far", 5),
            used(2, false, "near", 7),
            used(2, false, "far", 1),
        ];
        assert_eq!(
            names(&grouped(&rows, UsageBy::Unspecified)),
            [("near", 7), ("far", 6), ("local", 0)]
        );
        assert_eq!(names(&grouped(&rows, UsageBy::Day)), [("1970-01-02", 5), ("1970-01-03", 8)]);
        assert_eq!(names(&grouped(&rows, UsageBy::Model))[0], ("near model", 7));
        assert_eq!(grouped(&[], UsageBy::Day), []);
    }

    #[test]
    fn the_days_are_those_that_were_asked_for() {
        let now = "2026-11-21T10:00:00Z".parse().unwrap();
        let range = |request: UsageRequest| {
            let (first, last) = days(&request, now).unwrap();
            (calendar::name(first), calendar::name(last))
        };
        let shown = |first: &str| (first.to_owned(), "2026-11-21".to_owned());
        let last = |days| UsageRequest { days, ..UsageRequest::default() };
        assert_eq!(range(last(1)), shown("2026-11-21"));
        assert_eq!(range(last(0)), shown("2026-10-23"));
        assert_eq!(range(UsageRequest { month: true, ..last(3) }), shown("2026-11-01"));
        assert!(matches!(days(&last(401), now), Err(Error::Invalid { .. })));
    }
}
