#!/usr/bin/env bash
# Writes models with random weights, as large as real ones, with the program `make-model` in the
# folder $1, unless they are there. The sizes follow: 1.1b (0.6 GB), 3b (1.7 GB), 7b (4 GB); all
# without any. Prints the path of each as a line on stdout.
set -euo pipefail

programs="$1"
shift
[[ $# -gt 0 ]] || set -- 1.1b 3b 7b

models="${TANDEM_CACHE:-$HOME/.cache/tandem}/models"
mkdir -p "$models"
for size in "$@"; do
    model="$models/synthetic-$size-q4_0.gguf"
    [[ -f "$model" ]] || "$programs/make-model" "$size" "$model" >&2
    echo "$model"
done
