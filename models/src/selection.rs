//! Which model is best for a task on a machine, and which takes the place of one that cannot be used.
//!
//! The order, the first that differs deciding: whether it can do what is wanted, whether it fits into
//! memory, how many of the wanted languages it answers in, whether it is fast enough to read along,
//! and then its number of parameters.

use std::cmp::Reverse;

use crate::versions;

/// Bytes of weights that one core reads in a second; decoding a token reads all of them once. On two
/// cores of an AMD EPYC, 98 MB of weights make 99 tokens a second.
const BYTES_PER_CORE_SECOND: f64 = 5e9;
/// More cores than this wait for the memory.
const CORES_MAX: u32 = 8;
/// As fast as people read, in tokens a second.
const FAST_ENOUGH: f64 = 8.0;

/// What a model can be asked for when nothing else is said.
pub const CHAT: &str = "chat";
/// What a model that generates no text can do.
pub const EMBED: &str = "embed";

/// A model, as far as choosing goes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Candidate {
    /// The id or path by which it is asked for.
    pub id: String,
    /// Id of the entry that it is a variant or a version of, or its own.
    pub base: String,
    /// What it is good for; empty when nobody knows.
    pub abilities: Vec<String>,
    /// Languages as ISO 639-1 codes; empty when nobody knows.
    pub languages: Vec<String>,
    /// Number of weights; 0 when nobody knows.
    pub parameters: u64,
    /// Bytes of its file; 0 when nobody knows.
    pub size_bytes: u64,
    /// Estimate of the memory that it takes.
    pub memory_bytes: u64,
    /// Whether it makes embeddings and no text.
    pub embeds: bool,
    /// Whether its file is on this machine.
    pub here: bool,
    /// Tokens of an answer in a second, where that was measured.
    pub tokens_per_second: Option<f64>,
    /// Why its file cannot be used; empty when it can.
    pub problem: String,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// What it must be good for.
    pub ability: String,
    /// Languages that it should answer in.
    pub languages: Vec<String>,
    /// Memory that it may take.
    pub memory_bytes: u64,
    /// Cores of the machine.
    pub cores: u32,
}

/// A candidate in its place among the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked<'a> {
    /// Which one.
    pub candidate: &'a Candidate,
    /// Whether it can do what is wanted on this machine.
    pub suits: bool,
    /// What speaks for it and against it.
    pub reasons: Vec<String>,
    /// Tokens of an answer in a second, measured or estimated.
    pub tokens_per_second: f64,
}

impl Candidate {
    /// Whether it is good for `ability`. Of a model of which nobody knows, that it writes is enough for
    /// a chat.
    fn can(&self, ability: &str) -> bool {
        match (self.embeds || ability == EMBED, self.abilities.is_empty()) {
            (true, _) => self.embeds == (ability == EMBED),
            (false, true) => ability == CHAT,
            (false, false) => self.abilities.iter().any(|known| known == ability),
        }
    }

    fn speed(&self, cores: u32) -> f64 {
        if let Some(measured) = self.tokens_per_second {
            return measured;
        }
        if self.size_bytes == 0 {
            return 0.0;
        }
        #[allow(clippy::cast_precision_loss, reason = "an estimate")]
        let bytes = self.size_bytes as f64;
        f64::from(cores.clamp(1, CORES_MAX)) * BYTES_PER_CORE_SECOND / bytes
    }
}

/// All candidates, best first.
#[must_use]
pub fn rank<'a>(candidates: &'a [Candidate], wanted: &Wanted) -> Vec<Ranked<'a>> {
    let mut all: Vec<_> = candidates.iter().map(|candidate| judge(candidate, wanted)).collect();
    // Equals keep their order, which is that of the catalog.
    all.sort_by_key(|(merit, _)| Reverse(*merit));
    all.into_iter().map(|(_, ranked)| ranked).collect()
}

/// What decides, the first that differs: ability, memory, languages, speed, parameters.
type Merit = (bool, bool, usize, bool, u64);

