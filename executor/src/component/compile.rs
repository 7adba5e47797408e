use wasmtime::component::Component;

use super::{Error, imports};
use crate::host::Engine;

/// Compiles a component to the bytes of a `.cwasm` file. Takes seconds of processor time for large ones.
pub(super) fn compile(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    check_header(bytes)?;
    imports::check(bytes)?;
    validate(bytes)?;
    engine
        .wasmtime()
        .precompile_component(bytes)
        .map_err(|error| Error::Invalid {
            message: format!("{error:#}"),
        })
}

/// Looks at every function before any is compiled: that costs a small part of the time.
fn validate(bytes: &[u8]) -> Result<(), Error> {
    wasmparser::Validator::new()
        .validate_all(bytes)
        .map(|_| ())
        .map_err(|error| Error::Invalid {
            message: error.to_string(),
        })
}

/// Maps a `.cwasm` file into memory. Fails when it was made by another version or for other settings or machines.
///
/// The one place of the host that needs `unsafe`: wasmtime trusts the machine code in the file. The file lies in the
/// node's own data folder, was written by `compile` of this node, and carries a checksum that was verified before.
#[allow(unsafe_code)]
pub(super) fn map_file(engine: &Engine, path: &std::path::Path) -> wasmtime::Result<Component> {
    // SAFETY: see above; nobody but this node writes into its data folder, and files are never changed after their
    // rename into place.
    unsafe { Component::deserialize_file(engine.wasmtime(), path) }
}

/// Tells components from core modules, text and anything else by their first eight bytes.
pub(super) fn check_header(bytes: &[u8]) -> Result<(), Error> {
    const MAGIC: &[u8] = b"\0asm";
    let not = |what: &str| {
        Err(Error::NotAComponent {
            what: what.to_owned(),
        })
    };
    match bytes {
        [] => not("the file is empty"),
        _ if !bytes.starts_with(MAGIC) => {
            let start = bytes.trim_ascii_start();
            if start.starts_with(b"(component") || start.starts_with(b"(module") {
                not("this is the text format; turn it into a binary first (`wasm-tools parse`)")
            } else {
                not("it does not begin with the WebAssembly magic number")
            }
        }
        [_, _, _, _, 0x01, 0x00, 0x00, 0x00, ..] => {
            not("this is a core module; make a component of it first (`wasm-tools component new`)")
        }
        [_, _, _, _, _, _, 0x01, 0x00, ..] => Ok(()),
        _ => not("its version is unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_is_no_component() {
        let cases: [(&[u8], &str); 5] = [
            (b"", "the file is empty"),
            (b"hello", "it does not begin with the WebAssembly magic number"),
            (
                b"  (component)",
                "this is the text format; turn it into a binary first (`wasm-tools parse`)",
            ),
            (
                b"\0asm\x01\0\0\0",
                "this is a core module; make a component of it first (`wasm-tools component new`)",
            ),
            (b"\0asm\x07\0\x07\0", "its version is unknown"),
        ];
        for (bytes, expected) in cases {
            match check_header(bytes) {
                Err(Error::NotAComponent { what }) => assert_eq!(what, expected),
                other => unreachable!("{other:?}"),
            }
        }
        assert!(check_header(b"\0asm\x0d\0\x01\0").is_ok());
    }
}
