//! The folder of Ollama: `manifests/HOST/NAMESPACE/NAME/TAG` are lists of layers in `blobs`, which are
//! named by their hash.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::walk::{Walk, beginning};
use super::{Found, Keeper};

/// What a name without a host means, and one without a namespace.
const HOST: &str = "registry.ollama.ai";
const NAMESPACE: &str = "library";
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
const PARAMETERS_BYTES_MAX: u64 = 64 << 10;
const LICENSE_BYTES_MAX: u64 = 4096;

const MODEL: &str = "application/vnd.ollama.image.model";
const ADAPTER: &str = "application/vnd.ollama.image.adapter";
const PARAMETERS: &str = "application/vnd.ollama.image.params";
const LICENSE: &str = "application/vnd.ollama.image.license";

/// Its template is left out: it is in another language than those in GGUF files, which have their own.
#[derive(Debug, Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
    #[serde(default)]
    size: u64,
}

impl Manifest {
    fn layer(&self, media_type: &str) -> Option<&Layer> {
        self.layers.iter().find(|layer| layer.media_type == media_type)
    }
}

impl Layer {
    /// Hexadecimal.
    fn hash(&self) -> Option<&str> {
        let hash = self.digest.strip_prefix("sha256:")?;
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (hash.len() == 64 && hash.bytes().all(is_digit)).then_some(hash)
    }

    fn path(&self, root: &Path) -> Option<PathBuf> {
        Some(root.join("blobs").join(format!("sha256-{}", self.hash()?)))
    }
}

pub(super) fn scan(root: &Path, walk: &mut Walk, found: &mut Vec<Found>) {
    for (host, folder) in walk.folder(&root.join("manifests")) {
        for (namespace, folder) in walk.folder(&folder) {
            for (name, folder) in walk.folder(&folder) {
                for (tag, manifest) in walk.folder(&folder) {
                    let name = match (host.as_str(), namespace.as_str()) {
                        (HOST, NAMESPACE) => format!("{name}:{tag}"),
                        (HOST, _) => format!("{namespace}/{name}:{tag}"),
                        _ => format!("{host}/{namespace}/{name}:{tag}"),
                    };
                    found.extend(model(root, &name, manifest));
                }
            }
        }
    }
}

/// `None` for a model without a file, such as one that runs at Ollama's.
fn model(root: &Path, name: &str, manifest: PathBuf) -> Option<Found> {
    let broken = |path, what: String| Found {
        problem: Some(format!("{what}; `ollama pull {name}` fetches it anew")),
        ..Found::new(format!("ollama:{name}"), path, Keeper::Ollama)
    };
    let text = beginning(&manifest, MANIFEST_BYTES_MAX).unwrap_or_default();
    let layers: Manifest = match serde_json::from_str(&text) {
        Ok(layers) => layers,
        Err(error) => return Some(broken(manifest, format!("its manifest is damaged: {error}"))),
    };
    let layer = layers.layer(MODEL)?;
    let Some((path, hash)) = layer.path(root).zip(layer.hash()) else {
        return Some(broken(manifest, "its manifest names no hash of its file".to_owned()));
    };
    let size = match path.metadata() {
        Ok(file) if file.is_file() => file.len(),
        _ => return Some(broken(path, "its file is missing".to_owned())),
    };
    if layer.size != 0 && layer.size != size {
        let what = format!("its file has {size} bytes where {} belong", layer.size);
        return Some(broken(path, what));
    }
    let text = |media_type, bytes_max| {
        let path = layers.layer(media_type)?.path(root)?;
        beginning(&path, bytes_max)
    };
    let parameters = text(PARAMETERS, PARAMETERS_BYTES_MAX);
    let license = text(LICENSE, LICENSE_BYTES_MAX).unwrap_or_default();
    let license = license.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let adapted =
        "it has an adapter, without which it would answer as another model; use it in Ollama";
    Some(Found {
        sha256: Some(hash.to_owned()),
        license: license.chars().take(100).collect(),
        problem: layers.layer(ADAPTER).map(|_| adapted.to_owned()),
        advice: parameters
            .and_then(|parameters| serde_json::from_str(&parameters).ok())
            .unwrap_or_default(),
        ..Found::new(format!("ollama:{name}"), path, Keeper::Ollama)
    })
}
