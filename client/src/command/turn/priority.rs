//! How urgent a question is.

use clap::ValueEnum;
use tandem_client::v1;

/// Who waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Priority {
    /// A person: goes first, and one slot is always kept for such
    Interactive,
    /// A program
    Batch,
    /// Nobody: goes when nothing else waits
    Background,
}

impl Priority {
    /// That of a question that does not say.
    pub(super) fn usual(person_waits: bool) -> Self {
        if person_waits { Self::Interactive } else { Self::Batch }
    }
}

impl From<Priority> for v1::Priority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Interactive => Self::High,
            Priority::Batch => Self::Normal,
            Priority::Background => Self::Low,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[arg(long, value_enum)]
        priority: Option<Priority>,
    }

    #[test]
    fn a_person_at_a_terminal_is_urgent_unless_told_otherwise() {
        let priority = |arguments: &[&str], person_waits| {
            let line = Line::try_parse_from([&["x"], arguments].concat()).unwrap();
            let priority = line.priority.unwrap_or_else(|| Priority::usual(person_waits));
            v1::Priority::from(priority)
        };
        assert_eq!(priority(&[], true), v1::Priority::High);
        assert_eq!(priority(&[], false), v1::Priority::Normal);
        assert_eq!(priority(&["--priority", "background"], true), v1::Priority::Low);
        assert_eq!(priority(&["--priority", "interactive"], false), v1::Priority::High);
    }
}
