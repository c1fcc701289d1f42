//! The model that unit tests load.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::PathBuf;
use std::sync::{Arc, Once};

use super::{Model, ModelSettings};

/// Loads the model that `TANDEM_TEST_MODEL` names.
pub fn model() -> Arc<Model> {
    static INIT: Once = Once::new();
    INIT.call_once(super::init);
    let path = std::env::var_os("TANDEM_TEST_MODEL").map(PathBuf::from).expect(
        "TANDEM_TEST_MODEL is not set: it names the GGUF file to test with; `make test` sets it",
    );
    let settings = ModelSettings { use_extra_bufts: false, gpu_layers: 0 };
    Arc::new(Model::load(&path, settings, |_| {}).unwrap())
}
