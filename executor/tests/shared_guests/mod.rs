//! Guests of other toolchains, which lie beside the checkout or where `KILN_SHARED_GUESTS` says.

use std::path::{Path, PathBuf};

/// The bytes of one.
pub(crate) fn shared(name: &str) -> Vec<u8> {
    let beside = || {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .map(|dir| dir.join("shared/guests"))
            .find(|dir| dir.is_dir())
    };
    let dir = std::env::var_os("KILN_SHARED_GUESTS")
        .map(PathBuf::from)
        .or_else(beside);
    let dir = dir.expect("no folder with guest components: set KILN_SHARED_GUESTS to shared/guests");
    let path = dir.join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("cannot read the guest {}: {error}", path.display()))
}
