# shellcheck shell=bash
# Sourced by the other scripts: where build products live, and how RocksDB is linked.
# One target folder outside the checkout, so that a clean clone does not compile RocksDB and wasmtime again.

export KILN_CACHE="${KILN_CACHE:-$HOME/.cache/kiln}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$KILN_CACHE/target}"
mkdir -p "$KILN_CACHE"

# rustup installs here and relies on the login shell to find it.
[[ -d "$HOME/.cargo/bin" && ":$PATH:" != *":$HOME/.cargo/bin:"* ]] && export PATH="$HOME/.cargo/bin:$PATH"

# bindgen loads libclang at build time; Debian keeps it in a versioned folder. Its neighbour libclang-cpp is another library.
if [[ -z "${LIBCLANG_PATH:-}" ]]; then
  for folder in /usr/lib/llvm-*/lib; do
    if compgen -G "$folder/libclang.so*" > /dev/null || compgen -G "$folder/libclang-[0-9]*.so*" > /dev/null; then
      export LIBCLANG_PATH="$folder"
      break
    fi
  done
fi

# The version of librocksdb that the lock file asks for, for example 11.8.1.
rocksdb_version() {
  sed -n '/^name = "librocksdb-sys"$/{n;s/^version = ".*+\(.*\)"$/\1/p;}' "${BASH_SOURCE[0]%/*}/../Cargo.lock"
}

# RocksDB takes most of a first build. scripts/rocksdb compiles it once for all profiles and target folders.
ROCKSDB_PREBUILT="$KILN_CACHE/rocksdb-$(rocksdb_version)"
if [[ -f "$ROCKSDB_PREBUILT/librocksdb.a" ]]; then
  export ROCKSDB_LIB_DIR="$ROCKSDB_PREBUILT" ROCKSDB_STATIC=1
fi

# Progress goes to stderr; stdout belongs to what a script is asked for.
say() { printf '==> %s\n' "$*" >&2; }
