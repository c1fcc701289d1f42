#!/usr/bin/env bash
# Measures searches of tandem, whose programs are in the folder $1, against a server of Chroma from PyPI.
# The texts are lines of documentation from the sources of the crates that tandem is built of; they are
# embedded once, by tandem, and kept in the cache. What follows $1 goes to the program `bench-retrieval`.
# The tables go to stdout, all values into the cache.
set -euo pipefail
export LC_ALL=C

programs="$(cd "$1" && pwd)"
shift
here="$(cd "$(dirname "$0")" && pwd)"
cache="${TANDEM_CACHE:-$HOME/.cache/tandem}"
# 100,000 to search in, and the last 1,000 to ask for.
count=101000
batch=500
model=all-MiniLM-L6-v2

say() { echo "bench-retrieval: $*" >&2; }

chroma="$("$here/chroma.sh")"

sample="$cache/retrieval"
mkdir -p "$sample"
if [[ ! -s "$sample/texts.txt" ]]; then
	say "collecting texts"
	find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -name '*.rs' -print0 | sort -z |
		xargs -0 grep -ohE '^\s*//[/!] +[A-Z].{30,300}$' | sed -E 's|^\s*//[/!] +||' | sort -u >"$sample/all.txt"
	# The same order whenever the texts are the same.
	shuf --random-source=<(yes tandem) "$sample/all.txt" | sed -n "1,${count}p" >"$sample/texts.new"
	rm "$sample/all.txt"
	mv "$sample/texts.new" "$sample/texts.txt"
	rm -f "$sample/vectors.f32"
fi

if [[ ! -s "$sample/vectors.f32" ]]; then
	say "embedding $(wc -l <"$sample/texts.txt") texts, a quarter of an hour"
	export TANDEM_HOME="$sample/home" PATH="$programs:$PATH"
	rm -rf "$TANDEM_HOME"
	mkdir -p "$TANDEM_HOME"
	stop() { tandem service stop >/dev/null 2>&1 || true; }
	trap stop EXIT
	tandem model import --id "$model" "$("$here/embedding-model.sh" 2>/dev/null)" >&2
	rm -f "$sample"/part.*
	split -l "$batch" -d -a 4 "$sample/texts.txt" "$sample/part."
	for part in "$sample"/part.*; do
		tandem embed --quiet --model "$model" - <"$part"
		rm "$part"
	done | "$programs/bench-retrieval" --pack >"$sample/vectors.new"
	mv "$sample/vectors.new" "$sample/vectors.f32"
	stop
	trap - EXIT
	unset TANDEM_HOME
fi

results="$cache/bench"
mkdir -p "$results"
json=(--json "$results/retrieval-$(date -u +%Y-%m-%dT%H-%M-%S).json")
if [[ " $* " == *" --json"[=\ ]* ]]; then json=(); fi
exec "$programs/bench-retrieval" --chroma "$chroma" --vectors "$sample/vectors.f32" \
	--texts "$sample/texts.txt" --folder "$sample" "${json[@]}" "$@"