fn judge<'a>(candidate: &'a Candidate, wanted: &Wanted) -> (Merit, Ranked<'a>) {
    let mut reasons = Vec::new();
    let can = candidate.problem.is_empty() && candidate.can(&wanted.ability);
    reasons.push(match (candidate.problem.is_empty(), can) {
        (false, _) => format!("cannot be used: {}", candidate.problem),
        (true, true) if candidate.abilities.is_empty() => {
            format!("probably good for {}, nobody says so", wanted.ability)
        }
        (true, true) => format!("good for {}", wanted.ability),
        (true, false) => format!("not known to be good for {}", wanted.ability),
    });
    let fits = candidate.memory_bytes <= wanted.memory_bytes;
    let (needed, most) = (candidate.memory_bytes >> 20, wanted.memory_bytes >> 20);
    reasons.push(match (candidate.memory_bytes, fits) {
        (0, _) => "nobody knows how much memory it takes".to_owned(),
        (_, true) => format!("takes about {needed} of {most} MiB"),
        (_, false) => format!("takes about {needed} MiB, and {most} may be used"),
    });
    let speaks = |language: &&String| candidate.languages.contains(language);
    let spoken: Vec<&str> = wanted.languages.iter().filter(speaks).map(String::as_str).collect();
    if !wanted.languages.is_empty() {
        reasons.push(match spoken.len() {
            0 => format!("not known to speak {}", wanted.languages.join(", ")),
            _ => format!("speaks {}", spoken.join(", ")),
        });
    }
    let speed = candidate.speed(wanted.cores);
    let source = if candidate.tokens_per_second.is_some() { "measured" } else { "estimated" };
    if speed > 0.0 && wanted.ability != EMBED {
        reasons.push(format!("{speed:.0} tokens/s ({source})"));
    }
    let fast = wanted.ability == EMBED || speed == 0.0 || speed >= FAST_ENOUGH;
    if !fast {
        reasons.push("slower than people read".to_owned());
    }
    let merit = (can, fits, spoken.len(), fast, candidate.parameters);
    let suits = can && fits;
    (merit, Ranked { candidate, suits, reasons, tokens_per_second: speed })
}

/// The best model on this machine.
#[must_use]
pub fn best<'a>(candidates: &'a [Candidate], wanted: &Wanted) -> Option<&'a Candidate> {
    let ranked = rank(candidates, wanted);
    ranked.into_iter().find(|it| it.suits && it.candidate.here).map(|it| it.candidate)
}

/// Who answers in place of a model that cannot be used, best first: the version or model that was in
/// use before, other versions and quantizations of it, then the best of the others.
#[must_use]
pub fn stand_ins<'a>(
    of: &Candidate,
    before: Option<&str>,
    candidates: &'a [Candidate],
    wanted: &Wanted,
) -> Vec<&'a Candidate> {
    let ranked = rank(candidates, wanted).into_iter();
    let usable = ranked.filter(|it| it.suits && it.candidate.here && it.candidate.id != of.id);
    let mut usable: Vec<_> = usable.map(|it| it.candidate).collect();
    usable.sort_by_key(|candidate| {
        let other = candidate.base != of.base;
        let version = versions::split(&candidate.id).filter(|_| !other).map(|(_, version)| version);
        (Some(candidate.id.as_str()) != before, other, Reverse(version))
    });
    usable
}

/// Who answers in place of a model when memory is short: the largest of those that take less.
#[must_use]
pub fn smaller<'a>(
    than: &Candidate,
    candidates: &'a [Candidate],
    ability: &str,
) -> Option<&'a Candidate> {
    let is_smaller = |candidate: &&Candidate| {
        candidate.here
            && candidate.problem.is_empty()
            && candidate.can(ability)
            && candidate.memory_bytes < than.memory_bytes
            // Another version of the same takes about the same.
            && candidate.parameters <= than.parameters
    };
    candidates.iter().filter(is_smaller).max_by_key(|candidate| candidate.memory_bytes)
}

