//! The last minutes, one entry for a column of the picture.

use std::collections::VecDeque;

use tandem_client::v1;

/// Looks at the daemon that share a column; they come once a second.
pub(super) const LOOKS: u32 = 5;

/// Columns that are kept: more than screens are wide.
const COLUMNS: usize = 512;

/// What happened in the time of a column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Column {
    /// The least memory that was available, in percent; `None` while the daemon did not say.
    pub(super) memory: Option<u64>,
    /// The most questions that waited.
    pub(super) waiting: Option<u64>,
}

/// The columns so far.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    /// The latest first.
    columns: VecDeque<Column>,
    /// Looks that are in the latest one.
    looks: u32,
}

impl History {
    /// Adds what was seen; `None` for a look at which nothing was.
    pub(super) fn add(&mut self, status: Option<&v1::StatusResponse>) {
        if self.looks == 0 {
            self.columns.push_front(Column::default());
            self.columns.truncate(COLUMNS);
        }
        self.looks = (self.looks + 1) % LOOKS;
        let Some((status, column)) = status.zip(self.columns.front_mut()) else { return };
        let memory = status.resources.as_ref().and_then(|machine| {
            machine
                .memory_available_bytes
                .saturating_mul(100)
                .checked_div(machine.memory_total_bytes)
        });
        let waiting = status.admission.as_ref().map(|admission| admission.waiting.into());
        column.memory = column.memory.into_iter().chain(memory).min();
        column.waiting = column.waiting.max(waiting);
    }

    /// The latest columns, the latest first.
    pub(super) fn latest(&self, count: usize) -> impl Iterator<Item = Column> {
        self.columns.iter().take(count).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(available: u64, waiting: u32) -> v1::StatusResponse {
        v1::StatusResponse {
            resources: Some(v1::ResourceStatus {
                memory_total_bytes: 1000,
                memory_available_bytes: available,
                ..v1::ResourceStatus::default()
            }),
            admission: Some(v1::Admission { waiting, ..v1::Admission::default() }),
            ..v1::StatusResponse::default()
        }
    }

    #[test]
    fn a_column_has_the_worst_of_its_time() {
        let mut history = History::default();
        for (available, waiting) in [(500, 0), (200, 7), (900, 1), (900, 0), (900, 0), (100, 3)] {
            history.add(Some(&status(available, waiting)));
        }
        let columns: Vec<_> = history.latest(9).collect();
        assert_eq!(columns[0], Column { memory: Some(10), waiting: Some(3) });
        assert_eq!(columns[1], Column { memory: Some(20), waiting: Some(7) });
        assert_eq!(columns.len(), 2);
    }

    #[test]
    fn time_in_which_the_daemon_was_silent_is_a_gap() {
        let mut history = History::default();
        history.add(Some(&status(500, 0)));
        for _ in 1..2 * LOOKS {
            history.add(None);
        }
        history.add(Some(&v1::StatusResponse::default()));
        let memory: Vec<_> = history.latest(9).map(|column| column.memory).collect();
        assert_eq!(memory, [None, None, Some(50)]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut history = History::default();
        for _ in 0..COLUMNS * 6 {
            history.add(None);
        }
        assert_eq!(history.latest(usize::MAX).count(), COLUMNS);
    }
}
