//! Where a model's file can be had, as people write it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use reqwest::Url;
use serde::Deserialize;

/// Longest source in bytes.
const BYTES_MAX: usize = 4096;
/// The revision of a repository when none is named.
const REVISION: &str = "main";

/// One place that has a file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Source {
    /// `hf:OWNER/REPOSITORY[@REVISION]/FILE`: a repository of the Hugging Face hub, or of a mirror.
    Hub(Hub),
    /// `https://…`; `http://` from this machine only.
    Web(Url),
    /// `s3://BUCKET/KEY`.
    S3 {
        /// The bucket.
        bucket: String,
        /// The object in it.
        key: String,
    },
    /// `file:/PATH`: a file on this machine, which is copied.
    File(PathBuf),
}

/// A file in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hub {
    /// `OWNER/REPOSITORY`.
    pub repository: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// Path in the repository.
    pub file: String,
}

impl Source {
    /// Whether `text` is meant as a source: it begins as one does.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        let (scheme, rest) = text.split_once(':').unwrap_or_default();
        match scheme {
            "hf" | "file" => true,
            "https" | "http" | "s3" => rest.starts_with("//"),
            _ => false,
        }
    }

    /// The name of the file there.
    #[must_use]
    pub fn file_name(&self) -> &str {
        let path = match self {
            Self::Hub(hub) => &hub.file,
            Self::Web(url) => url.path(),
            Self::S3 { key, .. } => key,
            Self::File(path) => path.to_str().unwrap_or_default(),
        };
        path.rsplit('/').next().unwrap_or_default()
    }
}

impl FromStr for Source {
    type Err = String;

    /// Fails with a sentence that says what is wrong and how a source is written.
    fn from_str(text: &str) -> Result<Self, String> {
        // What stands before an @ may be a password.
        let shown = text.rsplit('@').next().unwrap_or_default();
        let shown: String = shown.chars().take_while(|c| *c != '?').take(200).collect();
        let wrong = |what: &str| format!("{shown:?} is no source: {what}");
        if text.len() > BYTES_MAX || text.chars().any(char::is_control) {
            return Err(wrong(&format!("write one line of at most {BYTES_MAX} bytes")));
        }
        match text.split_once(':') {
            Some(("hf", rest)) => hub(rest).map(Self::Hub).ok_or_else(|| {
                wrong("write hf:OWNER/REPOSITORY/FILE, or hf:OWNER/REPOSITORY@REVISION/FILE")
            }),
            Some(("https" | "http", _)) => web(text).map(Self::Web).map_err(|what| wrong(&what)),
            Some(("s3", rest)) => {
                s3(rest).ok_or_else(|| wrong("write s3://BUCKET/KEY, where both are plain names"))
            }
            Some(("file", rest)) => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                let absolute = Path::new(path).is_absolute() && !path.ends_with('/');
                absolute
                    .then(|| Self::File(PathBuf::from(path)))
                    .ok_or_else(|| wrong("write file: and the whole path, which begins with /"))
            }
            _ => Err(wrong("it begins with none of hf:, https://, s3:// and file:")),
        }
    }
}

