use bytes::Bytes;
use kiln_executor::component::{CacheOptions, Components, Digest, Error};

use crate::fixture::{built, components, engine, load, shared};

async fn refusal(bytes: impl Into<Bytes>) -> String {
    let error = components()
        .add(bytes.into())
        .await
        .expect_err("no component that can be loaded");
    error.to_string()
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("valid text")
}

#[tokio::test]
async fn what_is_no_component_is_refused_in_words() {
    assert_eq!(
        refusal(wat("(module)")).await,
        "not a WebAssembly component: this is a core module; make a component of it first (`wasm-tools component new`)"
    );
    assert_eq!(
        refusal("#!/bin/sh").await,
        "not a WebAssembly component: it does not begin with the WebAssembly magic number"
    );
    let mut broken = built("counter");
    broken.truncate(1000);
    assert!(refusal(broken).await.starts_with("the component is invalid: "));
}

#[tokio::test]
async fn missing_imports_are_named() {
    let component = wat(r#"(component
            (import "acme:tools/hammer@1.0.0" (instance (export "hit" (func))))
            (import "wasi:cli/environment@0.2.0" (instance (export "get-arguments" (func (result (list string))))))
            (import "acme:types/only@1.0.0" (instance (type (record (field "a" u8))) (export "t" (type (eq 0)))))
            (import "wasi:cli/environment@0.3.0" (instance (export "get-arguments" (func (result (list string))))))
            (import "plain" (func))
        )"#);
    assert_eq!(
        refusal(component).await,
        "the component imports what this host does not offer: acme:tools/hammer@1.0.0, wasi:cli/environment@0.3.0, plain"
    );
    let component = wat(
        r#"(component (import "wasi:cli/environment@0.2.3" (instance (export "get-moon-phase" (func)))))"#,
    );
    let message = refusal(component).await;
    assert!(
        message.contains("wasi:cli/environment@0.2.3") && message.contains("get-moon-phase"),
        "{message}"
    );
}

#[tokio::test]
async fn interfaces_of_types_only_need_no_host() {
    let component = wat(
        r#"(component (import "acme:types/only@1.0.0" (instance (type (record (field "a" u8))) (export "t" (type (eq 0))))))"#,
    );
    let loaded = load(component).await;
    assert!(loaded.imports().is_empty());
}

#[tokio::test]
async fn exports_are_listed_with_their_signature() {
    let loaded = load(built("counter")).await;
    let listed: Vec<String> = loaded
        .exports()
        .iter()
        .map(|f| format!("{}: {}", f.full_name, f.signature))
        .collect();
    assert_eq!(
        listed,
        [
            "test:counter/api@0.1.0.{increment}: func(by: u64) -> u64",
            "test:counter/api@0.1.0.{get}: func() -> u64",
        ]
    );
    let go = load(shared("counter-go")).await;
    assert!(
        go.imports()
            .iter()
            .any(|import| import.starts_with("wasi:clocks/monotonic-clock@0.2."))
    );
}

#[tokio::test]
async fn compiled_code_is_found_again_and_made_again_when_damaged() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let open = || Components::new(&engine(), CacheOptions::new(dir.path().to_owned())).expect("a cache");
    let bytes = Bytes::from(built("counter"));
    let digest = Digest::of(&bytes);
    let not_needed = || async { panic!("the compiled code is on disk") };
    open().add(bytes.clone()).await.expect("a component");
    open().load(digest, not_needed).await.expect("found on disk");

    let code = std::fs::read_dir(dir.path())
        .expect("a readable folder")
        .map(|entry| entry.expect("a readable folder").path())
        .find(|path| path.extension().is_some_and(|extension| extension == "cwasm"))
        .expect("compiled code");
    let mut damaged = std::fs::read(&code).expect("readable code");
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    // As a torn disk would leave it; the mapping of the running test keeps the old file.
    std::fs::remove_file(&code).expect("removable");
    std::fs::write(&code, damaged).expect("writable");
    open()
        .load(digest, || async { Ok(bytes) })
        .await
        .expect("compiled again");
    open().load(digest, not_needed).await.expect("sound again");
}

#[tokio::test]
async fn size_and_digest_are_checked() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut options = CacheOptions::new(dir.path().to_owned());
    options.size_bytes_max = 1000;
    let components = Components::new(&engine(), options).expect("a cache");
    let bytes = Bytes::from(built("counter"));
    let size = bytes.len();
    let error = components.add(bytes.clone()).await.expect_err("too large");
    assert_eq!(
        error.to_string(),
        format!("the component has {size} bytes; the limit is 1000")
    );

    let other = Digest::of(b"something else");
    let error = self::components()
        .load(other, || async { Ok(bytes) })
        .await
        .expect_err("other bytes");
    assert!(matches!(error, Error::WrongDigest { .. }));
}
