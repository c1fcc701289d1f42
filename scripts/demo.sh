#!/usr/bin/env bash
# Asks a real model two questions through a daemon of its own, and stops that daemon again.
# Expects `tandem`, `tandemd` and `tandem-engine` in the folder $1 and the model file as $2.
set -euo pipefail

programs="$1"
model="$2"
tandem="$programs/tandem"

say() { printf '\n== %s\n' "$*" >&2; }

# A home and a socket of its own, so that a daemon in daily use is left alone. The path of a socket
# must be short.
home="$(mktemp -d "${TMPDIR:-/tmp}/tandem-demo.XXXXXX")"
export TANDEM_HOME="$home" TANDEM_SOCKET="$home/tandem.sock" TANDEMD="$programs/tandemd"

clean_up() {
    local code=$?
    trap - EXIT INT TERM HUP
    say "stopping the daemon"
    "$tandem" service stop >&2 || true
    [[ $code -eq 0 ]] || tail -n 20 "$home/tandemd.log" >&2 2>/dev/null || true
    rm -rf "$home"
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

mkdir "$home/models"
ln -s "$model" "$home/models/"

# Asks $1 in the conversation and shows the answer, who gave it, and how fast.
ask() {
    local answer
    printf '> %s\n' "$1" >&2
    answer="$("$tandem" ask --json --conversation "$conversation" "$1")"
    python3 - "$answer" <<'PYTHON'
import json, sys

answer = json.loads(sys.argv[1])
print(answer["answer"], flush=True)
print(
    "   -- {track} track, {model}, {tokens[completion]} tokens, {tokens_per_second:.0f} tokens/s, "
    "first after {time_to_first_token_ms:.0f} ms".format(**answer),
    file=sys.stderr,
)
PYTHON
}

say "beginning a conversation, which starts the daemon"
conversation="$("$tandem" conversation create)"
echo "$conversation" >&2

say "a question, which starts an engine and loads the model"
ask "What is the capital of France?"

say "a second question in the same conversation"
ask "Which river runs through it?"

say "what the daemon is doing"
"$tandem" status
