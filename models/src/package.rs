//! A version of a model as it is handed on: what it is, its file cut into chunks, and a signature.
//!
//! A package is one file, `ID-VERSION.tar.zst`; a [repository](crate::repository) has the same
//! parts as objects of their own. Either way version V of model ID becomes `ID@V.gguf` in the models
//! directory, with an [`Installed`] beside it. All of this is checked before the file gets its name,
//! and nothing that a package says is used as a path.

mod chunking;
mod describe;
mod digest;
mod error;
mod install;
mod installed;
mod manifest;
mod pack;
mod signature;
#[cfg(test)]
mod tests;
mod unpack;
mod write;

pub use chunking::Chunking;
pub use describe::Subject;
pub use digest::Digest;
pub use error::Error;
pub use install::install;
pub use installed::Installed;
pub use manifest::{Manifest, Part};
pub use pack::{Packaged, pack};
pub use signature::{PublicKey, SigningKey, TrustedKeys};

pub(crate) use chunking::{Chunk, Cut, cut, parse_chunks, write_chunks};
pub(crate) use describe::{Description, describe};
pub(crate) use installed::SIDECAR;
pub(crate) use manifest::BYTES_MAX;
pub(crate) use signature::SIGNATURE_BYTES_MAX;
pub(crate) use write::{CHUNKS, MANIFEST, SIGNATURE};
