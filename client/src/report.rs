//! What the command prints with `--json`: one serializable mirror of each message.
//!
//! Keys are stable and always there; what is unknown is null. Text for people is made from the
//! same structs, so that both say the same.

use std::time::Duration;

use serde::Serialize;
use tandem_client::v1;

pub(crate) mod answer;
pub(crate) mod audit;
pub(crate) mod cache;
pub(crate) mod context;
pub(crate) mod conversation;
pub(crate) mod distribution;
pub(crate) mod doctor;
pub(crate) mod experiment;
pub(crate) mod fact;
pub(crate) mod knowledge;
pub(crate) mod memory;
pub(crate) mod model;
pub(crate) mod model_choice;
pub(crate) mod model_file;
pub(crate) mod queued;
pub(crate) mod router;
pub(crate) mod status;
pub(crate) mod tuning;
pub(crate) mod usage;

/// The value of an enum as in `HEALTH_SERVING`, without the prefix: `serving`.
fn name(value: &str, prefix: &str) -> String {
    value.strip_prefix(prefix).unwrap_or(value).to_lowercase()
}

/// The track's name, or nothing when it is not known.
fn track(track: v1::Track) -> Option<String> {
    (track != v1::Track::Unspecified).then(|| name(track.as_str_name(), "TRACK_"))
}

/// Why generation ended, or nothing when it is not known.
fn finish_reason(reason: v1::FinishReason) -> Option<String> {
    (reason != v1::FinishReason::Unspecified).then(|| name(reason.as_str_name(), "FINISH_REASON_"))
}

/// Nothing instead of an empty string.
fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// Tokens of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Tokens {
    pub(crate) prompt: u32,
    pub(crate) cached: u32,
    pub(crate) completion: u32,
}

impl From<v1::Usage> for Tokens {
    fn from(usage: v1::Usage) -> Self {
        Self {
            prompt: usage.prompt_tokens,
            cached: usage.cached_tokens,
            completion: usage.completion_tokens,
        }
    }
}

/// A duration in its one or two largest units: `3 d 4 h`, `45 s`, `120 ms`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// Rows below their headings, in columns that are as wide as their widest cell.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
            .max(headings[column].len())
    };
    let line = |row: [&str; N]| {
        let cells =
            row.iter().enumerate().map(|(column, cell)| format!("{cell:0$}  ", width(column)));
        cells.collect::<String>().trim_end().to_owned() + "\n"
    };
    let body: String = rows.iter().map(|row| line(row.each_ref().map(String::as_str))).collect();
    line(headings) + &body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_their_largest_units() {
        let shown = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!(duration(Duration::from_millis(12)), "12 ms");
        assert_eq!(shown(59), "59 s");
        assert_eq!(shown(61), "1 min 1 s");
        assert_eq!(shown(3600), "1 h 0 min");
        assert_eq!(shown(90_000), "1 d 1 h");
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_space() {
        let rows = [["a".into(), "long cell".into()], ["übung".into(), String::new()]];
        assert_eq!(table(["ID", "TITLE"], &rows), "ID     TITLE\na      long cell\nübung\n");
    }
}
