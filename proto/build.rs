//! Compiles the `.proto` files with a compiler written in Rust, so that no `protoc` is needed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const FILES: [&str; 14] = [
    "tandem/v1/sampling.proto",
    "tandem/v1/assistant.proto",
    "tandem/v1/inference.proto",
    "tandem/v1/models.proto",
    "tandem/v1/conversations.proto",
    "tandem/v1/knowledge.proto",
    "tandem/v1/admin.proto",
    "tandem/v1/experiments.proto",
    "tandem/v1/usage.proto",
    "tandem/v1/audit.proto",
    "tandem/v1/storage.proto",
    "tandem/v1/cache.proto",
    "tandem/v1/memories.proto",
    "tandem/engine/v1/engine.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;

    let grpc = env::var_os("CARGO_FEATURE_GRPC").is_some();
    tonic_prost_build::configure()
        .build_client(grpc)
        .build_server(grpc)
        .compile_fds(descriptors)?;
    Ok(())
}
