//! From bytes to text.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

use super::gatherer::Gatherer;
use super::{Format, Refusal, SNIFFED_BYTES};

/// One control character in so many is taken for noise; more of them for something that is no text.
const CONTROL_RARITY: usize = 50;

/// Decodes by byte order mark, as UTF-8, by what a page says of itself, or as Windows-1252, which is
/// Latin-1 and never fails.
pub(super) fn decode<'a>(
    bytes: &'a [u8],
    format: Format,
    gatherer: &mut Gatherer,
) -> Result<Cow<'a, str>, Refusal> {
    let text = if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        let rest = bytes.get(mark..).unwrap_or_default();
        let (text, broken) = encoding.decode_without_bom_handling(rest);
        if broken {
            gatherer.warn(format!(
                "some characters are not valid {} and were replaced",
                encoding.name()
            ));
        }
        text
    } else if let Ok(text) = std::str::from_utf8(bytes) {
        Cow::Borrowed(text)
    } else {
        let encoding = declared(bytes, format).unwrap_or(WINDOWS_1252);
        gatherer.warn(format!("it is not UTF-8 and was read as {}", encoding.name()));
        encoding.decode_without_bom_handling(bytes).0
    };
    let control = text
        .bytes()
        .filter(|byte| {
            byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b)
        })
        .count();
    if text.contains('\0') || control > text.len() / CONTROL_RARITY {
        return Err(Refusal::NotText);
    }
    Ok(text)
}

/// The encoding that a page names at its beginning.
fn declared(bytes: &[u8], format: Format) -> Option<&'static Encoding> {
    if format != Format::Html {
        return None;
    }
    let first = bytes.get(..SNIFFED_BYTES).unwrap_or(bytes).to_ascii_lowercase();
    let first = String::from_utf8_lossy(&first);
    let (_, after) = first.split_once("charset=")?;
    let label = after
        .trim_start_matches(['"', '\''])
        .split(|end: char| !end.is_ascii_alphanumeric() && !"-_:.".contains(end))
        .next()?;
    // A page that says UTF-8 and is not tells nothing.
    Encoding::for_label(label.as_bytes()).filter(|encoding| *encoding != UTF_8)
}
