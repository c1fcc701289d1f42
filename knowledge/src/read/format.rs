//! Which format a file has.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// As many first bytes decide about a format.
pub const SNIFFED_BYTES: usize = 1024;

/// A format that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Text as people type it; underlined headings are understood.
    Plain,
    /// `CommonMark` with tables, footnotes and front matter.
    Markdown,
    /// Web pages.
    Html,
    /// Portable Document Format, with text in it.
    Pdf,
}

impl Format {
    /// The format of a file, by its name and its first bytes, [`SNIFFED_BYTES`] of them; `None` when it is
    /// none that can be read. A name is believed unless the bytes contradict it.
    pub fn of(path: &Path, first: &[u8]) -> Option<Self> {
        let first = first.get(..SNIFFED_BYTES).unwrap_or(first);
        if first.windows(5).any(|bytes| bytes == b"%PDF-") && !Self::is_text(first)
            || first.starts_with(b"%PDF-")
        {
            return Some(Self::Pdf);
        }
        match Self::named(path) {
            Named::As(format) => Some(format),
            Named::Otherwise => None,
            Named::Not if first.is_empty() || !Self::is_text(first) => None,
            Named::Not => {
                let start = String::from_utf8_lossy(first)
                    .trim_start_matches(['\u{feff}', ' ', '\n', '\r', '\t'])
                    .to_lowercase();
                let html = ["<!doctype html", "<html", "<head", "<body"]
                    .iter()
                    .any(|tag| start.starts_with(tag));
                Some(if html { Self::Html } else { Self::Plain })
            }
        }
    }

    /// Whether a file can be of a known format, going by its name alone.
    pub(super) fn is_possible(path: &Path) -> bool {
        !matches!(Self::named(path), Named::Otherwise)
    }

    /// The format that a media type such as `text/markdown` names, if it is one that can be read.
    pub fn of_media_type(name: &str) -> Option<Self> {
        match name.split(';').next().unwrap_or(name).trim().to_ascii_lowercase().as_str() {
            "text/plain" => Some(Self::Plain),
            "text/markdown" => Some(Self::Markdown),
            "text/html" | "application/xhtml+xml" => Some(Self::Html),
            "application/pdf" => Some(Self::Pdf),
            _ => None,
        }
    }

    /// Whether hostile documents can make its reader hang or crash, so that it belongs into a process of
    /// its own: [`Isolation`](super::Isolation).
    pub fn may_hang(self) -> bool {
        self == Self::Pdf
    }

    /// A name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "text",
            Self::Markdown => "Markdown",
            Self::Html => "HTML",
            Self::Pdf => "PDF",
        }
    }

    fn named(path: &Path) -> Named {
        let Some(extension) = path.extension() else { return Named::Not };
        match extension.to_ascii_lowercase().to_str() {
            Some("md" | "markdown" | "mkd" | "mdx") => Named::As(Self::Markdown),
            Some("html" | "htm" | "xhtml") => Named::As(Self::Html),
            Some("txt" | "text" | "rst" | "adoc" | "asciidoc" | "org" | "log") => {
                Named::As(Self::Plain)
            }
            Some("pdf") => Named::As(Self::Pdf),
            _ => Named::Otherwise,
        }
    }

    fn is_text(first: &[u8]) -> bool {
        first.starts_with(&[0xff, 0xfe]) || first.starts_with(&[0xfe, 0xff]) || !first.contains(&0)
    }
}

/// What a file's name says of its format.
enum Named {
    As(Format),
    /// It names a format that is not read.
    Otherwise,
    /// It names none.
    Not,
}
