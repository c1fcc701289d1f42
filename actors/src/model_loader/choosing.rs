//! Choosing models by what they can do: for `models.default = "auto"`, in place of a default model that
//! cannot be used, where memory is short, and for who asks which to take.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use ractor::RpcReplyPort;
use tandem_models::catalog::Located;
use tandem_models::selection::{self, CHAT, Candidate, EMBED, Wanted};
use tandem_models::versions::{self, Versions};
use tandem_proto::v1::{Model, RecommendRequest, Recommendation, Rung};
use tokio::task::spawn_blocking;

use super::inspect::{Inspector, header};
use super::state::State;
use super::{ASK_TIMEOUT, Arguments, Message, ModelLoader};
use crate::{Error, Result};

/// What models can be asked for.
const ABILITIES: [&str; 4] = [CHAT, "code", "tools", EMBED];
/// How long a default model that could not be used is not tried again, if another one can be.
const STAND_IN_TIME: Duration = Duration::from_secs(30);
const LANGUAGES_MAX: usize = 16;
/// The most specific code of a language is "zh-Hant-TW".
const LANGUAGE_BYTES_MAX: usize = 16;

/// The machine that a model is chosen for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    /// That engines may take when they have it for themselves.
    memory_bytes: u64,
    cores: u32,
}

impl Machine {
    pub(super) fn of(arguments: &Arguments) -> Self {
        let machine = arguments.monitor.current();
        let reserve = arguments.memory_reserve_bytes;
        Self {
            memory_bytes: machine.memory_total_bytes.saturating_sub(reserve),
            cores: machine.cores,
        }
    }

    fn wants(self, ability: &str) -> Wanted {
        Wanted {
            ability: ability.to_owned(),
            languages: Vec::new(),
            memory_bytes: self.memory_bytes,
            cores: self.cores,
        }
    }
}

/// Why another model is to answer than the default one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Want {
    /// Models with these ids cannot be used.
    InPlaceOf(Vec<String>),
    /// Memory is short.
    Smaller,
}

/// What there is to choose from.
#[derive(Debug)]
pub(crate) struct Choice {
    models: Vec<(Model, Candidate)>,
    machine: Machine,
}

impl ModelLoader {
    /// Which models are best for a task on this machine, best first.
    ///
    /// # Errors
    /// [`Error::Invalid`] when nobody could say, whatever the models.
    pub async fn recommend(&self, request: &RecommendRequest) -> Result<Vec<Recommendation>> {
        let ability = if request.ability.is_empty() { CHAT } else { &request.ability };
        if !ABILITIES.contains(&ability) {
            let problem = format!("is none of {}", ABILITIES.join(", "));
            return Err(Error::invalid("ability", problem));
        }
        let is_code = |code: &String| !code.is_empty() && code.len() <= LANGUAGE_BYTES_MAX;
        let languages = &request.languages;
        if languages.len() > LANGUAGES_MAX || !languages.iter().all(is_code) {
            let problem = format!("are not at most {LANGUAGES_MAX} codes such as en or de");
            return Err(Error::invalid("languages", problem));
        }
        let permit = self.permit()?;
        let Choice { mut models, machine } =
            self.address.ask(ASK_TIMEOUT, Message::Candidates).await?;
        drop(permit);
        models.retain(|(_, candidate)| candidate.here || request.include_absent);
        for (model, candidate) in &mut models {
            let answers = self.known_performance(&model.path).map(|known| known.answers());
            let measured = answers.map(|answers| answers.decode_tokens_per_second);
            candidate.tokens_per_second = measured.filter(|speed| *speed > 0.0);
        }
        let (models, candidates): (Vec<_>, Vec<_>) = models.into_iter().unzip();
        let wanted = Wanted { languages: languages.clone(), ..machine.wants(ability) };
        let recommend = |ranked: selection::Ranked| Recommendation {
            model: models.iter().find(|model| model.id == ranked.candidate.id).cloned(),
            suits: ranked.suits,
            reasons: ranked.reasons,
            tokens_per_second: ranked.tokens_per_second,
        };
        Ok(selection::rank(&candidates, &wanted).into_iter().map(recommend).collect())
    }

