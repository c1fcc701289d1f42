//! How much may still be spent. Every request first reserves the most that it can cost, so that those
//! under way together cannot pass a cap that each of them alone would keep.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use tandem_config::{Budget, Provider, amount};
use tandem_proto::v1::BudgetCap;
use uuid::Uuid;

use super::calendar::Period;
use crate::{Error, Result};

/// When to come back to a budget that requests under way may leave something of.
const RESERVED_PAUSE: Duration = Duration::from_secs(2);

/// From here on callers are told.
const NEARLY_SPENT_PERCENT: u128 = 90;

/// A limit on what providers cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cap {
    /// Its key in the settings.
    setting: String,
    /// The only provider that it is about; `None` for all together.
    provider: Option<String>,
    period: Period,
    limit: u64,
}

impl Cap {
    /// All that are set.
    pub(crate) fn all<'a>(
        budget: &Budget,
        providers: impl IntoIterator<Item = (&'a String, &'a Provider)>,
    ) -> Vec<Self> {
        let cap = |setting: String, provider: Option<&String>, period, limit: Option<u64>| {
            limit.map(|limit| Self { setting, provider: provider.cloned(), period, limit })
        };
        let mut caps = vec![
            cap("router.budget.day".into(), None, Period::Day, budget.day),
            cap("router.budget.month".into(), None, Period::Month, budget.month),
        ];
        for (name, settings) in providers {
            let setting = |key| format!("providers.{name}.{key}");
            let (day, month) = (settings.budget_day, settings.budget_month);
            caps.push(cap(setting("budget_day"), Some(name), Period::Day, day));
            caps.push(cap(setting("budget_month"), Some(name), Period::Month, month));
        }
        caps.into_iter().flatten().collect()
    }

    fn covers(&self, provider: &str) -> bool {
        self.provider.as_ref().is_none_or(|own| own == provider)
    }
}

/// What was spent of one cap in the period that is running.
#[derive(Debug)]
struct Account {
    cap: Cap,
    period: u32,
    spent: u64,
}

#[derive(Debug)]
struct Reservation {
    provider: String,
    micros: u64,
    day: u32,
}

/// The caps, what was spent of them, and what is reserved.
#[derive(Debug)]
pub(crate) struct Purse {
    currency: String,
    accounts: Vec<Account>,
    /// Of all providers, for the target.
    month: (u32, u64),
    /// The latest day there was: a clock that is put back must not begin one anew.
    today: u32,
    open: HashMap<Uuid, Reservation>,
}

impl Purse {
    /// `spent` is what was spent before: day, provider and amount.
    pub(crate) fn new<'a>(
        currency: &str,
        caps: &[Cap],
        spent: impl IntoIterator<Item = (u32, &'a str, u64)>,
        now: Timestamp,
    ) -> Self {
        let account =
            |cap: &Cap| Account { period: cap.period.number(now), cap: cap.clone(), spent: 0 };
        let mut purse = Self {
            currency: currency.to_owned(),
            accounts: caps.iter().map(account).collect(),
            month: (Period::Month.number(now), 0),
            today: Period::Day.number(now),
            open: HashMap::new(),
        };
        for (day, provider, micros) in spent {
            purse.spend(day, provider, micros);
        }
        purse
    }

    /// Keeps what `before` has reserved, but for what is counted already.
    pub(crate) fn take_over(&mut self, before: Self, is_counted: impl Fn(Uuid) -> bool) {
        self.open.extend(before.open.into_iter().filter(|(id, _)| !is_counted(*id)));
    }

    /// Whether a request that costs at most so much may be sent now.
    pub(crate) fn check(&mut self, provider: &str, micros: u64, now: Timestamp) -> Result<()> {
        self.turn_over(now);
        if micros == 0 {
            return Ok(());
        }
        let refused = self.accounts.iter().filter(|account| account.cap.covers(provider)).find_map(
            |account| {
                let reserved = self.reserved(&account.cap);
                let after = account.spent.saturating_add(reserved).saturating_add(micros);
                (after > account.cap.limit).then(|| self.refusal(account, reserved, micros, now))
            },
        );
        refused.map_or(Ok(()), Err)
    }

    /// Takes the most that a request can cost out of what may be spent, until it is settled. Returns the
    /// day that it counts for.
    pub(crate) fn reserve(
        &mut self,
        id: Uuid,
        provider: &str,
        micros: u64,
        now: Timestamp,
    ) -> Result<u32> {
        self.check(provider, micros, now)?;
        let (provider, day) = (provider.to_owned(), self.today);
        self.open.insert(id, Reservation { provider, micros, day });
        Ok(day)
    }

