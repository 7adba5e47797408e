#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

wasmtime::component::bindgen!({
    path: ["../wit/wasi-io", "../wit/wasi-blobstore"],
    world: "wasi:blobstore/imports",
    imports: { default: async | trappable },
    require_store_data_send: true,
    with: {
        "wasi:io/streams": wasmtime_wasi::p2::bindings::io::streams,
        "wasi:blobstore/types.outgoing-value": super::types::OutgoingValue,
        "wasi:blobstore/types.incoming-value": super::types::IncomingValue,
        "wasi:blobstore/container.container": super::container::Container,
        "wasi:blobstore/container.stream-object-names": super::names::ObjectNames,
    },
});
