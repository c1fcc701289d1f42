//! The egress ledger, checked and shown.

use std::{collections::HashMap, fmt::Write as _};

use jiff::Timestamp;
use serde::Serialize;
use tandem_ledger::{Ended, Entry, Fault, Outcome, Record, Report, Sent};

use super::table;

/// What checking the ledger came to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Verdict {
    in_order: bool,
    files: Vec<String>,
    /// Index of the first record that was read.
    first: u64,
    /// How many records the ledger has, up to the first that is not in order.
    records: u64,
    /// Hash of the last of them.
    hash: String,
    /// The last line is incomplete.
    torn: bool,
    /// Ends from elsewhere that agree.
    agrees_with: Vec<String>,
    fault: Option<Problem>,
}

/// The first thing that is wrong.
#[derive(Debug, Clone, Serialize)]
struct Problem {
    /// Index of the record.
    index: u64,
    message: String,
}

impl Verdict {
    /// Of the files alone.
    pub(crate) fn of(report: Report) -> Self {
        Self {
            in_order: report.fault.is_none(),
            files: report.files.iter().map(|path| path.display().to_string()).collect(),
            first: report.first,
            records: report.head.records,
            hash: report.head.hash,
            torn: report.torn,
            agrees_with: Vec::new(),
            fault: report.fault.map(|fault| Problem::new(&fault, "")),
        }
    }

    /// Of the files, compared with an end from elsewhere.
    pub(crate) fn compare(&mut self, name: &str, report: &Report) {
        match &report.fault {
            None if report.known_agrees => self.agrees_with.push(name.to_owned()),
            Some(fault) if self.fault.is_none() => {
                self.in_order = false;
                self.fault = Some(Problem::new(fault, &format!(", as {name} shows")));
            }
            Some(_) | None => {}
        }
    }

    pub(crate) fn is_in_order(&self) -> bool {
        self.in_order
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if let Some(problem) = &self.fault {
            let _ = writeln!(text, "NOT IN ORDER: {}", problem.message);
        }
        let files = match self.files.len() {
            0 => "no file".to_owned(),
            1 => "1 file".to_owned(),
            files => format!("{files} files"),
        };
        let _ = match self.records {
            0 if self.fault.is_some() => writeln!(text, "no record in {files} is in order"),
            0 => writeln!(text, "no record in {files}; nothing has left this machine"),
            records => writeln!(
                text,
                "in order   records {} to {} in {files}\nend        {records}:{}",
                self.first,
                records - 1,
                self.hash,
            ),
        };
        if self.first > 0 {
            let _ = writeln!(text, "note: what came before record {} was not read", self.first);
        }
        if self.torn {
            text += "note: the last line is incomplete, as after a crash or while it is written; the daemon \
                     cuts it off when it starts\n";
        }
        if self.fault.is_none() && self.records > 0 {
            let _ = match self.agrees_with.as_slice() {
                [] => writeln!(
                    text,
                    "note: whether records were cut off the end cannot be told from the files alone"
                ),
                names => writeln!(
                    text,
                    "the end agrees with {}; who can change these as well could have cut records off",
                    names.join(" and ")
                ),
            };
        }
        text
    }
}

impl Problem {
    fn new(fault: &Fault, source: &str) -> Self {
        Self { index: fault.index(), message: format!("{fault}{source}") }
    }
}

/// Records, oldest first.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Records {
    records: Vec<Record>,
}

impl Records {
    pub(crate) fn push(&mut self, record: Record) {
        self.records.push(record);
    }

    /// One line for each request, with how it ended.
    pub(crate) fn text(&self) -> String {
        if self.records.is_empty() {
            return "there is no record to show; `tandem audit verify` says whether all are in order\n".into();
        }
        let mut ends: HashMap<&str, &Ended> = HashMap::new();
        for record in &self.records {
            if let Entry::Ended(ended) = &record.entry {
                ends.insert(&ended.attempt, ended);
            }
        }
        let rows: Vec<_> = self
            .records
            .iter()
            .filter_map(|record| match &record.entry {
                Entry::Sent(sent) => Some(row(record, sent, ends.get(sent.attempt.as_str()))),
                Entry::Repaired { bytes } => {
                    Some(remark(record, format!("a cut line of {bytes} bytes was taken off")))
                }
                Entry::Missing { expected, found } => {
                    Some(remark(record, format!("{found} of {expected} records were there")))
                }
                Entry::Ended(_) => None,
            })
            .collect();
        table(
            ["RECORD", "TIME (UTC)", "PROVIDER", "HOST", "BYTES", "SHA-256", "TURN", "END"],
            &rows,
        )
    }
}

