//! Versions of models that were handed on.

use indicatif::HumanBytes;
use serde::Serialize;
use tandem_client::v1;

use super::model::{Model, size};

/// A package that was written.
#[derive(Debug, Serialize)]
pub(crate) struct Packaged {
    id: String,
    version: String,
    path: String,
    size_bytes: u64,
    sha256: String,
    signed: bool,
}

impl From<v1::PackagedModel> for Packaged {
    fn from(packaged: v1::PackagedModel) -> Self {
        let v1::PackagedModel { id, version, path, size_bytes, sha256, signed } = packaged;
        Self { id, version, path, size_bytes, sha256, signed }
    }
}

impl Packaged {
    pub(crate) fn text(&self) -> String {
        let Self { id, version, path, .. } = self;
        format!("{id} {version} is in {path} ({}{})\n", size(self.size_bytes), signed(self.signed))
    }
}

/// A version that was published.
#[derive(Debug, Serialize)]
pub(crate) struct Pushed {
    id: String,
    version: String,
    place: String,
    chunks_total: u64,
    chunks_sent: u64,
    bytes_sent: u64,
    signed: bool,
}

impl From<v1::PushedModel> for Pushed {
    fn from(pushed: v1::PushedModel) -> Self {
        let v1::PushedModel { id, version, place, chunks_total, chunks_sent, bytes_sent, signed } =
            pushed;
        Self { id, version, place, chunks_total, chunks_sent, bytes_sent, signed }
    }
}

impl Pushed {
    pub(crate) fn text(&self) -> String {
        let Self { id, version, place, chunks_total, chunks_sent, .. } = self;
        format!(
            "{id} {version} is at {place} ({chunks_sent} of {chunks_total} chunks sent, {}{})\n",
            HumanBytes(self.bytes_sent),
            signed(self.signed)
        )
    }
}

/// A version that is here now.
#[derive(Debug, Serialize)]
pub(crate) struct Updated {
    model: Model,
    version: String,
    changed: bool,
    bytes_fetched: u64,
}

impl Updated {
    /// `None` when the daemon does not say of which model.
    pub(crate) fn of(updated: v1::UpdatedModel) -> Option<Self> {
        let v1::UpdatedModel { model, version, changed, bytes_fetched } = updated;
        Some(Self { model: Model::from(model?), version, changed, bytes_fetched })
    }

    pub(crate) fn text(&self) -> String {
        let Self { model: Model { id, .. }, changed, .. } = self;
        let model = &self.model;
        if !changed {
            return format!("{id} is here already\n");
        }
        let fetched = HumanBytes(self.bytes_fetched);
        format!(
            "{id} is here ({}, of which {fetched} were fetched); `tandem model use {id}` lets it answer\n",
            size(model.size_bytes)
        )
    }
}

/// A key that was made.
#[derive(Debug, Serialize)]
pub(crate) struct Key {
    pub(crate) path: String,
    pub(crate) public_key: String,
}

impl Key {
    pub(crate) fn text(&self) -> String {
        let Self { path, public_key } = self;
        format!(
            "{path} signs packages; keep it to yourself. Whoever is to trust it sets\n\
             [models]\ntrusted_keys = [\"{public_key}\"]\n"
        )
    }
}

fn signed(signed: bool) -> &'static str {
    if signed { ", signed" } else { "" }
}
