//! tandem, started as a program and reached over its socket.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tandem_client::{Client, Error, v1};
use tokio::process::Child;

use super::chat::{Message, Reply, Request, Role};
use super::process;
use crate::{DEADLINE, Home};

/// Pause between two looks whether the socket is there.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Texts of which one or more end an answer, in the vocabularies that are in use.
const ENDS: [&str; 9] = [
    "<|im_end|>",
    "<|endoftext|>",
    "</s>",
    "<end_of_turn>",
    "<eos>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<|eom_id|>",
];

/// What a workload needs room for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Tokens of context, of all sequences together.
    pub(super) context: u32,
    /// Sequences at the same time.
    pub(super) sequences: u32,
}

/// A daemon in a home of its own.
#[derive(Debug)]
pub(super) struct Tandem {
    home: Home,
    child: Child,
    client: Client,
    settings: Vec<(String, String)>,
    /// Before the process was started.
    pub(super) started: Instant,
    /// When it accepted calls.
    pub(super) ready: Instant,
    /// Bias against the tokens that end an answer.
    no_end: Vec<v1::LogitBias>,
}

impl Tandem {
    /// Starts a daemon that has `model` as its default; `settings` are variables of its environment.
    pub(super) async fn start(
        model: &Path,
        room: Room,
        settings: &[(String, String)],
    ) -> Result<Self> {
        let home = Home::empty();
        let Room { context, sequences } = room;
        let model = model.to_str().context("the model's path is not UTF-8")?;
        home.configure(&format!(
            "[models]\ndefault = {model:?}\nkeep_alive = \"60m\"\n\
             [engine]\ncontext_tokens = {context}\nsequences_max = {sequences}\n\
             [router]\npolicy = \"fast\"\nrunning_max = 32\nwaiting_max = 64\ndeadline = \"60m\"\n\
             [memory]\ncontext_tokens = {context}\n"
        ));
        Self::start_in(home, settings).await
    }

    /// Starts a daemon in a home that is prepared.
    pub(super) async fn start_in(home: Home, settings: &[(String, String)]) -> Result<Self> {
        let started = Instant::now();
        let (child, client) = launch(&home, settings).await?;
        let ready = Instant::now();
        let settings = settings.to_vec();
        Ok(Self { home, child, client, settings, started, ready, no_end: Vec::new() })
    }

    /// Ends it and starts it again in the same home.
    pub(super) async fn restart(&mut self) -> Result<()> {
        process::stop(&mut self.child).await?;
        self.started = Instant::now();
        (self.child, self.client) = launch(&self.home, &self.settings).await?;
        self.ready = Instant::now();
        Ok(())
    }

    /// Ends it.
    pub(super) async fn stop(mut self) -> Result<()> {
        process::stop(&mut self.child).await
    }

    /// Loads the model and learns which tokens end its answers.
    pub(super) async fn load(&mut self, model: &Path) -> Result<v1::Model> {
        let model = self.load_model(model).await?;
        let mut inference = self.client.inference();
        for text in ENDS {
            let request = v1::TokenizeRequest {
                text: text.to_owned(),
                parse_special: true,
                ..v1::TokenizeRequest::default()
            };
            if let [token] = inference.tokenize(request).await?.into_inner().tokens[..] {
                self.no_end.push(v1::LogitBias { token, bias: -100.0 });
            }
        }
        Ok(model)
    }

    async fn load_model(&self, model: &Path) -> Result<v1::Model> {
        let request = v1::LoadModelRequest { id: model.display().to_string(), pin: false };
        let mut events = self.client.models().load(request).await?.into_inner();
        while let Some(event) = events.message().await? {
            if let Some(v1::load_model_event::Event::Loaded(model)) = event.event {
                return Ok(model);
            }
        }
        bail!("tandem said neither that the model is loaded nor that it is not")
    }

