//! How urgent a question is, and how many slots and places that is worth.

use tandem_proto::v1::Priority;

/// How urgent a question is. The most urgent comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A person waits for the answer.
    Interactive,
    /// A program does.
    Batch,
    /// Nobody does.
    Background,
}

impl Class {
    pub(super) const ALL: [Self; 3] = [Self::Interactive, Self::Batch, Self::Background];

    /// Of `slots`, those that may be held by work that is no more urgent than this. One is kept for
    /// a person who comes later, if there are two or more, and background work has a quarter.
    pub(super) fn slots(self, slots: u32) -> u32 {
        let most = match self {
            Self::Interactive => slots,
            Self::Batch => slots.saturating_sub(1),
            Self::Background => slots / 4,
        };
        most.max(1).min(slots)
    }

    /// Of `waiting_max` places to wait at, those that work of this class leaves to what is more urgent:
    /// it may wait for long, and nobody else could wait there meanwhile.
    pub(super) fn places_left(self, waiting_max: u32) -> u32 {
        match self {
            Self::Interactive => 0,
            Self::Batch => waiting_max / 8,
            Self::Background => waiting_max / 2,
        }
    }
}

impl From<Priority> for Class {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::High => Self::Interactive,
            Priority::Unspecified | Priority::Normal => Self::Batch,
            Priority::Low => Self::Background,
        }
    }
}

impl From<Class> for Priority {
    fn from(class: Class) -> Self {
        match class {
            Class::Interactive => Self::High,
            Class::Batch => Self::Normal,
            Class::Background => Self::Low,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_kept_for_people_and_a_quarter_is_for_background_work() {
        let shares = |slots| Class::ALL.map(|class| class.slots(slots));
        assert_eq!(shares(0), [0, 0, 0]);
        assert_eq!(shares(1), [1, 1, 1]);
        assert_eq!(shares(2), [2, 1, 1]);
        assert_eq!(shares(8), [8, 7, 2]);
    }
}
