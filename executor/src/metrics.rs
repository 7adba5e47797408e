use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
};

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// What this executor has done since it started.
        #[derive(Debug, Default)]
        pub(crate) struct Metrics {
            $($(#[doc = $doc])* pub(crate) $name: Counter,)*
        }

        impl Metrics {
            /// The counters in Prometheus' text format.
            #[must_use]
            pub(crate) fn to_prometheus(&self) -> String {
                let mut text = String::new();
                $(write_counter(&mut text, concat!("kiln_", stringify!($name), "_total"), concat!($($doc),*), self.$name.get());)*
                text
            }
        }
    };
}

counters! {
    /// Invocations that this node ran.
    invocations,
    /// Invocations answered from a recorded result.
    invocations_deduplicated,
    /// Invocations that ended with a failure of the guest.
    invocations_failed,
    /// Calls passed on to the owner of a shard.
    calls_forwarded,
    /// Attempts that were repeated because a shard had no reachable owner.
    calls_retried,
    /// Workers created.
    workers_created,
    /// Times that a guest needed more memory than the node had left, and was unloaded to wait for it.
    workers_short_of_memory,
    /// Workers loaded: instantiated and replayed.
    workers_loaded,
    /// Workers unloaded because they were idle or room was needed.
    workers_evicted,
    /// Shards that this node opened as their owner.
    shards_opened,
    /// Shards whose ownership this node lost.
    shards_lost,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub(crate) fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The count so far.
    #[must_use]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) fn write_counter(text: &mut String, name: &str, help: &str, value: u64) {
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "# HELP {name} {}\n# TYPE {name} counter\n{name} {value}",
        help.trim()
    );
}
