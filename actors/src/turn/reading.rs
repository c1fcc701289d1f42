//! What a track is given to read: found in the store, chosen within its budget, put into messages.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tandem_proto::v1::{ChatMessage, ContextLedger, Track};
use tokio::task::spawn_blocking;

use super::context::{
    Account, Budget, Choice, Material, Numbered, Rules, Sizes, TEMPLATE_TOKENS, choose, in_reach,
    scores, texts, tokens_max,
};
use super::history::Luggage;
use super::run::Question;
use crate::inference_worker::{Counts, Worker};
use crate::router::Services;
use crate::{Error, Result};

/// What an engine reads at once, with something to spare. No more of a conversation fits into any
/// context.
const CHAT_BYTES_MAX: usize = 480 << 10;
/// Turns that are looked through for those that matter, if no more are told anyway.
const SEARCHED_TURNS_MAX: usize = 512;

/// What was chosen, and all that it was chosen from.
#[derive(Debug)]
pub(super) struct Context {
    material: Material,
    choice: Choice,
    sizes: Sizes,
    /// Tokens of what comes with the question beside its words.
    beside: u32,
    /// The sizes are those of the tokenizer of the model that reads.
    counted: bool,
}

/// What a track reads.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) messages: Vec<ChatMessage>,
    /// Tokens: exact, or a bound, or for a provider an estimate.
    pub(super) length: u32,
    pub(super) context: Context,
}

impl Context {
    /// The account. Who read the prompt counted `prompt_tokens`.
    pub(super) fn ledger(&self, prompt_tokens: u32) -> ContextLedger {
        let Self { material, choice, sizes, beside, counted } = self;
        let prompt_tokens = Some(prompt_tokens).filter(|_| *counted);
        Account { material, choice, sizes, beside: *beside }.ledger(prompt_tokens)
    }

    /// Takes the lengths of the parts into account.
    pub(super) fn measure(&mut self, counts: &Counts) {
        self.sizes = Sizes::counted(&self.material, &every_turn(&self.material), &counts.texts);
        self.counted = true;
    }

    /// Something private is read.
    pub(super) fn is_private(&self) -> bool {
        self.material.is_private(&self.choice)
    }

    /// What to tell the caller about turns that are not read as they were; nothing when all are.
    pub(super) fn notice(&self, budget: Budget) -> Option<String> {
        let Self { material, choice, .. } = self;
        let older = material.unread + choice.recent as u64;
        if older == 0 {
            return None;
        }
        let all = material.unread + material.turns.len() as u64;
        let again = match choice.recalled.len() {
            0 => String::new(),
            some => format!(", but for {some} that matter for the question"),
        };
        let how = if choice.summary { "are told in short or left out" } else { "were left out" };
        let tokens = budget.tokens;
        Some(format!(
            "the oldest {older} of {all} turns did not fit in {tokens} tokens and {how}{again}"
        ))
    }

    /// How many turns stay on this machine.
    pub(super) fn turns_withheld(&self) -> u64 {
        self.material.turns_withheld()
    }
}

impl Reading {
    /// Asks for the lengths of the parts, if they are not known. Nobody has to wait for it.
    pub(super) fn counting(&self, worker: &Worker) -> Option<BoxFuture<'static, Result<Counts>>> {
        let worker = (!self.context.counted).then(|| worker.clone())?;
        let texts = texts(&self.context.material, &every_turn(&self.context.material));
        Some(async move { worker.count(texts, Vec::new()).await }.boxed())
    }
}

/// Everything that the model could be told.
pub(super) async fn gather(question: &Question, services: &Services) -> Result<Material> {
    let mut material = Material {
        system: question.system.clone(),
        memories: question.memories(services).await.to_vec(),
        passages: question.documents(services).await?.passages.clone(),
        quoting: question.quoting.clone(),
        prompt: question.prompt.clone(),
        ..Material::default()
    };
    if question.conversation_id.is_empty() {
        return Ok(material);
    }
    let turns_max = (services.settings.memory.turns_max as usize).max(SEARCHED_TURNS_MAX);
    let said = question.prompt.len() + question.system.len();
    let bytes_max = CHAT_BYTES_MAX.saturating_sub(said);
    let history = services.store.history(&question.conversation_id, turns_max, bytes_max).await?;
    material.unread = history.unread;
    material.summary =
        history.summary.filter(|_| services.settings.memory.context_strategy.summarises());
    // What tandem said in place of a model is no part of the conversation.
    material.turns = (history.unread + 1..)
        .zip(history.turns)
        .filter(|(_, turn)| turn.track() != Track::BuiltIn)
        .map(|(number, turn)| Numbered { number, turn })
        .collect();
    Ok(material)
}