/// The entry that a name is a version or a variant of.
#[must_use]
pub fn base(id: &str, variant_of: Option<&str>) -> String {
    let version_of = || versions::split(id).map_or(id, |(base, _)| base);
    variant_of.unwrap_or_else(version_of).to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn model(id: &str, millions: u64) -> Candidate {
        Candidate {
            id: id.to_owned(),
            base: base(id, None),
            abilities: vec![CHAT.to_owned()],
            languages: vec!["en".to_owned()],
            parameters: millions * 1_000_000,
            size_bytes: millions * 1_000_000,
            memory_bytes: millions << 20,
            here: true,
            ..Candidate::default()
        }
    }

    fn chat(memory_mib: u64) -> Wanted {
        Wanted {
            ability: CHAT.to_owned(),
            languages: Vec::new(),
            memory_bytes: memory_mib << 20,
            cores: 2,
        }
    }

    fn order<'a>(candidates: &'a [Candidate], wanted: &Wanted) -> Vec<&'a str> {
        rank(candidates, wanted).iter().map(|it| it.candidate.id.as_str()).collect()
    }

    #[test]
    fn the_largest_that_fits_and_is_fast_enough_is_best() {
        let all = [model("small", 100), model("middle", 1000), model("slow", 3000)];
        assert_eq!(order(&all, &chat(9000)), ["middle", "small", "slow"]);
        assert_eq!(order(&all, &chat(500)), ["small", "middle", "slow"]);
        let measured = Candidate { tokens_per_second: Some(9.0), ..model("slow", 3000) };
        assert_eq!(best(&[all[0].clone(), measured], &chat(9000)).unwrap().id, "slow");
        assert_eq!(best(&all, &chat(50)), None);
        let absent = Candidate { here: false, ..model("absent", 1200) };
        let all = [all[0].clone(), absent];
        assert_eq!(order(&all, &chat(9000)), ["absent", "small"]);
        assert_eq!(best(&all, &chat(9000)).unwrap().id, "small");
    }

    #[test]
    fn languages_come_before_size_and_ability_before_both() {
        let german = Candidate { languages: vec!["de".into()], ..model("german", 100) };
        let coder = Candidate { abilities: vec!["code".into()], ..model("coder", 500) };
        let all = [model("large", 1000), german, coder];
        let wanted = Wanted { languages: vec!["de".into()], ..chat(9000) };
        assert_eq!(order(&all, &wanted), ["german", "large", "coder"]);
        let wanted = Wanted { ability: "code".into(), ..chat(9000) };
        let ranked = rank(&all, &wanted);
        assert_eq!((ranked[0].candidate.id.as_str(), ranked[0].suits), ("coder", true));
        assert!(!ranked[1].suits);
        assert_eq!(ranked[1].reasons[0], "not known to be good for code");
    }

    #[test]
    fn a_model_that_embeds_answers_nobody_and_one_that_nobody_knows_may_chat() {
        let embeds = Candidate { embeds: true, abilities: Vec::new(), ..model("embeds", 900) };
        let unknown = Candidate { abilities: Vec::new(), ..model("unknown", 10) };
        let all = [embeds, unknown];
        assert_eq!(best(&all, &chat(9000)).unwrap().id, "unknown");
        let wanted = Wanted { ability: EMBED.into(), ..chat(9000) };
        assert_eq!(best(&all, &wanted).unwrap().id, "embeds");
        let wanted = Wanted { ability: "code".into(), ..chat(9000) };
        assert_eq!(best(&all, &wanted), None);
    }

    #[test]
    fn what_was_in_use_before_stands_in_first_then_the_same_model_then_the_best() {
        let broken = Candidate { problem: "is damaged".into(), ..model("smol@1.2.0", 100) };
        let variant = Candidate { base: "smol".into(), ..model("smol:q8_0", 120) };
        let all =
            [model("large", 1000), model("smol@1.0.0", 100), variant, broken, model("tiny", 1)];
        let ids = |before| {
            let stand_ins = stand_ins(&all[3], before, &all, &chat(9000)).into_iter();
            stand_ins.map(|it| it.id.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(ids(None), ["smol@1.0.0", "smol:q8_0", "large", "tiny"]);
        assert_eq!(ids(Some("smol:q8_0")), ["smol:q8_0", "smol@1.0.0", "large", "tiny"]);
        assert_eq!(ids(Some("tiny"))[0], "tiny");
    }

    #[test]
    fn the_next_smaller_one_is_the_largest_that_takes_less() {
        let all = [model("tiny", 1), model("small", 100), model("large", 1000)];
        assert_eq!(smaller(&all[2], &all, CHAT).unwrap().id, "small");
        assert_eq!(smaller(&all[0], &all, CHAT), None);
        assert_eq!(smaller(&all[2], &all, "code"), None);
    }
}
