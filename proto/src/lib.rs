//! The contracts of tandem, generated from the files in `proto/proto`: the gRPC package
//! `tandem.v1` that clients speak, and the protocol between daemon and engine.
//!
//! What each message means is documented in the `.proto` files.

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
    pub const PROTOCOL_VERSION: u32 = 1;

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