/// All of it in messages, if it is sure to fit into `room` tokens: the first token of the answer need
/// not wait for a count.
pub(super) fn everything(
    material: Material,
    rules: Rules,
    room: u32,
) -> Result<Reading, Box<Material>> {
    let choice = Choice::everything(&material);
    let messages = material.told(&choice).messages();
    let length = tokens_max(&messages);
    let whole = material.unread == 0 && material.turns.len() <= rules.turns_max;
    if !whole || length > room {
        return Err(Box::new(material));
    }
    let sizes = Sizes::estimated(&material);
    let context = Context { material, choice, sizes, beside: 0, counted: false };
    Ok(Reading { messages, length, context })
}

/// As much as fits for the model of `worker`, by its own counts: of all parts, and then of what was
/// chosen, as a whole.
pub(super) async fn for_engine(
    material: Material,
    rules: Rules,
    budget: Budget,
    worker: &Worker,
) -> Result<Reading> {
    let choice = Choice::everything(&material);
    let whole = material.unread == 0 && material.turns.len() <= rules.turns_max;
    if whole && material.is_plain() {
        // There is nothing to choose from.
        let messages = material.told(&choice).messages();
        let length = worker.count(Vec::new(), messages.clone()).await?.messages;
        if length > budget.tokens {
            return Err(budget.too_long(length));
        }
        let sizes = Sizes::estimated(&material);
        let context = Context { material, choice, sizes, beside: 0, counted: false };
        return Ok(Reading { messages, length, context });
    }
    let scores = relevance(&material, rules).await?;
    let (reach, recent) = in_reach(&material, &scores, rules.turns_max, budget.tokens);
    let choice = Choice { recent, ..choice };
    let messages = material.told(&choice).messages();
    let counts = worker.count(texts(&material, &reach), messages.clone()).await?;
    let sizes = Sizes::counted(&material, &reach, &counts.texts);
    if whole && recent == 0 && counts.messages <= budget.tokens {
        let context = Context { material, choice, sizes, beside: 0, counted: true };
        return Ok(Reading { messages, length: counts.messages, context });
    }
    // What this template adds to a message, as it does so here.
    let template = counts.messages.saturating_sub(sizes.chosen(&choice));
    let around = template.div_ceil(u32::try_from(messages.len()).unwrap_or(u32::MAX).max(1));
    let (lengths, numbers) = (sizes.lengths(&material, around, 0), material.numbers());
    let mut room = budget.tokens;
    loop {
        let choice = choose(&lengths, &numbers, &scores, rules, room);
        let messages = material.told(&choice).messages();
        let length = worker.count(Vec::new(), messages.clone()).await?.messages;
        if length <= budget.tokens {
            let context = Context { material, choice, sizes, beside: 0, counted: true };
            return Ok(Reading { messages, length, context });
        }
        if choice == Choice::bare(&material) {
            return Err(budget.too_long(length));
        }
        // A template may add more than was allowed for.
        room = room.saturating_sub(length - budget.tokens);
    }
}

/// As much as fits for a provider, by estimates, and nothing private.
pub(super) async fn for_provider(
    material: Material,
    rules: Rules,
    budget: Budget,
    luggage: &Luggage,
) -> Result<Reading> {
    luggage.check(material.turns.last().map(|told| &told.turn))?;
    let material = material.public();
    let beside = luggage.tokens();
    let scores = relevance(&material, rules).await?;
    let sizes = Sizes::estimated(&material);
    let lengths = sizes.lengths(&material, TEMPLATE_TOKENS, beside);
    let choice = choose(&lengths, &material.numbers(), &scores, rules, budget.tokens);
    // Results are of no use without the calls.
    if !luggage.results.is_empty() && choice.recent == material.turns.len() {
        let problem = "the calls whose results these are do not fit beside them".to_owned();
        return Err(Error::PromptTooLong { problem });
    }
    let length = sizes.chosen(&choice).saturating_add(beside);
    if length > budget.tokens {
        return Err(budget.too_long(length));
    }
    let messages = luggage.messages(&material.told(&choice));
    let context = Context { material, choice, sizes, beside, counted: false };
    Ok(Reading { messages, length, context })
}

/// How much each turn has to do with the question.
async fn relevance(material: &Material, rules: Rules) -> Result<Vec<f64>> {
    if !rules.strategy.recalls() || material.turns.is_empty() {
        return Ok(Vec::new());
    }
    let (prompt, turns) = (material.prompt.clone(), material.turns_in_words());
    // Some hundred kilobytes take some milliseconds.
    let scored = spawn_blocking(move || scores(&prompt, &turns)).await;
    scored.map_err(|error| Error::Internal { problem: error.to_string() })
}

fn every_turn(material: &Material) -> Vec<usize> {
    (0..material.turns.len()).collect()
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
