//! What the rungs of the ladder ask of each other.

use super::Reader;
use crate::{Config, Degree, Ladder};

impl Reader {
    /// Refuses rungs that would be in effect before one that gives up less. A default gives way to
    /// what was set.
    pub(super) fn settle_ladder(&mut self, config: &mut Config) {
        let key = |rung: &str| format!("resources.ladder.{rung}");
        let rungs = Ladder::KEYS.into_iter().zip(&mut config.resources.ladder.rungs);
        let (mut set, mut defaults) = (Vec::new(), Vec::new());
        for (place, (rung, degree)) in rungs.enumerate() {
            match (self.origins.get(&key(rung)), degree) {
                (Some(origin), Some(degree)) => set.push((place, rung, *degree, origin.clone())),
                (None, Some(degree)) => defaults.push((place, degree)),
                (_, None) => (),
            }
        }
        for (place, degree) in defaults {
            let before = set.iter().filter(|(other, ..)| *other < place).map(|(_, _, it, _)| *it);
            let after = set.iter().filter(|(other, ..)| *other > place).map(|(_, _, it, _)| *it);
            *degree = before.chain([*degree]).max().unwrap_or(*degree);
            *degree = after.chain([*degree]).min().unwrap_or(*degree);
        }
        let mut harshest: Option<(&str, Degree)> = None;
        for (_, rung, degree, origin) in set {
            match harshest {
                Some((milder, from)) if degree < from => {
                    let message = format!(
                        "= \"{}\" comes before resources.ladder.{milder} = \"{from}\", which gives up \
                         less; write \"{from}\" or a harder pressure here, or \"off\"",
                        degree.name(),
                        from = from.name(),
                    );
                    self.refuse(origin, key(rung), message);
                }
                _ => harshest = Some((rung, degree)),
            }
        }
    }
}
