//! One question to the daemon: its options, its stream of events, what is shown of them.

use clap::{Args, ValueEnum};
use tandem_client::{Client, Error, v1};

use super::luggage::Packed;
use crate::{
    context::unless_interrupted,
    failure::Failure,
    model_path,
    report::answer::{Answer, Draft, ToolCall},
    terminal::Terminal,
};

mod priority;
mod view;

use priority::Priority;
use view::View;

/// What the daemon knows the command by.
const CLIENT: &str = "tandem";

/// How a question shall be answered.
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Which track answers [default: `router.policy` of the settings]
    #[arg(long, value_enum, value_name = "POLICY")]
    pub(crate) policy: Option<Policy>,

    /// Who may ever read the question: the same as `--policy private`
    #[arg(long, value_enum, value_name = "LABEL", conflicts_with = "policy")]
    pub(crate) label: Option<Label>,

    /// How urgent the question is [default: interactive at a terminal, else batch]
    #[arg(long, value_enum, value_name = "PRIORITY")]
    priority: Option<Priority>,

    /// Model of the fast track, by id or by path [default: `models.default` of the settings]
    #[arg(long, value_name = "ID")]
    model: Option<String>,

    /// Provider of the slow track [default: the daemon chooses]
    ///
    /// With --policy auto the slow track then answers first. With fast and private, which ask no
    /// provider, it is refused.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,

    /// Answer from the documents of this collection, and cite them; may be given several times
    #[arg(long = "knowledge", value_name = "COLLECTION")]
    collections: Vec<String>,

    /// How the model is told to answer from documents [default: `knowledge.template` of the settings]
    #[arg(long, value_name = "NAME", requires = "collections")]
    template: Option<String>,

    /// Use this system prompt
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,

    /// Tell the model nothing of what is remembered of you
    #[arg(long)]
    no_memories: bool,

    /// Answer anew, whatever was answered before, and keep nothing of it for the next time
    #[arg(long, conflicts_with = "cache_sampled")]
    no_cache: bool,

    /// Take and keep an answer also where chance plays a part
    ///
    /// Without a seed or temperature 0 an answer is a matter of chance, and else always made anew. Has
    /// no effect unless `memory.response_cache.enabled` is set.
    #[arg(long)]
    cache_sampled: bool,

    /// Say which track answers, and why, and what the model read
    #[arg(long)]
    explain: bool,

    /// Show what a model that reasons thinks before it answers, on standard error
    #[arg(long)]
    show_reasoning: bool,

    #[command(flatten)]
    sampling: Sampling,

    #[arg(skip)]
    luggage: Packed,
}

/// How the next token is chosen; what is not set is the model's choice.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Sampling")]
struct Sampling {
    /// Longest answer, in tokens
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_tokens: Option<u32>,

    /// End the answer before this text; can be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,

    /// Same seed, same answer
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<u64>,

    /// 0 always takes the likeliest token; 0 to 5
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    temperature: Option<f32>,

    /// Keep the likeliest tokens that reach this probability together; above 0, to 1
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    top_p: Option<f32>,

    /// Keep the K likeliest tokens; 0 keeps all
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    top_k: Option<u32>,

    /// Drop tokens less likely than this times the likeliest; 0 to 1
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    min_p: Option<f32>,

    /// Locally typical sampling; above 0, to 1, which is off
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    typical_p: Option<f32>,

    /// Make recent tokens less likely by this factor; 0.1 to 10, 1 is off
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    repeat_penalty: Option<f32>,

    /// Make tokens less likely that were there already; -10 to 10
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    presence_penalty: Option<f32>,

    /// Make tokens less likely each time they were there already; -10 to 10
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    frequency_penalty: Option<f32>,

    #[arg(skip)]
    json_schema: String,

    #[arg(skip)]
    grammar: String,
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    /// The router decides; either track covers for the other
    Auto,
    /// The local model
    Fast,
    /// A remote provider
    Slow,
    /// Both at once: the local answer first, the remote one below it
    Duo,
    /// The local model, and nothing leaves this machine
    Private,
}

impl Policy {
    /// As it is written on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl From<Policy> for v1::Policy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Auto => Self::Auto,
            Policy::Fast => Self::Fast,
            Policy::Slow => Self::Slow,
            Policy::Duo => Self::Duo,
            Policy::Private => Self::Private,
        }
    }
}

/// Who may read something, now and later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Label {
    /// Only models on this machine
    LocalOnly,
}

impl From<Label> for Policy {
    fn from(label: Label) -> Self {
        match label {
            Label::LocalOnly => Self::Private,
        }
    }
}

impl Options {
    /// The same with the whole path of the model.
    pub(crate) fn resolve(self) -> Result<Self, Failure> {
        let model = self.model.map(model_path::resolve).transpose()?;
        Ok(Self { model, ..self })
    }

    /// The answer obeys these, of which one at least is empty.
    pub(crate) fn constrain(&mut self, json_schema: String, grammar: String) {
        self.sampling.json_schema = json_schema;
        self.sampling.grammar = grammar;
    }

    /// The question comes with these.
    pub(crate) fn carry(&mut self, luggage: Packed) {
        self.luggage = luggage;
    }

