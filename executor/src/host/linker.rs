use std::sync::LazyLock;

use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::p2::bindings as wasi;

use super::{Catalog, Engine, HostState, golem};

/// The interfaces that the host offers, without their version, and the versions that fit.
const OFFERED: &[(&str, &str)] = &[
    ("wasi:cli/environment", "0.2."),
    ("wasi:cli/exit", "0.2."),
    ("wasi:cli/stdin", "0.2."),
    ("wasi:cli/stdout", "0.2."),
    ("wasi:cli/stderr", "0.2."),
    ("wasi:cli/terminal-input", "0.2."),
    ("wasi:cli/terminal-output", "0.2."),
    ("wasi:cli/terminal-stdin", "0.2."),
    ("wasi:cli/terminal-stdout", "0.2."),
    ("wasi:cli/terminal-stderr", "0.2."),
    ("wasi:config/store", "0.2.0-draft"),
    ("wasi:blobstore/blobstore", ""),
    ("wasi:blobstore/container", ""),
    ("wasi:blobstore/types", ""),
    ("wasi:keyvalue/atomic", "0.1."),
    ("wasi:keyvalue/cache", "0.1."),
    ("wasi:keyvalue/eventual", "0.1."),
    ("wasi:keyvalue/eventual-batch", "0.1."),
    ("wasi:keyvalue/types", "0.1."),
    ("wasi:keyvalue/wasi-keyvalue-error", "0.1."),
    ("wasi:clocks/monotonic-clock", "0.2."),
    ("wasi:clocks/wall-clock", "0.2."),
    ("wasi:filesystem/types", "0.2."),
    ("wasi:filesystem/preopens", "0.2."),
    ("wasi:http/types", "0.2."),
    ("wasi:http/outgoing-handler", "0.2."),
    ("wasi:io/error", "0.2."),
    ("wasi:io/poll", "0.2."),
    ("wasi:io/streams", "0.2."),
    ("wasi:logging/logging", ""),
    ("wasi:random/random", "0.2."),
    ("wasi:random/insecure", "0.2."),
    ("wasi:random/insecure-seed", "0.2."),
    ("wasi:sockets/network", "0.2."),
    ("wasi:sockets/instance-network", "0.2."),
    ("wasi:sockets/ip-name-lookup", "0.2."),
    ("wasi:sockets/tcp", "0.2."),
    ("wasi:sockets/tcp-create-socket", "0.2."),
    ("wasi:sockets/udp", "0.2."),
    ("wasi:sockets/udp-create-socket", "0.2."),
];

/// True when the host offers an interface of this name and version.
pub(crate) fn is_offered(import: &str) -> bool {
    let (name, version) = import.split_once('@').unwrap_or((import, ""));
    // A track ends with a dot; pre-releases and interfaces without a version match only exactly.
    let fits = |track: &str| match track.ends_with('.') {
        true => version.starts_with(track) && !version.contains('-'),
        false => version == track,
    };
    OFFERED
        .iter()
        .any(|(offered, track)| *offered == name && fits(track))
        || catalog().offers(import)
}

/// The interfaces that are bound for each component by the shape in which it declares them.
pub(crate) fn catalog() -> &'static Catalog {
    static CATALOG: LazyLock<Catalog> = LazyLock::new(golem::catalog);
    &CATALOG
}

/// Everything that guests can import. Versions of one track (0.2.x) resolve to the same definition.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<HostState>> {
    let mut linker = Linker::new(engine.wasmtime());
    let mut options = wasi::LinkOptions::default();
    options.network_error_code(true);
    wasmtime_wasi::p2::add_to_linker_with_options_async(&mut linker, &options)?;
    add_durable(&mut linker)?;
    Ok(linker)
}

/// Replaces the interfaces whose results are recorded by our own implementation.
fn add_durable(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    type Own = HasSelf<HostState>;
    linker.allow_shadowing(true);
    wasi::clocks::monotonic_clock::add_to_linker::<_, Own>(linker, |state| state)?;
    wasi::clocks::wall_clock::add_to_linker::<_, Own>(linker, |state| state)?;
    wasi::random::random::add_to_linker::<_, Own>(linker, |state| state)?;
    wasi::random::insecure::add_to_linker::<_, Own>(linker, |state| state)?;
    wasi::random::insecure_seed::add_to_linker::<_, Own>(linker, |state| state)?;
    wasi::cli::environment::add_to_linker::<_, Own>(linker, |state| state)?;
    wasi::cli::exit::add_to_linker::<_, Own>(linker, |state| state)?;
    wasi::filesystem::types::add_to_linker::<_, Own>(linker, |state| state)?;
    wasi::filesystem::preopens::add_to_linker::<_, Own>(linker, |state| state)?;
    wasmtime_wasi_io::bindings::wasi::io::poll::add_to_linker::<_, Own>(linker, |state| state)?;
    super::wasi::http::add_to_linker(linker)?;
    super::wasi::ip_name_lookup::add_to_linker(linker)?;
    super::wasi::streams::add_to_linker(linker)?;
    linker.allow_shadowing(false);
    super::wasi::config::add_to_linker(linker)?;
    super::wasi::logging::add_to_linker(linker)?;
    super::keyvalue::add_to_linker(linker)?;
    super::blobstore::add_to_linker(linker)?;
    Ok(())
}
