#!/usr/bin/env bash
# Measures tandem, whose programs are in the folder $1, against llama.cpp's own server, built for this
# CPU with the same flags as the engine. What follows $1 goes to the program `bench-peer`; without
# `--model` both run the default model. The table goes to stdout, all values into the cache.
set -euo pipefail

programs="$1"
shift
here="$(dirname "$0")"

rival="$("$here/llama-server.sh" native)"
say() { echo "bench-peer: $*" >&2; }
say "the rival is $rival, built so:"
cat "$(dirname "$rival")/flags" >&2

model=()
if [[ " $* " != *" --model"[=\ ]* ]]; then model=(--model "$("$here/model.sh" 2>/dev/null)"); fi
results="${TANDEM_CACHE:-$HOME/.cache/tandem}/bench"
mkdir -p "$results"
json=(--json "$results/$(date -u +%Y-%m-%dT%H-%M-%S).json")
if [[ " $* " == *" --json"[=\ ]* ]]; then json=(); fi

# Settings of OpenMP in the environment would be those of both.
unset "${!OMP_@}" "${!GOMP_@}"
export TANDEM_BIN_DIR="$programs"
exec "$programs/bench-peer" --llama-server "$rival" "${model[@]}" "${json[@]}" "$@"
