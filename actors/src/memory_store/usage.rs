//! Usage in sled. Each attempt is a small record of its own, written before it begins and when it ends;
//! sums are changed for many of them at once, because sled's log grows by a page for each overwrite.
//!
//! Nothing counts twice: a batch that adds to the sums removes what it added.

use std::collections::BTreeMap;

use tandem_ledger::{Head, Tokens};
use tandem_proto::v1::UsageTally;
use uuid::Uuid;

use super::books::{Attempt, Batch, CONVERSATIONS_MAX, LocalAnswer, Opening, Row, Scores};
use super::changes::Changes;
use super::database::{Database, decode, unreadable};
use super::{codec, key};
use crate::{Error, Result};

/// Days that scores are kept.
const SCORE_DAYS: u32 = 40;

impl Database {
    pub(super) fn open_attempt(&mut self, id: Uuid, attempt: &Attempt) -> Result<()> {
        let mut batch = Changes::default();
        batch.insert(key::attempt(id), codec::encode(attempt));
        self.apply(batch)
    }

    pub(super) fn settle_attempt(&mut self, id: Uuid, settled: UsageTally) -> Result<()> {
        let Some(value) = self.sled.get(key::attempt(id)).map_err(unreadable)? else {
            return Ok(());
        };
        let mut attempt: Attempt = decode(&format!("attempt {id}"), &value)?;
        if attempt.settled.is_some() {
            return Ok(());
        }
        attempt.settled = Some(settled);
        self.open_attempt(id, &attempt)
    }

    /// Adds what was settled, and `batch` unless it was the last that was added.
    pub(super) fn sum_up(&mut self, batch: &Batch) -> Result<()> {
        let mut sums = Sums::default();
        let mut changes = Changes::default();
        let known = self.sled.get(key::LAST_SUMS).map_err(unreadable)?;
        let known: Option<Vec<u8>> =
            known.map(|value| decode("the last sums", &value)).transpose()?;
        let repeated = known.as_deref() == Some(batch.id.as_bytes().as_slice());
        let empty = Batch::default();
        let batch = if repeated { &empty } else { batch };
        for (id, attempt) in self.attempts()? {
            if attempt.settled.is_some() {
                sums.add_attempt(&attempt);
                changes.remove(key::attempt(id));
            }
        }
        batch.local.iter().for_each(|answer| sums.add_local(answer));
        for (day, scores) in &batch.scores {
            changes.insert(key::demand(*day), codec::encode(scores));
            if let Some(old) = day.checked_sub(SCORE_DAYS) {
                changes.remove(key::demand(old));
            }
        }
        if let Some(head) = &batch.head {
            let text = serde_json::to_string(head)
                .map_err(|error| Error::Internal { problem: error.to_string() })?;
            changes.insert(key::LEDGER_HEAD, codec::encode(&text));
        }
        // All else in a batch replaces what there is, or goes once it was added.
        if !batch.local.is_empty() {
            changes.insert(key::LAST_SUMS, codec::encode(&batch.id.as_bytes().to_vec()));
        }
        for (key, added) in sums.0 {
            // What a conversation cost goes with it, also when it was not summed up yet.
            if key.starts_with(key::CONVERSATION_USAGE)
                && let Some((id, _)) = key::read_conversation_usage(&key)
                && !self.sled.contains_key(key::conversation(id)).map_err(unreadable)?
            {
                continue;
            }
            let mut sum: UsageTally = match self.sled.get(&key).map_err(unreadable)? {
                Some(value) => decode("usage", &value)?,
                None => UsageTally::default(),
            };
            add(&mut sum, &added);
            changes.insert(&key, codec::encode(&sum));
        }
        self.apply(changes)
    }

    pub(super) fn open_books(&mut self, first_day: u32) -> Result<Opening> {
        let mut lost = self.attempts()?;
        lost.retain(|(_, attempt)| attempt.settled.is_none());
        for (id, attempt) in &lost {
            let settled = UsageTally {
                requests: 1,
                cost_micros: attempt.reserved_micros.unwrap_or(0),
                unpriced: u64::from(attempt.reserved_micros.is_none()),
                estimated: 1,
                ..UsageTally::default()
            };
            self.settle_attempt(*id, settled)?;
        }
        self.sum_up(&Batch::default())?;
        let scores = self.sled.range(key::demand(first_day)..=key::demand(u32::MAX));
        let scores = scores.map(|entry| -> Result<Option<(u32, Scores)>> {
            let (key, value) = entry.map_err(unreadable)?;
            let scores: Scores = decode("the scores of a day", &value)?;
            Ok(key::read_demand(&key).map(|day| (day, scores)))
        });
        let head = self.sled.get(key::LEDGER_HEAD).map_err(unreadable)?;
        let head: Option<String> =
            head.map(|value| decode("the ledger's end", &value)).transpose()?;
        Ok(Opening {
            lost,
            rows: self.usage((first_day, u32::MAX))?,
            scores: scores.filter_map(Result::transpose).collect::<Result<_>>()?,
            head: head.and_then(|text| serde_json::from_str::<Head>(&text).ok()),
        })
    }

