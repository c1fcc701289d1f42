#!/usr/bin/env bash
# Writes a model of 3 billion random weights (1.7 GB), once: what a machine with 4 GB of memory can
# run, for tests. Prints the path of the file as its only line on stdout.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}"
model="${TANDEM_CACHE:-$HOME/.cache/tandem}/models/synthetic-3b-q4_0.gguf"
# All of it, as what is built alone has other features and would be built twice.
[[ -f "$model" ]] || cargo build --locked --workspace --bins --tests >&2
scripts/bench-models.sh "$CARGO_TARGET_DIR/debug" 3b