    /// What to tell when a budget that concerns `provider` is nearly spent, with what is reserved.
    pub(crate) fn nearly_spent(&self, provider: &str) -> Option<String> {
        let covering = self.accounts.iter().filter(|account| account.cap.covers(provider));
        let (percent, cap) = covering
            .map(|Account { cap, spent, .. }| {
                let used = spent.saturating_add(self.reserved(cap));
                (u128::from(used) * 100 / u128::from(cap.limit.max(1)), cap)
            })
            .max_by_key(|(percent, _)| *percent)?;
        (percent >= NEARLY_SPENT_PERCENT).then(|| {
            let limit = amount(cap.limit, &self.currency);
            format!("{percent} % of the budget {} = {limit} is spent or reserved", cap.setting)
        })
    }

    /// Replaces what was reserved by what it came to. It counts for the day on which it began.
    pub(crate) fn settle(&mut self, id: Uuid, micros: u64, now: Timestamp) {
        self.turn_over(now);
        if let Some(Reservation { provider, day, .. }) = self.open.remove(&id) {
            self.spend(day, &provider, micros);
        }
    }

    /// What was spent and reserved this month, of all providers.
    pub(crate) fn month(&mut self, now: Timestamp) -> u64 {
        self.turn_over(now);
        let reserved = self.open.values().map(|open| open.micros).fold(0, u64::saturating_add);
        self.month.1.saturating_add(reserved)
    }

    /// Every cap and what is left of it.
    pub(crate) fn caps(&mut self, now: Timestamp) -> Vec<BudgetCap> {
        self.turn_over(now);
        let cap = |Account { cap, spent, .. }: &Account| BudgetCap {
            setting: cap.setting.clone(),
            limit_micros: cap.limit,
            spent_micros: *spent,
            reserved_micros: self.reserved(cap),
            renews_in_s: cap.period.left(now).as_secs(),
        };
        self.accounts.iter().map(cap).collect()
    }

    fn reserved(&self, cap: &Cap) -> u64 {
        let open = self.open.values().filter(|open| cap.covers(&open.provider));
        open.map(|open| open.micros).fold(0, u64::saturating_add)
    }

    fn spend(&mut self, day: u32, provider: &str, micros: u64) {
        for account in &mut self.accounts {
            if account.cap.covers(provider) && account.cap.period.of_day(day) == account.period {
                account.spent = account.spent.saturating_add(micros);
            }
        }
        if Period::Month.of_day(day) == self.month.0 {
            self.month.1 = self.month.1.saturating_add(micros);
        }
    }

    /// What was spent in a period that is over counts no more.
    fn turn_over(&mut self, now: Timestamp) {
        self.today = self.today.max(Period::Day.number(now));
        for account in &mut self.accounts {
            let period = account.cap.period.of_day(self.today);
            if period != account.period {
                (account.period, account.spent) = (period, 0);
            }
        }
        let month = Period::Month.of_day(self.today);
        if month != self.month.0 {
            self.month = (month, 0);
        }
    }

    fn refusal(&self, account: &Account, reserved: u64, micros: u64, now: Timestamp) -> Error {
        let shown = |micros| amount(micros, &self.currency);
        let Account { cap, spent, .. } = account;
        let budget = format!("{} = {}", cap.setting, shown(cap.limit));
        let left = cap.limit.saturating_sub(*spent);
        let over = cap.period.left(now);
        let (problem, retry_after) = if left == 0 {
            (format!("the budget {budget} is spent"), over)
        } else if micros > cap.limit {
            let most = shown(micros);
            let problem = format!(
                "the answer may cost {most}, more than the whole budget {budget}; lower max_tokens \
                 or raise the budget"
            );
            (problem, over)
        } else if micros > left {
            let (most, left) = (shown(micros), shown(left));
            (format!("the answer may cost {most}, and the budget {budget} has {left} left"), over)
        } else {
            let reserved = shown(reserved);
            let problem = format!(
                "the budget {budget} has {} left, and answers under way may cost {reserved}",
                shown(left)
            );
            (problem, RESERVED_PAUSE)
        };
        Error::BudgetSpent { problem, retry_after }
    }
}

#[cfg(test)]
#[path = "purse_tests.rs"]
mod tests;
