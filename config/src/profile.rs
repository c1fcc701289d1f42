//! Profiles: defaults for a purpose. What a file, a variable or a flag says wins over them.

use crate::{
    Error, Origin, Profile,
    kind::OneOf,
    paths::Environment,
    source::{self, Node, Table, Value},
};

/// The profiles by name.
pub(crate) const PROFILES: OneOf<Profile> = OneOf(&[
    ("standard", Profile::Standard),
    ("dev", Profile::Dev),
    ("staging", Profile::Staging),
    ("production", Profile::Production),
    ("education", Profile::Education),
]);

/// What a profile sets.
fn settings_of(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        "dev" => ("dev", include_str!("../profiles/dev.toml")),
        "staging" => ("staging", include_str!("../profiles/staging.toml")),
        "production" => ("production", include_str!("../profiles/production.toml")),
        "education" => ("education", include_str!("../profiles/education.toml")),
        _ => return None,
    })
}

/// Lays `written` over the settings of the profile that was chosen: by the flag, else by the variable,
/// else by `profile` in what was written. A name that is none stays there, to be refused with the rest.
pub(crate) fn lay_under(
    mut written: Table,
    flag: Option<&str>,
    environment: &Environment,
) -> Result<Table, Error> {
    const KEY: &str = "profile";
    const VARIABLE: &str = "TANDEM_PROFILE";
    let variable = environment.text(VARIABLE).map(|name| (name, Origin::Variable(VARIABLE.into())));
    if let Some((name, origin)) = flag.map(|it| (it, Origin::Flag("--profile"))).or(variable) {
        let node = Node::Value(Value::Text(name.to_owned()), origin);
        written.entries.insert(KEY.to_owned(), node);
    }
    let chosen = written.entries.get(KEY).and_then(Node::text).and_then(settings_of);
    let Some((name, text)) = chosen else { return Ok(written) };
    let mut settings = source::read_profile(text, name)?;
    settings.origin = written.origin.clone();
    source::merge(&mut settings, written);
    Ok(settings)
}
