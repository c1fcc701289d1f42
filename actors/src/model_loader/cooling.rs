//! What was given up a moment ago and is not tried again yet.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::Error;

/// Pauses by the file of the model. A file has one only when an engine of it was given up, and
/// not for long.
#[derive(Debug, Default)]
pub(super) struct CoolingDown(HashMap<PathBuf, Pause>);

#[derive(Debug)]
struct Pause {
    until: Instant,
    /// What to tell those who ask for the model; `None` when it has other engines that serve.
    refusal: Option<Error>,
}

impl CoolingDown {
    /// The only engine of a model was given up: the model is refused for a while.
    pub(super) fn refuse(&mut self, model: &Path, until: Instant, refusal: Error) {
        self.0.insert(model.to_owned(), Pause { until, refusal: Some(refusal) });
    }

    /// One of several engines was given up: there will be no more than the others for a while.
    pub(super) fn leave_alone(&mut self, model: &Path, until: Instant) {
        self.0.insert(model.to_owned(), Pause { until, refusal: None });
    }

    /// Why the model is refused; `None` when it is not.
    pub(super) fn refusal(&mut self, model: &Path, now: Instant) -> Option<Error> {
        self.expire(now);
        self.0.get(model)?.refusal.clone()
    }

    /// Whether the model may have one more engine.
    pub(super) fn allows_another(&mut self, model: &Path, now: Instant) -> bool {
        self.expire(now);
        !self.0.contains_key(model)
    }

    fn expire(&mut self, now: Instant) {
        self.0.retain(|_, pause| pause.until > now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_engine_beside_others_that_was_given_up_is_no_reason_to_refuse_the_model() {
        let mut cooling = CoolingDown::default();
        let (model, now) = (Path::new("a.gguf"), Instant::now());
        let later = now + Duration::from_secs(1);
        assert!(cooling.allows_another(model, now));
        cooling.leave_alone(model, later);
        assert!(!cooling.allows_another(model, now));
        assert!(cooling.allows_another(Path::new("b.gguf"), now));
        assert_eq!(cooling.refusal(model, now), None);

        let error = Error::ShuttingDown;
        cooling.refuse(model, later, error.clone());
        assert_eq!(cooling.refusal(model, now), Some(error));
        assert!(!cooling.allows_another(model, now));
        assert_eq!(cooling.refusal(model, later), None);
        assert!(cooling.allows_another(model, later));
    }
}
