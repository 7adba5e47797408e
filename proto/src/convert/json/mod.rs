//! What the CLI and the HTTP edge print: JSON with the names of the published interface.
//!
//! Component values: records are objects, tuples and lists arrays, variants `{"case": payload}` or `"case"`,
//! enums strings, flags arrays of strings, options value or null, results `{"ok":…}` or `{"error":…}`.

mod cluster;
mod component;
mod files;
mod oplog;
mod value;
mod worker;

pub use cluster::{node, node_id, shard, status as cluster_status};
pub use component::{component, component_details};
pub use files::{entry_kind, folder};
pub use oplog::entry as oplog_entry;
pub use value::value;
pub use worker::{change_kind, count, status_name, worker, worker_event, worker_list};

use serde_json::{Map, Value as Json};

use crate::v1::KeyValue;

/// Pairs as an object; when a key comes twice, the later one wins.
fn pairs(pairs: &[KeyValue]) -> Json {
    let object: Map<String, Json> = pairs
        .iter()
        .map(|pair| (pair.key.clone(), pair.value.clone().into()))
        .collect();
    object.into()
}
