use std::fmt::Debug;

use crate::bindings::wasi::blobstore::blobstore::{self, ObjectId};
use crate::bindings::wasi::blobstore::container::Container;
use crate::bindings::wasi::keyvalue::types::{Bucket, OutgoingValue};
use crate::bindings::wasi::keyvalue::{cache, eventual, eventual_batch};
use crate::{blobs, keys};

/// What came of each call.
struct Log(Vec<String>);

impl Log {
    fn add(&mut self, what: &str, outcome: impl Debug) {
        self.0.push(format!("{what} {outcome:?}"));
    }
}

pub fn run(name: &str) -> Vec<String> {
    let mut log = Log(Vec::new());
    match keys::open(name) {
        Ok(bucket) => {
            single_keys(&mut log, &bucket);
            many_keys(&mut log, &bucket);
            numbers(&mut log, &bucket);
        }
        Err(error) => log.add("open-bucket", error),
    }
    log.add("open-bucket without a name", keys::open("").map(|_| ()));
    cached(&mut log, name);
    match containers(&mut log, name) {
        Ok(container) => {
            objects(&mut log, &container);
            ranges(&mut log, &container);
            listings(&mut log, &container);
            copies(&mut log, &container, name);
        }
        Err(error) => log.add("create-container", error),
    }
    log.add("delete-container", blobstore::delete_container(name));
    log.add("delete-container again", blobstore::delete_container(name).is_err());
    log.0
}

fn single_keys(log: &mut Log, bucket: &Bucket) {
    log.add("get", keys::get(bucket, "a"));
    log.add("set", keys::set(bucket, "a", b"one"));
    log.add("get", keys::get(bucket, "a"));
    log.add("exists", eventual::exists(bucket, "a").map_err(keys::text));
    let value = keys::streamed(&[b'x'; 100_000]);
    log.add("set", value.and_then(|value| eventual::set(bucket, "a", &value).map_err(keys::text)));
    log.add("get", keys::get(bucket, "a").map(|value| value.map(|value| value.len())));
    log.add("delete", eventual::delete(bucket, "a").map_err(keys::text));
    log.add("delete again", eventual::delete(bucket, "a").map_err(keys::text));
    log.add("exists", eventual::exists(bucket, "a").map_err(keys::text));
    log.add("set without a name", keys::set(bucket, "", b"").is_err());
    log.add("set a long name", keys::set(bucket, &"k".repeat(5000), b"").is_err());
    log.add("set too much", keys::set(bucket, "a", &vec![0; 2 << 20]).is_err());
}

fn many_keys(log: &mut Log, bucket: &Bucket) {
    let values: Result<Vec<OutgoingValue>, String> =
        (0..20_u8).map(|number| keys::outgoing(&[b'a' + number])).collect();
    let Ok(values) = values else { return };
    let names: Vec<String> = (0..20).map(|number| format!("k{number:02}")).collect();
    let pairs: Vec<(String, &OutgoingValue)> = names.iter().cloned().zip(&values).collect();
    log.add("set-many", eventual_batch::set_many(bucket, &pairs).map_err(keys::text));
    let wanted = [names[3].clone(), "missing".to_owned(), names[0].clone()];
    let found = eventual_batch::get_many(bucket, &wanted).map_err(keys::text).map(|values| {
        values.iter().map(|value| value.as_ref().map(keys::consumed)).collect::<Vec<_>>()
    });
    log.add("get-many", found);
    log.add("keys", sorted_keys(bucket));
    log.add("delete-many", eventual_batch::delete_many(bucket, &names[1..]).map_err(keys::text));
    log.add("keys", sorted_keys(bucket));
}

fn sorted_keys(bucket: &Bucket) -> Result<Vec<String>, String> {
    let mut keys = eventual_batch::keys(bucket).map_err(keys::text)?;
    keys.sort();
    Ok(keys)
}

fn numbers(log: &mut Log, bucket: &Bucket) {
    log.add("increment", keys::increment(bucket, "n", 3));
    log.add("increment", keys::increment(bucket, "n", 4));
    log.add("compare-and-swap", keys::compare_and_swap(bucket, "n", 6, 9));
    log.add("compare-and-swap", keys::compare_and_swap(bucket, "n", 7, 9));
    log.add("get", keys::get(bucket, "n"));
    log.add("increment too far", keys::increment(bucket, "n", u64::MAX).is_err());
    log.add("set", keys::set(bucket, "n", b"text"));
    log.add("increment a text", keys::increment(bucket, "n", 1).is_err());
    log.add("delete", eventual::delete(bucket, "n").map_err(keys::text));
}

fn cached(log: &mut Log, name: &str) {
    let Ok(value) = keys::outgoing(b"kept") else { return };
    let done = cache::set(name, &value, None);
    done.listen_to_future_result().block();
    log.add("cache set", done.future_result_get().map(|done| done.map_err(keys::text)));
    log.add("cache set taken", done.future_result_get().is_none());
    log.add("cache get", cached_value(name));
    let exists = cache::exists(name);
    exists.listen_to_future_exists_result().block();
    log.add("cache exists", exists.future_exists_result_get().map(|exists| exists.map_err(keys::text)));
    log.add("cache get-or-set", get_or_set(name));
    let deleted = cache::delete(name);
    log.add("cache delete", deleted.future_result_get().map(|done| done.map_err(keys::text)));
    log.add("cache get-or-set", get_or_set(name));
    log.add("cache get", cached_value(name));
    log.add("cache set for no time", cache::set(name, &value, Some(0)).future_result_get().is_some());
    log.add("cache get", cached_value(name));
}

