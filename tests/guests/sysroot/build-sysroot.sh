#!/usr/bin/env bash
# Builds the standard library (from Debian's rust-web-src) for wasm32-wasip2 and lays it out as a sysroot of rustc,
# so that guests then build with a plain `cargo build --target wasm32-wasip2`.
#
#   build-sysroot.sh SYSROOT LLVM_VERSION
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
sysroot=$(realpath -m "${1:?usage: build-sysroot.sh SYSROOT LLVM_VERSION}")
llvm=${2:?usage: build-sysroot.sh SYSROOT LLVM_VERSION}
target=wasm32-wasip2
host=$(/usr/bin/rustc -vV | sed -n 's/^host: //p')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# An empty crate, built with `-Zbuild-std`, leaves the standard library's rlibs behind.
mkdir -p "$work/src"
echo '#![no_std]' > "$work/src/lib.rs"
cat > "$work/Cargo.toml" << TOML
[package]
name = "empty"
version = "0.0.0"
edition = "2021"
[workspace]
[profile.release]
panic = "abort"
TOML
(
  cd "$work"
  env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u CARGO_BUILD_TARGET RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
    CARGO_TARGET_DIR="$work/target" CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS="-Cembed-bitcode=yes" \
    /usr/bin/cargo build --release -Zbuild-std=std,panic_abort -Zbuild-std-features= --target "$target"
)

lib="$sysroot/lib/rustlib/$target/lib"
rm -rf "$lib"
mkdir -p "$lib/self-contained"
rm "$work/target/$target/release/deps/"libempty-*
cp "$work/target/$target/release/deps/"*.rlib "$lib/"
cp /usr/lib/wasm32-wasi/{crt1-reactor.o,libc.a} "$lib/self-contained/"

# Two small objects stand in for what Debian's wasi-libc of 2022 lacks.
object() {
  RUSTC_BOOTSTRAP=1 /usr/bin/rustc --sysroot "$sysroot" --target "$target" --edition 2021 --crate-type lib \
    --emit obj -Copt-level=2 -Cpanic=abort -Ccodegen-units=1 "$here/$1.rs" -o "$2"
}
object crt1_command "$lib/self-contained/crt1-command.o"
object wasi_shim "$work/wasi_shim.o"
"llvm-ar-$llvm" rs "$lib/self-contained/libc.a" "$work/wasi_shim.o"
ln -sfn "/usr/lib/rustlib/$host" "$sysroot/lib/rustlib/$host"
