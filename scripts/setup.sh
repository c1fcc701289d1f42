#!/usr/bin/env bash
# Installs what is needed to build tandem and is not there yet. Installs nothing else.
set -euo pipefail

say() { echo "setup: $*" >&2; }

if ! command -v cargo >/dev/null; then
    say "Rust is missing; install it from https://rustup.rs and run this again"
    exit 1
fi

# What each command belongs to in Debian.
missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }
need c++ g++
need make make
need cmake cmake
need ninja ninja-build
need ccache ccache
need clang clang
need python3 python3
python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
# llama.cpp's header is read with libclang.
compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null ||
    compgen -G '/usr/lib*/libclang*.so*' >/dev/null ||
    compgen -G '/usr/lib/*/libclang*.so*' >/dev/null ||
    [[ -n "${LIBCLANG_PATH:-}" ]] || missing+=(libclang-dev)

if [[ ${#missing[@]} -eq 0 ]]; then
    say "all there"
    exit
fi
if ! command -v apt-get >/dev/null; then
    say "install these with your package manager (Debian's names) and run this again: ${missing[*]}"
    exit 1
fi

run=(env DEBIAN_FRONTEND=noninteractive)
if [[ $EUID -ne 0 ]]; then
    if ! command -v sudo >/dev/null; then
        say "run as root: apt-get install ${missing[*]}"
        exit 1
    fi
    # Without a terminal nobody could type a password.
    if [[ -t 0 ]]; then run=(sudo "${run[@]}"); else run=(sudo -n "${run[@]}"); fi
fi
say "installing ${missing[*]}"
"${run[@]}" apt-get update -qq
"${run[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
