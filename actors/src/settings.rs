//! The settings that take effect with the next question.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tandem_config::{Config, Redact};
use tandem_knowledge::template::{DEFAULT_LANGUAGE, Templates};
use tandem_router::Scorer;

use crate::experiments::Experiments;
use crate::redaction::Redaction;
use crate::{Error, Result};

/// What a question is answered by, made from the settings once. A question keeps those that it began
/// with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Policy, threshold, deadline. Numbers of places count from the start of the daemon.
    pub router: tandem_config::Router,
    /// What is different for a part of the conversations.
    pub experiments: Experiments,
    /// What a question's score is made by.
    pub scorer: Arc<Scorer>,
    /// Finds personal data in what would leave the machine.
    pub redaction: Redaction,
    /// What is done where some is found.
    pub redact: Redact,
    /// How many passages of documents are read, and how near to the question they must be.
    pub knowledge: tandem_config::Knowledge,
    /// How models are told to answer from them.
    pub templates: Arc<Templates>,
    /// When the machine counts as pressed, and what is given up then.
    pub resources: tandem_config::Resources,
    /// How contexts are built.
    pub memory: tandem_config::Memory,
    /// Longest answer of the fast track when the caller does not say.
    pub max_tokens: u32,
    /// Context of local models in tokens.
    pub fast_context_tokens: u32,
    /// How often one client may call what.
    pub rates: tandem_config::Rates,
    /// How long a question waits for its local model to load before the slow track answers it; zero
    /// means for ever.
    pub cold_start_patience: Duration,
}

impl Settings {
    /// Reads what the settings name: weights, templates. Blocks for some files.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when something that was asked for cannot be used. It is not replaced by
    /// something else, as answers would be others.
    pub fn new(config: &Config) -> Result<Self> {
        Ok(Self {
            router: config.router.clone(),
            experiments: Experiments::new(config),
            scorer: Arc::new(scorer(config.router.weights.as_deref())?),
            redaction: Redaction::new(&config.security)?,
            redact: config.security.redact,
            knowledge: config.knowledge.clone(),
            templates: Arc::new(
                templates(&config.knowledge)
                    .map_err(|error| Error::invalid("knowledge.templates", error.to_string()))?,
            ),
            resources: config.resources.clone(),
            memory: config.memory.clone(),
            max_tokens: config.engine.max_tokens,
            fast_context_tokens: config.engine.context_tokens,
            rates: rates(&config.resources.rates)?,
            cold_start_patience: config.router.cold_start_patience,
        })
    }
}

/// What can always be called, to find out what is wrong.
pub const NEVER_LIMITED: &str = "Admin/Status";

/// Refuses what would limit nothing.
fn rates(rates: &tandem_config::Rates) -> Result<tandem_config::Rates> {
    let known = tandem_proto::methods();
    if let Some(unknown) = rates.methods.keys().find(|method| !known.contains(*method)) {
        let known: Vec<_> = known.iter().map(String::as_str).collect();
        let problem = format!("{unknown:?} is no method; there are {}", known.join(", "));
        return Err(Error::invalid("resources.rates.methods", problem));
    }
    if rates.methods.contains_key(NEVER_LIMITED) {
        let problem = format!("has {NEVER_LIMITED}, which is never limited; leave it out");
        return Err(Error::invalid("resources.rates.methods", problem));
    }
    Ok(rates.clone())
}

fn scorer(weights: Option<&Path>) -> Result<Scorer> {
    let Some(path) = weights else { return Ok(Scorer::shipped().clone()) };
    let unusable = |why: String| {
        let problem = format!(
            "= {} cannot be used: {why}; make it anew with `tandem router train`, or leave the \
             setting out",
            path.display()
        );
        Error::invalid("router.weights", problem)
    };
    let file = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    Scorer::read(&file).map_err(|error| unusable(error.to_string()))
}

fn templates(knowledge: &tandem_config::Knowledge) -> tandem_knowledge::Result<Templates> {
    let templates = Templates::load(Some(&knowledge.templates))?;
    templates.render(&knowledge.template, DEFAULT_LANGUAGE, &[])?;
    Ok(templates)
}
