//! What follows the end of an engine process.

use std::time::Duration;

use super::process::Exit;
use super::settings::Choice;
use crate::Error;
use crate::supervisor::ledger::{Decision, Ledger};

/// How long a model whose engine was given up is not tried again.
pub(super) const COOL_DOWN: Duration = Duration::from_secs(30);

/// The life that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It had not reported `Loaded`.
    Loading,
    /// It served. `productive` when it completed a request.
    Serving { productive: bool },
}

/// What to do next.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// Start the next engine after a pause, with these settings.
    Start { pause: Duration, choice: Choice },
    /// There is no point in another one.
    GiveUp(Error),
}

/// Decides. A fault while loading, and an illegal instruction at any time, leads to safer
/// settings; everything else to a restart, as long as the ledger bears it.
pub(super) fn after(
    exit: &Exit,
    stage: Stage,
    choice: &Choice,
    ledger: &mut Ledger,
    now: Duration,
    model: &str,
) -> Next {
    let settings_at_fault =
        exit.is_illegal_instruction() || (stage == Stage::Loading && exit.is_fault());
    if settings_at_fault {
        return match choice.safer(&exit.how) {
            Some(choice) => Next::Start { pause: Duration::ZERO, choice },
            None => Next::GiveUp(Error::ModelInvalid {
                id: model.to_owned(),
                problem: format!(
                    "the engine was {} with the safest settings too; the file may be damaged: \
                     fetch it again",
                    exit.how
                ),
            }),
        };
    }
    let productive = stage == Stage::Serving { productive: true };
    match ledger.ended(productive, now) {
        Decision::RestartAfter(pause) => Next::Start { pause, choice: choice.clone() },
        Decision::GiveUp => Next::GiveUp(Error::EngineUnavailable {
            model: model.to_owned(),
            reason: format!("it died too often, at last {}", exit.how),
            retry_after: COOL_DOWN,
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests")]
    use super::*;
    use crate::supervisor::ledger::Intensity;

    fn exit(signal: i32) -> Exit {
        Exit { signal: Some(signal), how: format!("killed by {signal}") }
    }

    fn decide(signal: i32, stage: Stage, choice: &Choice, ledger: &mut Ledger) -> Next {
        after(&exit(signal), stage, choice, ledger, Duration::ZERO, "m")
    }

    #[test]
    fn an_illegal_instruction_leads_to_safer_settings_until_there_are_none() {
        let mut ledger = Ledger::new(Intensity::default());
        let mut choice = Choice::first(true);
        for _ in 0..2 {
            match decide(4, Stage::Loading, &choice, &mut ledger) {
                Next::Start { choice: next, .. } => {
                    assert_ne!(next.rung, choice.rung);
                    choice = next;
                }
                Next::GiveUp(error) => panic!("{error}"),
            }
        }
        let last = decide(4, Stage::Loading, &choice, &mut ledger);
        assert!(matches!(last, Next::GiveUp(Error::ModelInvalid { .. })));
    }

    #[test]
    fn someone_who_kills_a_loading_engine_does_not_change_its_settings() {
        let mut ledger = Ledger::new(Intensity::default());
        let choice = Choice::first(true);
        let next = decide(9, Stage::Loading, &choice, &mut ledger);
        assert_eq!(next, Next::Start { pause: Duration::ZERO, choice });
    }

    #[test]
    fn engines_that_served_are_restarted_every_time_and_others_only_so_often() {
        let mut ledger = Ledger::new(Intensity::default());
        let choice = Choice::first(true);
        for _ in 0..1000 {
            let next = decide(9, Stage::Serving { productive: true }, &choice, &mut ledger);
            assert!(matches!(next, Next::Start { .. }));
        }
        let given_up = (0..10).any(|_| {
            let next = decide(9, Stage::Serving { productive: false }, &choice, &mut ledger);
            matches!(next, Next::GiveUp(Error::EngineUnavailable { .. }))
        });
        assert!(given_up);
    }
}
