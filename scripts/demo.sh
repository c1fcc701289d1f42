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
    local code=$? pid
    trap - EXIT INT TERM HUP
    say "stopping the daemon"
    pid="$("$tandem" service status --json 2>/dev/null |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["pid"] or "")' 2>/dev/null)" || true
    "$tandem" service stop >&2 || true
    # It closes its store after its socket, and its home must stay until then.
    if [[ -n "$pid" ]]; then
        timeout 10 tail -s 0.1 --pid="$pid" -f /dev/null || kill -KILL "$pid" 2>/dev/null || true
    fi
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
