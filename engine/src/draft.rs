//! The draft model: a second, smaller one that guesses what the first is going to say. Loading it.

use std::path::Path;
use std::sync::Arc;

use tandem_proto::engine::Load;

use crate::llama::{Context, ContextSettings, Model, ModelSettings};
use crate::load::{LoadError, looks_like_gguf, make_context};
use crate::vocabulary::Vocabulary;

/// A draft model that fits.
#[derive(Debug)]
pub struct Draft {
    /// For the sequences that run.
    pub context: Context,
    /// Tokens that one sequence can have.
    pub sequence_tokens: usize,
}

/// What keeps a model from guessing for another.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum Misfit {
    /// It is an encoder or the like.
    #[error("it does not generate text one token after the other")]
    Kind,
    /// It is recurrent.
    #[error("it cannot take tokens back, as its whole context is one state")]
    Recurrent,
    /// Another number of tokens.
    #[error("it knows {0} tokens and the model {1}")]
    Size(u32, u32),
    /// A token that stands for something else.
    #[error("token {0} is {1:?} to it and {2:?} to the model")]
    Token(u32, String, String),
    /// A token that ends answers of one only, or another one that begins or ends texts.
    #[error("texts begin or end with other tokens")]
    Ends,
}

/// Loads the draft model that `request` names for `model`, whose context has these `settings`.
pub fn load(request: &Load, model: &Model, settings: ContextSettings) -> Result<Draft, LoadError> {
    let Load { path: name, draft_path: path, use_extra_bufts, .. } = request;
    let unusable = |problem: &dyn std::fmt::Display| {
        LoadError::Draft(format!(
            "the draft model {path} does not fit {name}: {problem}; choose one with the same \
             vocabulary, or unset engine.draft_model"
        ))
    };
    if !looks_like_gguf(path).map_err(|error| unusable(&error))? {
        return Err(unusable(&"it is not a GGUF file"));
    }
    // It is small, and its few rows at a time are soon computed.
    let how = ModelSettings { use_extra_bufts: *use_extra_bufts, gpu_layers: 0 };
    let draft = Model::load(Path::new(path), how, |_| {});
    let draft = draft.map_err(|error| unusable(&error))?;
    fits(&draft, model).map_err(|misfit| unusable(&misfit))?;
    let trained = draft.context_trained();
    let settings = ContextSettings { spare_sequences: 0, spare_rows: 0, ..settings };
    let (context, _) =
        make_context(&Arc::new(draft), settings, &mut Vec::new()).map_err(|error| {
            LoadError::Memory(format!(
                "the draft model {path}: {error}, or unset engine.draft_model"
            ))
        })?;
    let cells = context.tokens();
    let sequence_tokens = if trained == 0 { cells } else { cells.min(trained) } as usize;
    Ok(Draft { context, sequence_tokens })
}

/// A guess is a token, so that each token must mean the same to both.
fn fits(draft: &Model, model: &Model) -> Result<(), Misfit> {
    if !draft.generates() || !draft.has_texts() {
        return Err(Misfit::Kind);
    }
    if !draft.attends() {
        return Err(Misfit::Recurrent);
    }
    same_vocabulary(draft, model)?;
    let ends = |model: &Model| (model.begin_text(), model.end_text());
    if ends(draft) == ends(model) { Ok(()) } else { Err(Misfit::Ends) }
}

fn same_vocabulary(draft: &impl Vocabulary, model: &impl Vocabulary) -> Result<(), Misfit> {
    if draft.size() != model.size() {
        return Err(Misfit::Size(draft.size(), model.size()));
    }
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for token in 0..model.size() {
        theirs.clear();
        ours.clear();
        draft.append_bytes(token, &mut theirs);
        model.append_bytes(token, &mut ours);
        if theirs != ours {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            return Err(Misfit::Token(token, text(&theirs), text(&ours)));
        }
        if draft.ends_generation(token) != model.ends_generation(token) {
            return Err(Misfit::Ends);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words, of which the last ends an answer if `ends`.
    struct Words(&'static [&'static str], bool);

    impl Vocabulary for Words {
        fn size(&self) -> u32 {
            u32::try_from(self.0.len()).unwrap_or(0)
        }

        fn ends_generation(&self, token: u32) -> bool {
            self.1 && token + 1 == self.size()
        }

        fn append_text(&self, token: u32, out: &mut Vec<u8>) {
            self.append_bytes(token, out);
        }

        fn append_bytes(&self, token: u32, out: &mut Vec<u8>) {
            out.extend(self.0.get(token as usize).unwrap_or(&"").bytes());
        }
    }

    #[test]
    fn only_the_same_tokens_for_the_same_texts_fit() {
        let model = Words(&["a", "b", "."], true);
        assert_eq!(same_vocabulary(&Words(&["a", "b", "."], true), &model), Ok(()));
        let fewer = same_vocabulary(&Words(&["a", "b"], true), &model);
        assert_eq!(fewer, Err(Misfit::Size(2, 3)));
        let other = same_vocabulary(&Words(&["a", "c", "."], true), &model);
        assert_eq!(other, Err(Misfit::Token(1, "c".to_owned(), "b".to_owned())));
        let endless = same_vocabulary(&Words(&["a", "b", "."], false), &model);
        assert_eq!(endless, Err(Misfit::Ends));
    }
}
