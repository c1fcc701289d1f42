//! Days and months in UTC, as the bills of most providers have them: no clock is ever put back in it.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// What a budget is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Period {
    Day,
    Month,
}

impl Period {
    /// Number of the period that this moment is in: days since 1970, or months since the year 0.
    pub(crate) fn number(self, now: Timestamp) -> u32 {
        match self {
            Self::Day => day(now),
            Self::Month => month_of(day(now)),
        }
    }

    /// Number of the period that this day is in.
    pub(crate) fn of_day(self, day: u32) -> u32 {
        match self {
            Self::Day => day,
            Self::Month => month_of(day),
        }
    }

    /// How long the period of this moment still lasts.
    pub(crate) fn left(self, now: Timestamp) -> Duration {
        let next = match self {
            Self::Day => date(day(now)).tomorrow().unwrap_or(Date::MAX),
            Self::Month => next_month(now),
        };
        let seconds = start(next) - now.as_second();
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0).max(1))
    }
}

/// Days since 1970.
pub(crate) fn day(now: Timestamp) -> u32 {
    u32::try_from(now.as_second().div_euclid(DAY_SECONDS)).unwrap_or(0)
}

/// First day of the month of this moment.
pub(crate) fn first_day_of_month(now: Timestamp) -> u32 {
    let first = start(date(day(now)).first_of_month()).div_euclid(DAY_SECONDS);
    u32::try_from(first).unwrap_or(0)
}

/// When a day begins, in seconds since 1970.
pub(crate) fn day_start(day: u32) -> i64 {
    i64::from(day) * DAY_SECONDS
}

/// `2026-11-21`.
pub(crate) fn name(day: u32) -> String {
    date(day).to_string()
}

fn next_month(now: Timestamp) -> Date {
    date(day(now)).first_of_month().checked_add(1.month()).unwrap_or(Date::MAX)
}

fn month_of(day: u32) -> u32 {
    let date = date(day);
    u32::try_from(i32::from(date.year()) * 12 + i32::from(date.month()) - 1).unwrap_or(0)
}

fn date(day: u32) -> Date {
    let begin = Timestamp::from_second(day_start(day)).unwrap_or(Timestamp::MAX);
    begin.to_zoned(TimeZone::UTC).date()
}

fn start(date: Date) -> i64 {
    date.to_zoned(TimeZone::UTC).map_or(i64::MAX, |begin| begin.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn days_and_months_begin_at_midnight_utc() {
        let (before, after) = (at("2026-11-30T23:59:59Z"), at("2026-12-01T00:00:00Z"));
        assert_eq!(Period::Day.number(before) + 1, Period::Day.number(after));
        assert_eq!(Period::Month.number(before) + 1, Period::Month.number(after));
        assert_eq!(Period::Month.left(before), Duration::from_secs(1));
        assert_eq!(Period::Month.left(after), Duration::from_hours(31 * 24));
        assert_eq!(Period::Day.left(at("2026-11-21T18:00:00Z")), Duration::from_hours(6));
        assert_eq!(name(day(before)), "2026-11-30");
        assert_eq!(name(first_day_of_month(before)), "2026-11-01");
    }

    #[test]
    fn a_year_ends_like_any_month_and_february_has_its_leap_day() {
        let new_year = at("2027-01-01T00:00:00Z");
        assert_eq!(
            Period::Month.number(at("2026-12-31T12:00:00Z")) + 1,
            Period::Month.number(new_year)
        );
        assert_eq!(Period::Month.left(at("2028-02-01T00:00:00Z")), Duration::from_hours(29 * 24));
        assert_eq!(Period::Month.of_day(day(new_year)), Period::Month.number(new_year));
    }
}