    pub(super) fn usage(&self, (first, last): (u32, u32)) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for entry in self.sled.range(key::usage_from(first).as_slice()..b"e".as_slice()) {
            let (key, value) = entry.map_err(unreadable)?;
            let Some((day, fast, provider, model)) = key::read_usage(&key) else { continue };
            if day > last {
                break;
            }
            rows.push(Row { day, fast, provider, model, tally: decode("usage", &value)? });
        }
        Ok(rows)
    }

    pub(super) fn usage_by_conversation(
        &self,
        (first, last): (u32, u32),
    ) -> Result<Vec<(Uuid, UsageTally)>> {
        let mut sums: BTreeMap<Uuid, UsageTally> = BTreeMap::new();
        for entry in self.sled.scan_prefix(key::CONVERSATION_USAGE) {
            let (key, value) = entry.map_err(unreadable)?;
            let Some((id, day)) = key::read_conversation_usage(&key) else { continue };
            if (first..=last).contains(&day) {
                add(sums.entry(id).or_default(), &decode("usage", &value)?);
            }
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by_key(|(_, sum)| std::cmp::Reverse((sum.cost_micros, sum.saved_micros)));
        sums.truncate(CONVERSATIONS_MAX);
        Ok(sums)
    }

    fn attempts(&self) -> Result<Vec<(Uuid, Attempt)>> {
        let entries = self.sled.scan_prefix(key::ATTEMPTS).map(|entry| -> Result<_> {
            let (key, value) = entry.map_err(unreadable)?;
            let attempt = decode("an attempt", &value)?;
            Ok(key::read_attempt(&key).map(|id| (id, attempt)))
        });
        entries.filter_map(Result::transpose).collect()
    }
}

/// What is to be added, by key.
#[derive(Default)]
struct Sums(BTreeMap<Vec<u8>, UsageTally>);

impl Sums {
    fn add_attempt(&mut self, attempt: &Attempt) {
        if let Some(settled) = &attempt.settled {
            let key = key::usage(attempt.day, false, &attempt.provider, &attempt.model);
            self.add(key, &attempt.conversation, attempt.day, settled);
        }
    }

    fn add_local(&mut self, answer: &LocalAnswer) {
        let Tokens { prompt, cached, completion } = answer.tokens;
        let tally = UsageTally {
            requests: 1,
            answered: 1,
            prompt_tokens: prompt,
            cached_tokens: cached,
            completion_tokens: completion,
            saved_micros: answer.saved_micros,
            total_ms: answer.total_ms,
            ..UsageTally::default()
        };
        let key = key::usage(answer.day, true, "", &answer.model);
        self.add(key, &answer.conversation, answer.day, &tally);
    }

    fn add(&mut self, key: Vec<u8>, conversation: &str, day: u32, tally: &UsageTally) {
        add(self.0.entry(key).or_default(), tally);
        if let Ok(id) = Uuid::try_parse(conversation) {
            add(self.0.entry(key::conversation_usage(id, day).to_vec()).or_default(), tally);
        }
    }
}

/// Adds one sum to another.
pub(crate) fn add(sum: &mut UsageTally, more: &UsageTally) {
    for (sum, more) in [
        (&mut sum.requests, more.requests),
        (&mut sum.answered, more.answered),
        (&mut sum.prompt_tokens, more.prompt_tokens),
        (&mut sum.cached_tokens, more.cached_tokens),
        (&mut sum.completion_tokens, more.completion_tokens),
        (&mut sum.cost_micros, more.cost_micros),
        (&mut sum.saved_micros, more.saved_micros),
        (&mut sum.unpriced, more.unpriced),
        (&mut sum.estimated, more.estimated),
        (&mut sum.total_ms, more.total_ms),
    ] {
        *sum = sum.saturating_add(more);
    }
}

#[cfg(test)]
#[path = "usage_tests.rs"]
mod tests;