    /// The next one to try in place of the default model when those with the ids `tried` cannot be used.
    pub(crate) async fn stand_in(&self, tried: &[String]) -> Option<String> {
        self.other_than_default(Want::InPlaceOf(tried.to_vec())).await
    }

    /// The next smaller one than the default model, while memory is so short that it is to answer.
    pub(crate) async fn smaller(&self) -> Option<String> {
        self.other_than_default(Want::Smaller).await
    }

    /// Whether a smaller one answers in place of the default model.
    pub(crate) fn is_covered(&self) -> bool {
        self.standing.is_covered()
    }

    async fn other_than_default(&self, want: Want) -> Option<String> {
        let _permit = self.permit().ok()?;
        let stand_ins = |reply| Message::StandIns { want, reply };
        // Who cannot be asked knows nobody.
        self.address.ask(ASK_TIMEOUT, stand_ins).await.ok()?.into_iter().next()
    }

    /// Who stands in for the default model since a moment ago, and why.
    pub(crate) fn standing_in(&self) -> Option<(String, String)> {
        self.standing.stand_in(Instant::now())
    }

    /// Lets another model stand in for the default one for a while, so that what cannot be used is not
    /// tried with every question.
    pub(crate) fn let_stand_in(&self, model: &str, why: &str) {
        self.standing.let_stand_in(model, why, Instant::now() + STAND_IN_TIME);
    }

    /// What is to be said once of the default model: that another one answers than before.
    pub(crate) fn news(&self) -> Option<String> {
        self.standing.take_news()
    }
}

impl State {
    /// Takes over what was chosen before the loader was started.
    pub(super) async fn read_choices(&mut self) {
        let folder = self.arguments.models.dir.clone();
        let versions = spawn_blocking(move || Versions::load(&folder)).await.ok();
        let chosen = versions.as_ref().and_then(Versions::default_model);
        self.standing().begin(&self.arguments.models.default, chosen);
    }

    pub(super) fn candidates(&mut self, reply: RpcReplyPort<Choice>) {
        self.blocking(move |inspector| {
            let default = inspector.default_file();
            let describe = |located: &Located| {
                (inspector.look_at(located, default.as_deref()), inspector.weigh(located))
            };
            let models = inspector.located().iter().map(describe).collect();
            let _ = reply.send(Choice { models, machine: inspector.machine });
        });
    }

    pub(super) fn stand_ins(&mut self, want: Want, reply: RpcReplyPort<Vec<String>>) {
        let idle: u64 = self.idle().iter().map(|idle| idle.bytes).sum();
        let memory_bytes = self.available_bytes().saturating_add(idle);
        let serving = self.hosted.iter().filter(|hosted| !hosted.is_leaving());
        let hosted = serving.map(|hosted| hosted.inspected.located.id.clone()).collect();
        let standing = Arc::clone(&self.arguments.handle.standing);
        self.blocking(move |inspector| {
            let smaller = want == Want::Smaller;
            let room = Room { memory_bytes, hosted };
            let ids = inspector.stand_ins(want, &room);
            if smaller {
                standing.cover(!ids.is_empty());
            }
            let _ = reply.send(ids);
        });
    }

    /// Whether a smaller model answers in place of the default one, as memory is short: until all is
    /// well, as the default model could make it short again.
    pub(super) fn is_covered(&self) -> bool {
        let monitor = &self.arguments.monitor;
        let turned_off =
            monitor.rung() >= Rung::SmallerModel && !monitor.is_in_effect(Rung::SmallerModel);
        if monitor.rung() == Rung::Full || turned_off {
            self.standing().cover(false);
        }
        self.standing().is_covered()
    }
}

/// The memory that another model may take, and the ids of those that have theirs.
struct Room {
    memory_bytes: u64,
    hosted: Vec<String>,
}