    fn request(
        &self,
        prompt: String,
        conversation_id: String,
        person_waits: bool,
    ) -> v1::AskRequest {
        let priority = self.priority.unwrap_or_else(|| Priority::usual(person_waits));
        let mut request = v1::AskRequest {
            prompt,
            conversation_id,
            policy: self
                .label
                .map(Policy::from)
                .or(self.policy)
                .map_or(v1::Policy::Unspecified, v1::Policy::from)
                .into(),
            model: self.model.clone().unwrap_or_default(),
            provider: self.provider.clone().unwrap_or_default(),
            sampling: Some(self.sampling.request()),
            system: self.system.clone(),
            priority: v1::Priority::from(priority).into(),
            client: CLIENT.to_owned(),
            collections: self.collections.clone(),
            template: self.template.clone().unwrap_or_default(),
            no_cache: self.no_cache,
            cache_sampled: self.cache_sampled,
            memories: self.no_memories.then_some(false),
            ..Default::default()
        };
        self.luggage.clone().load(&mut request);
        request
    }
}

impl Sampling {
    fn request(&self) -> v1::Sampling {
        v1::Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            typical_p: self.typical_p,
            repeat_penalty: self.repeat_penalty,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            seed: self.seed,
            max_tokens: self.max_tokens,
            stop: self.stop.clone(),
            json_schema: self.json_schema.clone(),
            grammar: self.grammar.clone(),
            ..Default::default()
        }
    }
}

/// Asks, and shows the answer as it comes. Ctrl-C drops the stream, which cancels the turn.
pub(crate) async fn ask(
    terminal: Terminal,
    client: &Client,
    options: &Options,
    prompt: String,
    conversation: String,
) -> Result<(), Failure> {
    let request = options.request(prompt, conversation, terminal.is_watched());
    let mut view = View::new(terminal, options.explain, options.show_reasoning);
    let outcome = unless_interrupted(stream(client, request, &mut view)).await;
    view.end().await?;
    let answer = outcome?;
    if terminal.json() {
        return terminal.result(&answer, |_| String::new());
    }
    if view.holds() {
        terminal.answer(format!("{}\n", answer.text.trim_end())).await?;
    }
    for ToolCall { id, name, arguments } in &answer.tool_calls {
        terminal.answer(format!("{id} {name} {arguments}\n")).await?;
    }
    if let Some(note) = answer.cut_off() {
        terminal.notice(&format!("note: {note}"));
    }
    if let Some(explanation) = answer.explanation().filter(|_| options.explain) {
        terminal.explain(&explanation);
    }
    let sources = answer.sources();
    if !sources.is_empty() {
        terminal.notice(&format!("sources:\n  {}", sources.join("\n  ")));
    }
    terminal.aside(&answer.summary());
    Ok(())
}

async fn stream(
    client: &Client,
    request: v1::AskRequest,
    view: &mut View,
) -> Result<Answer, Failure> {
    let mut events = client.assistant().ask(request).await?.into_inner();
    let mut draft = Draft::default();
    while let Some(event) = events.message().await? {
        // An event that a newer daemon added.
        let Some(event) = event.event else { continue };
        view.show(&event).await?;
        if let Some(answer) = draft.record(event) {
            // Dropping the stream now would look like a cancellation.
            let _ = events.trailers().await;
            return Ok(answer);
        }
    }
    Err(Error::NotReachable { message: "the daemon ended the answer without finishing it".into() }
        .into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn request(arguments: &str) -> v1::AskRequest {
        let line = format!("x {arguments}");
        let line = Line::try_parse_from(line.split_whitespace()).unwrap();
        line.options.request("why".into(), "c".into(), false)
    }

    #[test]
    fn options_reach_the_daemon() {
        let request = request(
            "--knowledge notes --knowledge work --template technical --policy private --model m --provider p --system s --seed 7 --temperature 0.5 \
             --presence-penalty -1 --max-tokens 9 --stop A --stop B",
        );
        assert_eq!(request.policy(), v1::Policy::Private);
        assert_eq!(
            (request.collections.join(" "), request.template.as_str()),
            ("notes work".to_owned(), "technical")
        );
        assert_eq!((request.prompt.as_str(), request.conversation_id.as_str()), ("why", "c"));
        assert_eq!((request.model.as_str(), request.provider.as_str()), ("m", "p"));
        assert_eq!(request.system.as_deref(), Some("s"));
        let sampling = request.sampling.unwrap();
        assert_eq!((sampling.seed, sampling.max_tokens), (Some(7), Some(9)));
        assert_eq!((sampling.temperature, sampling.presence_penalty), (Some(0.5), Some(-1.0)));
        assert_eq!(sampling.stop, ["A", "B"]);
        assert!(!request.no_cache && !request.cache_sampled);
    }

    #[test]
    fn the_cache_can_be_passed_by_or_asked_for_and_not_both() {
        assert!(request("--no-cache").no_cache);
        assert!(request("--cache-sampled").cache_sampled);
        assert!(Line::try_parse_from(["x", "--no-cache", "--cache-sampled"]).is_err());
    }

    #[test]
    fn memories_are_the_daemons_choice_unless_they_are_refused() {
        assert_eq!(request("").memories, None);
        assert_eq!(request("--no-memories").memories, Some(false));
    }

    #[test]
    fn what_is_local_only_is_private() {
        assert_eq!(request("--label local-only").policy(), v1::Policy::Private);
        let both = "x --label local-only --policy slow".split_whitespace();
        assert!(Line::try_parse_from(both).is_err());
    }

    #[test]
    fn what_is_not_given_is_left_to_the_daemon() {
        let request = request("");
        assert_eq!(request.policy(), v1::Policy::Unspecified);
        assert_eq!(request.system, None);
        assert_eq!(request.sampling, Some(v1::Sampling::default()));
    }
}
