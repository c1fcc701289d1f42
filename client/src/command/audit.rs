//! `tandem audit`: the record of all that left this machine. It needs the files only, and no daemon.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use jiff::{Span, Timestamp, civil::Date, tz::TimeZone};
use tandem_client::v1;
use tandem_ledger::{Error, Head, Source, read, verify};

use crate::{
    context::Context,
    failure::Failure,
    report::audit::{Records, Verdict},
};

/// Of a SHA-256 in hexadecimal.
const HASH_DIGITS: usize = 64;

const VERIFYING: &str = "\
Every record holds the hash of the one before, so a record that was changed, removed or moved is named.
That records were cut off the end shows only against an end that is known from elsewhere: head.json beside
the ledger, and the running daemon, which are both asked. Who can change all of these can also hide a cut;
the line `end` printed here, kept on another machine, shows it later, with --end.

Exit codes: 0 in order, 1 not in order or not readable.";

/// What to do with the ledger.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Check that no record was changed, removed or moved
    #[command(after_help = VERIFYING)]
    Verify(Verify),
    /// Show what left this machine: when, where to, how much, and what it cost
    Show(Show),
}

/// What to check.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Check these files, oldest first, and not the whole ledger of this user
    #[arg(long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// An end that the ledger had once, as printed then: RECORDS:HASH
    #[arg(long, value_name = "RECORDS:HASH", value_parser = end)]
    end: Option<Head>,
}

/// What to show.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Only what left since: a day (2026-11-21), a time, or a span before now (90m, 12h, 7d)
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    /// Show these files, oldest first, and not the whole ledger of this user
    #[arg(long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Audit {
    pub(crate) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Verify(check) => check.run(context).await,
            Self::Show(show) => {
                let mut records = Records::default();
                read(&source(context, show.files), |record| {
                    if show.since.is_none_or(|since| record.time >= since) {
                        records.push(record);
                    }
                })
                .map_err(unreadable)?;
                context.terminal.result(&records, Records::text)?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

impl Verify {
    async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let whole = self.files.is_empty();
        let mut ends = Vec::from_iter(self.end.map(|end| ("--end", end)));
        if whole {
            // Asked before the files are read, which may grow meanwhile.
            ends.extend(of_daemon(context).await.map(|end| ("the daemon", end)));
            ends.extend(Head::noted(&folder(context)).map(|end| ("head.json", end)));
        }
        let source = source(context, self.files);
        let mut verdict = Verdict::of(verify(&source, None).map_err(unreadable)?);
        for (name, end) in ends {
            verdict.compare(name, &verify(&source, Some(&end)).map_err(unreadable)?);
        }
        context.terminal.result(&verdict, Verdict::text)?;
        Ok(if verdict.is_in_order() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The end of the ledger that the daemon knows of, if one runs.
async fn of_daemon(context: &Context) -> Option<Head> {
    let client = context.find().await.ok()?.1.ok()?;
    let audit = client.admin().audit(v1::AuditRequest {}).await.ok()?.into_inner();
    (audit.records > 0).then_some(Head { records: audit.records, hash: audit.hash })
}

fn source(context: &Context, files: Vec<PathBuf>) -> Source {
    if files.is_empty() { Source::Folder(folder(context)) } else { Source::Files(files) }
}

fn folder(context: &Context) -> PathBuf {
    context.data_dir().join("audit")
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn unreadable(error: Error) -> Failure {
    Failure::Output(std::io::Error::other(format!("the ledger cannot be read: {error}")))
}

fn end(text: &str) -> Result<Head, String> {
    let parsed = text.split_once(':').and_then(|(records, hash)| {
        Some(Head { records: records.parse().ok()?, hash: hash.to_owned() })
    });
    let is_whole = |head: &Head| {
        head.records > 0
            && head.hash.len() == HASH_DIGITS
            && head.hash.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    parsed.filter(is_whole).ok_or_else(|| {
        format!(
            "write the whole line `end` as `tandem audit verify` printed it: a number, a colon and \
             {HASH_DIGITS} digits"
        )
    })
}

fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let begin = if let Ok(day) = text.parse::<Date>() {
        day.to_zoned(TimeZone::UTC).ok()
    } else {
        let now = Timestamp::now().to_zoned(TimeZone::UTC);
        text.parse::<Span>().ok().and_then(|span| now.checked_sub(span.abs()).ok())
    };
    begin
        .map(|begin| begin.timestamp())
        .ok_or_else(|| "write a day such as 2026-11-21, or a span such as 12h or 7d".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_time_may_be_a_day_a_moment_or_a_span_before_now() {
        assert_eq!(since("2026-11-21").unwrap(), since("2026-11-21T00:00:00Z").unwrap());
        let day = Span::new().hours(24);
        let (before, begin, after) = (Timestamp::now(), since("1d").unwrap(), Timestamp::now());
        assert!((before - day..=after - day).contains(&begin), "{begin}");
        assert!(since("90m").unwrap() > since("2h").unwrap());
        assert!(since("soon").is_err());
    }

    #[test]
    fn an_end_is_written_as_it_is_printed() {
        let hash = "9f".repeat(32);
        let head = end(&format!("42:{hash}")).unwrap();
        assert_eq!((head.records, &head.hash), (42, &hash));
        for wrong in
            ["42", "42:9f", "x:9f", &format!("0:{hash}"), &format!("42:{}", "zz".repeat(32))]
        {
            assert!(end(wrong).unwrap_err().contains("tandem audit verify"), "{wrong}");
        }
    }
}
