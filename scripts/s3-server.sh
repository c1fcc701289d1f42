#!/usr/bin/env bash
# Builds the S3 server that tests talk to, s3s-fs (Apache-2.0), from its crate into the cache, once.
# Prints the path of its program as its only line on stdout.
set -euo pipefail

version=0.14.1
folder="${TANDEM_CACHE:-$HOME/.cache/tandem}/s3-server/$version"
program="$folder/bin/s3s-fs"

say() { echo "s3-server: $*" >&2; }

if [[ ! -x "$program" ]]; then
    mkdir -p "$folder"
    exec {lock}>"$folder/.lock"
    flock "$lock"
    if [[ ! -x "$program" ]]; then
        say "building s3s-fs $version, some minutes"
        # In a folder of its own, as the checkout's settings are for llama.cpp.
        (cd "$folder" && CARGO_TARGET_DIR="$folder/target" cargo install --quiet --locked \
            --root "$folder" s3s-fs --version "$version" --features binary >&2)
        rm -rf "$folder/target"
    fi
fi
echo "$program"