fn row(record: &Record, sent: &Sent, ended: Option<&&Ended>) -> [String; 8] {
    let end = ended.map_or_else(
        || "under way".to_owned(),
        |ended| {
            let tokens = ended.tokens;
            let outcome = outcome(ended.outcome);
            format!("{outcome} · {} in · {} out", tokens.prompt, tokens.completion)
        },
    );
    [
        record.index.to_string(),
        second(record.time),
        sent.provider.clone(),
        sent.host.clone(),
        sent.body_bytes.to_string(),
        sent.body_sha256.chars().take(12).collect(),
        sent.turn.clone(),
        end,
    ]
}

fn remark(record: &Record, remark: String) -> [String; 8] {
    let empty = String::new;
    let time = second(record.time);
    [record.index.to_string(), time, empty(), empty(), empty(), empty(), empty(), remark]
}

fn second(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => "answered",
        Outcome::Failed => "failed",
        Outcome::Cancelled => "cancelled",
        Outcome::NotSent => "not sent",
        Outcome::Lost => "lost with the daemon",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tandem_ledger::{Head, Tokens};

    use super::*;

    fn report(fault: Option<Fault>) -> Report {
        let head = Head { records: 3, hash: "ab".into() };
        Report {
            files: vec!["/a".into()],
            first: 0,
            head,
            torn: false,
            known_agrees: fault.is_none(),
            fault,
        }
    }

    #[test]
    fn a_ledger_in_order_says_what_it_was_compared_with() {
        let mut verdict = Verdict::of(report(None));
        assert!(verdict.text().contains("cannot be told from the files alone"));
        verdict.compare("head.json", &report(None));
        assert!(verdict.is_in_order());
        let text = verdict.text();
        assert!(
            text.starts_with("in order   records 0 to 2 in 1 file\nend        3:ab\n"),
            "{text}"
        );
        assert!(text.contains("agrees with head.json;"), "{text}");
    }

    #[test]
    fn the_first_fault_is_the_verdict() {
        let mut verdict = Verdict::of(report(None));
        verdict.compare("head.json", &report(Some(Fault::Cut(3, 7))));
        verdict.compare("the daemon", &report(Some(Fault::Cut(3, 9))));
        assert!(!verdict.is_in_order());
        let text = verdict.text();
        let begin = "NOT IN ORDER: the ledger was cut: its last records, 3 to 7, are gone, as head.json \
                     shows\n";
        assert!(text.starts_with(begin), "{text}");
        let json = serde_json::to_value(&verdict).unwrap();
        assert_eq!((&json["in_order"], &json["fault"]["index"]), (&false.into(), &3.into()));
    }

    #[test]
    fn each_request_is_one_line_with_its_end() {
        let time: Timestamp = "2026-11-21T10:00:00.5Z".parse().unwrap();
        let sent = |attempt: &str| {
            Entry::Sent(Sent {
                attempt: attempt.into(),
                provider: "far".into(),
                body_bytes: 12,
                ..Sent::default()
            })
        };
        let ended = Entry::Ended(Ended {
            attempt: "a".into(),
            outcome: Outcome::Answered,
            tokens: Tokens { prompt: 5, cached: 0, completion: 7 },
            estimated: false,
            cost_micros: None,
        });
        let mut records = Records::default();
        for (index, entry) in (0..).zip([sent("a"), sent("b"), ended]) {
            records.push(Record { index, time, entry });
        }
        let text = records.text();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.contains("answered · 5 in · 7 out") && text.contains("under way"), "{text}");
        assert!(text.contains("2026-11-21 10:00:00  far"), "{text}");
    }
}
