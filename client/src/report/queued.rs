//! Where a question stands that waits for its turn.

use std::time::Duration;

use serde::Serialize;
use tandem_client::v1;

use super::duration;

/// Its place among those that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Queued {
    /// 1 is the next.
    position: u32,
    waiting: u32,
    estimate_ms: Option<u64>,
}

/// The same as a line of JSON, named, as it comes amid other things.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) queued: Queued,
}

impl From<&v1::Queued> for Queued {
    fn from(queued: &v1::Queued) -> Self {
        let v1::Queued { position, waiting, estimate_ms } = *queued;
        Self { position, waiting, estimate_ms }
    }
}

impl Queued {
    /// For a person: `waiting: 3rd of 7, about 12 s`.
    pub(crate) fn text(self) -> String {
        let about = self.estimate_ms.map(|wait| {
            // To the second, as it is no more than an estimate.
            let seconds = Duration::from_millis(wait).as_secs().max(1);
            format!(", about {}", duration(Duration::from_secs(seconds)))
        });
        let about = about.unwrap_or_default();
        format!("waiting: {} of {}{about}", ordinal(self.position), self.waiting)
    }
}

fn ordinal(number: u32) -> String {
    let ending = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_place_and_the_time_are_said_as_people_say_them() {
        let text = |position, estimate_ms| Queued { position, waiting: 30, estimate_ms }.text();
        assert_eq!(text(3, Some(12_400)), "waiting: 3rd of 30, about 12 s");
        assert_eq!(text(11, None), "waiting: 11th of 30");
        assert_eq!(text(21, Some(80)), "waiting: 21st of 30, about 1 s");
        assert_eq!(text(22, Some(61_000)), "waiting: 22nd of 30, about 1 min 1 s");
    }

    #[test]
    fn the_json_says_the_same() {
        let queued = Queued { position: 3, waiting: 7, estimate_ms: None };
        let json = serde_json::to_string(&Line { queued }).unwrap();
        assert_eq!(json, r#"{"queued":{"position":3,"waiting":7,"estimate_ms":null}}"#);
    }
}
