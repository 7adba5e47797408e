use kiln_executor::host::StorageLimits;
use serde::{Deserialize, Serialize};

use super::units::{Size, Span};

/// What applications may store, each of them. A quota of 0 is none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Applications {
    /// Longest name of a key, bucket, container or object.
    pub(crate) name_size_max: Size,
    /// Largest value of a key. A log entry carries it whole.
    pub(crate) value_size_max: Size,
    /// Keys and values that one call reads or writes.
    pub(crate) batch_size_max: Size,
    /// Keys that one call of a guest lists.
    pub(crate) listed_keys_max: usize,
    /// Largest object.
    pub(crate) object_size_max: Size,
    /// Number of keys. Several nodes that write at the same moment can exceed it a little.
    pub(crate) keys_max: u64,
    /// Size of keys and values; checked like their number.
    pub(crate) key_size_quota: Size,
    /// Number of objects.
    pub(crate) objects_max: u64,
    /// Size of all objects.
    pub(crate) object_size_quota: Size,
    /// How long replaced or deleted content stays readable for those who are reading it.
    pub(crate) garbage_delay: Span,
    /// An upload that does not get on for so long is given up.
    pub(crate) upload_patience: Span,
    /// How long a guest's call waits for a shard that does not answer.
    pub(crate) call_timeout: Span,
}

/// A value travels in one log entry, which must stay small beside what a message between nodes may hold.
const VALUE_SIZE_LIMIT: u64 = 8 << 20;

impl Default for Applications {
    fn default() -> Self {
        let limits = StorageLimits::default();
        Self {
            name_size_max: Size(limits.name_bytes_max as u64),
            value_size_max: Size(limits.value_bytes_max as u64),
            batch_size_max: Size(limits.batch_bytes_max as u64),
            listed_keys_max: limits.listed_keys_max,
            object_size_max: Size(limits.object_bytes_max),
            keys_max: limits.keys_per_application,
            key_size_quota: Size(limits.key_bytes_per_application),
            objects_max: limits.objects_per_application,
            object_size_quota: Size(limits.object_bytes_per_application),
            garbage_delay: Span(limits.garbage_delay),
            upload_patience: Span(limits.upload_patience),
            call_timeout: Span(limits.call_timeout),
        }
    }
}

impl Applications {
    /// Sentences about values that make no sense.
    pub(super) fn problems(&self) -> Vec<String> {
        let checks = [
            (
                self.name_size_max.0 >= 16,
                "applications.name_size_max: less than 16 bytes",
            ),
            (
                self.value_size_max.0 <= VALUE_SIZE_LIMIT,
                "applications.value_size_max: more than 8MiB",
            ),
            (
                self.batch_size_max.0 >= self.value_size_max.0,
                "applications.batch_size_max: less than applications.value_size_max",
            ),
            (
                self.batch_size_max.0 <= 2 * VALUE_SIZE_LIMIT,
                "applications.batch_size_max: more than 16MiB",
            ),
        ];
        let wrong = checks.into_iter().filter(|(holds, _)| !holds);
        wrong.map(|(_, text)| text.to_owned()).collect()
    }

    /// The limits that the executor keeps.
    pub(crate) fn limits(&self) -> StorageLimits {
        StorageLimits {
            name_bytes_max: self.name_size_max.bytes(),
            value_bytes_max: self.value_size_max.bytes(),
            batch_bytes_max: self.batch_size_max.bytes(),
            listed_keys_max: self.listed_keys_max,
            object_bytes_max: self.object_size_max.0,
            keys_per_application: self.keys_max,
            key_bytes_per_application: self.key_size_quota.0,
            objects_per_application: self.objects_max,
            object_bytes_per_application: self.object_size_quota.0,
            garbage_delay: self.garbage_delay.0,
            upload_patience: self.upload_patience.0,
            call_timeout: self.call_timeout.0,
            ..StorageLimits::default()
        }
    }
}
