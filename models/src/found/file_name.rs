//! What the name of a GGUF file says about it.

use std::path::Path;

/// Whether a file of this name is listed: a GGUF file, of a model in parts only the first.
pub(super) fn is_listed(file: &str) -> bool {
    let is_gguf = Path::new(file).extension().is_some_and(|it| it.eq_ignore_ascii_case("gguf"));
    is_gguf && part(file).is_none_or(|(ordinal, _)| ordinal == 1)
}

/// Why a file of this name is no model by itself.
pub(super) fn objection(file: &str) -> Option<String> {
    if file.to_ascii_lowercase().contains("mmproj") {
        let why = "it is the half of a model that looks at pictures, which tandem does not use";
        return Some(why.to_owned());
    }
    let (_, parts) = part(file)?;
    (parts > 1).then(|| {
        format!(
            "it is in {parts} parts; join them with `llama-gguf-split --merge` into one file in the \
             models folder"
        )
    })
}

/// Which part of how many: `NAME-00001-of-00003.gguf`.
fn part(file: &str) -> Option<(u32, u32)> {
    let number = |digits: &str| {
        let plain = digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse().ok()).flatten()
    };
    let (stem, _) = file.rsplit_once('.')?;
    let (rest, parts) = stem.rsplit_once("-of-")?;
    let (_, ordinal) = rest.rsplit_once('-')?;
    Some((number(ordinal)?, number(parts)?))
}
