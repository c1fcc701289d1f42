//! Commands that people know from other programs, and what they are called here.

use std::env;

use clap::{
    Error,
    error::{ContextKind, ContextValue},
};

/// Adds what was probably meant to the refusal of a command that does not exist.
pub(crate) fn advise(mut error: Error) -> Error {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return error;
    };
    // The same word behind a command that does exist means something else.
    let mut arguments = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let is_first = arguments.find(|word| !word.starts_with('-')).as_ref() == Some(word);
    let Some(command) = meant(word).filter(|_| is_first) else { return error };
    error.remove(ContextKind::SuggestedSubcommand);
    let tip = format!("here this is `{command}`");
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    error
}

fn meant(word: &str) -> Option<&'static str> {
    Some(match word {
        "start" | "serve" | "up" => "tandem service start",
        "stop" | "down" => "tandem service stop",
        "run" => "tandem chat",
        "models" | "list" | "ls" => "tandem model list",
        "pull" => "tandem model pull",
        "rm" => "tandem model rm",
        _ => return None,
    })
}