fn cached_value(name: &str) -> Option<Result<Option<String>, String>> {
    let future = cache::get(name);
    future.listen_to_future_get_result().block();
    future.future_get_result_get().map(|found| {
        found.map_err(keys::text)?.map(|value| keys::consumed(&value)).transpose()
    })
}

fn get_or_set(name: &str) -> Result<String, String> {
    let future = cache::get_or_set(name);
    future.listen_to_future_get_or_set_result().block();
    let found = future.future_get_or_set_result_get().ok_or("the future is not ready")?;
    match found.map_err(keys::text)? {
        cache::GetOrSetEntry::Occupied(value) => keys::consumed(&value),
        cache::GetOrSetEntry::Vacant(vacancy) => {
            let value = vacancy.vacancy_fill(Some(600_000));
            value.outgoing_value_write_body_sync(b"filled").map_err(keys::text)?;
            Ok("vacant".to_owned())
        }
    }
}

fn containers(log: &mut Log, name: &str) -> Result<Container, String> {
    log.add("container-exists", blobstore::container_exists(name));
    log.add("get-container", blobstore::get_container(name).is_err());
    let container = blobstore::create_container(name)?;
    log.add("container-exists", blobstore::container_exists(name));
    log.add("create-container again", blobstore::create_container(name).is_ok());
    log.add("get-container", blobstore::get_container(name).is_ok());
    log.add("name", container.name());
    let info = container.info().map(|info| (info.name, info.created_at > 0));
    log.add("info", info);
    Ok(container)
}

fn objects(log: &mut Log, container: &Container) {
    log.add("has-object", container.has_object("o"));
    log.add("get-data of nothing", container.get_data("o", 0, 9).is_err());
    log.add("object-info of nothing", container.object_info("o").is_err());
    log.add("write-data", blobs::put(container, "o", 10, b'a'));
    log.add("has-object", container.has_object("o"));
    let info = container.object_info("o");
    log.add("object-info", info.map(|info| (info.name, info.container, info.size, info.created_at > 0)));
    log.add("write-data", blobs::put(container, "o", 0, 0));
    log.add("size", container.object_info("o").map(|info| info.size));
    log.add("delete-object", container.delete_object("o"));
    log.add("delete-object again", container.delete_object("o"));
    log.add("write-data without a name", blobs::put(container, "", 1, 0).is_err());
}

fn ranges(log: &mut Log, container: &Container) {
    const SIZE: u64 = 2_500_000;
    log.add("write-data", blobs::put(container, "large", SIZE, 7));
    for (first, last) in [(0, 3), (1_048_570, 1_048_580), (SIZE - 2, SIZE + 50), (SIZE, SIZE + 1), (5, 4)] {
        let read = container.get_data("large", first, last);
        log.add("range", read.and_then(|value| value.incoming_value_consume_sync()));
    }
    let whole = container.get_data("large", 0, u64::MAX);
    log.add("whole", whole.as_ref().map(|value| value.size()));
    if let Ok(value) = whole {
        log.add("replaced", blobs::put(container, "large", 5, 1));
        log.add("digest of the old one", blobs::digest(&value));
        log.add("list of the old one", value.incoming_value_consume_sync().map(|bytes| bytes.len()));
    }
    let other = container.get_data("large", 0, u64::MAX);
    log.add("digest of the new one", other.and_then(|value| blobs::digest(&value)));
    log.add("delete-object", container.delete_object("large"));
}

fn listings(log: &mut Log, container: &Container) {
    for name in ["e", "d", "c", "b", "a"] {
        log.add("write-data", blobs::put(container, name, 1, 0));
    }
    if let Ok(names) = container.list_objects() {
        log.add("read", names.read_stream_object_names(2));
        log.add("skip", names.skip_stream_object_names(1));
        log.add("read", names.read_stream_object_names(100));
        log.add("read", names.read_stream_object_names(100));
        log.add("skip", names.skip_stream_object_names(1));
    }
    let gone = ["a".to_owned(), "missing".to_owned(), "c".to_owned()];
    log.add("delete-objects", container.delete_objects(&gone));
    let left = container.list_objects().and_then(|names| names.read_stream_object_names(u64::MAX));
    log.add("left", left);
    log.add("clear", container.clear());
    let left = container.list_objects().and_then(|names| names.read_stream_object_names(10));
    log.add("left", left);
}

fn copies(log: &mut Log, container: &Container, name: &str) {
    let other_name = format!("{name}-other");
    let Ok(other) = blobstore::create_container(&other_name) else { return };
    let id = |container: &str, object: &str| ObjectId {
        container: container.to_owned(),
        object: object.to_owned(),
    };
    log.add("write-data", blobs::put(container, "o", 100_000, 3));
    log.add("copy-object", blobstore::copy_object(&id(name, "o"), &id(&other_name, "copy")));
    log.add("move-object", blobstore::move_object(&id(name, "o"), &id(&other_name, "moved")));
    log.add("move-object again", blobstore::move_object(&id(name, "o"), &id(&other_name, "moved")).is_err());
    log.add("has-object", container.has_object("o"));
    let copy = other.get_data("copy", 0, u64::MAX).and_then(|value| blobs::digest(&value));
    let moved = other.get_data("moved", 0, u64::MAX).and_then(|value| blobs::digest(&value));
    log.add("the same", copy.is_ok() && copy == moved);
    log.add("delete-container", blobstore::delete_container(&other_name));
}
