use kiln_proto::v1::{LogEntry, log_entry};
use wasmtime::component::{ComponentType, Lift, Linker, Lower};

use crate::host::{HostState, limits::LimitExceeded};

/// `wasi:logging/logging.level`.
#[derive(Debug, Clone, Copy, ComponentType, Lift, Lower)]
#[component(enum)]
#[allow(
    dead_code,
    reason = "wasmtime makes them from the number that the guest passes"
)]
#[repr(u8)]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

/// Offers `wasi:logging/logging`: each message becomes a Log entry, once.
pub(in crate::host) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    let mut logging = linker.instance("wasi:logging/logging")?;
    logging.func_wrap(
        "log",
        |mut store, (level, context, message): (Level, String, String)| {
            let state = store.data_mut();
            state.record_logs();
            let (bytes, max) = (context.len() + message.len(), state.limits.log_message_bytes_max);
            if bytes > max {
                return Err(
                    LimitExceeded(format!("a log message of {bytes} bytes; the limit is {max}")).into(),
                );
            }
            state.stdio.count(bytes)?;
            state.record_log(LogEntry {
                level: wire(level).into(),
                context,
                message,
            });
            Ok(())
        },
    )
}

fn wire(level: Level) -> log_entry::Level {
    match level {
        Level::Trace => log_entry::Level::Trace,
        Level::Debug => log_entry::Level::Debug,
        Level::Info => log_entry::Level::Info,
        Level::Warn => log_entry::Level::Warn,
        Level::Error => log_entry::Level::Error,
        Level::Critical => log_entry::Level::Critical,
    }
}
