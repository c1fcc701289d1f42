//! Who goes first when not everybody can.

use std::time::Duration;

use tandem_proto::v1::Priority;

/// After this long, what nobody waits for counts as a program's.
const PATIENCE: Duration = Duration::from_mins(1);

/// How urgent a request is by now. The greater, the more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Nobody waits for it.
    Background,
    /// A program does.
    Batch,
    /// A person does.
    Interactive,
}

impl Urgency {
    /// Of a request that came in so long ago.
    pub fn new(priority: Priority, waited: Duration) -> Self {
        match priority {
            Priority::High => Self::Interactive,
            Priority::Low if waited < PATIENCE => Self::Background,
            Priority::Low | Priority::Normal | Priority::Unspecified => Self::Batch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Urgency::{Background, Batch, Interactive};

    #[test]
    fn people_come_first_and_background_work_last_until_it_has_waited() {
        let after = |waited| {
            [Priority::Low, Priority::Normal, Priority::Unspecified, Priority::High]
                .map(|priority| Urgency::new(priority, waited))
        };
        assert_eq!(after(Duration::from_secs(59)), [Background, Batch, Batch, Interactive]);
        assert_eq!(after(PATIENCE), [Batch, Batch, Batch, Interactive]);
        assert!(Background < Batch && Batch < Interactive);
    }
}