/// Blocking.
impl Inspector {
    /// The id of the best model that is here and fits; of the best that could be here if none does. Of
    /// a model that has versions, the one that is meant counts.
    pub(super) fn automatic(&self) -> Result<String> {
        let (known, wanted) = (self.known(), self.machine.wants(CHAT));
        let here = selection::best(&known, &wanted);
        let best = here.or_else(|| {
            let mut ranked = selection::rank(&known, &wanted).into_iter();
            ranked.find(|it| it.suits).map(|it| it.candidate)
        });
        best.map(|best| versions::plain(&best.id).to_owned()).ok_or_else(|| {
            Error::ModelUnsuitable {
                problem: "no model that is known generates text and fits into memory".to_owned(),
            }
        })
    }

    fn stand_ins(&self, want: Want, room: &Room) -> Vec<String> {
        let known = self.known();
        let default = match self.default_model() {
            Ok(located) => located.id,
            Err(Error::ModelAbsent { id, .. } | Error::ModelNotFound { id, .. }) => id,
            Err(_) => return Vec::new(),
        };
        let of = known.iter().find(|known| known.id == default).cloned();
        let tried = match want {
            Want::Smaller => {
                let Some(of) = of else { return Vec::new() };
                let smaller = selection::smaller(&of, &known, CHAT);
                return smaller.into_iter().map(|smaller| smaller.id.clone()).collect();
            }
            Want::InPlaceOf(tried) => tried,
        };
        let unknown = || {
            let base = selection::base(&default, None);
            Candidate { id: default.clone(), base, ..Candidate::default() }
        };
        let of = of.unwrap_or_else(unknown);
        let mut known = Vec::clone(&known);
        for loaded in known.iter_mut().filter(|known| room.hosted.contains(&known.id)) {
            loaded.memory_bytes = 0;
        }
        let wanted = Wanted { memory_bytes: room.memory_bytes, ..self.machine.wants(CHAT) };
        let before = self.before();
        let stand_ins = selection::stand_ins(&of, before.as_deref(), &known, &wanted);
        // The default itself when it was another that failed, about to take its place.
        let stand_ins = stand_ins.into_iter().map(|stand_in| &stand_in.id);
        std::iter::once(&default)
            .chain(stand_ins)
            .filter(|id| !tried.contains(id))
            .cloned()
            .collect()
    }

    /// The id of what the default model was before.
    fn before(&self) -> Option<String> {
        let versions = Versions::load(self.folder());
        let default = self.default_name();
        let located = match versions.before(&default) {
            Ok(Some(version)) => self.locate(&versions::join(&default, &version)),
            Ok(None) => self.locate_without_choice(&default),
            Err(_) => {
                let before = versions.default_before().ok()?.map(str::to_owned);
                self.locate(&before.unwrap_or_else(|| self.settings_default()))
            }
        };
        located.ok().map(|located| located.id)
    }

    /// What there is to choose from. Headers are read again only when files came or went.
    fn known(&self) -> Arc<Vec<Candidate>> {
        let changed = self.changed();
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((then, candidates)) = &*known()
            && *then == changed
        {
            return Arc::clone(candidates);
        }
        let located = self.located();
        let candidates: Arc<Vec<_>> = Arc::new(located.iter().map(|it| self.weigh(it)).collect());
        *known() = Some((changed, Arc::clone(&candidates)));
        candidates
    }

    /// A model as a candidate.
    fn weigh(&self, located: &Located) -> Candidate {
        let entry = located.entry.as_ref();
        let mut candidate = Candidate {
            id: located.id.clone(),
            base: selection::base(&located.id, entry.and_then(|entry| entry.variant_of.as_deref())),
            here: located.path.exists(),
            ..Candidate::default()
        };
        if let Some(entry) = entry {
            candidate.abilities.clone_from(&entry.abilities);
            candidate.languages.clone_from(&entry.languages);
            candidate.parameters = entry.parameters;
            candidate.size_bytes = entry.size_bytes;
            candidate.memory_bytes = entry.memory_min_bytes;
            candidate.embeds = entry.abilities.iter().any(|ability| ability == EMBED);
        }
        if candidate.here {
            match header(located) {
                Ok(header) => {
                    candidate.parameters = header.parameters;
                    candidate.size_bytes = header.size_bytes;
                    candidate.memory_bytes = self.memory(&header);
                    candidate.embeds = header.embeds;
                }
                Err(problem) => candidate.problem = problem,
            }
        }
        candidate
    }
}
