//! Checks what callers ask for in [`Sampling`], and fills in what they leave open.

use tandem_proto::v1::Sampling;

use crate::{Error, Result};

/// Longest schema or grammar in bytes.
const CONSTRAINT_BYTES_MAX: usize = 65_536;

/// Refuses values outside the ranges that `sampling.proto` states.
pub fn validate(sampling: &Sampling) -> Result<()> {
    let float = |name: &str, value: Option<f32>, low: f32, high: f32| match value {
        Some(value) if !(low..=high).contains(&value) => {
            Err(Error::invalid(name, format!("is {value}; allowed are {low} to {high}")))
        }
        _ => Ok(()),
    };
    let share = |name: &str, value: Option<f32>| match value {
        Some(value) if !(value > 0.0 && value <= 1.0) => {
            Err(Error::invalid(name, format!("is {value}; allowed is more than 0, up to 1")))
        }
        _ => Ok(()),
    };
    let integer = |name: &str, value: Option<u32>, low: u32, high: u32| match value {
        Some(value) if !(low..=high).contains(&value) => {
            Err(Error::invalid(name, format!("is {value}; allowed are {low} to {high}")))
        }
        _ => Ok(()),
    };
    float("sampling.temperature", sampling.temperature, 0.0, 5.0)?;
    share("sampling.top_p", sampling.top_p)?;
    float("sampling.min_p", sampling.min_p, 0.0, 1.0)?;
    share("sampling.typical_p", sampling.typical_p)?;
    float("sampling.repeat_penalty", sampling.repeat_penalty, 0.1, 10.0)?;
    float("sampling.presence_penalty", sampling.presence_penalty, -10.0, 10.0)?;
    float("sampling.frequency_penalty", sampling.frequency_penalty, -10.0, 10.0)?;
    integer("sampling.top_k", sampling.top_k, 0, 1_000_000)?;
    integer("sampling.repeat_last_n", sampling.repeat_last_n, 0, 4096)?;
    integer("sampling.max_tokens", sampling.max_tokens, 1, 1_048_576)?;
    integer("sampling.logprobs", sampling.logprobs, 0, 20)?;
    if let Some(version) = sampling.mirostat.filter(|version| ![0, 2].contains(version)) {
        let problem = format!("is {version}; allowed are 0, which is off, and 2");
        return Err(Error::invalid("sampling.mirostat", problem));
    }
    if let Some(tau) = sampling.mirostat_tau.filter(|tau| !(*tau > 0.0 && *tau <= 20.0)) {
        let problem = format!("is {tau}; allowed is more than 0, up to 20");
        return Err(Error::invalid("sampling.mirostat_tau", problem));
    }
    share("sampling.mirostat_eta", sampling.mirostat_eta)?;
    validate_constraint(sampling)?;
    if sampling.stop.len() > 16 {
        let problem = format!("has {} strings; at most 16 are allowed", sampling.stop.len());
        return Err(Error::invalid("sampling.stop", problem));
    }
    if let Some(stop) = sampling.stop.iter().find(|stop| !(1..=256).contains(&stop.len())) {
        let problem = format!("has a string of {} bytes; allowed are 1 to 256", stop.len());
        return Err(Error::invalid("sampling.stop", problem));
    }
    if sampling.logit_bias.len() > 1024 {
        let problem =
            format!("has {} entries; at most 1024 are allowed", sampling.logit_bias.len());
        return Err(Error::invalid("sampling.logit_bias", problem));
    }
    for bias in &sampling.logit_bias {
        float("sampling.logit_bias.bias", Some(bias.bias), -100.0, 100.0)?;
    }
    Ok(())
}

/// Whether there is at most one constraint, of allowed length. The engine checks the rest.
fn validate_constraint(sampling: &Sampling) -> Result<()> {
    let texts =
        [("sampling.json_schema", &sampling.json_schema), ("sampling.grammar", &sampling.grammar)];
    if let Some((field, text)) = texts.iter().find(|(_, text)| text.len() > CONSTRAINT_BYTES_MAX) {
        let problem =
            format!("has {} bytes; at most {CONSTRAINT_BYTES_MAX} are allowed", text.len());
        return Err(Error::invalid(*field, problem));
    }
    let set = texts.iter().filter(|(_, text)| !text.is_empty()).count();
    if set + usize::from(sampling.json) > 1 {
        let problem = "more than one of json_schema, grammar and json is set; set one";
        return Err(Error::invalid("sampling.json_schema", problem));
    }
    Ok(())
}

