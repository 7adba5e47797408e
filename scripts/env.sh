# Sourced by the other scripts: where build products live, and how RocksDB is linked.
# One target folder outside the checkout, so that a clean clone does not compile RocksDB and wasmtime again.
export KILN_CACHE="${KILN_CACHE:-$HOME/.cache/kiln}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$KILN_CACHE/target}"
