//! The contracts of tandem, generated from the files in `proto/proto`: the gRPC package
//! `tandem.v1` that clients speak, and the protocol between daemon and engine.
//!
//! What each message means is documented in the `.proto` files.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::FileDescriptorSet;

pub mod error;

/// The public API, package `tandem.v1`. Services are there with the feature `grpc`.
pub mod v1 {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::pedantic,
        reason = "generated code; documented in the .proto files"
    )]
    include!(concat!(env!("OUT_DIR"), "/tandem.v1.rs"));
}

/// The protocol between daemon and engine, package `tandem.engine.v1`.
pub mod engine {
    /// Version both sides must agree on. Raised with every incompatible change.
    pub const PROTOCOL_VERSION: u32 = 2;

    /// Longest frame in bytes; a longer one ends the connection.
    pub const FRAME_BYTES_MAX: usize = 16 << 20;

    pub use generated::*;

    mod generated {
        #![allow(
            missing_docs,
            unreachable_pub,
            clippy::all,
            clippy::pedantic,
            reason = "generated code; documented in the .proto files"
        )]
        include!(concat!(env!("OUT_DIR"), "/tandem.engine.v1.rs"));
    }
}

/// Descriptors of both packages, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The methods of the public API by service and name, such as `Assistant/Ask`.
pub fn methods() -> BTreeSet<String> {
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default().file;
    let services = files.iter().flat_map(|file| &file.service);
    let methods = services.flat_map(|service| {
        service.method.iter().map(|method| format!("{}/{}", service.name(), method.name()))
    });
    methods.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_named_as_in_their_paths() {
        let methods = methods();
        assert!(
            methods.contains("Assistant/Ask") && methods.contains("Admin/Status"),
            "{methods:?}"
        );
    }
}
