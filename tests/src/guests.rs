//! Where the built components are.

use std::path::{Path, PathBuf};

/// The file of a guest under `tests/guests`: freshly built where `KILN_GUESTS` names a folder, else the committed one.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    let folder = std::env::var_os("KILN_GUESTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/built"),
        PathBuf::from,
    );
    folder.join(format!("{name}.wasm"))
}
