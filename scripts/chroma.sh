#!/usr/bin/env bash
# Installs the server of Chroma (Apache-2.0) from PyPI into an environment of its own in the cache, once.
# Prints the path of its program as its only line on stdout.
set -euo pipefail

version=1.5.9
folder="${TANDEM_CACHE:-$HOME/.cache/tandem}/chroma"
program="$folder/venv/bin/chroma"

say() { echo "chroma: $*" >&2; }
# It is written last, so that an installation that was cut short is made again.
is_there() { [[ -x "$program" && "$(cat "$folder/version" 2>/dev/null)" == "$version" ]]; }

if ! is_there; then
    mkdir -p "$folder"
    exec {lock}>"$folder/.lock"
    flock "$lock"
    if ! is_there; then
        say "installing Chroma $version"
        python3 -m venv "$folder/venv"
        "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "chromadb==$version" >&2
        echo "$version" >"$folder/version"
    fi
fi
echo "$program"