impl TryFrom<String> for Source {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Source {
    /// As it is written; an address loses what may hold a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub(Hub { repository, revision, file }) if revision == REVISION => {
                write!(f, "hf:{repository}/{file}")
            }
            Self::Hub(Hub { repository, revision, file }) => {
                write!(f, "hf:{repository}@{revision}/{file}")
            }
            Self::Web(url) => {
                let mut url = url.clone();
                url.set_query(None);
                url.set_fragment(None);
                write!(f, "{url}")
            }
            Self::S3 { bucket, key } => write!(f, "s3://{bucket}/{key}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

fn hub(text: &str) -> Option<Hub> {
    let (owner, rest) = text.split_once('/')?;
    let (repository, file) = rest.split_once('/')?;
    let (repository, revision) = repository.split_once('@').unwrap_or((repository, REVISION));
    let names = [owner, repository, revision];
    let plain = |name: &str| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
            && name.bytes().any(|byte| byte != b'.')
    };
    (names.into_iter().all(plain) && is_path(file)).then(|| Hub {
        repository: format!("{owner}/{repository}"),
        revision: revision.to_owned(),
        file: file.to_owned(),
    })
}

fn s3(text: &str) -> Option<Source> {
    let (bucket, key) = text.strip_prefix("//")?.split_once('/')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_bucket = (1..=255).contains(&bucket.len()) && bucket.bytes().all(plain);
    let is_bucket = is_bucket && bucket.bytes().any(|byte| byte != b'.');
    (is_bucket && is_path(key)).then(|| Source::S3 { bucket: bucket.into(), key: key.into() })
}

/// Whether every part of the path is the name of something in the one before it.
fn is_path(text: &str) -> bool {
    text.split('/').all(|part| !matches!(part, "" | "." | "..")) && !text.contains(['?', '#'])
}

fn web(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("leave out user and password, which would end in logs".to_owned());
    }
    if !is_secure(&url) {
        return Err("what comes over http:// can be changed on the way; write https://".to_owned());
    }
    Ok(url)
}

/// Whether nobody on the way can change what comes from there.
pub(crate) fn is_secure(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let is_here = host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|it| it.is_loopback());
    url.scheme() == "https" || (url.scheme() == "http" && is_here)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_written_is_what_is_shown() {
        for text in [
            "hf:owner/some-model-GGUF/model.Q4_1.gguf",
            "hf:owner/model@v1.0/folder/model.gguf",
            "https://example.com/models/m.gguf",
            "http://127.0.0.1:8080/m.gguf",
            "http://[::1]/m.gguf",
            "s3://bucket.name/a/b c.gguf",
            "file:/srv/models/m.gguf",
        ] {
            let source: Source = text.parse().unwrap();
            assert_eq!(source.to_string(), text);
            assert!(Source::is_meant(text), "{text}");
        }
        let hub: Source = "hf:o/r@main/f.gguf".parse().unwrap();
        assert_eq!(hub.to_string(), "hf:o/r/f.gguf");
        let path: Source = "file:///srv/m.gguf".parse().unwrap();
        assert_eq!(path, Source::File("/srv/m.gguf".into()));
    }

    #[test]
    fn the_last_part_names_the_file_and_keys_in_addresses_are_not_shown() {
        for (text, name) in [
            ("hf:o/r/folder/m.gguf", "m.gguf"),
            ("https://h/a/m.gguf?token=secret", "m.gguf"),
            ("s3://b/a/m.gguf", "m.gguf"),
            ("file:/a/m.gguf", "m.gguf"),
        ] {
            let source: Source = text.parse().unwrap();
            assert_eq!(source.file_name(), name);
            assert!(!source.to_string().contains("secret"));
        }
    }

    #[test]
    fn what_leads_elsewhere_or_can_be_changed_on_the_way_is_refused() {
        for text in [
            "hf:owner/model",
            "hf:owner/model/../../x",
            "hf:../model/f.gguf",
            "hf:owner//f.gguf",
            "hf:own er/model/f.gguf",
            "hf:owner/model@/f.gguf",
            "hf:owner/model/f.gguf?download=true",
            "http://example.com/m.gguf",
            "https://user:secret@example.com/m.gguf",
            "https://",
            "s3://bucket",
            "s3://../key",
            "s3:bucket/key",
            "file:relative.gguf",
            "file:/folder/",
            "ftp://example.com/m.gguf",
            "model",
            "",
            "hf:owner/model/a\nb",
        ] {
            let refused = text.parse::<Source>().unwrap_err();
            assert!(refused.contains("is no source: "), "{refused}");
            assert!(!refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn ids_of_the_catalog_are_not_meant_as_sources() {
        for id in ["smollm2-135m-instruct", "llama-3.2-1b-instruct:q8_0", "/a/b.gguf", "s3"] {
            assert!(!Source::is_meant(id), "{id}");
        }
    }
}
