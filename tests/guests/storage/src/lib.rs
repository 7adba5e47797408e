//! Uses keys and blobs: each function by itself, and all of them in one tour.

#[rustfmt::skip]
mod bindings;

mod blobs;
mod keys;
mod tour;

use std::cell::RefCell;

use bindings::exports::test::storage::api::Guest;
use bindings::wasi::blobstore::types::IncomingValue;

thread_local! {
    static HELD: RefCell<Option<IncomingValue>> = const { RefCell::new(None) };
}

struct Storage;

impl Guest for Storage {
    fn set(bucket: String, key: String, value: String) -> Result<(), String> {
        keys::set(&keys::open(&bucket)?, &key, value.as_bytes())
    }

    fn get(bucket: String, key: String) -> Result<Option<String>, String> {
        keys::get(&keys::open(&bucket)?, &key)
    }

    fn increment(bucket: String, key: String, delta: u64) -> Result<u64, String> {
        keys::increment(&keys::open(&bucket)?, &key, delta)
    }

    fn compare_and_swap(bucket: String, key: String, old: u64, new: u64) -> Result<bool, String> {
        keys::compare_and_swap(&keys::open(&bucket)?, &key, old, new)
    }

    fn set_and_get(bucket: String, key: String, value: String) -> Result<Option<String>, String> {
        let bucket = keys::open(&bucket)?;
        keys::set(&bucket, &key, value.as_bytes())?;
        keys::get(&bucket, &key)
    }

    fn put(container: String, object: String, size: u64, seed: u8) -> Result<(), String> {
        blobs::put(&blobs::open(&container)?, &object, size, seed)
    }

    fn digest(container: String, object: String, first: u64, last: u64) -> Result<(u64, u64), String> {
        blobs::digest(&blobs::open(&container)?.get_data(&object, first, last)?)
    }

    fn range(container: String, object: String, first: u64, last: u64) -> Result<Vec<u8>, String> {
        let value = blobs::open(&container)?.get_data(&object, first, last)?;
        value.incoming_value_consume_sync()
    }

    fn hold(container: String, object: String) -> Result<u64, String> {
        let value = blobs::open(&container)?.get_data(&object, 0, u64::MAX)?;
        let size = value.size();
        HELD.set(Some(value));
        Ok(size)
    }

    fn held() -> Result<(u64, u64), String> {
        HELD.with_borrow(|held| blobs::digest(held.as_ref().ok_or("nothing is kept")?))
    }

    fn remove(container: String, object: String) -> Result<(), String> {
        blobs::open(&container)?.delete_object(&object)
    }

    fn tour(name: String) -> Vec<String> {
        tour::run(&name)
    }
}

bindings::export!(Storage with_types_in bindings);