    /// Tokens of a text.
    pub(super) async fn count_tokens(&self, text: String) -> Result<u32> {
        let request = v1::CountTokensRequest { text, ..v1::CountTokensRequest::default() };
        Ok(self.client.inference().count_tokens(request).await?.into_inner().tokens)
    }

    /// Process ids of the daemon and of its only engine.
    pub(super) async fn pids(&self) -> Result<(u32, Option<u32>)> {
        let status = self.client.admin().status(v1::StatusRequest {}).await?.into_inner();
        let engine = status.models.into_iter().find_map(|model| model.engine);
        Ok((status.pid, engine.map(|engine| engine.pid)))
    }

    /// A new conversation's id.
    pub(super) async fn conversation(&self) -> Result<String> {
        let request = v1::CreateConversationRequest::default();
        Ok(self.client.conversations().create(request).await?.into_inner().id)
    }

    /// Goes on with a chat; pieces are added to `reply` as they come.
    pub(super) async fn chat(&self, request: &Request, reply: &mut Reply) -> Result<()> {
        let request = v1::GenerateRequest {
            messages: request.messages.iter().map(message).collect(),
            sampling: Some(self.sampling(request.tokens)),
            ..v1::GenerateRequest::default()
        };
        let mut events = self.client.inference().generate(request).await?.into_inner();
        while let Some(event) = events.message().await? {
            match event.event {
                Some(v1::generate_event::Event::Delta(delta)) => reply.push(&delta.text),
                Some(v1::generate_event::Event::Done(done)) => {
                    reply.tokens = done.usage.unwrap_or_default().completion_tokens;
                }
                None => (),
            }
        }
        Ok(())
    }

    /// Asks the assistant, in the conversation unless that is empty.
    pub(super) async fn ask(
        &self,
        conversation: &str,
        system: &str,
        question: &str,
        tokens: u32,
        reply: &mut Reply,
    ) -> Result<()> {
        let request = v1::AskRequest {
            prompt: question.to_owned(),
            conversation_id: conversation.to_owned(),
            policy: v1::Policy::Fast.into(),
            system: Some(system.to_owned()),
            sampling: Some(self.sampling(tokens)),
            ..v1::AskRequest::default()
        };
        let mut events = self.client.assistant().ask(request).await?.into_inner();
        while let Some(event) = events.message().await? {
            match event.event {
                Some(v1::ask_event::Event::Delta(delta)) => reply.push(&delta.text),
                Some(v1::ask_event::Event::TrackDone(done)) => {
                    reply.tokens = done.usage.unwrap_or_default().completion_tokens;
                }
                _ => (),
            }
        }
        Ok(())
    }

    fn sampling(&self, tokens: u32) -> v1::Sampling {
        v1::Sampling {
            temperature: Some(0.0),
            repeat_penalty: Some(1.0),
            presence_penalty: Some(0.0),
            frequency_penalty: Some(0.0),
            max_tokens: Some(tokens),
            logit_bias: self.no_end.clone(),
            ..v1::Sampling::default()
        }
    }
}

fn message(message: &Message) -> v1::ChatMessage {
    let role = match message.role {
        Role::System => v1::Role::System,
        Role::User => v1::Role::User,
        Role::Assistant => v1::Role::Assistant,
    };
    v1::ChatMessage { role: role.into(), content: message.content.clone(), ..Default::default() }
}

async fn launch(home: &Home, settings: &[(String, String)]) -> Result<(Child, Client)> {
    let path = home.path().join("stderr.log");
    let log = File::create(&path)?;
    let mut child = home
        .command("tandemd")
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("cannot start tandemd")?;
    let deadline = Instant::now() + DEADLINE;
    loop {
        match Client::connect(&home.socket()).await {
            Ok(client) => return Ok((child, client)),
            Err(Error::NotReachable { .. }) if Instant::now() < deadline => (),
            Err(error) => return Err(error.into()),
        }
        if let Some(status) = child.try_wait()? {
            bail!("tandemd ended with {status}: {}", fs::read_to_string(path)?.trim());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
