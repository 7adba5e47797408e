#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

wasmtime::component::bindgen!({
    path: ["../wit/wasi-io", "../wit/wasi-keyvalue"],
    world: "wasi:keyvalue/imports",
    imports: { default: async | trappable },
    require_store_data_send: true,
    with: {
        "wasi:io/poll": wasmtime_wasi::p2::bindings::io::poll,
        "wasi:io/streams": wasmtime_wasi::p2::bindings::io::streams,
        "wasi:keyvalue/types.bucket": super::types::Bucket,
        "wasi:keyvalue/types.outgoing-value": super::types::OutgoingValue,
        "wasi:keyvalue/types.incoming-value": super::types::IncomingValue,
        "wasi:keyvalue/wasi-keyvalue-error.error": super::error::KeyError,
        "wasi:keyvalue/cache.future-get-result": super::cache::FutureGet,
        "wasi:keyvalue/cache.future-exists-result": super::cache::FutureExists,
        "wasi:keyvalue/cache.future-result": super::cache::FutureDone,
        "wasi:keyvalue/cache.future-get-or-set-result": super::cache::FutureGetOrSet,
        "wasi:keyvalue/cache.vacancy": super::cache::Vacancy,
    },
});
