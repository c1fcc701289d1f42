//! What is to be ingested, checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tandem_knowledge::Label;
use tandem_proto::v1::{self, Content, IngestRequest};

use super::super::card::Watched;
use crate::{Error, Result};

const METADATA_MAX: usize = 32;
const KEY_BYTES_MAX: usize = 64;
const VALUE_BYTES_MAX: usize = 1024;
const NAME_BYTES_MAX: usize = 1024;
const CONTENT_BYTES_MAX: usize = 8 << 20;
/// Most folders of a collection that are watched.
const WATCHED_MAX: usize = 32;

/// A request that can be carried out.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) collection: String,
    pub(super) paths: Vec<PathBuf>,
    pub(super) contents: Vec<Content>,
    pub(super) label: Option<Label>,
    pub(super) metadata: BTreeMap<String, String>,
    watch: Option<bool>,
}

impl Order {
    pub(super) fn read(request: IngestRequest) -> Result<Self> {
        let label = match request.label() {
            v1::Label::Unspecified => None,
            v1::Label::LocalOnly => Some(Label::LocalOnly),
            v1::Label::MayLeave => Some(Label::MayLeave),
        };
        let paths: Vec<PathBuf> = request.paths.into_iter().map(PathBuf::from).collect();
        if let Some(path) = paths.iter().find(|path| !path.is_absolute()) {
            let problem =
                format!("{} is not absolute, and the daemon has another folder", path.display());
            return Err(Error::invalid("paths", problem));
        }
        if paths.is_empty() && request.contents.is_empty() {
            return Err(Error::invalid(
                "paths",
                "are none, and there are no contents; name documents",
            ));
        }
        request.contents.iter().try_for_each(check_content)?;
        if request.metadata.len() > METADATA_MAX {
            let problem = format!("has {} keys; at most {METADATA_MAX}", request.metadata.len());
            return Err(Error::invalid("metadata", problem));
        }
        let metadata: BTreeMap<String, String> = request.metadata.into_iter().collect();
        metadata.iter().try_for_each(|(key, value)| check_metadata(key, value))?;
        Ok(Self {
            collection: request.collection,
            paths,
            contents: request.contents,
            label,
            metadata,
            watch: request.watch,
        })
    }

    /// What is to be watched from now on, of which `before` was until now.
    pub(super) fn watched(&self, before: &[Watched]) -> Result<Vec<Watched>> {
        let Some(watch) = self.watch else { return Ok(before.to_vec()) };
        let others = before.iter().filter(|watched| !self.paths.contains(&watched.path));
        let mut watched: Vec<Watched> = others.cloned().collect();
        if watch {
            watched.extend(self.paths.iter().map(|path| Watched {
                path: path.clone(),
                label: self.label,
                metadata: self.metadata.clone(),
            }));
        }
        if watched.len() > WATCHED_MAX {
            let problem =
                format!("would be {} that are watched; at most {WATCHED_MAX}", watched.len());
            return Err(Error::invalid("paths", problem));
        }
        Ok(watched)
    }
}

fn check_content(content: &Content) -> Result<()> {
    let (name, bytes) = (&content.name, content.data.len());
    let problem = if name.is_empty() || name.len() > NAME_BYTES_MAX {
        format!(
            "has a document with a name of {} bytes; 1 to {NAME_BYTES_MAX} are allowed",
            name.len()
        )
    } else if Path::new(name).is_absolute() {
        format!("has the document {name:?}, which is the name of a file; give that in paths")
    } else if bytes > CONTENT_BYTES_MAX {
        format!(
            "has {name:?} with {bytes} bytes; at most {CONTENT_BYTES_MAX}, larger ones in files"
        )
    } else {
        return Ok(());
    };
    Err(Error::invalid("contents", problem))
}

fn check_metadata(key: &str, value: &str) -> Result<()> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !(1..=KEY_BYTES_MAX).contains(&key.len()) || !key.bytes().all(known) {
        let problem =
            format!("{key:?} is no key; use 1 to {KEY_BYTES_MAX} letters, digits, `_` and `-`");
        return Err(Error::invalid("metadata", problem));
    }
    if value.len() > VALUE_BYTES_MAX {
        let problem = format!("{key} has {} bytes; at most {VALUE_BYTES_MAX}", value.len());
        return Err(Error::invalid("metadata", problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn request() -> IngestRequest {
        IngestRequest {
            collection: "notes".to_owned(),
            paths: vec!["/notes".to_owned()],
            ..IngestRequest::default()
        }
    }

    #[test]
    fn what_cannot_be_ingested_is_refused_by_name() {
        let named = |name: &str, data: usize| Content {
            name: name.to_owned(),
            data: vec![b'x'; data],
            media_type: String::new(),
        };
        let metadata = |key: &str, value: String| [(key.to_owned(), value)].into();
        for (field, request) in [
            ("paths", IngestRequest { paths: vec!["notes".to_owned()], ..request() }),
            ("paths", IngestRequest { paths: Vec::new(), ..request() }),
            ("contents", IngestRequest { contents: vec![named("", 1)], ..request() }),
            ("contents", IngestRequest { contents: vec![named("/etc/x", 1)], ..request() }),
            (
                "contents",
                IngestRequest { contents: vec![named("x", CONTENT_BYTES_MAX + 1)], ..request() },
            ),
            ("metadata", IngestRequest { metadata: metadata("a b", String::new()), ..request() }),
            ("metadata", IngestRequest { metadata: metadata("a", "x".repeat(1025)), ..request() }),
        ] {
            let refused = Order::read(request).unwrap_err();
            assert!(
                matches!(&refused, Error::Invalid { field: of, .. } if of == field),
                "{refused}"
            );
        }
        assert!(Order::read(request()).is_ok());
    }

    #[test]
    fn folders_are_watched_until_it_is_said_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_owned();
        let order = |watch| {
            let paths = vec![folder.display().to_string()];
            Order::read(IngestRequest { paths, watch, ..request() }).unwrap()
        };
        let watched = order(Some(true)).watched(&[]).unwrap();
        assert_eq!(watched.iter().map(|it| &it.path).collect::<Vec<_>>(), [&folder]);
        assert_eq!(order(None).watched(&watched).unwrap(), watched);
        assert_eq!(order(Some(true)).watched(&watched).unwrap(), watched);
        assert!(order(Some(false)).watched(&watched).unwrap().is_empty());
    }
}
