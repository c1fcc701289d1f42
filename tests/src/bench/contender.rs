//! Either server, so that a workload is written once.

use std::time::Instant;

use anyhow::{Result, anyhow};

use super::chat::{Message, Reply, Request, Role};
use super::plan::{Flags, Plan};
use super::process::Memory;
use super::rival::Rival;
use super::tandem::{Room, Tandem};

/// Who is measured.
#[derive(Debug, Clone)]
pub(super) enum Contender {
    Tandem,
    Rival(Flags),
}

/// A server that runs.
#[derive(Debug)]
pub(super) enum Server {
    Tandem(Box<Tandem>),
    Rival(Box<Rival>),
}

/// A chat of several turns: tandem keeps it, the rival is sent it again each time.
#[derive(Debug)]
pub(super) struct Talk {
    messages: Vec<Message>,
    conversation: String,
}

impl Contender {
    /// Starts it with the model loaded and nothing answered yet.
    pub(super) async fn start(&self, plan: &Plan, room: Room) -> Result<Server> {
        Ok(match self {
            Self::Tandem => {
                let mut tandem = Tandem::start(&plan.model, room, &plan.settings).await?;
                tandem.load(&plan.model).await?;
                Server::Tandem(Box::new(tandem))
            }
            Self::Rival(flags) => Server::Rival(Box::new(
                Rival::start(&plan.llama_server, &plan.model, room.context, flags).await?,
            )),
        })
    }

    /// Starts it and has it answer once, so that everything is in memory.
    pub(super) async fn start_warm(&self, plan: &Plan, room: Room) -> Result<Server> {
        let server = self.start(plan, room).await?;
        let warm_up = Request::new("You warm up.", "Say something short.", 8);
        server.chat(&warm_up).await?;
        Ok(server)
    }
}

impl Server {
    /// Goes on with a chat; pieces are added to `reply` as they come.
    pub(super) async fn stream(&self, request: &Request, reply: &mut Reply) -> Result<()> {
        match self {
            Self::Tandem(tandem) => tandem.chat(request, reply).await,
            Self::Rival(rival) => rival.chat(request, reply).await,
        }
    }

    /// Goes on with a chat and returns the whole answer.
    pub(super) async fn chat(&self, request: &Request) -> Result<Reply> {
        let mut reply = Reply::expected();
        self.stream(request, &mut reply).await?;
        reply.checked()
    }

    /// Begins a chat of several turns.
    pub(super) async fn talk(&self, system: &str) -> Result<Talk> {
        let conversation = match self {
            Self::Tandem(tandem) => tandem.conversation().await?,
            Self::Rival(_) => String::new(),
        };
        Ok(Talk { messages: vec![Message::new(Role::System, system)], conversation })
    }

    /// The next turn of a chat.
    pub(super) async fn turn(&self, talk: &mut Talk, say: &str, tokens: u32) -> Result<Reply> {
        talk.messages.push(Message::new(Role::User, say));
        let mut reply = Reply::expected();
        match self {
            Self::Tandem(tandem) => {
                let system = &talk.messages[0].content;
                tandem.ask(&talk.conversation, system, say, tokens, &mut reply).await?;
            }
            Self::Rival(rival) => {
                let request = Request { messages: talk.messages.clone(), tokens };
                rival.chat(&request, &mut reply).await?;
            }
        }
        talk.messages.push(Message::new(Role::Assistant, reply.text.clone()));
        reply.checked()
    }

    /// A question of its own, the way each is asked most directly by an assistant's user.
    pub(super) async fn ask(&self, system: &str, say: &str, tokens: u32) -> Result<Reply> {
        let mut reply = Reply::expected();
        match self {
            Self::Tandem(tandem) => tandem.ask("", system, say, tokens, &mut reply).await?,
            Self::Rival(rival) => {
                rival.chat(&Request::new(system, say, tokens), &mut reply).await?;
            }
        }
        reply.checked()
    }

    /// Ends it and starts it again. Returns when it was started and when it was ready; the first
    /// use may still have to load the model.
    pub(super) async fn restart(&mut self) -> Result<(Instant, Instant)> {
        match self {
            Self::Tandem(tandem) => {
                tandem.restart().await?;
                Ok((tandem.started, tandem.ready))
            }
            Self::Rival(rival) => {
                rival.restart().await?;
                Ok((rival.started, rival.ready))
            }
        }
    }

    /// Memory of the process that hosts the model.
    pub(super) async fn memory(&self) -> Result<Memory> {
        let pid = match self {
            Self::Tandem(tandem) => tandem.pids().await?.1,
            Self::Rival(rival) => rival.pid(),
        };
        Memory::of(pid.ok_or_else(|| anyhow!("no process hosts the model"))?)
    }

    /// Ends it.
    pub(super) async fn stop(self) -> Result<()> {
        match self {
            Self::Tandem(tandem) => tandem.stop().await,
            Self::Rival(rival) => rival.stop().await,
        }
    }
}