/// `asked`, then what is `recommended` for the model, then `max_tokens`; with a seed in any case.
#[must_use]
pub fn complete(
    asked: &Sampling,
    recommended: &Sampling,
    max_tokens: u32,
    random_seed: u64,
) -> Sampling {
    let (a, r) = (asked, recommended);
    Sampling {
        temperature: a.temperature.or(r.temperature),
        top_k: a.top_k.or(r.top_k),
        top_p: a.top_p.or(r.top_p),
        min_p: a.min_p.or(r.min_p),
        typical_p: a.typical_p.or(r.typical_p),
        repeat_penalty: a.repeat_penalty.or(r.repeat_penalty),
        repeat_last_n: a.repeat_last_n.or(r.repeat_last_n),
        presence_penalty: a.presence_penalty.or(r.presence_penalty),
        frequency_penalty: a.frequency_penalty.or(r.frequency_penalty),
        seed: a.seed.or(Some(random_seed)),
        max_tokens: a.max_tokens.or(r.max_tokens).or(Some(max_tokens)),
        stop: a.stop.clone(),
        logit_bias: a.logit_bias.clone(),
        logprobs: a.logprobs,
        mirostat: a.mirostat,
        mirostat_tau: a.mirostat_tau,
        mirostat_eta: a.mirostat_eta,
        json_schema: a.json_schema.clone(),
        grammar: a.grammar.clone(),
        json: a.json,
    }
}

/// A seed for a caller who gave none. 32 bits, which survive every client's JSON.
#[must_use]
pub fn random_seed() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().1 & u64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use tandem_proto::v1::LogitBias;

    use super::*;

    fn refused_field(sampling: &Sampling) -> Option<String> {
        match validate(sampling) {
            Err(Error::Invalid { field, .. }) => Some(field),
            _ => None,
        }
    }

    #[test]
    fn values_at_the_edges_are_allowed_and_beyond_them_refused() {
        let temperature = |value| Sampling { temperature: Some(value), ..Sampling::default() };
        assert_eq!(refused_field(&temperature(0.0)), None);
        assert_eq!(refused_field(&temperature(5.0)), None);
        for bad in [-0.1, 5.1, f32::NAN, f32::INFINITY] {
            assert_eq!(refused_field(&temperature(bad)).as_deref(), Some("sampling.temperature"));
        }
        let zero_top_p = Sampling { top_p: Some(0.0), ..Sampling::default() };
        assert_eq!(refused_field(&zero_top_p).as_deref(), Some("sampling.top_p"));
        let nothing = Sampling { max_tokens: Some(0), ..Sampling::default() };
        assert_eq!(refused_field(&nothing).as_deref(), Some("sampling.max_tokens"));
    }

    #[test]
    fn lists_are_bounded_and_their_entries_checked() {
        let stop = |stop: Vec<String>| Sampling { stop, ..Sampling::default() };
        assert_eq!(refused_field(&stop(vec!["x".to_owned(); 16])), None);
        assert!(refused_field(&stop(vec!["x".to_owned(); 17])).is_some());
        assert!(refused_field(&stop(vec![String::new()])).is_some());
        let bias = LogitBias { token: 1, bias: f32::NAN };
        let biased = Sampling { logit_bias: vec![bias], ..Sampling::default() };
        assert_eq!(refused_field(&biased).as_deref(), Some("sampling.logit_bias.bias"));
    }

    #[test]
    fn mirostat_and_constraints_are_checked() {
        let wrong = [
            ("sampling.mirostat", Sampling { mirostat: Some(1), ..Sampling::default() }),
            ("sampling.mirostat_tau", Sampling { mirostat_tau: Some(0.0), ..Sampling::default() }),
            ("sampling.mirostat_eta", Sampling { mirostat_eta: Some(1.1), ..Sampling::default() }),
            ("sampling.grammar", Sampling { grammar: "x".repeat(65_537), ..Sampling::default() }),
            (
                "sampling.json_schema",
                Sampling { json: true, json_schema: "{}".to_owned(), ..Sampling::default() },
            ),
        ];
        for (field, sampling) in wrong {
            assert_eq!(refused_field(&sampling).as_deref(), Some(field));
        }
        let right =
            Sampling { mirostat: Some(2), grammar: "x".repeat(65_536), ..Sampling::default() };
        assert_eq!(refused_field(&right), None);
        assert_eq!(complete(&right, &Sampling::default(), 1, 1).grammar, right.grammar);
    }

    #[test]
    fn what_the_caller_asks_for_wins_over_what_is_recommended() {
        let asked = Sampling { temperature: Some(1.0), ..Sampling::default() };
        let recommended =
            Sampling { temperature: Some(0.2), top_p: Some(0.9), ..Sampling::default() };
        let complete = complete(&asked, &recommended, 100, 42);
        assert_eq!(complete.temperature, Some(1.0));
        assert_eq!(complete.top_p, Some(0.9));
        assert_eq!((complete.max_tokens, complete.seed), (Some(100), Some(42)));
    }
}
